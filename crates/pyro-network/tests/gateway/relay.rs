//! TCP from a guest to a port of the host that a rule names, through the gateway.

use super::guest::{Guest, LIMIT, host, pattern, start};
use pyro_network::gateway::Gateway;
use pyro_network::plan::GATEWAY_V6;
use pyro_network::policy::Policy;
use pyro_network::status::{ConnectionKind, ConnectionState};
use smoltcp::socket::tcp::State;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A server of the host that serves one connection.
fn serve<T: Send + 'static>(serve: impl FnOnce(TcpStream) -> T + Send + 'static) -> (u16, JoinHandle<T>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        serve(stream)
    });
    (port, server)
}

fn guest_for(port: u16) -> (Guest, Gateway) {
    start(&[&format!("host.pyro.internal:{port}")])
}

fn read_all(mut stream: &TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    all
}

#[test]
fn uploads_arrive_as_they_were_sent() {
    let (port, server) = serve(|stream| read_all(&stream));
    let (mut guest, gateway) = guest_for(port);
    let sent = pattern(20_000_000);
    let connection = guest.connected(host(port));
    guest.say(connection, &sent);
    guest.tcp(connection).close();
    guest.until("the end", |guest| !guest.tcp(connection).is_active());
    assert!(server.join().unwrap() == sent);
    guest.until("the connection is forgotten", |_| gateway.status().connection_count == 0);
    assert_eq!(gateway.status().counters.tcp_opened, 1);
}

#[test]
fn downloads_arrive_as_they_were_sent() {
    let (port, server) = serve(|mut stream| stream.write_all(&pattern(20_000_000)).unwrap());
    let (mut guest, gateway) = guest_for(port);
    let connection = guest.connected(host(port));
    assert!(guest.hear_all(connection) == pattern(20_000_000));
    server.join().unwrap();
    guest.tcp(connection).close();
    guest.until("the connection is forgotten", |_| gateway.status().connection_count == 0);
}

#[test]
fn both_directions_at_once_and_ipv6() {
    let (port, server) = serve(|stream| {
        let mut writer = stream.try_clone().unwrap();
        let writing = thread::spawn(move || {
            writer.write_all(&pattern(5_000_000)).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let heard = read_all(&stream);
        writing.join().unwrap();
        heard
    });
    let (mut guest, _gateway) = guest_for(port);
    let connection = guest.connected((GATEWAY_V6, port).into());
    let (sent, mut said, mut heard) = (pattern(5_000_000), 0, Vec::new());
    guest.until("both are done", |guest| {
        let socket = guest.tcp(connection);
        let _ = socket.recv(|bytes| (bytes.len(), heard.extend_from_slice(bytes)));
        if said < sent.len() {
            said += socket.send_slice(&sent[said..]).unwrap();
        } else {
            socket.close();
        }
        !socket.is_active()
    });
    assert!(heard == sent);
    assert!(server.join().unwrap() == sent);
}

#[test]
fn the_guest_may_say_its_last_and_still_hear() {
    let (port, server) = serve(|mut stream| {
        let question = read_all(&stream);
        thread::sleep(Duration::from_millis(50));
        stream.write_all(b"answer to ").unwrap();
        stream.write_all(&question).unwrap();
    });
    let (mut guest, _gateway) = guest_for(port);
    let connection = guest.connected(host(port));
    guest.say(connection, b"a question");
    guest.tcp(connection).close();
    assert_eq!(guest.hear_all(connection), b"answer to a question");
    server.join().unwrap();
}

#[test]
fn the_server_may_say_its_last_and_still_hear() {
    let (port, server) = serve(|mut stream| {
        stream.write_all(b"hello").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        read_all(&stream)
    });
    let (mut guest, gateway) = guest_for(port);
    let connection = guest.connected(host(port));
    assert_eq!(guest.hear_all(connection), b"hello");
    let sent = pattern(3_000_000);
    guest.say(connection, &sent);
    assert_eq!(gateway.status().connections[0].state, ConnectionState::Closing);
    guest.tcp(connection).close();
    guest.until("the end", |guest| matches!(guest.tcp(connection).state(), State::Closed));
    assert!(server.join().unwrap() == sent);
}

#[test]
fn a_slow_guest_makes_the_server_wait() {
    let (port, server) = serve(|mut stream| {
        stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut written = 0;
        let chunk = pattern(1_000_000);
        for _ in 0..64 {
            match stream.write(&chunk) {
                Ok(length) => written += length,
                Err(_) => break,
            }
        }
        written
    });
    let (mut guest, _gateway) = guest_for(port);
    let connection = guest.connect_with(host(port), 64 * 1024);
    guest.wait(Duration::from_millis(1500)); // hears nothing meanwhile
    let written = server.join().unwrap();
    assert!(written < 30_000_000, "{written} bytes went somewhere");
    assert_eq!(guest.hear_all(connection).len(), written);
}

#[test]
fn a_slow_server_makes_the_guest_wait() {
    let (port, server) = serve(|stream| {
        thread::sleep(Duration::from_millis(1000));
        read_all(&stream).len()
    });
    let (mut guest, gateway) = guest_for(port);
    let connection = guest.connected(host(port));
    let (chunk, mut said) = (pattern(1_000_000), 0);
    let until = std::time::Instant::now() + Duration::from_millis(800);
    while std::time::Instant::now() < until {
        said += guest.tcp(connection).send_slice(&chunk).unwrap();
        guest.turn();
    }
    assert!(said < 20_000_000, "{said} bytes went somewhere");
    assert!(gateway.status().connections[0].sent_bytes > 0);
    guest.tcp(connection).close();
    guest.until("the end", |guest| !guest.tcp(connection).is_active());
    assert_eq!(server.join().unwrap(), said);
}

#[test]
fn a_port_where_nobody_listens_is_refused_at_once() {
    let unused = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let (mut guest, gateway) = guest_for(unused);
    guest.ping_gateway(1, false);
    let connection = guest.connect(host(unused));
    let time = guest.until("refused", |guest| guest.tcp(connection).state() == State::Closed);
    assert!(time < Duration::from_millis(50), "{time:?}");
    let status = gateway.status();
    assert_eq!((status.counters.tcp_refused, status.counters.tcp_opened), (1, 0));
    assert_eq!(status.connection_count, 0);
    assert_eq!(status.counters.denials, 0);
}

#[test]
fn a_reset_by_the_server_is_a_reset_for_the_guest() {
    let (port, server) = serve(|mut stream| {
        stream.read_exact(&mut [0; 5]).unwrap();
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    });
    let (mut guest, gateway) = guest_for(port);
    let connection = guest.connected(host(port));
    guest.say(connection, b"hello");
    guest.until("reset", |guest| guest.tcp(connection).state() == State::Closed);
    server.join().unwrap();
    guest.until("the connection is forgotten", |_| gateway.status().connection_count == 0);
}

#[test]
fn a_reset_by_the_guest_is_a_reset_for_the_server() {
    let (port, server) = serve(|mut stream| {
        stream.read_exact(&mut [0; 5]).unwrap();
        stream.read(&mut [0; 5]).unwrap_err().kind()
    });
    let (mut guest, gateway) = guest_for(port);
    let connection = guest.connected(host(port));
    guest.say(connection, b"hello");
    guest.until("it is heard", |guest| guest.tcp(connection).send_queue() == 0);
    guest.tcp(connection).abort();
    guest.until("the connection is forgotten", |_| gateway.status().connection_count == 0);
    assert_eq!(server.join().unwrap(), ErrorKind::ConnectionReset);
}

#[test]
fn five_hundred_connections_at_once_each_get_their_own_answer() {
    const CONNECTIONS: usize = 500;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let streams = (0..CONNECTIONS).map(|_| listener.accept().unwrap().0).collect::<Vec<_>>();
        for mut stream in streams {
            let mut question = [0; 4];
            stream.read_exact(&mut question).unwrap();
            stream.write_all(&question).unwrap();
            stream.write_all(&pattern(20_000)).unwrap();
        }
    });
    let (mut guest, gateway) = guest_for(port);
    let connections = (0..CONNECTIONS).map(|_| guest.connect_with(host(port), 4096)).collect::<Vec<_>>();
    guest.until("all are connected", |guest| {
        connections.iter().all(|connection| guest.tcp(*connection).may_send())
    });
    let status = gateway.status();
    assert_eq!(status.connection_count, CONNECTIONS);
    assert_eq!(status.connections.len(), 100);
    assert!(status.connections.iter().all(|connection| connection.kind == ConnectionKind::Tcp));
    for (number, connection) in connections.iter().enumerate() {
        guest.say(*connection, &(number as u32).to_be_bytes());
    }
    let mut heard = vec![Vec::new(); CONNECTIONS];
    guest.until("all is heard", |guest| {
        let mut open = 0;
        for (connection, heard) in connections.iter().zip(&mut heard) {
            let socket = guest.tcp(*connection);
            open += usize::from(socket.recv(|bytes| (bytes.len(), heard.extend_from_slice(bytes))).is_ok());
        }
        open == 0
    });
    server.join().unwrap();
    for (number, heard) in heard.iter().enumerate() {
        assert_eq!(heard[..4], (number as u32).to_be_bytes());
        assert!(heard[4..] == pattern(20_000));
    }
    for connection in &connections {
        guest.tcp(*connection).close();
    }
    guest.until("all are forgotten", |_| gateway.status().connection_count == 0);
}

#[test]
fn another_policy_resets_what_it_does_not_allow_and_nothing_else() {
    let (kept_port, kept_server) = serve(|stream| read_all(&stream));
    let (port, server) = serve(|mut stream| stream.read(&mut [0; 5]).unwrap_err().kind());
    let rules = [format!("host.pyro.internal:{kept_port}"), format!("host.pyro.internal:{port}")];
    let (mut guest, gateway) = start(&[&rules[0], &rules[1]]);
    let kept = guest.connected(host(kept_port));
    let connection = guest.connected(host(port));
    gateway.set_policy(Policy::parse(&rules[..1]).unwrap());
    let time = guest.until("reset", |guest| guest.tcp(connection).state() == State::Closed);
    assert!(time < Duration::from_millis(50), "{time:?}");
    assert_eq!(server.join().unwrap(), ErrorKind::ConnectionReset);
    let denials = gateway.guard().denials().since(0);
    assert_eq!((denials.len(), denials[0].port), (1, Some(port)), "it is told why");
    guest.say(kept, b"still here");
    guest.tcp(kept).close();
    guest.until("the end", |guest| !guest.tcp(kept).is_active());
    assert_eq!(kept_server.join().unwrap(), b"still here");
    let again = guest.connect(host(port));
    guest.until("refused", |guest| guest.tcp(again).state() == State::Closed);
    // The same as before, which is counted once if it is no longer ago than a second.
    assert!(matches!(gateway.status().counters.denials, 1 | 2));
}

#[test]
fn dropping_the_gateway_ends_every_connection() {
    let (port, server) = serve(|mut stream| stream.read(&mut [0; 5]));
    let (mut guest, gateway) = guest_for(port);
    guest.connected(host(port));
    drop(gateway);
    assert!(server.join().unwrap().is_ok_and(|length| length == 0));
    guest.until("the device's end", Guest::is_cut_off);
}
