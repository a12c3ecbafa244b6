//! A service in words.

use crate::commands::shown;
use pyro_host::service::Readiness;
use pyro_host::workspace::ServiceStatus;
use std::fmt::Write;

/// All that a person wants to know of a service, a line for each.
pub fn describe(service: &ServiceStatus) -> String {
    let ago = |time: f64| format!("{} ago", shown::span_from_now(time));
    let mut facts =
        vec![("service", service.service_name.to_string()), ("state", service.state.name().to_owned())];
    // In quotes where a guest's words in it would not stay on their line.
    facts.extend(service.failure.as_ref().map(|failure| ("failure", shown::path(failure).into_owned())));
    facts.extend(service.stop_reason.map(|reason| ("stop reason", reason.name().to_owned())));
    facts.extend(service.exit_code.map(|code| ("exit code", code.to_string())));
    facts.extend(service.pid.map(|pid| ("pid", pid.to_string())));
    facts.extend([
        ("command", shown::command(&service.command)),
        ("directory", shown::word(&service.cwd).into_owned()),
        ("ready when", service.readiness.as_ref().map_or_else(|| "it runs".into(), probe)),
        ("started", ago(service.started_at)),
    ]);
    facts.extend(service.published.iter().map(|port| ("published", port.to_string())));
    facts.extend(ready_after_ms(service).map(|ms| ("ready after", format!("{ms:.0} ms"))));
    facts.extend(service.ended_at.map(|time| ("ended", ago(time))));
    shown::facts(&facts)
}

/// The line that ends a command on a service, for standard error.
pub fn closing_line(name: &str, service: &ServiceStatus) -> String {
    let ServiceStatus { workspace_id, service_name, state, .. } = service;
    let mut line =
        format!("[{name}] workspace_id={workspace_id} service={service_name} state={}", state.name());
    // Writing to a string cannot fail.
    if let Some(ms) = ready_after_ms(service) {
        let _ = write!(line, " ready_after_ms={ms:.0}");
    }
    if let Some(pid) = service.pid {
        let _ = write!(line, " pid={pid}");
    }
    for port in &service.published {
        let _ = write!(line, " published={port}");
    }
    if let Some(code) = service.exit_code {
        let _ = write!(line, " exit_code={code}");
    }
    if let Some(reason) = service.stop_reason {
        let _ = write!(line, " stop_reason={}", reason.name());
    }
    line
}

/// The word for a kind of probe.
pub fn probe_name(readiness: &Readiness) -> &'static str {
    match readiness {
        Readiness::File { .. } => "file",
        Readiness::Tcp { .. } => "tcp",
        Readiness::Http { .. } => "http",
        Readiness::Command { .. } => "command",
    }
}

fn probe(readiness: &Readiness) -> String {
    match readiness {
        Readiness::File { path } => format!("there is {}", shown::word(path)),
        Readiness::Tcp { address } => format!("{} accepts connections", shown::word(address)),
        Readiness::Http { url } => format!("{} answers", shown::word(url)),
        Readiness::Command { command } => format!("sh -c {} exits with 0", shown::word(command)),
    }
}

fn ready_after_ms(service: &ServiceStatus) -> Option<f64> {
    service.ready_at.map(|ready_at| (ready_at - service.started_at) * 1000.0)
}
