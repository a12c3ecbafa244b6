//! Ports of the guest that ports of the host's 127.0.0.1 lead to.

use super::driver::Driver;
use super::engine::Engine;
use super::flow::{Flow, Origin, buffer_bytes};
use super::relay::relay;
use super::shared::{Connection, count};
use super::wire::Endpoint;
use super::{answer, host_socket};
use crate::plan;
use crate::status::ConnectionKind;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

/// As many ports at a time.
const MAX_PUBLISHED: usize = 64;

/// As long the guest may take to accept by IPv4,
const LIMIT_V4: Duration = Duration::from_secs(10);
/// and, where it has refused that, by IPv6, which it may not have.
const LIMIT_V6: Duration = Duration::from_secs(1);

/// How long to wait where no connection can be accepted, as without descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// A port of the guest that can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Of the host's 127.0.0.1.
    pub host_port: u16,
    /// Of the guest.
    pub guest_port: u16,
}

/// Why a port was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Somebody else listens there.
    #[error("port {0} of this host's 127.0.0.1 is in use: choose another, or 0 for any that is free")]
    InUse(u16),
    /// It is published already.
    #[error(
        "port {0} is published already: unpublish it first, or choose another, or 0 for any that is free"
    )]
    AlreadyPublished(u16),
    /// Ports below 1024 are not for everybody.
    #[error(
        "port {0} of this host may not be listened on by this user: choose one above 1023, or 0 for any that is free"
    )]
    NotPermitted(u16),
    /// The guest has no port 0.
    #[error("0 is not a port of the guest: give 1 to 65535")]
    NoGuestPort,
    /// Enough is enough.
    #[error("{MAX_PUBLISHED} ports are published, and no more can be: unpublish one first")]
    TooMany,
    /// The guest's network has ended.
    #[error("the guest's network has ended, so nothing of it can be published")]
    Ended,
    /// Something else.
    #[error("port {0} of this host's 127.0.0.1 cannot be listened on: {1}")]
    Failed(u16, String),
}

/// Listens on a port of the host, or any.
pub(super) fn publish(
    engine: &Rc<Engine>,
    host_port: u16,
    guest_port: u16,
) -> Result<Published, PublishError> {
    if guest_port == 0 {
        return Err(PublishError::NoGuestPort);
    }
    if engine.listeners.borrow().contains_key(&host_port) {
        return Err(PublishError::AlreadyPublished(host_port));
    }
    if engine.listeners.borrow().len() >= MAX_PUBLISHED {
        return Err(PublishError::TooMany);
    }
    let (listener, host_port) = listen(host_port).map_err(|error| failure(host_port, &error))?;
    engine.shared.publish(host_port, guest_port);
    let task = spawn_local(accept(engine.clone(), listener, host_port, guest_port));
    engine.listeners.borrow_mut().insert(host_port, task.abort_handle());
    Ok(Published { host_port, guest_port })
}

/// Ends that, and the connections that came by it. False if it was not published.
pub(super) fn unpublish(engine: &Engine, host_port: u16) -> bool {
    let Some(listener) = engine.listeners.borrow_mut().remove(&host_port) else { return false };
    listener.abort();
    engine.shared.unpublish(host_port);
    for flow in engine.flows.borrow().all() {
        let mut flow = flow.borrow_mut();
        if matches!(flow.origin, Origin::Published(port) if port == host_port) {
            flow.cancel();
        }
    }
    true
}

fn listen(host_port: u16) -> io::Result<(TcpListener, u16)> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, host_port))?;
    listener.set_nonblocking(true)?;
    let host_port = listener.local_addr()?.port();
    Ok((TcpListener::from_std(listener)?, host_port))
}

fn failure(host_port: u16, error: &io::Error) -> PublishError {
    match error.kind() {
        ErrorKind::AddrInUse => PublishError::InUse(host_port),
        ErrorKind::PermissionDenied => PublishError::NotPermitted(host_port),
        _ => PublishError::Failed(host_port, error.to_string()),
    }
}

async fn accept(engine: Rc<Engine>, listener: TcpListener, host_port: u16, guest_port: u16) {
    loop {
        match listener.accept().await {
            Ok((host, client)) => {
                spawn_local(serve(engine.clone(), host, client, Published { host_port, guest_port }));
            }
            Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
        }
    }
}

async fn serve(engine: Rc<Engine>, host: TcpStream, client: SocketAddr, published: Published) {
    if host_socket::prepare(&host).is_ok() {
        let ways = [(IpAddr::V4(plan::GUEST_V4), LIMIT_V4), (IpAddr::V6(plan::GUEST_V6), LIMIT_V6)];
        for (guest, limit) in ways {
            let Some(mut driver) = connect(&engine, guest, client, published) else { break };
            driver.give_up_after(Some(limit));
            if driver.connected().await {
                count(&engine.shared.tally.tcp_opened);
                return relay(driver, host, None).await;
            }
            if driver.flow().cancelled {
                break;
            }
        }
    }
    count(&engine.shared.tally.tcp_refused);
    host_socket::reset(host);
}

/// A connection to the guest, on its way. None if there are too many.
fn connect(engine: &Rc<Engine>, guest: IpAddr, client: SocketAddr, published: Published) -> Option<Driver> {
    let mut flows = engine.flows.borrow_mut();
    if !flows.has_room() {
        return None;
    }
    let key = flows.ephemeral(published.guest_port, answer::gateway_for(guest))?;
    let size = buffer_bytes(flows.len());
    let to = SocketAddr::new(guest, published.guest_port);
    let endpoint = Endpoint::connecting(&mut engine.wire.borrow_mut(), key.peer, to, size).ok()?;
    let connection =
        Connection::new(ConnectionKind::Published, client, None).published_as(published.host_port);
    let mut flow = Flow::new(engine.shared.list(connection), Origin::Published(published.host_port));
    flow.endpoint = Some(endpoint);
    let flow = flows.add(key, flow);
    Some(Driver::new(engine.clone(), key, flow))
}
