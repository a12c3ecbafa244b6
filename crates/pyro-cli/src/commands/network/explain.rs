//! `pyro network explain`.

use crate::commands::block_on;
use crate::exit::Failure;
use crate::output;
use clap::Args;
use pyro_host::error::{Error, Result};
use pyro_host::network::{self, Explanation, Policy};
use pyro_host::pyro::Pyro;
use std::fmt::Write;

/// Tell whether a guest could talk to a host, and which rule decides.
///
/// The name is looked up as a guest's would be, and judged by the code that enforces the rules. Nothing is connected to.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes:\n  0 it would be allowed; 1 it would be refused; 125 pyro failed; 2 wrong usage\n\n\
Examples:\n\
\x20 pyro network explain 203.0.113.7:443 --allow 203.0.113.0/24\n\
\x20 ! pyro network explain 203.0.113.7:22 --allow 203.0.113.0/24:443\n\
\x20 ! pyro network explain 169.254.169.254:80 --json"
)]
pub struct Explain {
    /// A name or an address, and a port: `pypi.org:443`, `203.0.113.7:22`, `[2001:db8::1]:443`.
    #[arg(value_name = "HOST:PORT")]
    target: String,

    /// A rule, as `pyro run --allow` takes it; may be repeated. Without one: everything public.
    #[arg(long, value_name = "RULE", conflicts_with = "workspace")]
    allow: Vec<String>,

    /// Judge by the rules of this workspace.
    #[arg(long, value_name = "WORKSPACE_ID")]
    workspace: Option<String>,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Explain {
    pub fn execute(self) -> std::result::Result<u8, Failure> {
        let (host, port) = parse(&self.target)?;
        let pyro = Pyro::from_environment()?;
        let explanation = block_on(async {
            let policy = match &self.workspace {
                Some(id) => of_workspace(&pyro, id).await?,
                None => network::policy(&self.allow)?,
            };
            Ok(pyro.explain_network(policy, &host, port).await)
        })?;
        if self.json {
            output::json(&explanation)?;
        } else {
            output::text(&describe(&explanation))?;
        }
        Ok(u8::from(!explanation.allowed))
    }
}

async fn of_workspace(pyro: &Pyro, id: &str) -> Result<Policy> {
    let network = pyro.network_workspace(id).await?.network;
    let policy = network.policy.ok_or_else(|| {
        Error::invalid(format!("the workspace `{id}` has no network: it can talk to nobody"))
            .with_hint("a network is given when a workspace is created: --network")
    })?;
    network::policy(&policy.allow)
}

/// The host and the port of what was typed.
fn parse(target: &str) -> Result<(String, u16)> {
    let wrong = || {
        let shown: String = target.chars().take(300).collect();
        Error::invalid(format!("{shown:?} is not a host with a port"))
            .with_hint("give both, for example pypi.org:443 or [2001:db8::1]:443")
    };
    let (host, port) = target.rsplit_once(':').ok_or_else(wrong)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match bare {
        Some(address) => address,
        None if host.is_empty() || host.contains([':', '/', ' ', '@']) => return Err(wrong()),
        None => host,
    };
    let port = port.parse().ok().filter(|&port: &u16| port > 0).ok_or_else(wrong)?;
    Ok((host.to_owned(), port))
}

fn describe(explanation: &Explanation) -> String {
    let mut text = String::new();
    for step in &explanation.steps {
        let verdict = if step.allowed { "allowed" } else { "refused" };
        let _ = writeln!(text, "{verdict}  {}: {}", step.what, step.rule);
        if !step.hint.is_empty() {
            let _ = writeln!(text, "         hint: {}", step.hint);
        }
    }
    let verdict = if explanation.allowed { "it would be allowed" } else { "it would be refused" };
    let _ = writeln!(text, "{verdict}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_host_and_a_port() {
        assert_eq!(parse("pypi.org:443").unwrap(), ("pypi.org".into(), 443));
        assert_eq!(parse("[2001:db8::1]:22").unwrap(), ("2001:db8::1".into(), 22));
        for wrong in [
            "pypi.org",
            ":443",
            "pypi.org:",
            "pypi.org:0",
            "pypi.org:99999",
            "https://pypi.org:443",
            "2001:db8::1:22",
        ] {
            assert!(parse(wrong).unwrap_err().hint().is_some(), "{wrong}");
        }
    }
}
