//! The gateway's port 53: queries go to the guard, which answers them.

use super::answer::datagram;
use super::driver::{Driver, HANDSHAKE_LIMIT};
use super::engine::Engine;
use super::flow::Origin;
use super::link::{Datagram, Segment};
use super::shared::count;
use super::tcp;
use crate::denial::DenialKind;
use crate::guard::Transport;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::spawn_local;
use tokio::time::timeout;

/// As many datagrams are answered at a time. More are dropped: a resolver asks again.
pub(super) const MAX_QUERIES: usize = 64;

/// As many connections at a time.
pub(super) const MAX_CONNECTIONS: usize = 32;

/// A connection on which nothing is asked for so long is closed
/// ([RFC 7766, 6.2.3](https://www.rfc-editor.org/rfc/rfc7766#section-6.2.3)).
const IDLE_LIMIT: Duration = Duration::from_secs(10);

/// How long an answer may take to be taken.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The longest query, as many times longer than any real one.
const MAX_QUERY: usize = 4096;

/// Of each of the two buffers of a connection.
const BUFFER_BYTES: usize = 8 * 1024;

/// Answers a datagram.
pub(super) fn ask(engine: &Rc<Engine>, query: &Datagram<'_>) {
    let Some(place) = engine.dns_queries.take() else { return engine.dropped() };
    if query.payload.len() > MAX_QUERY {
        return engine.dropped();
    }
    // The guard may have to ask somebody.
    let Some(descriptor) = engine.descriptor(DenialKind::Dns, query.to.ip(), Some(query.to.port())) else {
        return engine.dropped();
    };
    count(&engine.shared.tally.dns_queries);
    let (engine, message) = (engine.clone(), query.payload.to_vec());
    let (server, port) = (query.to, query.port);
    spawn_local(async move {
        if let Some(answer) = engine.guard().answer_dns(&message, Transport::Udp).await {
            datagram(&mut engine.wire.borrow_mut().outbox, server, port, &answer);
        }
        drop((descriptor, place));
    });
}

/// Takes a request for a connection.
pub(super) fn open(engine: &Rc<Engine>, segment: &Segment<'_>) {
    let Some(place) = engine.dns_connections.take() else {
        engine.over_limit(DenialKind::Dns, segment.to, MAX_CONNECTIONS, "connections for DNS");
        return tcp::refuse(engine, segment.packet);
    };
    let server = segment.to;
    let mut driver = tcp::add(engine, segment, Origin::Service);
    if !tcp::accept(&driver, segment.to, segment.packet, BUFFER_BYTES) {
        return;
    }
    spawn_local(async move {
        driver.give_up_after(Some(HANDSHAKE_LIMIT));
        if driver.connected().await {
            driver.give_up_after(None);
            driver.flow().listed.set_state(crate::status::ConnectionState::Open);
            serve(&mut driver, server).await;
            driver.give_up_after(Some(ANSWER_LIMIT));
            driver.close().await;
        }
        drop(place);
    });
}

/// Answers queries, each with its length before it ([RFC 1035,
/// 4.2.2](https://www.rfc-editor.org/rfc/rfc1035#section-4.2.2)), one after the other.
async fn serve(driver: &mut Driver, server: SocketAddr) {
    while let Ok(Some(query)) = timeout(IDLE_LIMIT, message(driver)).await {
        let engine = driver.engine.clone();
        let Some(descriptor) = engine.descriptor(DenialKind::Dns, server.ip(), Some(server.port())) else {
            return;
        };
        count(&engine.shared.tally.dns_queries);
        let Some(answer) = engine.guard().answer_dns(&query, Transport::Tcp).await else { return };
        drop(descriptor);
        let Ok(length) = u16::try_from(answer.len()) else { return };
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend_from_slice(&answer);
        if !timeout(ANSWER_LIMIT, driver.write(&bytes)).await.unwrap_or(false) {
            return;
        }
        driver.flow().listed.received(bytes.len());
    }
}

async fn message(driver: &mut Driver) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    fill(driver, &mut length).await?;
    let length = usize::from(u16::from_be_bytes(length));
    if length > MAX_QUERY {
        return None;
    }
    let mut query = vec![0; length];
    fill(driver, &mut query).await?;
    driver.flow().listed.sent(2 + length);
    Some(query)
}

async fn fill(driver: &mut Driver, mut room: &mut [u8]) -> Option<()> {
    while !room.is_empty() {
        let read = driver.read(room).await;
        if read == 0 {
            return None;
        }
        room = &mut room[read..];
    }
    Some(())
}
