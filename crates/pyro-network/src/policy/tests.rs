//! What rules open, and what they do not.

use super::*;
use proptest::prelude::*;

fn policy(allow: &[&str]) -> Policy {
    Policy::parse(allow).unwrap()
}

fn name(text: &str) -> HostName {
    HostName::parse(text).unwrap()
}

fn tcp(policy: &Policy, address: &str, port: u16, names: &[&str]) -> Verdict {
    judge(policy, DenialKind::Tcp, address, Some(port), false, names)
}

fn judge(
    policy: &Policy,
    kind: DenialKind,
    address: &str,
    port: Option<u16>,
    own: bool,
    names: &[&str],
) -> Verdict {
    let names: Vec<HostName> = names.iter().map(|text| name(text)).collect();
    policy.judge_address(kind, address.parse().unwrap(), port, own, &names)
}

const SPECIAL: &[&str] = &[
    "127.0.0.1",
    "0.0.0.0",
    "10.0.0.5",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "100.100.100.200",
    "168.63.129.16",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fd00::2",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:203.0.113.5",
    "64:ff9b::10.0.0.1",
    "2002:a9fe:a9fe::1",
    "100.96.0.1",
    "fd70:7972:6f00::1",
];

#[test]
fn an_open_policy_allows_what_is_public_and_nothing_else() {
    let open = Policy::open();
    assert!(open.is_open() && open.names_special().is_none());
    assert_eq!(tcp(&open, "203.0.113.5", 80, &[]).access, Access::Allowed);
    assert_eq!(judge(&open, DenialKind::Icmp, "2001:db8::1", None, false, &[]).access, Access::Allowed);
    assert!(open.judge_name(&name("example.org")).is_allowed());
    for address in SPECIAL {
        let verdict = tcp(&open, address, 80, &["example.org"]);
        assert_eq!(verdict.access, Access::Denied, "{address}");
        assert!(!verdict.hint.is_empty());
    }
}

#[test]
fn what_is_wide_opens_nothing_special() {
    for wide in ["*", "0.0.0.0/0", "::/0", "*.org", "10.0.0.0/7", "128.0.0.0/1", "fc00::/6"] {
        let policy = policy(&[wide]);
        assert_eq!(policy.names_special(), None);
        for address in SPECIAL {
            assert_eq!(tcp(&policy, address, 80, &["a.org"]).access, Access::Denied, "{wide} {address}");
        }
    }
}

#[test]
fn a_special_address_is_opened_by_its_own_rule_with_its_port() {
    let policy = policy(&["db.example.org", "10.0.0.5:5432", "192.168.0.0/16"]);
    assert_eq!(policy.names_special(), Some("10.0.0.5:5432"));
    assert_eq!(tcp(&policy, "10.0.0.5", 5432, &[]).rule, "10.0.0.5:5432");
    assert_eq!(tcp(&policy, "10.0.0.5", 80, &["db.example.org"]).access, Access::Denied);
    assert_eq!(tcp(&policy, "192.168.7.7", 80, &[]).access, Access::Allowed);
    assert!(policy.judge_answer("10.0.0.5".parse().unwrap(), false).is_none());
    assert_eq!(policy.judge_answer("10.0.0.6".parse().unwrap(), false).unwrap().rule, "private");
}

#[test]
fn a_metadata_address_is_opened_by_nothing_but_itself() {
    let wide = policy(&["169.254.0.0/16", "100.64.0.0/10", "fc00::/7"]);
    for address in ["169.254.169.254", "100.100.100.200", "fd00:ec2::254"] {
        assert_eq!(tcp(&wide, address, 80, &[]).rule, "cloud metadata", "{address}");
    }
    assert_eq!(tcp(&wide, "169.254.9.9", 80, &[]).access, Access::Allowed);
    assert!(tcp(&policy(&["169.254.169.254:80"]), "169.254.169.254", 80, &[]).is_allowed());
}

#[test]
fn the_hosts_own_addresses_are_opened_one_by_one() {
    let own = |policy: &Policy, address| {
        judge(policy, DenialKind::Tcp, address, Some(22), true, &["a.example.org"])
    };
    assert_eq!(own(&Policy::open(), "203.0.113.5").rule, "the host's own address");
    for wide in ["*", "203.0.113.0/24", "0.0.0.0/0", "*.example.org"] {
        assert_eq!(own(&policy(&[wide]), "203.0.113.5").access, Access::Denied, "{wide}");
    }
    assert_eq!(own(&policy(&["10.0.0.0/8"]), "10.0.0.5").access, Access::Denied);
    assert!(own(&policy(&["10.0.0.5:22"]), "10.0.0.5").is_allowed());
    assert!(own(&policy(&["203.0.113.5/32"]), "203.0.113.5").is_allowed());
    assert_eq!(own(&Policy::open(), "127.0.0.1").rule, "loopback");
    let mapped = own(&Policy::open(), "::ffff:127.0.0.1");
    assert_eq!(
        (mapped.rule.as_str(), mapped.hint.as_str()),
        ("IPv4-mapped", "use the IPv4 address, 127.0.0.1")
    );
}

#[test]
fn the_hosts_loopback_is_opened_by_its_name_only() {
    let named = policy(&["host.pyro.internal:5432"]);
    assert_eq!(named.names_special(), Some("host.pyro.internal:5432"));
    assert_eq!(tcp(&named, "100.96.0.1", 5432, &[]).access, Access::Allowed);
    assert_eq!(tcp(&named, "fd70:7972:6f00::1", 5432, &[]).access, Access::Allowed);
    assert_eq!(tcp(&named, "100.96.0.1", 22, &[]).hint, "allow it with `--allow host.pyro.internal:22`");
    assert_eq!(judge(&named, DenialKind::Udp, "100.96.0.1", Some(5432), false, &[]).access, Access::Denied);
    assert_eq!(tcp(&named, "127.0.0.1", 5432, &[]).access, Access::Denied);
    assert!(tcp(&policy(&["host.pyro.internal"]), "100.96.0.1", 9, &[]).is_allowed());
    for other in ["100.64.0.0/10", "fc00::/7", "*.pyro.internal", "*"] {
        assert_eq!(
            tcp(&policy(&[other]), "100.96.0.1", 9, &["host.pyro.internal"]).access,
            Access::Denied,
            "{other}"
        );
    }
}

#[test]
fn a_name_is_allowed_for_the_addresses_resolved_for_it() {
    let policy = policy(&["pypi.org:443", "*.example.org"]);
    assert_eq!(tcp(&policy, "203.0.113.5", 443, &["pypi.org"]).access, Access::IfNamed);
    assert_eq!(tcp(&policy, "203.0.113.5", 80, &["pypi.org"]).access, Access::Denied);
    assert_eq!(tcp(&policy, "203.0.113.6", 443, &[]).access, Access::Denied);
    assert_eq!(tcp(&policy, "203.0.113.6", 443, &["other.org"]).access, Access::Denied);
    assert_eq!(tcp(&policy, "203.0.113.6", 22, &["other.org", "a.b.example.org"]).rule, "*.example.org");
}

#[test]
fn an_address_rule_needs_no_name() {
    let policy = policy(&["203.0.113.0/24:443", "2001:db8::7"]);
    assert_eq!(tcp(&policy, "203.0.113.5", 443, &[]).access, Access::Allowed);
    assert_eq!(tcp(&policy, "203.0.113.5", 80, &[]).access, Access::Denied);
    assert_eq!(tcp(&policy, "2001:db8::7", 80, &[]).access, Access::Allowed);
    assert_eq!(tcp(&policy, "203.0.113.5", 80, &[]).hint, "allow it with `--allow 203.0.113.5:80`");
    assert_eq!(tcp(&policy, "2001:db8::8", 80, &[]).hint, "allow it with `--allow [2001:db8::8]:80`");
}

#[test]
fn pings_need_a_rule_for_all_ports() {
    let ping = |policy: &Policy, names: &[&str]| {
        judge(policy, DenialKind::Icmp, "203.0.113.5", None, false, names).access
    };
    assert_eq!(ping(&policy(&["203.0.113.5"]), &[]), Access::Allowed);
    assert_eq!(ping(&policy(&["203.0.113.5:80"]), &[]), Access::Denied);
    assert_eq!(ping(&policy(&["a.org"]), &["a.org"]), Access::Allowed);
    assert_eq!(ping(&policy(&["a.org:443"]), &["a.org"]), Access::Denied);
}

#[test]
fn quic_is_denied_by_name_and_allowed_by_address() {
    let quic = |policy: &Policy| judge(policy, DenialKind::Udp, "203.0.113.5", Some(443), false, &["a.org"]);
    assert!(quic(&policy(&["a.org"])).rule.contains("QUIC"));
    assert!(quic(&policy(&["203.0.113.5"])).is_allowed());
    assert!(quic(&Policy::open()).is_allowed());
    let ntp = judge(&policy(&["a.org"]), DenialKind::Udp, "203.0.113.5", Some(123), false, &["a.org"]);
    assert_eq!(ntp.access, Access::Allowed);
}

#[test]
fn nothing_is_allowed_by_none() {
    let none = policy(&["none"]);
    assert!(!none.is_open());
    assert!(!none.judge_name(&name("a.org")).is_allowed());
    assert!(!tcp(&none, "203.0.113.5", 80, &[]).is_allowed());
    let error = Policy::parse(&["none", "a.org"]).unwrap_err();
    assert!(error.message().contains("none"));
    assert_eq!(error.hint(), "say `none` alone, or leave it out");
}

#[test]
fn presets_are_told_as_they_were_given() {
    let policy = policy(&["@pypi", "*.example.org"]);
    assert_eq!(policy.judge_name(&name("pypi.org")).rule, "@pypi");
    assert_eq!(policy.judge_host(&name("pypi.org"), Some(443)).rule, "@pypi");
    assert!(!policy.judge_host(&name("pypi.org"), Some(80)).is_allowed());
    let denied = policy.judge_host(&name("registry.npmjs.org"), Some(443));
    assert_eq!(denied.hint, "allow it with `--allow registry.npmjs.org:443`, or with `--allow @npm`");
}

#[test]
fn the_hint_of_an_open_policy_says_how_it_stays_open() {
    let hint = tcp(&Policy::open(), "10.0.0.5", 5432, &[]).hint;
    assert_eq!(
        hint,
        "allow it with `--allow 10.0.0.5:5432`; with `--allow '*'` everything public stays allowed"
    );
    assert_eq!(tcp(&policy(&["a.org"]), "10.0.0.5", 5432, &[]).hint, "allow it with `--allow 10.0.0.5:5432`");
}

#[test]
fn rules_are_compared_by_what_they_mean() {
    for (one, other) in [
        ("PyPI.org", "pypi.org"),
        ("pypi.org.", "pypi.org"),
        ("[2001:DB8::7]:443", "[2001:db8:0::7]:443"),
        ("192.0.2.7/32", "192.0.2.7"),
        ("@PyPI", "@pypi"),
        ("no rule", "no rule"),
    ] {
        assert!(Policy::rules_equal(one, other), "{one} {other}");
    }
    for (one, other) in [("pypi.org", "pypi.org:443"), ("*.pypi.org", "pypi.org"), ("no rule", "No rule")] {
        assert!(!Policy::rules_equal(one, other), "{one} {other}");
    }
}

#[test]
fn a_rule_for_an_address_of_the_host_is_special() {
    // From this one it would send to the outside, where it can. Nothing is sent.
    let own = std::net::UdpSocket::bind("0.0.0.0:0")
        .and_then(|socket| socket.connect("203.0.113.77:9").and_then(|()| socket.local_addr()));
    if let Ok(own) = own {
        let rule = format!("{}:22", own.ip());
        assert_eq!(policy(&["a.org", &rule]).names_special(), Some(rule.as_str()));
    }
    assert_eq!(policy(&["203.0.113.77", "203.0.113.0/24", "a.org"]).names_special(), None);
}

#[test]
fn rules_are_kept_as_given_and_once() {
    let policy = policy(&["PyPI.org", "pypi.org.", "@npm"]);
    assert_eq!(policy.allow(), ["PyPI.org", "@npm"]);
    let json = serde_json::to_string(&policy).unwrap();
    assert_eq!(json, r#"["PyPI.org","@npm"]"#);
    assert_eq!(serde_json::from_str::<Policy>(&json).unwrap(), policy);
    assert!(serde_json::from_str::<Policy>(r#"["https://a"]"#).is_err());
    let many: Vec<String> = (0..257).map(|number| format!("a{number}.org")).collect();
    assert!(Policy::parse(&many).unwrap_err().message().contains("256"));
}

proptest! {
    #[test]
    fn no_name_and_no_wide_rule_opens_a_special_address(bits: u32, bits6: u128, port: u16, own: bool) {
        let policy = policy(&["*", "*.org", "0.0.0.0/0", "::/0", "0.0.0.0/1", "8000::/1"]);
        let nat64 = 0x64_ff9b_u128 << 96 | u128::from(bits);
        for address in [IpAddr::V4(bits.into()), IpAddr::V6(bits6.into()), IpAddr::V6(nat64.into())] {
            let verdict = policy.judge_address(DenialKind::Tcp, address, Some(port), own, &[name("a.org")]);
            prop_assert_eq!(verdict.is_allowed(), !own && special(address).is_none());
        }
    }
}
