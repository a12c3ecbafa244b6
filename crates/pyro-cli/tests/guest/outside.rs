//! A world of its own for tests of a guest's network: two network namespaces with a cable between them.
//!
//! ```text
//! "host": where pyro runs                              "outside": where the servers are
//!   lo     127.0.0.1, ::1, 10.200.0.1                     lo     203.0.113.*, 2001:db8:2::*, and what is private
//!   cable  198.51.100.2, 2001:db8:1::2   <───────────>    cable  198.51.100.1, 2001:db8:1::1
//! ```
//!
//! All that is not the host's own is routed to the outside, the private and the metadata addresses too: whatever a guest
//! gets through arrives somewhere, is answered, and is noted (`network/outside.py`). Nothing of it is outside of the
//! machine, and nothing outlives the test: the namespaces have no names, and the servers, which hold them, end with their
//! standard input, which is the test's.

use crate::home::{skipped, wait_until};
use crate::users::is_root;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The host's own addresses, beside the loopback. The last is as that of a bridge for containers.
pub const OWN: [&str; 3] = ["198.51.100.2", "2001:db8:1::2", "10.200.0.1"];

/// The outside's name server, and its servers, of both kinds.
pub const NAMES: &str = "203.0.113.53";
pub const WEB: &str = "203.0.113.5";
pub const WEB_V6: &str = "2001:db8:2::5";
pub const SHOP: &str = "203.0.113.6";
/// The server that can be made to vanish.
pub const VANISHING: &str = "203.0.113.66";
/// There is no way to it, and the host knows that.
pub const UNREACHABLE: &str = "203.0.113.200";
/// Nobody is there, and nobody says so.
pub const SILENT: &str = "203.0.113.99";

/// The servers' program.
const SERVERS: [(&str, &str); 2] =
    [("outside.py", include_str!("network/outside.py")), ("names.py", include_str!("network/names.py"))];

const PUBLIC: [&str; 6] = [WEB, SHOP, NAMES, VANISHING, WEB_V6, "2001:db8:2::6"];

/// What a guest must not reach, though servers are there.
pub const CLOSED: [&str; 19] = [
    "10.9.8.7",
    "192.168.77.7",
    "172.16.5.5",
    "100.64.7.7",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.7.7",
    "192.0.0.192",
    "198.18.7.7",
    "240.0.0.7",
    "fd00:ec2::254",
    "fd12:3456::7",
    "fec0::7",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::a09:807",
    "2002:7f00:1::1",
    "2002:a09:807::1",
];

/// See the module.
pub struct Outside {
    pub host: Place,
    pub outside: Place,
    folder: tempfile::TempDir,
    /// The last port that a packet of our own was for.
    marks: Cell<u16>,
}

/// Nobody listens on ports from here on.
const FIRST_MARK: u16 = 4242;

/// Nobody listens there either, and nothing for it must arrive, wherever it is for.
pub const UNHEARD_PORT: u16 = 82;

impl Outside {
    /// None, and the reason printed, where it cannot be made.
    pub fn new() -> Option<Self> {
        if !is_root() {
            skipped("only root can make network namespaces for a guest to talk to");
            return None;
        }
        if !Path::new("/proc/sys/net/ipv6").exists() {
            skipped("this kernel has no IPv6");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("pyro-outside-").tempdir().unwrap();
        for (name, text) in SERVERS {
            fs::write(folder.path().join(name), text).unwrap();
        }
        fs::write(folder.path().join("resolv.conf"), format!("nameserver {NAMES}\n")).unwrap();
        make_certificate(folder.path());
        let (host, outside) = (Place::begin("host", folder.path()), Place::begin("outside", folder.path()));
        let world = Self { host, outside, folder, marks: Cell::new(FIRST_MARK) };
        world.connect();
        world.host.serve(&[&["127.0.0.1", "::1"], &OWN[..]].concat());
        world.outside.serve(&[&PUBLIC, &CLOSED[..]].concat());
        Some(world)
    }

    /// Lays the cable, gives addresses and routes, and makes the outside's name server the host's.
    fn connect(&self) {
        let cable = format!("link add cable type veth peer name cable netns {}\n", self.outside.pid());
        let addresses = [
            "address add 198.51.100.2/24 dev cable\naddress add 2001:db8:1::2/64 dev cable nodad\n",
            "address add 10.200.0.1/32 dev lo\n",
        ];
        let up = "link set lo up\nlink set cable up\n";
        self.host.ip(&[&[cable.as_str()], &addresses[..], &[up]].concat().concat());
        let mut lines =
            "address add 198.51.100.1/24 dev cable\naddress add 2001:db8:1::1/64 dev cable nodad\n"
                .to_owned();
        for address in PUBLIC.iter().chain(&CLOSED) {
            lines += &format!(
                "address add {address}{} dev lo\n",
                if address.contains(':') { "/128 nodad" } else { "/32" }
            );
        }
        // An own address of the host that is reached by its route alone.
        lines += "route add 10.200.0.1/32 via 198.51.100.2\n";
        self.outside.ip(&format!("link set lo up\nlink set cable up\n{lines}"));
        self.host.ip(&format!(
            "route add default via 198.51.100.1\nroute add ::/0 via 2001:db8:1::1\nroute add unreachable {UNREACHABLE}\n"
        ));
        let servers = self.folder.path().join("resolv.conf");
        self.host.done("mount", &["--bind", servers.to_str().unwrap(), "/etc/resolv.conf"]);
        // Whether ordinary users may ping is a setting of the network namespace, and no is its default.
        self.host.set("ping_group_range", "0 2147483647");
        // What a server that has vanished does not acknowledge is repeated for seconds, not for a quarter of an hour.
        self.host.set("tcp_retries2", "3");
    }

    /// What a guest has to trust in order to trust the servers.
    pub fn certificate(&self) -> String {
        fs::read_to_string(self.folder.path().join("certificate")).unwrap()
    }

    /// What the outside's servers have noted of one kind.
    pub fn events(&self, service: &str) -> Vec<Value> {
        let events = self.outside.ask(&json!(["events"]));
        events.as_array().unwrap().iter().filter(|event| event["service"] == service).cloned().collect()
    }

    /// How many bytes the outside's servers have got rid of for a path.
    pub fn sent(&self, path: &str) -> u64 {
        self.outside.ask(&json!(["sent", path])).as_u64().unwrap()
    }

    /// From now on it is noted what arrives at the outside, and at the host's loopback.
    pub fn watch(&self) {
        self.outside.ask(&json!(["watch", "cable"]));
        self.host.ask(&json!(["watch", "lo"]));
    }

    /// What has arrived since then that must not: at the outside for whoever is not public, or for the port that is not heard,
    /// and anything at the loopback.
    pub fn intruders(&self) -> Vec<String> {
        // The host's kernel looks for its neighbours, and tells them about itself (RFC 4861, RFC 3810).
        let is_of_kernel =
            |protocol: u8, kind: u16| protocol == 58 && [133, 134, 135, 136, 143].contains(&kind);
        let may_arrive = |(to, protocol, _, port): &Packet| {
            let is_public = to.starts_with("203.0.113.") || to.starts_with("2001:db8:2:");
            (is_public && *port != Some(UNHEARD_PORT))
                || port.is_some_and(|kind| is_of_kernel(*protocol, kind))
        };
        let outside = self.arrived(&self.outside, WEB).into_iter().filter(|packet| !may_arrive(packet));
        let loopback = self.arrived(&self.host, "127.0.0.1").into_iter();
        let shown = |place: &str, (to, protocol, _, port): Packet| {
            format!("{place}: {to}, protocol {protocol}, port {port:?}")
        };
        let outside: Vec<_> = outside.map(|packet| shown("outside", packet)).collect();
        outside.into_iter().chain(loopback.map(|packet| shown("loopback", packet))).collect()
    }

    /// All that has arrived at a place until now: until a packet of our own has, to an address there.
    fn arrived(&self, place: &Place, address: &str) -> Vec<Packet> {
        let mark = self.marks.get() + 1;
        self.marks.set(mark);
        self.host.get(address, mark, "/");
        let arrived = || -> Vec<Packet> { serde_json::from_value(place.ask(&json!(["arrived"]))).unwrap() };
        let is_mark = |port: &Option<u16>| port.is_some_and(|port| (FIRST_MARK..=mark).contains(&port));
        wait_until("a packet of our own arrives", || arrived().iter().any(|packet| packet.3 == Some(mark)));
        arrived().into_iter().filter(|(_, _, from, to)| !is_mark(from) && !is_mark(to)).collect()
    }

    /// Ends it, and proves that nobody is left in the namespaces.
    pub fn assert_gone(self) {
        let inodes = [&self.host, &self.outside].map(|place| place.network);
        for place in [self.host, self.outside] {
            place.end();
        }
        assert_nobody_is_in(&inodes);
    }
}

/// For whom, of which protocol, from which port, for which port; or, of ICMP, which type.
type Packet = (String, u8, Option<u16>, Option<u16>);

/// Waits until no process is in one of these network namespaces.
pub fn assert_nobody_is_in(networks: &[u64]) {
    let is_in = |process: &Path| network_of(process).is_some_and(|network| networks.contains(&network));
    let has_inhabitant = || fs::read_dir("/proc").unwrap().flatten().any(|process| is_in(&process.path()));
    wait_until("nobody is in the namespaces", || !has_inhabitant());
}

/// The network namespace of a process.
fn network_of(process: &Path) -> Option<u64> {
    fs::metadata(process.join("ns/net")).ok().map(|namespace| namespace.ino())
}

/// One of the two namespaces, held by its servers.
pub struct Place {
    servers: Child,
    /// With their standard input they end.
    input: RefCell<Option<ChildStdin>>,
    output: RefCell<BufReader<ChildStdout>>,
    pub network: u64,
}

impl Place {
    fn begin(name: &str, folder: &Path) -> Self {
        let file = |name: &str| folder.join(name);
        let mut servers = Command::new("unshare")
            .args(["--net", "--mount", "--", "python3"])
            .args([file("outside.py"), name.into(), file("certificate"), file("key")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = RefCell::new(servers.stdin.take());
        let mut output = BufReader::new(servers.stdout.take().unwrap());
        let mut ready = String::new();
        output.read_line(&mut ready).unwrap();
        assert_eq!(ready.trim(), "\"ready\"", "the servers do not start");
        let network = network_of(&Path::new("/proc").join(servers.id().to_string())).unwrap();
        Self { servers, input, output: RefCell::new(output), network }
    }

    /// The process that holds the namespaces.
    pub fn pid(&self) -> u32 {
        self.servers.id()
    }

    /// Has the servers do something, and gives their answer.
    pub fn ask(&self, what: &Value) -> Value {
        writeln!(self.input.borrow_mut().as_mut().unwrap(), "{what}").unwrap();
        let mut answer = String::new();
        self.output.borrow_mut().read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{what}: {error}: {answer:?}"))
    }

    /// Begins to serve, for datagrams at these addresses.
    fn serve(&self, addresses: &[&str]) {
        self.ask(&json!(["serve", addresses]));
    }

    /// What comes of asking an HTTP server, from within.
    pub fn get(&self, address: &str, port: u16, path: &str) -> Value {
        self.ask(&json!(["get", address, port, path]))
    }

    /// A command in the namespaces.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args([&format!("--target={}", self.pid()), "--net", "--mount", "--", program]);
        command
    }

    fn done(&self, program: &str, words: &[&str]) {
        let status = self.command(program).args(words).status().unwrap();
        assert!(status.success(), "{program} {words:?}");
    }

    /// Changes a setting of IP (`ip(7)`, `tcp(7)`).
    fn set(&self, name: &str, value: &str) {
        self.done("sh", &["-c", &format!("echo {value} > /proc/sys/net/ipv4/{name}")]);
    }

    /// Changes the network, a line for each change (`ip(8)`, `-batch`).
    pub fn ip(&self, lines: &str) {
        let mut ip = self.command("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        ip.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        assert!(ip.wait().unwrap().success(), "{lines}");
    }

    fn end(mut self) {
        self.input.take();
        wait_until("the servers end", || self.servers.try_wait().unwrap().is_some());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.servers.kill(); // it may have ended
        let _ = self.servers.wait();
    }
}

fn make_certificate(folder: &Path) {
    let file = |name: &str| folder.join(name);
    let names = "DNS:web.example,DNS:*.web.example,DNS:other.example,DNS:*.shop.example,IP:203.0.113.5";
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=outside", "-addext", &format!("subjectAltName={names}"), "-keyout"])
        .arg(file("key"))
        .arg("-out")
        .arg(file("certificate"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Whether an address, as these files write it, is of the older kind.
pub fn is_v4(address: &str) -> bool {
    address.parse::<IpAddr>().unwrap().is_ipv4()
}
