//! Ports of the guest that ports of the host lead to.

use super::guest::{Guest, pattern, start_with};
use pyro_network::gateway::{Gateway, PublishError};
use pyro_network::policy::Policy;
use pyro_network::status::ConnectionKind;
use smoltcp::iface::SocketHandle;
use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn guest() -> (Guest, Gateway) {
    start_with(Policy::parse(&["nothing.example"]).unwrap()) // what is published does not depend on the policy
}

fn listen(guest: &mut Guest, port: u16) -> SocketHandle {
    let handle = guest.socket(64 * 1024);
    guest.tcp(handle).listen(port).unwrap();
    handle
}

#[test]
fn a_client_of_the_host_talks_to_the_guest() {
    let (mut guest, gateway) = guest();
    let published = block_on(gateway.publish(0, 8080)).unwrap();
    assert_ne!(published.host_port, 0);
    assert_eq!(published.guest_port, 8080);
    let connection = listen(&mut guest, 8080);
    let client = thread::spawn(move || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, published.host_port)).unwrap();
        stream.write_all(&pattern(3_000_000)).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    });
    guest.until("connected", |guest| guest.tcp(connection).may_send());
    let status = gateway.status();
    assert_eq!((status.published[0].host_port, status.published[0].connections), (published.host_port, 1));
    assert_eq!(status.connections[0].kind, ConnectionKind::Published);
    assert!(guest.hear_all(connection) == pattern(3_000_000));
    guest.say(connection, b"heard");
    guest.tcp(connection).close();
    guest.until("the connection is forgotten", |_| gateway.status().connection_count == 0);
    assert_eq!(client.join().unwrap(), b"heard");
}

#[test]
fn where_the_guest_refuses_the_client_is_reset() {
    let (mut guest, gateway) = guest();
    let published = block_on(gateway.publish(0, 8080)).unwrap();
    let client = thread::spawn(move || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, published.host_port)).unwrap();
        stream.read(&mut [0]).unwrap_err().kind()
    });
    while !client.is_finished() {
        guest.turn();
    }
    assert_eq!(client.join().unwrap(), ErrorKind::ConnectionReset);
    assert_eq!(gateway.status().counters.tcp_refused, 1);
}

#[test]
fn a_port_can_be_published_once_and_not_where_somebody_listens() {
    let (_guest, gateway) = guest();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = block_on(gateway.publish(port, 80)).unwrap_err();
    assert_eq!(error, PublishError::InUse(port));
    assert!(error.to_string().contains(&port.to_string()));
    drop(taken);
    block_on(gateway.publish(port, 80)).unwrap();
    assert_eq!(block_on(gateway.publish(port, 81)).unwrap_err(), PublishError::AlreadyPublished(port));
    assert_eq!(block_on(gateway.publish(0, 0)).unwrap_err(), PublishError::NoGuestPort);
    assert!(block_on(gateway.unpublish(port)));
    assert!(!block_on(gateway.unpublish(port)));
    assert!(gateway.status().published.is_empty());
    for _ in 0..64 {
        block_on(gateway.publish(0, 80)).unwrap();
    }
    assert_eq!(block_on(gateway.publish(0, 80)).unwrap_err(), PublishError::TooMany);
}

#[test]
fn unpublishing_resets_the_connections_that_came_by_it() {
    let (mut guest, gateway) = guest();
    let published = block_on(gateway.publish(0, 8080)).unwrap();
    let connection = listen(&mut guest, 8080);
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, published.host_port)).unwrap();
    guest.until("connected", |guest| guest.tcp(connection).may_send());
    assert!(block_on(gateway.unpublish(published.host_port)));
    guest.until("reset", |guest| !guest.tcp(connection).is_active());
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, published.host_port)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn when_the_device_hangs_up_the_ports_are_free_and_callers_are_told() {
    let (guest, gateway) = guest();
    let published = block_on(gateway.publish(0, 8080)).unwrap();
    let limit = Duration::from_secs(10);
    let still_there =
        block_on(async { tokio::time::timeout(Duration::from_millis(50), gateway.ended()).await });
    assert!(still_there.is_err() && !gateway.is_ended(), "it ended too early");
    guest.hang_up();
    block_on(async { tokio::time::timeout(limit, gateway.ended()).await }).unwrap();
    assert!(gateway.is_ended());
    assert_eq!(gateway.status().connection_count, 0);
    TcpListener::bind((Ipv4Addr::LOCALHOST, published.host_port)).unwrap();
    assert_eq!(block_on(gateway.publish(0, 8080)).unwrap_err(), PublishError::Ended);
    assert!(!block_on(gateway.unpublish(published.host_port)));
}
