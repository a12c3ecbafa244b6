//! Which measurements are compared with which, and the bars.

use super::idle::Idle;
use super::seeds::Seeds;
use super::work::{Large, Small};
use crate::table::Bar::AtMost;
use crate::table::Table;

/// Everything that was measured.
pub struct Report {
    pub seeds: Seeds,
    pub small: Small,
    pub large: Large,
    pub fresh: Idle,
    pub used: Idle,
}

impl Report {
    /// As a table.
    pub fn table(self) -> Table {
        let mut table = Table::default();
        self.add_files(&mut table);
        self.add_commands(&mut table);
        self.add_idle(&mut table);
        self.add_others(&mut table);
        table
    }

    fn add_files(&self, table: &mut Table) {
        let (Seeds { seed, tar, .. }, small) = (&self.seeds, &self.small);
        table.add("seed: 20 000 files, 200 MB", "ms", seed.clone());
        table.figure(seed.median() / tar.median(), "seed / tar", Some(AtMost(1.5)));
        table.add("  tar of the same, by exec", "ms", tar.clone());
        table.add("sync of 10 files into 20 000", "ms", small.sync_large.clone());
        let more = small.sync_large.median() - small.sync_empty.median();
        table.figure(more, "ms more", Some(AtMost(200.0)));
        table.add("  into an empty workspace", "ms", small.sync_empty.clone());
        table.add("diff of 10 files among 20 000", "ms", small.diff_large.clone());
        let ratio = small.diff_large.median() / small.diff_small.median();
        table.figure(ratio, "large / small", Some(AtMost(3.0)));
        table.add("  of 10 files among 100", "ms", small.diff_small.clone());
    }

    fn add_commands(&self, table: &mut Table) {
        let Small { exec, exec_guest, exec_above, exec_two, .. } = &self.small;
        table.add("exec: pyro workspace exec ID -- true", "ms", exec.clone());
        table.add("  by its history entry", "ms", exec_guest.clone());
        table.add("  above that", "ms", exec_above.clone());
        table.figure(exec_above.median(), "ms", Some(AtMost(10.0)));
        table.add("  two at once", "ms", exec_two.clone());
        table.figure(exec_two.median() / exec.median(), "two / one", None);
    }

    fn add_idle(&self, table: &mut Table) {
        let Self { fresh, used, .. } = self;
        table.add("idle supervisor, private memory", "MiB", fresh.private_mib.clone());
        table.figure(fresh.private_mib.median(), "MiB", Some(AtMost(12.0)));
        table.add("  after everything above", "MiB", used.private_mib.clone());
        table.figure(used.private_mib.median(), "MiB", Some(AtMost(12.0)));
        table.add("idle supervisor, wake-ups in 10 s", "", fresh.wake_ups.clone());
        table.figure(fresh.wake_ups.median(), "wake-ups", Some(AtMost(0.0)));
        table.add("  after everything above", "", used.wake_ups.clone());
        table.figure(used.wake_ups.median(), "wake-ups", Some(AtMost(0.0)));
    }

    fn add_others(&self, table: &mut Table) {
        let Large { export, sync, stop, start } = &self.large;
        table.add("create: warm, without files", "ms", self.seeds.create.clone());
        table.add("stop", "ms", stop.clone());
        table.add("start", "ms", start.clone());
        table.add("export: 20 000 files, 200 MB", "ms", export.clone());
        table.add("sync of all 20 000 files, unchanged", "ms", sync.clone());
    }
}
