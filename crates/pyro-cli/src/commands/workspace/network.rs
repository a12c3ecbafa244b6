//! `pyro workspace network`.

use crate::commands::{block_on, denials, shown};
use crate::exit::Failure;
use crate::output;
use clap::Args;
use pyro_host::network::{
    Addresses, ConnectionKind, ConnectionState, NetworkInfo, NetworkStatus, PolicyChange, PolicyMode,
};
use pyro_host::pyro::Pyro;
use std::fmt::Write;

/// Show the network of a workspace: its rules, its connections, what was refused. Or change the rules.
///
/// A change holds at once. Connections that are not allowed any more are cut off. The first rule makes everything that no
/// rule names forbidden; without any, everything public is allowed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
\x20 id=$(pyro workspace create debian:12 --network --allow @pypi --id-only)\n\
\x20 pyro workspace network $id\n\
\x20 pyro workspace network $id --allow crates.io:443 --allow '*.crates.io:443'\n\
\x20 pyro workspace network $id --remove @pypi\n\
\x20 pyro workspace network $id --reset --allow none --json\n\
\x20 pyro workspace delete $id")]
pub struct Network {
    /// The workspace.
    #[arg(value_name = "WORKSPACE_ID")]
    id: String,

    /// A rule that holds as well from now on; may be repeated.
    #[arg(long, value_name = "RULE")]
    allow: Vec<String>,

    /// A rule that no longer holds, as it was given; may be repeated.
    #[arg(long, value_name = "RULE")]
    remove: Vec<String>,

    /// Forget all rules first. Without --allow: everything public is allowed then.
    #[arg(long)]
    reset: bool,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Network {
    pub fn execute(self) -> Result<u8, Failure> {
        let change = PolicyChange { reset: self.reset, remove: self.remove, allow: self.allow };
        let pyro = Pyro::from_environment()?;
        let network = block_on(async {
            match change.is_empty() {
                true => pyro.network_workspace(&self.id).await,
                false => pyro.change_network_workspace(&self.id, &change).await,
            }
        })?;
        if self.json {
            output::json(&network)?;
            return Ok(0);
        }
        output::text(&describe(&network.network))?;
        let info = &network.network;
        output::note(&format!(
            "[workspace-network] workspace_id={} network={} connections={} denials={}",
            self.id,
            if info.network_enabled { "yes" } else { "no" },
            info.status.as_ref().map_or(0, |status| status.connection_count),
            info.denials.len(),
        ));
        Ok(0)
    }
}

fn describe(info: &NetworkInfo) -> String {
    let Some(policy) = &info.policy else { return shown::facts(&[("network", "none".into())]) };
    let rules = match policy.mode {
        PolicyMode::Open => "everything public".to_owned(),
        PolicyMode::Allowlist => policy.allow.join(", "),
    };
    let mut facts = vec![("allowed", rules)];
    facts.extend(info.published.iter().map(|port| ("published", port.to_string())));
    if let Some(status) = &info.status {
        facts.extend(addresses(status));
    }
    let mut text = shown::facts(&facts);
    if let Some(status) = info.status.as_ref().filter(|status| !status.connections.is_empty()) {
        let _ = write!(text, "\n{}", connections(status));
    }
    if !info.denials.is_empty() {
        let _ = writeln!(text, "\nrefused, the latest last:");
        for denial in &info.denials {
            let _ =
                writeln!(text, "  {} ago  {}", shown::span_from_now(denial.time), denials::describe(denial));
        }
    }
    text
}

fn kind_name(kind: ConnectionKind) -> &'static str {
    match kind {
        ConnectionKind::Tcp => "tcp",
        ConnectionKind::Udp => "udp",
        ConnectionKind::Published => "published",
    }
}

fn state_name(state: ConnectionState) -> &'static str {
    match state {
        ConnectionState::Connecting => "connecting",
        ConnectionState::Open => "open",
        ConnectionState::Closing => "closing",
    }
}

fn addresses(status: &NetworkStatus) -> Vec<(&'static str, String)> {
    let both = |addresses: &Addresses| format!("{}, {}", addresses.v4, addresses.v6);
    let servers: Vec<String> = status.dns.iter().map(ToString::to_string).collect();
    vec![
        ("addresses", both(&status.guest)),
        ("gateway", both(&status.gateway)),
        ("name server", servers.join(", ")),
        ("from guest", shown::size(status.counters.bytes_in)),
        ("to guest", shown::size(status.counters.bytes_out)),
    ]
}

fn connections(status: &NetworkStatus) -> String {
    let mut rows =
        vec![["KIND", "TO", "NAME", "STATE", "SENT", "RECEIVED", "AGE"].map(str::to_owned).to_vec()];
    rows.extend(status.connections.iter().map(|connection| {
        let name = connection.name.as_deref().map_or("-".into(), shown::word);
        vec![
            kind_name(connection.kind).to_owned(),
            std::net::SocketAddr::new(connection.address, connection.port).to_string(),
            name.into_owned(),
            state_name(connection.state).to_owned(),
            shown::size(connection.sent_bytes),
            shown::size(connection.received_bytes),
            format!("{:.0}s", connection.seconds),
        ]
    }));
    shown::table(&rows)
}
