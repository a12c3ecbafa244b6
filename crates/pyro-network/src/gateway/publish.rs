//! Ports of the guest that ports of the host's 127.0.0.1 lead to.

use super::driver::Driver;
use super::engine::Engine;
use super::flow::{Flow, MAX_FLOWS, Origin, buffer_bytes};
use super::relay::relay;
use super::shared::{Connection, count};
use super::wire::Endpoint;
use super::{answer, host_socket};
use crate::denial::DenialKind;
use crate::plan;
use crate::status::ConnectionKind;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, spawn_local};

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

/// One that is listened on.
pub(super) struct Listening {
    task: AbortHandle,
    /// Never used again, as the port may be.
    number: u64,
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
    let published = Published { host_port, guest_port };
    let number = engine.next_listener.get();
    engine.next_listener.set(number + 1);
    let task = spawn_local(accept(engine.clone(), listener, published, number)).abort_handle();
    engine.listeners.borrow_mut().insert(host_port, Listening { task, number });
    Ok(published)
}

/// Ends that, and the connections that came by it. False if it was not published.
pub(super) fn unpublish(engine: &Engine, host_port: u16) -> bool {
    let Some(listener) = engine.listeners.borrow_mut().remove(&host_port) else { return false };
    listener.task.abort();
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

async fn accept(engine: Rc<Engine>, listener: TcpListener, published: Published, number: u64) {
    loop {
        match listener.accept().await {
            Ok((host, client)) => {
                spawn_local(serve(engine.clone(), host, client, published, number));
            }
            Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
        }
    }
}

/// `number` is that of the listener by which the client came. One that came just before the end of it is not served:
/// what ends the connections of a port cannot know of it.
async fn serve(engine: Rc<Engine>, host: TcpStream, client: SocketAddr, published: Published, number: u64) {
    let is_listening = engine
        .listeners
        .borrow()
        .get(&published.host_port)
        .is_some_and(|listening| listening.number == number);
    let descriptor = if is_listening {
        engine.descriptor(DenialKind::Tcp, Ipv4Addr::LOCALHOST.into(), Some(published.host_port))
    } else {
        None
    };
    if descriptor.is_some() && host_socket::prepare(&host).is_ok() {
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
    if !engine.flows.borrow().has_room() {
        let at = (Ipv4Addr::LOCALHOST, published.host_port).into();
        engine.over_limit(DenialKind::Tcp, at, MAX_FLOWS, "connections");
        return None;
    }
    let mut flows = engine.flows.borrow_mut();
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

#[cfg(test)]
mod tests {
    use super::super::descriptors::Descriptors;
    use super::super::shared::Shared;
    use super::*;
    use crate::guard::Guard;
    use crate::policy::Policy;

    #[tokio::test]
    async fn a_client_of_a_listener_that_has_ended_is_not_served() {
        let engine = Engine::new(Shared::new(Guard::new(Policy::open())), 0, Descriptors::reserve());
        let tasks = tokio::task::LocalSet::new();
        tasks
            .run_until(async {
                let first = publish(&engine, 0, 80).unwrap();
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
                let (host, from) = listener.accept().await.unwrap();
                assert!(unpublish(&engine, first.host_port));
                // Until the first one is closed. The port may be the same, the listener is another.
                for _ in 0..8 {
                    tokio::task::yield_now().await;
                }
                publish(&engine, first.host_port, 80).unwrap();
                serve(engine.clone(), host, from, first, 0).await;
                client.readable().await.unwrap();
                let error = client.try_read(&mut [0]).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            })
            .await;
        assert_eq!(engine.flows.borrow().len(), 0);
    }
}
