//! Addresses that are not public: never to be reached unless a rule names them.
//!
//! The list follows IANA's special-purpose address registries (RFC 6890 and its updates) and adds the addresses at
//! which clouds hand out credentials. The ranges for documentation are left out: nobody owns them, nothing is there,
//! and tests use them as the outside.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

/// A range that is not public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Special {
    /// What it is for, in words: `loopback`, `private`, `cloud metadata`.
    pub what: &'static str,
    /// The narrowest range that is listed and contains the address.
    pub range: IpNet,
}

/// What loopback addresses are for: there is no rule that opens them.
pub const LOOPBACK: &str = "loopback";
/// The addresses that mean "here", which Linux connects to the loopback.
pub const UNSPECIFIED: &str = "unspecified";
/// IPv6 addresses that are IPv4 addresses.
pub const MAPPED: &str = "IPv4-mapped";

const METADATA: &str = "cloud metadata";

/// Narrow ones may lie within wide ones: the narrowest counts.
const RANGES: &[(&str, &str)] = &[
    ("0.0.0.0/8", UNSPECIFIED),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "carrier-grade NAT"),
    ("100.100.100.200/32", METADATA),
    ("127.0.0.0/8", LOOPBACK),
    ("168.63.129.16/32", METADATA),
    ("169.254.0.0/16", "link-local"),
    ("169.254.42.42/32", METADATA),
    ("169.254.169.254/32", METADATA),
    ("169.254.170.2/32", METADATA),
    ("169.254.170.23/32", METADATA),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "reserved for protocols"),
    ("192.0.0.192/32", METADATA),
    ("192.88.99.0/24", "6to4 relay"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "benchmarking"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("255.255.255.255/32", "broadcast"),
    ("::/96", "IPv4-compatible"),
    ("::/128", UNSPECIFIED),
    ("::1/128", LOOPBACK),
    ("::ffff:0:0/96", MAPPED),
    ("::ffff:0:0:0/96", "IPv4-translated"),
    ("64:ff9b:1::/48", "local NAT64"),
    ("100::/64", "discard-only"),
    ("100:0:0:1::/64", "dummy prefix"),
    ("2001::/23", "reserved for protocols"),
    ("2001::/32", "Teredo"),
    ("5f00::/16", "segment routing"),
    ("fc00::/7", "private"),
    ("fd00:42::42/128", METADATA),
    ("fd00:ec2::23/128", METADATA),
    ("fd00:ec2::254/128", METADATA),
    ("fd20:ce::254/128", METADATA),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
];

/// The ranges of the list. One that did not parse would be missing: a test counts them.
static PARSED: LazyLock<Vec<Special>> = LazyLock::new(|| {
    let parse = |&(range, what): &(&str, &'static str)| Some(Special { what, range: range.parse().ok()? });
    RANGES.iter().filter_map(parse).collect()
});

/// What is special about an address. None: it is public.
pub fn special(address: IpAddr) -> Option<Special> {
    let narrowest = PARSED
        .iter()
        .filter(|special| special.range.contains(&address))
        .max_by_key(|special| special.range.prefix_len())
        .copied();
    narrowest.or_else(|| embedded(address))
}

/// What is special about a whole network, where all of it lies within one range that is not public.
pub fn special_network(network: IpNet) -> Option<Special> {
    special(network.network()).filter(|special| special.range.contains(&network))
}

/// An IPv6 address that a router turns into an IPv4 address is as special as that, and so is the range around it.
fn embedded(address: IpAddr) -> Option<Special> {
    let IpAddr::V6(outer) = address else { return None };
    let bits = outer.to_bits();
    // NAT64 (RFC 6052) has the address in the last 32 bits, 6to4 (RFC 3056) behind the first 16.
    let (inner, ahead) = if bits >> 32 == 0x0064_ff9b << 64 {
        (bits as u32, 96)
    } else if bits >> 112 == 0x2002 {
        ((bits >> 80) as u32, 16)
    } else {
        return None;
    };
    let inner = special(IpAddr::V4(Ipv4Addr::from_bits(inner)))?;
    let range = Ipv6Net::new(outer, ahead + inner.range.prefix_len()).ok()?.trunc();
    Some(Special { what: inner.what, range: range.into() })
}

/// A network of exactly one address.
pub fn only(address: IpAddr) -> IpNet {
    match address {
        IpAddr::V4(address) => IpNet::V4(Ipv4Net::from(address)),
        IpAddr::V6(address) => IpNet::V6(Ipv6Net::from(address)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(address: &str) -> Option<&'static str> {
        special(address.parse().unwrap()).map(|special| special.what)
    }

    #[test]
    fn every_range_parses() {
        assert_eq!(PARSED.len(), RANGES.len());
        for special in PARSED.iter() {
            assert_eq!(special.range, special.range.trunc());
        }
    }

    #[test]
    fn what_is_not_public_is_known() {
        let known = [
            ("127.0.0.1", LOOPBACK),
            ("127.255.0.9", LOOPBACK),
            ("0.0.0.0", UNSPECIFIED),
            ("0.1.2.3", UNSPECIFIED),
            ("10.1.2.3", "private"),
            ("172.31.255.255", "private"),
            ("192.168.0.1", "private"),
            ("100.64.0.1", "carrier-grade NAT"),
            ("100.96.0.1", "carrier-grade NAT"),
            ("100.100.100.200", METADATA),
            ("169.254.1.1", "link-local"),
            ("169.254.169.254", METADATA),
            ("168.63.129.16", METADATA),
            ("192.0.0.192", METADATA),
            ("192.0.0.8", "reserved for protocols"),
            ("198.19.0.1", "benchmarking"),
            ("224.0.0.251", "multicast"),
            ("250.0.0.1", "reserved"),
            ("255.255.255.255", "broadcast"),
            ("::", UNSPECIFIED),
            ("::1", LOOPBACK),
            ("::7f00:1", "IPv4-compatible"),
            ("::ffff:127.0.0.1", MAPPED),
            ("::ffff:203.0.113.5", MAPPED),
            ("::ffff:0:127.0.0.1", "IPv4-translated"),
            ("64:ff9b::127.0.0.1", LOOPBACK),
            ("64:ff9b::169.254.169.254", METADATA),
            ("64:ff9b:1::1", "local NAT64"),
            ("2002:7f00:1::", LOOPBACK),
            ("2002:a00:1::5", "private"),
            ("2001:0:1::", "Teredo"),
            ("100::1", "discard-only"),
            ("fd00::2", "private"),
            ("fd00:ec2::254", METADATA),
            ("fe80::1", "link-local"),
            ("fec0::1", "site-local"),
            ("ff02::1", "multicast"),
        ];
        for (address, is) in known {
            assert_eq!(what(address), Some(is), "{address}");
        }
    }

    #[test]
    fn what_is_public_is_not_special() {
        let public = [
            "8.8.8.8",
            "1.1.1.1",
            "192.0.2.1",
            "198.51.100.7",
            "203.0.113.5",
            "2001:db8::1",
            "2606:4700::1",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
            "172.32.0.1",
            "100.128.0.1",
            "11.0.0.0",
        ];
        for address in public {
            assert_eq!(what(address), None, "{address}");
        }
    }

    #[test]
    fn a_network_is_special_only_where_all_of_it_is() {
        let is = |network: &str| special_network(network.parse().unwrap()).map(|special| special.what);
        assert_eq!(is("10.1.0.0/16"), Some("private"));
        assert_eq!(is("10.0.0.0/8"), Some("private"));
        assert_eq!(is("10.0.0.0/7"), None);
        assert_eq!(is("0.0.0.0/0"), None);
        assert_eq!(is("::/0"), None);
        assert_eq!(is("169.254.0.0/16"), Some("link-local"));
        assert_eq!(is("64:ff9b::a00:0/104"), Some("private"));
        assert_eq!(is("64:ff9b::/96"), None);
    }
}
