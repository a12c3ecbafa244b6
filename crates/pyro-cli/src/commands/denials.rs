//! What a guest was refused, in words.

use super::shown;
use crate::output;
use pyro_host::network::{Denial, DenialKind};

/// As many are told behind a command; `--json` has all.
const MOST_TOLD: usize = 10;

/// Tells what a command was refused, a line for each.
pub fn note(denials: &[Denial]) {
    for denial in denials.iter().take(MOST_TOLD) {
        output::note(&format!("[network] denied {}", describe(denial)));
        output::note(&format!("hint: {}", denial.hint));
    }
    if let Some(rest) = denials.len().checked_sub(MOST_TOLD).filter(|&rest| rest > 0) {
        output::note(&format!("[network] and {rest} more: --json has them"));
    }
}

/// One on a line. Names are a guest's words.
pub fn describe(denial: &Denial) -> String {
    let name = denial.name.as_deref().map(|name| shown::word(name).into_owned());
    let address = denial.address.map(|address| match (address, denial.port) {
        (address, Some(port)) => std::net::SocketAddr::new(address, port).to_string(),
        (address, None) => address.to_string(),
    });
    let what = [name, address].into_iter().flatten().collect::<Vec<_>>().join(" at ");
    format!("kind={} {what}: {}", kind_name(denial.kind), denial.rule)
}

/// The word for a kind.
fn kind_name(kind: DenialKind) -> &'static str {
    match kind {
        DenialKind::Dns => "dns",
        DenialKind::Tcp => "tcp",
        DenialKind::Udp => "udp",
        DenialKind::Icmp => "icmp",
        DenialKind::Tls => "tls",
        DenialKind::Http => "http",
    }
}
