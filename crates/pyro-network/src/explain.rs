//! Says what a guest would be told if it asked for a name or an address, and why: by the very functions that enforce.

use crate::denial::DenialKind;
use crate::guard::lookup::Outcome;
use crate::guard::{Access, Guard};
use crate::host_name::HostName;
use crate::policy::Verdict;
use hickory_proto::op::{Query, ResponseCode};
use hickory_proto::rr::{Name, Record, RecordType};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;

/// What would happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Explanation {
    /// Whether a TCP connection is allowed, to at least one address.
    pub allowed: bool,
    /// What is decided, in order.
    pub steps: Vec<Step>,
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Step {
    /// What is decided, such as `look up pypi.org`.
    pub what: String,
    /// The decision.
    pub allowed: bool,
    /// The rule that decides, as it was given, or the reason for which none does.
    pub rule: String,
    /// What to do to have it allowed, or what is demanded where it is. May be empty.
    pub hint: String,
    /// The addresses that it is about.
    pub addresses: Vec<IpAddr>,
}

/// Explains a TCP connection to a name or an address, on one port or on any. Looks the name up as a guest would, which
/// may take some seconds; logs no denial.
pub async fn explain(guard: &Arc<Guard>, name_or_address: &str, port: Option<u16>) -> Explanation {
    let bare = name_or_address.trim().trim_start_matches('[').trim_end_matches(']');
    let mut steps = Vec::new();
    if let Ok(address) = bare.parse::<IpAddr>() {
        steps.push(judge(guard, address, port));
    } else if let Some(name) = HostName::parse(bare) {
        explain_name(guard, &name, port, &mut steps).await;
    } else {
        steps.push(step(
            format!("read {name_or_address:?}"),
            false,
            "it is neither the name of a host nor an address",
            "name a host, such as `pypi.org`, or an address",
        ));
    }
    let is_reached = |step: &Step| step.allowed && step.what.starts_with(CONNECT);
    Explanation { allowed: steps.iter().any(is_reached), steps }
}

/// How the steps begin that decide about connections.
const CONNECT: &str = "connect to";

async fn explain_name(guard: &Arc<Guard>, name: &HostName, port: Option<u16>, steps: &mut Vec<Step>) {
    let mut addresses = Vec::new();
    for kind in [RecordType::A, RecordType::AAAA] {
        let step = look_up(guard, name, kind).await;
        addresses.extend(step.addresses.clone());
        let is_over = !step.allowed && step.addresses.is_empty();
        steps.push(step);
        if is_over {
            break;
        }
    }
    let judged: Vec<Step> =
        addresses.into_iter().map(|address| judge_named(guard, name, address, port)).collect();
    steps.extend(judged);
}

async fn look_up(guard: &Guard, name: &HostName, kind: RecordType) -> Step {
    let what = format!("look up {name} ({kind})");
    let Ok(mut fully) = Name::from_ascii(name.as_str()) else {
        return step(what, false, "it is not a name of the DNS", "name a host, such as `pypi.org`");
    };
    fully.set_fqdn(true);
    match guard.look_up(&Query::query(fully, kind)).await {
        Outcome::Answer { code: ResponseCode::NoError, answers, .. } => Step {
            addresses: answers.iter().filter_map(|record: &Record| record.data.ip_addr()).collect(),
            ..step(what, true, &guard.in_force().judge_name(name).rule, "")
        },
        Outcome::Answer { .. } => step(what, false, "there is no such name", "check how it is written"),
        Outcome::Denied(verdict, address) => Step {
            addresses: address.into_iter().collect(),
            ..step(what, false, &verdict.rule, &verdict.hint)
        },
        Outcome::Unanswered(code) => step(what, false, &code.to_string(), ""),
        Outcome::Failed(failure) => {
            step(what, false, &failure.to_string(), "see whether the host itself resolves the name")
        }
    }
}

fn judge(guard: &Guard, address: IpAddr, port: Option<u16>) -> Step {
    shown(address, port, &guard.verdict(DenialKind::Tcp, address, port))
}

/// An address that a name was resolved to. What the name demands is said, and who else was resolved to it is not asked.
fn judge_named(guard: &Guard, name: &HostName, address: IpAddr, port: Option<u16>) -> Step {
    // The guest's own loopback never comes this way.
    if address.is_loopback() {
        return Step {
            addresses: vec![address],
            ..step(format!("{CONNECT} {address}"), true, "the guest's own loopback", "")
        };
    }
    let names = std::slice::from_ref(name);
    let verdict =
        guard.in_force().judge_address(DenialKind::Tcp, address, port, guard.is_own(address), names);
    let mut step = shown(address, port, &verdict);
    if verdict.access == Access::IfNamed {
        step.hint = format!("TLS has to name {name} as its server, and HTTP as its host");
    }
    step
}

fn shown(address: IpAddr, port: Option<u16>, verdict: &Verdict) -> Step {
    let port = port.map_or_else(|| "any port".to_owned(), |port| format!("port {port}"));
    let hint = match (verdict.access, &verdict.name) {
        (Access::IfNamed, Some(name)) => {
            format!("TLS has to name {name} as its server, and HTTP as its host")
        }
        _ => verdict.hint.clone(),
    };
    Step {
        addresses: vec![address],
        ..step(format!("{CONNECT} {address}, {port}"), verdict.is_allowed(), &verdict.rule, &hint)
    }
}

fn step(what: String, allowed: bool, rule: &str, hint: &str) -> Step {
    Step { what, allowed, rule: rule.to_owned(), hint: hint.to_owned(), addresses: Vec::new() }
}

#[cfg(test)]
mod tests;
