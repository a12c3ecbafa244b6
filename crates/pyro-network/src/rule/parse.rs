//! From what was typed to a rule, or to an error that says what to type.

use super::{HOST_LOOPBACK, Rule, RuleError, Target};
use crate::host_name::{HostName, MAX_NAME};
use crate::plan::{GUEST_V4, GUEST_V6, PREFIX_LEN_V4, PREFIX_LEN_V6};
use crate::preset::{Preset, names};
use crate::special::{LOOPBACK, MAPPED, UNSPECIFIED, only, special_network};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::IpAddr;

/// Longest rule: a name, `*.` and a port.
const MAX_RULE: usize = MAX_NAME + 8;

/// What most hints show.
const EXAMPLE: &str =
    "name a host and a port, such as `pypi.org:443`, `*.example.org`, `192.0.2.0/24` or `@pypi`";

pub(super) fn parse(given: &str) -> Result<Rule, RuleError> {
    check_text(given)?;
    if let Some(name) = given.strip_prefix('@') {
        return preset(given, name);
    }
    check_not_url(given)?;
    let (host, port) = split_port(given)?;
    if host.eq_ignore_ascii_case("none") && port.is_some() {
        return Err(RuleError::new(
            format!("`{given}` has a port, and `none` allows nothing"),
            "say `none` alone",
        ));
    }
    let target = target(given, host, port)?;
    Ok(Rule { target, port })
}

/// What no rule can be, whatever it is meant to name.
fn check_text(given: &str) -> Result<(), RuleError> {
    if given.is_empty() {
        return Err(RuleError::new(
            "an empty rule names nothing",
            format!("{EXAMPLE}, or `none` to allow nothing"),
        ));
    }
    if given.len() > MAX_RULE {
        let message = format!("a rule of {} characters is too long", given.len());
        return Err(RuleError::new(message, format!("a name has at most {MAX_NAME} characters")));
    }
    if !given.is_ascii() {
        let message = format!("`{given}` has letters that are not ASCII");
        return Err(RuleError::new(
            message,
            "write the name in its punycode form, such as `xn--bcher-kva.example`",
        ));
    }
    if let Some(odd) = given.bytes().find(|byte| !byte.is_ascii_graphic()) {
        let what = if odd == b',' || odd.is_ascii_whitespace() { "a space" } else { "a control character" };
        let message = format!("`{}` has {what} in it", given.escape_debug());
        return Err(RuleError::new(
            message,
            "give each rule on its own: `--allow pypi.org:443 --allow @npm`",
        ));
    }
    if given.contains(',') {
        let message = format!("`{given}` has a comma in it");
        return Err(RuleError::new(
            message,
            "give each rule on its own: `--allow pypi.org:443 --allow @npm`",
        ));
    }
    Ok(())
}

fn preset(given: &str, name: &str) -> Result<Rule, RuleError> {
    if let Some(preset) = Preset::find(name) {
        return Ok(Rule { target: Target::Preset(preset), port: None });
    }
    if let Some((name, _)) = name.split_once(':')
        && Preset::find(name).is_some()
    {
        let message = format!("`{given}` has a port, and a preset has ports of its own");
        return Err(RuleError::new(message, format!("say `@{}`", name.to_ascii_lowercase())));
    }
    let message = format!("there is no preset `{given}`");
    Err(RuleError::new(message, format!("the presets are {}; anything else is named by its host", names())))
}

/// A URL says what host and port it means, so the hint can say that too.
fn check_not_url(given: &str) -> Result<(), RuleError> {
    let (scheme, rest) = given.split_once("://").unzip();
    let path = given
        .split_once('/')
        .is_some_and(|(_, behind)| !behind.starts_with(|first: char| first.is_ascii_digit()));
    if scheme.is_none() && !path && !given.contains('@') {
        return Ok(());
    }
    let rest = rest.unwrap_or(given);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let authority = authority.rsplit('@').next().unwrap_or(authority);
    let port = match scheme {
        Some("http" | "ws") => ":80",
        Some("ssh" | "git+ssh") => ":22",
        Some("git") => ":9418",
        _ => ":443",
    };
    // What stands behind a colon and is no port is a path (`git@host:owner/name`).
    let (authority, has_port) = match split_port(authority) {
        Ok((_, port)) => (authority, port.is_some()),
        Err(_) => (authority.split(':').next().unwrap_or(authority), false),
    };
    let message = format!("`{given}` is a URL or a path, and a rule names a host");
    let hint = if authority.is_empty() {
        EXAMPLE.to_owned()
    } else {
        format!("say `{authority}{}`", if has_port { "" } else { port })
    };
    Err(RuleError::new(message, hint))
}

/// Cuts the port off, where there is one. What stands before it has its brackets still.
fn split_port(given: &str) -> Result<(&str, Option<u16>), RuleError> {
    let behind_bracket = given.rfind(']').map_or(0, |at| at + 1);
    let colons = given[behind_bracket..].matches(':').count();
    // More than one colon outside of brackets: an IPv6 address without a port.
    if colons != 1 {
        return Ok((given, None));
    }
    let Some((host, port)) = given.rsplit_once(':') else { return Ok((given, None)) };
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| port.parse::<u16>().ok()).flatten().filter(|port| *port != 0);
    let Some(number) = number else {
        let message = format!("`{given}` has no port from 1 to 65535 behind its colon");
        return Err(RuleError::new(message, format!("say `{host}:443`, or `{host}` for every port")));
    };
    Ok((host, Some(number)))
}

fn target(given: &str, host: &str, port: Option<u16>) -> Result<Target, RuleError> {
    if host.eq_ignore_ascii_case("none") {
        return Ok(Target::Nothing);
    }
    if host == "*" {
        return Ok(Target::Everything);
    }
    if let Some(network) = network(given, host, port)? {
        return check_network(given, network, port).map(Target::Network);
    }
    if let Some(parent) = host.strip_prefix("*.") {
        return Ok(Target::Below(name(given, parent, port)?));
    }
    let name = name(given, host, port)?;
    if name.as_str() == HOST_LOOPBACK { Ok(Target::HostLoopback) } else { Ok(Target::Name(name)) }
}

/// An address or a network, if it is one: `A`, `A/N`, `[A]`, `[A/N]`, `[A]/N`.
fn network(given: &str, host: &str, port: Option<u16>) -> Result<Option<IpNet>, RuleError> {
    let bare = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inner, "")) => inner.to_owned(),
        Some((inner, behind)) if behind.starts_with('/') && !inner.contains('/') => {
            format!("{inner}{behind}")
        }
        Some(_) => return Err(not_a_network(given)),
        None => host.to_owned(),
    };
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(Some(only(address)));
    }
    let Ok(network) = bare.parse::<IpNet>() else {
        return if bare.contains(['/', ':', '[', ']']) { Err(not_a_network(given)) } else { Ok(None) };
    };
    if network != network.trunc() {
        let corrected = Rule { target: Target::Network(network.trunc()), port };
        let alone = Rule { target: Target::Network(only(network.addr())), port };
        let message = format!("`{given}` has bits set behind the first {}", network.prefix_len());
        return Err(RuleError::new(
            message,
            format!("say `{corrected}` for the network, or `{alone}` for the address"),
        ));
    }
    Ok(Some(network))
}

fn not_a_network(given: &str) -> RuleError {
    let message = format!("`{given}` is neither an address nor a network");
    RuleError::new(
        message,
        "write `192.0.2.7:443`, `192.0.2.0/24`, `[2001:db8::7]:443` or `[2001:db8::/32]:443`",
    )
}

/// What is not reached under the address that it has here.
fn check_network(given: &str, network: IpNet, port: Option<u16>) -> Result<IpNet, RuleError> {
    let what = special_network(network).map(|special| special.what);
    if what == Some(LOOPBACK) || what == Some(UNSPECIFIED) {
        return Err(own_loopback(given, port));
    }
    if is_on_link(network) {
        let message =
            format!("`{given}` is on the link between the guest and its gateway, where nothing else is");
        return Err(RuleError::new(message, format!("the host itself is `{}`", host_loopback(port))));
    }
    if what == Some(MAPPED) {
        let hint = "write the IPv4 address or network, such as `192.0.2.7:443`";
        return Err(RuleError::new(
            format!("`{given}` is an IPv4 address in the form of an IPv6 address"),
            hint,
        ));
    }
    Ok(network)
}

fn is_on_link(network: IpNet) -> bool {
    let link_v4 = Ipv4Net::new(GUEST_V4, PREFIX_LEN_V4).map(IpNet::V4);
    let link_v6 = Ipv6Net::new(GUEST_V6, PREFIX_LEN_V6).map(IpNet::V6);
    [link_v4, link_v6].into_iter().flatten().any(|link| link.trunc().contains(&network))
}

fn own_loopback(given: &str, port: Option<u16>) -> RuleError {
    let message = format!("`{given}` is the guest's own loopback, which it always reaches");
    RuleError::new(message, format!("for the loopback of the host, say `{}`", host_loopback(port)))
}

fn host_loopback(port: Option<u16>) -> String {
    port.map_or_else(|| format!("{HOST_LOOPBACK}:PORT"), |port| format!("{HOST_LOOPBACK}:{port}"))
}

fn name(given: &str, text: &str, port: Option<u16>) -> Result<HostName, RuleError> {
    if text.contains('*') {
        let message = format!("`{given}` has a `*` that is not its beginning");
        return Err(RuleError::new(
            message,
            "`*.example.org` is every host below `example.org`, `*` is everything public",
        ));
    }
    let Some(name) = HostName::parse(text) else {
        let message = format!("`{given}` is neither the name of a host nor an address");
        let hint = format!(
            "a name has letters, digits, `-` and `_`, at most 63 between two dots and {MAX_NAME} in all; {EXAMPLE}"
        );
        return Err(RuleError::new(message, hint));
    };
    if name.is_localhost() { Err(own_loopback(given, port)) } else { Ok(name) }
}
