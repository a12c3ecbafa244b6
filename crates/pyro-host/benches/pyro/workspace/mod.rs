//! Workspaces: files into them and out of them, commands in them, and what an idle one costs.

mod commands;
mod idle;
mod report;
mod seeds;
mod trees;
mod work;

use crate::Result;
use crate::arguments::Arguments;
use crate::executable::Executable;
use crate::host::Host;
use crate::lot::Lot;
use crate::table::Table;
use idle::Idle;
use report::Report;
use seeds::Seeds;
use tokio::runtime::Runtime;
use trees::Trees;
use work::{Ids, Large, Small};

/// Measures everything about workspaces.
pub fn bench(
    runtime: &Runtime,
    host: &Host,
    executable: &Executable,
    arguments: &Arguments,
) -> Result<Table> {
    eprintln!("writing trees of files");
    let trees = Trees::write()?;
    // Dropped, it deletes what was created, whatever fails.
    let mut lot = Lot::new(host, executable);
    let measured = runtime.block_on(async {
        tokio::select! {
            report = measure(&mut lot, executable, &trees, arguments) => report,
            _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
        }
    });
    Ok(measured?.table())
}

async fn measure(
    lot: &mut Lot<'_>,
    executable: &Executable,
    trees: &Trees,
    arguments: &Arguments,
) -> Result<Report> {
    let Arguments { seeds: n_seeds, rounds: n_rounds, .. } = *arguments;
    eprintln!("an idle supervisor, and the template if it is missing");
    let fresh = alone(lot).await?;
    eprintln!("{n_seeds} rounds of seeding and tar");
    let (seeds, large) = Seeds::measure(lot, executable, trees, n_seeds).await?;
    let (small, _) = lot.create(Some(&trees.small())).await?;
    let (empty, _) = lot.create(None).await?;
    let ids = Ids { large, small, empty };
    eprintln!("{n_rounds} rounds of execs, syncs and differences of ten files");
    let small = Small::measure(&lot.workspaces, executable, trees, &ids, n_rounds).await?;
    eprintln!("{n_seeds} rounds of export and sync of everything");
    let mut large = Large::measure(&lot.workspaces, trees, &ids, n_seeds).await?;
    eprintln!("an idle supervisor that has done all this, stop, start");
    lot.delete(&ids.small).await?;
    lot.delete(&ids.empty).await?;
    let used = Idle::measure(lot, &ids.large).await?;
    large.restart(lot, &ids, n_seeds).await?;
    Ok(Report { seeds, small, large, fresh, used })
}

/// An idle supervisor that is the only one, so that it shares its program with nobody.
async fn alone(lot: &mut Lot<'_>) -> Result<Idle> {
    let (only, _) = lot.create(None).await?;
    let idle = Idle::measure(lot, &only).await;
    lot.delete(&only).await?;
    idle
}
