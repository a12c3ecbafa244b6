//! Which measurements are compared with which, and the bars.

use crate::executable::Parts;
use crate::run::memory::IdleClones;
use crate::run::ping::RoundTrips;
use crate::run::runs::Runs;
use crate::run::streams::Streams;
use crate::samples::Samples;
use crate::table::Bar::{AtLeast, AtMost};
use crate::table::Table;
use pyro_host::vm::initramfs::GUEST_AGENT;

/// Everything that was measured.
pub struct Report {
    pub runs: Runs,
    pub clones: IdleClones,
    pub agent_resident_kib: f64,
    pub trips: RoundTrips,
    pub streams: Streams,
    pub template_seconds: f64,
}

impl Report {
    /// As a table.
    pub fn table(self) -> Table {
        let mut table = Table::default();
        self.add_runs(&mut table);
        self.add_own_time(&mut table);
        self.add_sizes(&mut table);
        self.add_streams(&mut table);
        table
    }

    fn add_runs(&self, table: &mut Table) {
        let Runs { cold, warm, floor, floor_in_guest, .. } = &self.runs;
        table.add("floor: bare QEMU clone, `true`", "ms", floor.clone());
        table.add("  in-guest part", "ms", floor_in_guest.clone());
        table.add("warm: pyro run debian:12 -- true", "ms", warm.clone());
        table.figure(warm.median() / floor.median(), "warm / floor", Some(AtMost(1.3)));
        let in_guest = self.runs.part(Parts::in_guest_ms);
        let ratio = in_guest.median() / floor_in_guest.median();
        table.add("  in-guest part", "ms", in_guest);
        table.figure(ratio, "of the floor's", None);
        table.add("    up to the agent's welcome", "ms", self.runs.part(|parts| parts.hello_ms));
        table.add("    identity, `true`", "ms", self.runs.part(|parts| parts.exec_ms));
        table.add("  QEMU: start, load of the state", "ms", self.runs.part(|parts| parts.restore_ms));
        table.add("  QEMU: end", "ms", self.runs.part(|parts| parts.teardown_ms));
        table.add("cold: pyro run --cold", "ms", cold.clone());
        table.figure(cold.median() / warm.median(), "cold / warm", Some(AtLeast(8.0)));
    }

    fn add_own_time(&self, table: &mut Table) {
        let own = self.runs.part(Parts::own_ms);
        let median = own.median();
        table.add("pyro's own time, of a warm run", "ms", own);
        table.figure(median, "ms", Some(AtMost(15.0)));
        table.add("  its process: start and end", "ms", self.runs.part(Parts::process_ms));
        table.add("  QEMU, environment found", "ms", self.runs.part(|parts| parts.prepare_ms));
        table.add("  template found", "ms", self.runs.part(|parts| parts.template_ms));
        table.add("  disk made", "ms", self.runs.part(|parts| parts.disk_ms));
        table.add("  QEMU's process started", "ms", self.runs.part(|parts| parts.spawn_ms));
    }

    fn add_sizes(&self, table: &mut Table) {
        let agent_mib = f64::from(u32::try_from(GUEST_AGENT.len()).unwrap_or(u32::MAX)) / 1024.0 / 1024.0;
        table.add("guest agent on disk", "MiB", agent_mib.into());
        table.figure(agent_mib, "MiB", Some(AtMost(2.0)));
        let resident_mib = self.agent_resident_kib / 1024.0;
        table.add("guest agent resident", "MiB", resident_mib.into());
        table.figure(resident_mib, "MiB", Some(AtMost(4.0)));
        let IdleClones { pyro_mib, floor_mib } = &self.clones;
        table.add("idle bare clone, anonymous memory", "MiB", floor_mib.clone());
        table.add("idle clone of pyro, anonymous memory", "MiB", pyro_mib.clone());
        table.figure(pyro_mib.median() - floor_mib.median(), "MiB more", Some(AtMost(5.0)));
    }

    fn add_streams(&self, table: &mut Table) {
        let RoundTrips { guest_us, floor_us, socket_us, across_us } = &self.trips;
        table.add("round trip to the guest agent", "us", guest_us.clone());
        table.add("  unix-socket ping-pong, a core each", "us", across_us.clone());
        table.figure(guest_us.median() / across_us.median(), "guest / this", Some(AtMost(2.0)));
        table.add("  the same, on any core", "us", socket_us.clone());
        table.figure(guest_us.median() / socket_us.median(), "guest / this", None);
        table.add("  bare QEMU, trivial agent", "us", floor_us.clone());
        table.figure(guest_us.median() / floor_us.median(), "guest / this", None);
        table.add("standard output, 100 MB", "MB/s", self.streams.stdout.clone());
        table.add("standard input, 100 MB", "MB/s", self.streams.stdin.clone());
        table.add("first template of a shape", "s", Samples::from(self.template_seconds));
    }
}
