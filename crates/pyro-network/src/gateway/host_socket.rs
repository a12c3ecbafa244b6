//! Sockets of the host.

use rustix::net::sockopt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

/// As long a server may take to accept a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// A server that is silent for so long is asked whether it is there,
const KEEP_IDLE: Duration = Duration::from_secs(60);
/// again and again,
const KEEP_INTERVAL: Duration = Duration::from_secs(15);
/// and is taken for gone when it has not answered as many times.
const KEEP_COUNT: u32 = 4;

/// Connects to exactly this address.
pub(super) async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    let stream = tokio::time::timeout(CONNECT_LIMIT, socket.connect(to)).await??;
    if stream.local_addr()? == to {
        // Nobody listens, and by chance the kernel gave the socket its own destination as source.
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    prepare(&stream)?;
    Ok(stream)
}

/// As the sockets of all connections are.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?; // whether small segments are held back is for the guest to decide
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEP_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEP_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEP_COUNT)?;
    Ok(())
}

/// Ends a connection so that the other side sees a reset.
pub(super) fn reset(stream: TcpStream) {
    let _ = sockopt::set_socket_linger(&stream, Some(Duration::ZERO)); // if not so, it sees an end
    drop(stream);
}

/// Waits until a datagram or an error has come. That of an error the kernel tells apart, and not as something to read.
pub(super) async fn heard(socket: &UdpSocket) -> io::Result<()> {
    socket.ready(Interest::READABLE | Interest::ERROR).await.map(drop)
}

/// The error that has come, if one has, such as that nobody receives there.
pub(super) fn error(socket: &UdpSocket) -> Option<io::Error> {
    let taken =
        socket.try_io(Interest::ERROR, || socket.take_error()?.ok_or(io::ErrorKind::WouldBlock.into()));
    taken.ok()
}
