//! The name servers of the host, as its `/etc/resolv.conf` names them (`resolv.conf(5)`).
//!
//! Only `nameserver` lines are honoured. `/etc/hosts` and the other sources of `nsswitch.conf(5)` are not asked: they
//! name what is on the host and on its own network, which is nothing for a guest to know.

use rustix::net::netdevice::name_to_index;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// Most servers that are asked, as in the C library.
const MAX_SERVERS: usize = 3;

/// Most of the file that is read, in bytes.
const MAX_FILE: u64 = 64 * 1024;

const DNS_PORT: u16 = 53;

/// The file, and what it said when it was last changed.
#[derive(Debug)]
pub(super) struct Servers {
    path: PathBuf,
    known: Mutex<Option<(Version, Vec<SocketAddr>)>>,
}

/// Another one is another file, or other contents.
type Version = (Option<SystemTime>, u64);

impl Servers {
    /// Those of a file.
    pub(super) fn of(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), known: Mutex::default() }
    }

    /// The servers, in order. The one on this host where the file names none, as the C library has it.
    pub(super) fn list(&self) -> Vec<SocketAddr> {
        let version = fs::metadata(&self.path).ok().map(|found| (found.modified().ok(), found.len()));
        let version = version.unwrap_or_default();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some((of, servers)) if *of == version => servers.clone(),
            _ => {
                let text =
                    if version.1 <= MAX_FILE { fs::read(&self.path).unwrap_or_default() } else { Vec::new() };
                let servers = parse(&String::from_utf8_lossy(&text));
                *known = Some((version, servers.clone()));
                servers
            }
        }
    }
}

fn parse(text: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()).flatten().and_then(address)
    };
    let mut servers: Vec<SocketAddr> = text.lines().filter_map(server).take(MAX_SERVERS).collect();
    if servers.is_empty() {
        servers.push((Ipv4Addr::LOCALHOST, DNS_PORT).into());
    }
    servers
}

/// An address, with the interface that a link-local one is behind (`fe80::1%eth0`).
fn address(word: &str) -> Option<SocketAddr> {
    let Some((address, interface)) = word.split_once('%') else {
        return Some(SocketAddr::new(word.parse::<IpAddr>().ok()?, DNS_PORT));
    };
    let index = interface.parse().ok().or_else(|| {
        let any = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).ok()?;
        name_to_index(&any, interface).ok()
    })?;
    Some(SocketAddrV6::new(address.parse().ok()?, DNS_PORT, 0, index).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        parse(text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nameserver_lines_are_read_and_nothing_else() {
        let text = "# nameserver 192.0.2.9\nsearch a.org\n nameserver\t127.0.0.53 # local\nnameserver 2001:db8::1\n\
                    nameservers 192.0.2.1\nnameserver what\nnameserver fe80::1%7\noptions ndots:2\n\
                    nameserver 192.0.2.2\n";
        assert_eq!(shown(text), ["127.0.0.53:53", "[2001:db8::1]:53", "[fe80::1%7]:53"]);
        assert_eq!(shown("nameserver fe80::1%lo"), ["[fe80::1%1]:53"]);
    }

    #[test]
    fn without_any_it_is_this_host() {
        assert_eq!(shown(""), ["127.0.0.1:53"]);
        assert_eq!(Servers::of("/nowhere/resolv.conf").list().len(), 1);
    }

    #[test]
    fn a_changed_file_is_read_again() {
        let path = std::env::temp_dir().join(format!("pyro-network-servers-{}", std::process::id()));
        fs::write(&path, "nameserver 192.0.2.1\n").unwrap();
        let servers = Servers::of(&path);
        assert_eq!(servers.list()[0].to_string(), "192.0.2.1:53");
        fs::write(&path, "nameserver 192.0.2.1\nnameserver 192.0.2.2\n").unwrap();
        assert_eq!(servers.list().len(), 2);
        fs::remove_file(&path).unwrap();
        assert_eq!(servers.list()[0].to_string(), "127.0.0.1:53");
    }
}
