//! What is done with workspaces that are there: commands, small syncs, differences; all of the large tree to and fro.

use super::commands::{exec_true, exec_two};
use super::trees::{N_CHANGED, Trees};
use crate::Result;
use crate::executable::Executable;
use crate::lot::Lot;
use crate::samples::{Samples, milliseconds};
use pyro_host::workspace::{SyncProgress, Workspaces};
use std::path::Path;
use std::time::{Duration, Instant};

/// Rounds that are not counted: the guest runs everything for the first time in them.
const N_WARM_UP: usize = 1;

/// Longer than the supervisor waits with its flush after a command, which else would meet what is measured.
const REST: Duration = Duration::from_millis(1500);

/// The workspaces, by what they were seeded with.
pub struct Ids {
    pub large: String,
    pub small: String,
    pub empty: String,
}

/// Milliseconds of what is small.
#[derive(Default)]
pub struct Small {
    pub sync_large: Samples,
    pub sync_empty: Samples,
    pub diff_large: Samples,
    pub diff_small: Samples,
    pub exec: Samples,
    pub exec_guest: Samples,
    pub exec_above: Samples,
    pub exec_two: Samples,
}

impl Small {
    /// Measures in turns.
    pub async fn measure(
        workspaces: &Workspaces,
        executable: &Executable,
        trees: &Trees,
        ids: &Ids,
        n_rounds: usize,
    ) -> Result<Self> {
        let mut small = Self::default();
        for round in 0..N_WARM_UP + n_rounds {
            if round == N_WARM_UP {
                small = Self::default();
            }
            let changed = trees.changed(round)?;
            small.sync_large.add(sync(workspaces, &ids.large, &changed).await?);
            small.sync_empty.add(sync(workspaces, &ids.empty, &changed).await?);
            sync(workspaces, &ids.small, &changed).await?;
            small.diff_large.add(diff(workspaces, &ids.large).await?);
            small.diff_small.add(diff(workspaces, &ids.small).await?);
            let timing = exec_true(executable, &ids.empty)?;
            small.exec.add(timing.wall_ms);
            small.exec_guest.add(timing.duration_ms);
            small.exec_above.add(timing.wall_ms - timing.duration_ms);
            small.exec_two.add(exec_two(executable, &ids.empty)?);
            tokio::time::sleep(REST).await;
        }
        Ok(small)
    }
}

/// Milliseconds of what moves the whole tree, and of the machine's end and start.
#[derive(Default)]
pub struct Large {
    pub export: Samples,
    pub sync: Samples,
    pub stop: Samples,
    pub start: Samples,
}

impl Large {
    /// Exports and syncs. After this the workspace differs from its baseline in the times of all files.
    pub async fn measure(workspaces: &Workspaces, trees: &Trees, ids: &Ids, n_rounds: usize) -> Result<Self> {
        let mut large = Self::default();
        let output = trees.scratch("exported");
        for _ in 0..n_rounds {
            let begun = Instant::now();
            workspaces.export(&ids.large, "/workspace", &output, false).await?;
            large.export.add(milliseconds(begun.elapsed()));
            std::fs::remove_dir_all(&output)?;
            large.sync.add(sync(workspaces, &ids.large, &trees.large()).await?);
        }
        Ok(large)
    }

    /// Stops and starts.
    pub async fn restart(&mut self, lot: &Lot<'_>, ids: &Ids, n_rounds: usize) -> Result<()> {
        for _ in 0..n_rounds {
            let begun = Instant::now();
            lot.workspaces.stop(&ids.large).await?;
            self.stop.add(milliseconds(begun.elapsed()));
            let begun = Instant::now();
            lot.workspaces.start(&ids.large, None).await?;
            self.start.add(milliseconds(begun.elapsed()));
        }
        Ok(())
    }
}

async fn sync(workspaces: &Workspaces, id: &str, source: &Path) -> Result<f64> {
    let begun = Instant::now();
    workspaces.sync(id, source, "/workspace", None::<fn(SyncProgress)>).await?;
    Ok(milliseconds(begun.elapsed()))
}

async fn diff(workspaces: &Workspaces, id: &str) -> Result<f64> {
    let begun = Instant::now();
    let diff = workspaces.diff(id).await?;
    let elapsed = milliseconds(begun.elapsed());
    if diff.entries.len() == N_CHANGED {
        Ok(elapsed)
    } else {
        Err(format!("{N_CHANGED} files were changed, and {} differ", diff.entries.len()).into())
    }
}
