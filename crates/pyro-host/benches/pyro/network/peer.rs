//! The other end of the guest's connections, on the host's loopback: gives bytes to whoever sends `d`, and takes what
//! follows a `u`.

use crate::Result;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::thread;

/// Listens as long as the process lives.
pub struct Peer {
    port: u16,
}

impl Peer {
    /// Begins to listen.
    pub fn start(n_bytes: usize) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                thread::spawn(move || serve(connection, n_bytes));
            }
        });
        Ok(Self { port })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// A guest that goes away is for the guest's program to tell.
fn serve(mut connection: TcpStream, n_bytes: usize) -> std::io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    let mut what = [0];
    if connection.read(&mut what)? == 0 {
        return Ok(());
    }
    if what == *b"d" {
        for _ in 0..n_bytes / buffer.len() {
            connection.write_all(&buffer)?;
        }
        return connection.shutdown(Shutdown::Write);
    }
    while connection.read(&mut buffer)? > 0 {}
    connection.write_all(b"!")
}
