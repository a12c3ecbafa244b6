//! What stays in a workspace: shells to type at and to read, services that become ready.

mod echo;
mod guest;
mod prints;
mod report;
mod starts;
mod terminal;

use crate::Result;
use crate::arguments::Arguments;
use crate::executable::Executable;
use crate::host::Host;
use crate::table::Table;
use echo::Echo;
use guest::Guest;
use prints::Prints;
use report::Report;
use starts::Starts;
use tokio::runtime::Runtime;

/// Measures everything about shells and services.
pub fn bench(
    runtime: &Runtime,
    host: &Host,
    executable: &Executable,
    arguments: &Arguments,
) -> Result<Table> {
    let measured = runtime.block_on(async {
        tokio::select! {
            report = measure(host, executable, arguments) => report,
            _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
        }
    });
    Ok(measured?.table())
}

async fn measure(host: &Host, executable: &Executable, arguments: &Arguments) -> Result<Report> {
    let guest = Guest::create(host, executable).await?;
    let Arguments { keys: n_keys, starts: n_starts, prints: n_prints, .. } = *arguments;
    eprintln!("{n_keys} keys typed at a shell in each of some ways");
    let echo = Echo::measure(&guest, n_keys).await?;
    eprintln!("{n_starts} rounds of services and shells started and ended");
    let starts = Starts::measure(&guest, n_starts).await?;
    eprintln!("{n_prints} rounds of printing and reading");
    let prints = Prints::measure(&guest, n_prints).await?;
    Ok(Report { echo, starts, prints })
}
