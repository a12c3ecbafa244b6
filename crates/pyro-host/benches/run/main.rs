//! `cargo xtask bench`: times pyro beside a bare QEMU clone of the same guest, on one machine in one run.
//!
//! Everything that is compared is measured in turns (cold, warm, floor, cold, warm, floor, …), so that noise hits
//! all alike, and told as medians and ratios. A bar that is missed is printed as missed and fails nothing.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

mod arguments;
mod bare_qemu;
mod executable;
mod floor;
mod host;
mod memory;
mod ping;
mod report;
mod runs;
mod samples;
mod streams;
mod table;

use arguments::{Arguments, Wanted};
use executable::Executable;
use floor::Floor;
use host::Host;
use memory::IdleClones;
use ping::RoundTrips;
use pyro_host::identity;
use pyro_host::vm::machine::Machine;
use report::Report;
use runs::Runs;
use std::process::ExitCode;
use streams::Streams;

/// Whatever keeps the bench from measuring ends it.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let done = match arguments::parse(std::env::args().skip(1)) {
        Ok(Wanted::Bench(arguments)) => bench(&arguments),
        Ok(Wanted::Echo) => ping::echo(),
        Ok(Wanted::Help) => {
            println!("{}", arguments::HELP);
            Ok(())
        }
        Err(why) => Err(why.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(arguments: &Arguments) -> Result<()> {
    let (host, executable) = (Host::find()?, Executable::find()?);
    for (name, value) in host.conditions() {
        println!("{name:12} {value}");
    }
    println!("{:12} {}", "version", executable.version()?);
    println!("{:12} {}", "load before", host::load());
    eprintln!("building the floor's template, and pyro's if it is missing");
    let floor = Floor::build(&host)?;
    executable.time_run(&[])?;
    eprintln!("{} rounds of warm runs and bare clones, {} cold runs", arguments.runs, arguments.cold_runs);
    let runs = Runs::measure(&executable, &floor, arguments)?;
    eprintln!("memory of idle clones");
    let clones = IdleClones::measure(&executable, &floor, arguments.idle_clones)?;
    let agent_resident_kib = memory::agent_resident_kib(&executable)?;
    eprintln!("round trips, streams, the build of a template");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (trips, streams, template_seconds) = runtime.block_on(in_one_guest(&host, &floor))?;
    println!("{:12} {}\n", "load after", host::load());
    let report = Report { runs, clones, agent_resident_kib, trips, streams, template_seconds };
    let table = report.table();
    let (n_met, n_bars) = table.verdict();
    println!("{table}\n{n_met} of {n_bars} bars met");
    Ok(())
}

/// What is measured by way of the library, in a guest that stays.
async fn in_one_guest(host: &Host, floor: &Floor<'_>) -> Result<(RoundTrips, Streams, f64)> {
    let template = host.template().await?;
    let disk = template.disk(&host.state_dir)?;
    let origin = template.into_origin();
    let mut machine = Machine::launch(&host.hypervisor, &host.spec, &host.environment, disk, origin).await?;
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
