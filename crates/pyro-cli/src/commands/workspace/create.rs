//! `pyro workspace create`.

use super::summary::{closing_line, describe};
use crate::commands::block_on;
use crate::commands::machine::{MachineArgs, accelerator_name};
use crate::commands::printer::{Printer, Show};
use crate::commands::progress::{StartDisplay, TransferDisplay, on_this_host};
use crate::exit::Failure;
use crate::output;
use clap::Args;
use pyro_host::error::Error;
use pyro_host::instance::SeedMode;
use pyro_host::pyro::Pyro;
use pyro_host::supervisor::PersistentSpec;
use pyro_host::vm::disk::{DEFAULT_DISK_MIB, DiskSpec};
use pyro_host::workspace::{WorkspaceEvent, WorkspaceSpec, WorkspaceStatus};
use std::path::PathBuf;

/// Create a workspace and start it.
///
/// With --seed-path, /workspace is filled before anything runs in it; what it holds then is the baseline of `diff`.
/// On any failure nothing of it is left.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
\x20 id=$(pyro workspace create debian:12 --seed-path . --id-only)\n\
\x20 pyro workspace exec $id -- ls\n\
\x20 pyro workspace delete $id\n\
\x20 id=$(pyro workspace create debian:12 --ttl-seconds 3600 --disk-mib 8192 --id-only)\n\
\x20 pyro workspace delete $id")]
pub struct Create {
    #[command(flatten)]
    machine: MachineArgs,

    /// Fill /workspace with a directory of this host, or an archive: .tar, .tar.gz, .tgz or .tar.zst.
    #[arg(long, value_name = "PATH")]
    seed_path: Option<PathBuf>,

    /// Size of the disk in MiB. It is sparse: the host gives it what the guest writes.
    #[arg(long, value_name = "MIB", default_value_t = DEFAULT_DISK_MIB)]
    disk_mib: u64,

    /// Print nothing but the id.
    #[arg(long, conflicts_with = "json")]
    id_only: bool,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Create {
    pub fn execute(self) -> Result<u8, Failure> {
        let (json, id_only, spec) = (self.json, self.id_only, self.into_spec()?);
        let pyro = Pyro::from_environment()?;
        let environment = &spec.machine.environment;
        output::note(&format!("[workspace-create] phase=start environment={environment}"));
        let (events, printer) = Printer::start(Display::new(environment));
        let created = block_on(pyro.create_workspace(&spec, Some(&events)));
        drop(events);
        let (created, printer) = printer.outcome(created)?;
        printer.printed()?.seeded(&created);
        if json {
            output::json(&created)?;
        } else {
            let id = &created.workspace_id;
            output::text(&if id_only { format!("{id}\n") } else { describe(&created) })?;
            output::note(&closing_line("workspace-create", &created, &told(&created)));
        }
        Ok(0)
    }

    fn into_spec(self) -> Result<WorkspaceSpec, Error> {
        let machine = self.machine;
        let network = machine.network()?;
        let vm = machine.vm(DiskSpec::Persistent { size_mib: self.disk_mib });
        let machine = PersistentSpec {
            vm,
            environment: machine.environment,
            ttl_seconds: machine.ttl_seconds,
            network,
            require_isolation: machine.require_isolation,
            allow_host_compat: machine.allow_host_compat,
            accelerator: machine.accel,
            mirror: machine.mirror,
        };
        Ok(WorkspaceSpec { machine, seed_path: self.seed_path })
    }
}

fn told(created: &WorkspaceStatus) -> String {
    format!(
        " execution_mode={} accelerator={} seed_entries={}",
        created.execution_mode.name(),
        accelerator_name(created.accelerator),
        created.workspace_seed.entry_count,
    )
}

/// Shows what happens.
struct Display {
    start: StartDisplay,
    seed: Option<TransferDisplay>,
}

impl Display {
    fn new(environment: &str) -> Self {
        Self { start: StartDisplay::new(environment), seed: None }
    }

    fn seeded(self, created: &WorkspaceStatus) {
        let seed = &created.workspace_seed;
        if seed.mode != SeedMode::Empty {
            let display = self.seed.unwrap_or_else(|| TransferDisplay::new("seed"));
            display.done(seed.entry_count, seed.bytes_written);
        }
    }
}

impl Show<WorkspaceEvent> for Display {
    fn show(&mut self, event: WorkspaceEvent) -> Result<(), Error> {
        match event {
            WorkspaceEvent::Start(event) => self.start.show(event),
            WorkspaceEvent::HostCompat(reason) => {
                self.start.finish();
                output::note(&on_this_host(&reason));
                Ok(())
            }
            WorkspaceEvent::Seed(progress) => {
                self.start.finish();
                self.seed.get_or_insert_with(|| TransferDisplay::new("seed")).show(progress);
                Ok(())
            }
        }
    }

    fn finish(&mut self) {
        self.start.finish();
        if let Some(seed) = &self.seed {
            seed.finish();
        }
    }
}
