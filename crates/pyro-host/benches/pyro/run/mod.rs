//! Runs, cold and warm, beside a bare QEMU clone of the same guest.

mod bare_qemu;
mod floor;
mod memory;
pub mod ping;
mod report;
mod runs;
mod streams;

use crate::Result;
use crate::arguments::Arguments;
use crate::executable::Executable;
use crate::host::Host;
use crate::table::Table;
use floor::Floor;
use memory::IdleClones;
use ping::RoundTrips;
use pyro_host::identity;
use pyro_host::vm::Border;
use pyro_host::vm::machine::Machine;
use report::Report;
use runs::Runs;
use streams::Streams;
use tokio::runtime::Runtime;

/// Measures everything about runs.
pub fn bench(
    runtime: &Runtime,
    host: &Host,
    executable: &Executable,
    arguments: &Arguments,
) -> Result<Table> {
    eprintln!("building the floor's template, and pyro's if it is missing");
    let floor = Floor::build(host)?;
    executable.time_run(&[])?;
    eprintln!("{} rounds of warm runs and bare clones, {} cold runs", arguments.runs, arguments.cold_runs);
    let runs = Runs::measure(executable, &floor, arguments)?;
    eprintln!("memory of idle clones");
    let clones = IdleClones::measure(executable, &floor, arguments.idle_clones)?;
    let agent_resident_kib = memory::agent_resident_kib(executable)?;
    eprintln!("round trips, streams, the build of a template");
    let (trips, streams, template_seconds) = runtime.block_on(in_one_guest(host, &floor))?;
    Ok(Report { runs, clones, agent_resident_kib, trips, streams, template_seconds }.table())
}

/// What is measured by way of the library, in a guest that stays.
async fn in_one_guest(host: &Host, floor: &Floor<'_>) -> Result<(RoundTrips, Streams, f64)> {
    let template = host.template().await?;
    let disk = template.disk(&host.state_dir)?;
    let origin = template.into_origin();
    let border = Border::default();
    let mut machine =
        Machine::launch(&host.hypervisor, &host.spec, &host.environment, disk, origin, &border).await?;
    let identified = machine.connection().identify(identity::fresh()?);
    machine.ready().await?;
    identified.await?;
    let (mut bare_clone, _) = floor.run_true()?;
    let trips = RoundTrips::measure(machine.connection(), &mut bare_clone).await?;
    drop(bare_clone);
    let streams = Streams::measure(machine.connection()).await?;
    machine.kill()?;
    Ok((trips, streams, streams::template_seconds(host).await?))
}
