//! `pyro doctor`.

use super::block_on;
use crate::exit::Failure;
use crate::output;
use clap::Args;
use pyro_host::doctor::{BootReport, CheckStatus, DoctorOptions, DoctorReport};
use pyro_host::pyro::Pyro;
use pyro_host::run::RunTimings;
use pyro_host::vm::accelerator::AcceleratorChoice;
use std::fmt::Write;

/// Examine this host: what can run here, and what to do about what cannot.
///
/// KVM is timed with real guest code, tools are looked for, folders are written to. Exit code 1 when guests cannot run.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pyro doctor\n  pyro doctor --boot\n  pyro doctor --json")]
pub struct Doctor {
    /// The environment that --boot starts.
    #[arg(long, value_name = "NAME", default_value = "debian:12")]
    environment: String,

    /// Start a real guest, cold and as a clone, and print the time of each phase.
    #[arg(long)]
    boot: bool,

    /// What runs the guest: auto (by measurement), kvm or tcg.
    #[arg(long, value_name = "ACCELERATOR", env = "PYRO_ACCEL", default_value = "auto")]
    accel: AcceleratorChoice,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Doctor {
    pub fn execute(self) -> Result<u8, Failure> {
        let options =
            DoctorOptions { environment: self.environment, boot: self.boot, accelerator: self.accel };
        let pyro = Pyro::from_environment()?;
        let report = block_on(pyro.doctor(&options))?;
        if self.json {
            output::json(&report)?;
        } else {
            output::text(&describe(&report))?;
        }
        Ok(u8::from(!report.runtime_ok))
    }
}

fn describe(report: &DoctorReport) -> String {
    let mut text = String::new();
    for check in &report.checks {
        let mark = match check.status {
            CheckStatus::Ok => "ok      ",
            CheckStatus::Degraded => "degraded",
            CheckStatus::Failed => "FAILED  ",
        };
        let _ = writeln!(text, "{mark}  {}: {}", check.name, check.found);
        if let (Some(hint), true) = (&check.hint, check.status != CheckStatus::Ok) {
            let _ = writeln!(text, "          hint: {hint}");
        }
    }
    if let Some(boot) = &report.boot {
        describe_boot(boot, &mut text);
    }
    let verdict = if report.runtime_ok { "guests can run here" } else { "guests cannot run here" };
    let _ = writeln!(text, "{verdict}");
    text
}

fn describe_boot(boot: &BootReport, text: &mut String) {
    let _ = writeln!(text, "\n{:>12} {:>12} {:>12}", "", "cold boot", "clone");
    let parts = |timings: &RunTimings| {
        [
            ("template", timings.template_ms),
            ("disk", timings.disk_ms),
            ("spawn", timings.spawn_ms),
            ("restore", timings.restore_ms),
            ("hello", timings.hello_ms),
            ("exec", timings.exec_ms),
            ("teardown", timings.teardown_ms),
            ("total", timings.total_ms),
        ]
    };
    for ((name, cold), (_, warm)) in parts(&boot.cold).into_iter().zip(parts(&boot.warm)) {
        let _ = writeln!(text, "{name:>12} {cold:>9.1} ms {warm:>9.1} ms");
    }
    let _ = writeln!(text);
}
