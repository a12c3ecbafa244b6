//! A guest: a real TCP/IP stack at the other end of the device's stream.

use pyro_network::gateway::Gateway;
use pyro_network::guard::Guard;
use pyro_network::plan::{GATEWAY_MAC, GATEWAY_V4, GATEWAY_V6, GUEST_MAC, GUEST_V4, GUEST_V6, MTU};
use pyro_network::policy::Policy;
use rustix::net::{RecvFlags, SendFlags};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::{icmp, tcp, udp};
use smoltcp::time::Instant as Moment;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};
use std::collections::VecDeque;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Longer than anything here takes.
pub const LIMIT: Duration = Duration::from_secs(60);

pub struct Guest {
    device: Wires,
    interface: Interface,
    pub sockets: SocketSet<'static>,
    started: Instant,
    next_port: u16,
}

/// Frames in and out of the stream.
pub struct Wires {
    stream: UnixStream,
    unread: Vec<u8>,
    arrived: VecDeque<Vec<u8>>,
    unsent: Vec<u8>,
    /// All that arrived, where a test wants to see it.
    pub seen: Option<Vec<Vec<u8>>>,
    /// TCP that arrives is thrown away.
    is_deaf: bool,
}

/// A guest and its gateway.
pub fn start(allow: &[&str]) -> (Guest, Gateway) {
    start_with(Policy::parse(allow).unwrap())
}

pub fn start_with(policy: Policy) -> (Guest, Gateway) {
    raise_limit();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let gateway = Gateway::start(theirs, Guard::new(policy)).unwrap();
    (Guest::new(ours), gateway)
}

/// Lets this process open as many files as it may: many gateways share what it has, and the other sides of all
/// connections are here as well.
pub fn raise_limit() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
    });
}

impl Guest {
    pub fn new(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let mut device = Wires {
            stream,
            unread: Vec::new(),
            arrived: VecDeque::new(),
            unsent: Vec::new(),
            seen: None,
            is_deaf: false,
        };
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(GUEST_MAC)));
        config.random_seed = 7;
        let mut interface = Interface::new(config, &mut device, Moment::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(GUEST_V4.into(), 30)).unwrap();
            addresses.push(IpCidr::new(GUEST_V6.into(), 64)).unwrap();
        });
        interface.routes_mut().add_default_ipv4_route(GATEWAY_V4).unwrap();
        interface.routes_mut().add_default_ipv6_route(GATEWAY_V6).unwrap();
        Self {
            device,
            interface,
            sockets: SocketSet::new(Vec::new()),
            started: Instant::now(),
            next_port: 40000,
        }
    }

    pub fn watch(&mut self) {
        self.device.seen = Some(Vec::new());
    }

    /// Answers no TCP any more, not even with a reset.
    #[allow(dead_code, reason = "not every program of tests has one that is deaf")]
    pub fn deafen(&mut self) {
        self.device.is_deaf = true;
    }

    pub fn seen(&self) -> &[Vec<u8>] {
        self.device.seen.as_deref().unwrap_or_default()
    }

    /// Sends a frame as it is, with its length before it.
    pub fn inject(&mut self, frame: &[u8]) {
        self.device.push(frame);
        self.device.flush();
    }

    /// Sends bytes as they are.
    pub fn inject_stream(&mut self, bytes: &[u8]) {
        self.device.unsent.extend_from_slice(bytes);
        self.device.flush();
    }

    /// Whether there is still something that was not sent.
    pub fn has_unsent(&self) -> bool {
        !self.device.unsent.is_empty()
    }

    /// Hangs up.
    pub fn hang_up(self) {}

    /// Whether the gateway has hung up.
    pub fn is_cut_off(&mut self) -> bool {
        let mut byte = [0];
        matches!(self.device.stream.read(&mut byte), Ok(0))
    }

    /// One look at everything.
    pub fn turn(&mut self) {
        let now = Moment::from_micros(self.started.elapsed().as_micros() as i64);
        let was_idle = !self.device.pull(RecvFlags::DONTWAIT);
        self.interface.poll(now, &mut self.device, &mut self.sockets);
        self.device.flush();
        if was_idle {
            self.device.pull(RecvFlags::empty());
        }
    }

    /// Goes on until something is so. Panics when it never is.
    pub fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) -> Duration {
        let started = Instant::now();
        while !is_so(self) {
            assert!(started.elapsed() < LIMIT, "not within the time limit: {what}");
            self.turn();
        }
        started.elapsed()
    }

    pub fn wait(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.turn();
        }
    }

    pub fn socket(&mut self, buffer_bytes: usize) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; buffer_bytes]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        self.sockets.add(socket)
    }

    pub fn connect(&mut self, to: SocketAddr) -> SocketHandle {
        self.connect_with(to, 512 * 1024)
    }

    pub fn connect_with(&mut self, to: SocketAddr, buffer_bytes: usize) -> SocketHandle {
        let handle = self.socket(buffer_bytes);
        self.next_port += 1;
        let port = self.next_port;
        let from: IpAddress = if to.is_ipv4() { GUEST_V4.into() } else { GUEST_V6.into() };
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(handle);
        socket.connect(self.interface.context(), to, (from, port)).unwrap();
        handle
    }

    pub fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Connects, and waits until that is done.
    pub fn connected(&mut self, to: SocketAddr) -> SocketHandle {
        let handle = self.connect(to);
        self.until("connected", |guest| guest.tcp(handle).may_send());
        handle
    }

    pub fn say(&mut self, handle: SocketHandle, mut bytes: &[u8]) {
        self.until("all is said", |guest| {
            let taken = guest.tcp(handle).send_slice(bytes).unwrap();
            bytes = &bytes[taken..];
            bytes.is_empty()
        });
    }

    /// Hears everything until the other side has said its last.
    pub fn hear_all(&mut self, handle: SocketHandle) -> Vec<u8> {
        let mut all = Vec::new();
        self.until("all is heard", |guest| {
            let socket = guest.tcp(handle);
            let heard = socket.recv(|bytes| {
                all.extend_from_slice(bytes);
                (bytes.len(), ())
            });
            heard.is_err()
        });
        all
    }

    /// Hears as many bytes.
    pub fn hear(&mut self, handle: SocketHandle, count: usize) -> Vec<u8> {
        let mut all = Vec::new();
        self.until("enough is heard", |guest| {
            let _ = guest.tcp(handle).recv(|bytes| {
                let wanted = bytes.len().min(count - all.len());
                all.extend_from_slice(&bytes[..wanted]);
                (wanted, ())
            });
            all.len() == count
        });
        all
    }

    pub fn udp(&mut self, port: u16) -> SocketHandle {
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 64], vec![0; 256 * 1024]);
        let mut socket = udp::Socket::new(buffer(), buffer());
        socket.bind(port).unwrap();
        self.sockets.add(socket)
    }

    pub fn send_udp(&mut self, handle: SocketHandle, to: SocketAddr, bytes: &[u8]) {
        self.sockets.get_mut::<udp::Socket<'_>>(handle).send_slice(bytes, to).unwrap();
    }

    pub fn receive_udp(&mut self, handle: SocketHandle) -> Vec<u8> {
        let mut received = Vec::new();
        self.until("a datagram", |guest| match guest.sockets.get_mut::<udp::Socket<'_>>(handle).recv() {
            Ok((bytes, _)) => {
                received = bytes.to_vec();
                true
            }
            Err(_) => false,
        });
        received
    }

    /// Pings the gateway, and waits for the answer.
    pub fn ping_gateway(&mut self, seq_no: u16, v6: bool) -> Duration {
        let to = if v6 { GATEWAY_V6.into() } else { GATEWAY_V4.into() };
        self.ping(to, 0x1234, seq_no)
    }

    /// Pings somebody, and waits for the answer.
    pub fn ping(&mut self, to: IpAddr, ident: u16, seq_no: u16) -> Duration {
        let buffer = || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 4], vec![0; 4096]);
        let mut socket = icmp::Socket::new(buffer(), buffer());
        socket.bind(icmp::Endpoint::Ident(ident)).unwrap();
        let request = echo_request(to, ident, seq_no);
        socket.send_slice(&request, to.into()).unwrap();
        let handle = self.sockets.add(socket);
        let time = self.until("an echo", |guest| {
            let echo = guest.sockets.get_mut::<icmp::Socket<'_>>(handle).recv();
            echo.is_ok_and(|(bytes, from)| from == to.into() && bytes.get(4..) == Some(&request[4..]))
        });
        self.sockets.remove(handle);
        time
    }
}

fn echo_request(to: IpAddr, ident: u16, seq_no: u16) -> Vec<u8> {
    use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr};
    let data = &b"is anybody there"[..];
    let mut bytes = vec![0; 8 + data.len()];
    let checksums = smoltcp::phy::ChecksumCapabilities::default();
    match to {
        IpAddr::V4(_) => {
            let request = Icmpv4Repr::EchoRequest { ident, seq_no, data };
            request.emit(&mut Icmpv4Packet::new_unchecked(&mut bytes[..]), &checksums);
        }
        IpAddr::V6(to) => {
            let request = Icmpv6Repr::EchoRequest { ident, seq_no, data };
            request.emit(&GUEST_V6, &to, &mut Icmpv6Packet::new_unchecked(&mut bytes[..]), &checksums);
        }
    }
    bytes
}

impl Wires {
    fn push(&mut self, frame: &[u8]) {
        self.unsent.extend_from_slice(&(frame.len() as u32).to_be_bytes());
        self.unsent.extend_from_slice(frame);
    }

    fn flush(&mut self) {
        while !self.unsent.is_empty() {
            match rustix::net::send(&self.stream, &self.unsent, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(_) => return,
            }
        }
    }

    /// False if nothing came.
    fn pull(&mut self, flags: RecvFlags) -> bool {
        if self.arrived.len() > 16 {
            return true;
        }
        let at = self.unread.len();
        self.unread.resize(at + 256 * 1024, 0);
        let received =
            rustix::net::recv(&self.stream, &mut self.unread[at..], flags).map_or(0, |(_, length)| length);
        self.unread.truncate(at + received);
        let mut start = 0;
        while let Some((length, rest)) = self.unread[start..].split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            let Some(frame) = rest.get(..length) else { break };
            assert_eq!((&frame[..6], &frame[6..12]), (&GUEST_MAC[..], &GATEWAY_MAC[..]));
            if let Some(seen) = &mut self.seen {
                seen.push(frame.to_vec());
            }
            if !(self.is_deaf && frame[12..14] == [8, 0] && frame[23] == 6) {
                self.arrived.push_back(frame.to_vec());
            }
            start += 4 + length;
        }
        self.unread.drain(..start);
        received > 0
    }
}

pub struct Arrived(Vec<u8>);
pub struct Leaving<'a>(&'a mut Wires);

impl Device for Wires {
    type RxToken<'t> = Arrived;
    type TxToken<'t> = Leaving<'t>;

    fn receive(&mut self, _: Moment) -> Option<(Arrived, Leaving<'_>)> {
        let frame = self.arrived.pop_front()?;
        Some((Arrived(frame), Leaving(self)))
    }

    fn transmit(&mut self, _: Moment) -> Option<Leaving<'_>> {
        (self.unsent.len() < 1024 * 1024).then_some(Leaving(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = usize::from(MTU) + 14;
        capabilities
    }
}

impl RxToken for Arrived {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, look: F) -> R {
        look(&self.0)
    }
}

impl TxToken for Leaving<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let mut frame = vec![0; length];
        let result = fill(&mut frame);
        self.0.push(&frame);
        result
    }
}

/// Bytes that are different everywhere.
pub fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Where the guest finds the host's port.
pub fn host(port: u16) -> SocketAddr {
    (GATEWAY_V4, port).into()
}
