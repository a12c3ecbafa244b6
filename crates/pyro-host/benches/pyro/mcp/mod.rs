//! What the MCP server adds to a call: the same command in the same workspace, through it and through the façade.

mod client;

use crate::Result;
use crate::arguments::Arguments;
use crate::executable::Executable;
use crate::host::Host;
use crate::lot::Lot;
use crate::samples::{Samples, milliseconds};
use crate::table::Bar::AtMost;
use crate::table::Table;
use client::Client;
use pyro_host::command::Command;
use pyro_host::workspace::{ExecSpec, Workspaces};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Before each call, so that none meets what the one before has left to do.
const PAUSE: Duration = Duration::from_millis(100);

/// Calls of each kind that are not counted.
const N_WARM_UP: usize = 2;

/// Measures execs, and lists of tools.
pub fn bench(
    runtime: &Runtime,
    host: &Host,
    executable: &Executable,
    arguments: &Arguments,
) -> Result<Table> {
    let measured = runtime.block_on(async {
        tokio::select! {
            report = Report::measure(host, executable, arguments.calls) => report,
            _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
        }
    });
    Ok(measured?.table())
}

/// Milliseconds.
#[derive(Default)]
struct Report {
    facade: Samples,
    server: Samples,
    list: Samples,
    start: Samples,
}

impl Report {
    async fn measure(host: &Host, executable: &Executable, n_calls: usize) -> Result<Self> {
        eprintln!("{n_calls} commands through the façade and as many through the MCP server");
        let mut lot = Lot::new(host, executable);
        let (id, _) = lot.create(None).await?;
        let mut client = Client::start(executable).await?;
        let mut report = Self::default();
        for index in 0..N_WARM_UP + n_calls {
            let (facade, server) = (through_facade(&lot.workspaces, &id).await?, client.exec(&id).await?);
            let (list, start) = (client.list().await?, Client::time_start(executable).await?);
            if index >= N_WARM_UP {
                report.facade.add(facade);
                report.server.add(server);
                report.list.add(list);
                report.start.add(start);
            }
        }
        client.end().await?;
        Ok(report)
    }

    fn table(self) -> Table {
        let mut table = Table::default();
        let added = self.server.median() - self.facade.median();
        table.add("mcp: workspace_exec of true", "ms", self.server);
        table.figure(added, "ms above the façade", Some(AtMost(3.0)));
        table.add("  the same through the façade", "ms", self.facade);
        table.add("  tools/list, all 28", "ms", self.list);
        table.add("  start of the server until it has answered", "ms", self.start);
        table
    }
}

async fn through_facade(workspaces: &Workspaces, id: &str) -> Result<f64> {
    tokio::time::sleep(PAUSE).await;
    let spec = ExecSpec::new(Command::Argv(vec!["true".into()]));
    let begun = Instant::now();
    let ended = workspaces.exec(id, &spec, None, None).await?;
    let elapsed = milliseconds(begun.elapsed());
    if ended.exit_code == 0 {
        Ok(elapsed)
    } else {
        Err(format!("true ended with {}", ended.exit_code).into())
    }
}
