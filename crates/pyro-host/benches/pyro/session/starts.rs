//! How soon a service is ready, and how soon it and a shell come and go.

use super::guest::Guest;
use crate::Result;
use crate::samples::{Samples, milliseconds};
use pyro_host::command::Command;
use pyro_host::service::{Readiness, ServiceName, ServiceSpec};
use pyro_host::shell::ShellSpec;
use std::time::Instant;

/// Rounds that are not counted: the guest runs everything for the first time in them.
const N_WARM_UP: usize = 1;

/// Somewhere where somebody listens all the time, and another such place.
const LISTENED: u16 = 7001;
const OTHER: u16 = 7002;

/// Milliseconds.
#[derive(Default)]
pub struct Starts {
    /// Without a probe.
    pub plain: Samples,
    /// Until there is a file that is there.
    pub file: Samples,
    /// Until somebody listens where somebody does.
    pub tcp: Samples,
    /// Until the service itself listens, in Python.
    pub listener: Samples,
    pub stop: Samples,
    pub shell_open: Samples,
    pub shell_close: Samples,
}

impl Starts {
    /// Measures in turns.
    pub async fn measure(guest: &Guest<'_>, n_rounds: usize) -> Result<Self> {
        let mut starts = Self::default();
        start(guest, "listened", listener(LISTENED), Some(tcp(LISTENED))).await?;
        for round in 0..N_WARM_UP + n_rounds {
            if round == N_WARM_UP {
                starts = Self::default();
            }
            starts.plain.add(start(guest, "plain", sleep(), None).await?);
            starts.stop.add(stop(guest, "plain").await?);
            let file = Readiness::File { path: "/etc/passwd".into() };
            starts.file.add(start(guest, "file", sleep(), Some(file)).await?);
            stop(guest, "file").await?;
            starts.tcp.add(start(guest, "tcp", sleep(), Some(tcp(LISTENED))).await?);
            stop(guest, "tcp").await?;
            starts.listener.add(start(guest, "listener", listener(OTHER), Some(tcp(OTHER))).await?);
            stop(guest, "listener").await?;
            starts.shell(guest).await?;
            guest.rest().await;
        }
        stop(guest, "listened").await?;
        Ok(starts)
    }

    async fn shell(&mut self, guest: &Guest<'_>) -> Result<()> {
        let begun = Instant::now();
        let shell = guest.workspaces.open_shell(&guest.id, &ShellSpec::default()).await?;
        self.shell_open.add(milliseconds(begun.elapsed()));
        super::terminal::quiet(&guest.workspaces, &guest.id, &shell.shell_id, 0).await?;
        let begun = Instant::now();
        guest.workspaces.close_shell(&guest.id, shell.shell_id.as_str()).await?;
        self.shell_close.add(milliseconds(begun.elapsed()));
        Ok(())
    }
}

async fn start(guest: &Guest<'_>, name: &str, command: Command, readiness: Option<Readiness>) -> Result<f64> {
    let spec = ServiceSpec { readiness, ..ServiceSpec::new(ServiceName::parse(name)?, command) };
    let begun = Instant::now();
    guest.workspaces.start_service(&guest.id, &spec).await?;
    Ok(milliseconds(begun.elapsed()))
}

async fn stop(guest: &Guest<'_>, name: &str) -> Result<f64> {
    let begun = Instant::now();
    guest.workspaces.stop_service(&guest.id, name).await?;
    Ok(milliseconds(begun.elapsed()))
}

fn sleep() -> Command {
    Command::Argv(vec!["sleep".into(), "infinity".into()])
}

fn listener(port: u16) -> Command {
    let program =
        format!("import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(1e6)");
    Command::Argv(vec!["python3".into(), "-c".into(), program])
}

fn tcp(port: u16) -> Readiness {
    Readiness::Tcp { address: format!("127.0.0.1:{port}") }
}
