//! Shows how far something is that takes long: a bar on a terminal, lines elsewhere.

use super::printer::Show;
use crate::output;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pyro_host::environment::PullProgress;
use pyro_host::error::Error;
use pyro_host::start::StartEvent;
use pyro_host::workspace::SyncProgress;
use std::time::Duration;

pub struct PullDisplay {
    environment: String,
    /// None where standard error is no terminal.
    bar: Option<ProgressBar>,
}

impl PullDisplay {
    pub fn new(environment: &str) -> Self {
        Self { environment: environment.to_owned(), bar: None }
    }

    pub fn show(&mut self, progress: &PullProgress) {
        match progress {
            PullProgress::Phase { phase, .. } if !output::stderr_is_terminal() => {
                output::note(&format!("[pull] phase={} environment={}", phase.code(), self.environment));
            }
            PullProgress::Phase { phase, .. } => {
                let bar = self.bar();
                bar.set_style(spinner());
                bar.set_message(phase.code());
            }
            PullProgress::Download { bytes, total_bytes } => {
                self.count("download", *bytes, *total_bytes, true);
            }
            PullProgress::Packages { done, total } => self.count("packages", *done, *total, false),
        }
    }

    /// Takes the bar away, if there is one.
    pub fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn count(&mut self, what: &'static str, done: u64, total: u64, in_bytes: bool) {
        if !output::stderr_is_terminal() {
            return;
        }
        let bar = self.bar();
        bar.set_style(counter(in_bytes));
        bar.set_length(total);
        bar.set_position(done);
        bar.set_message(what);
    }

    fn bar(&mut self) -> &ProgressBar {
        self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_prefix(self.environment.clone());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        })
    }
}

/// Shows what the start of a machine needs: a pull, a template.
pub struct StartDisplay {
    pull: PullDisplay,
    environment: String,
}

impl StartDisplay {
    pub fn new(environment: &str) -> Self {
        Self { pull: PullDisplay::new(environment), environment: environment.to_owned() }
    }
}

impl Show<StartEvent> for StartDisplay {
    fn show(&mut self, event: StartEvent) -> Result<(), Error> {
        match event {
            StartEvent::Pull(progress) => self.pull.show(&progress),
            StartEvent::BuildingTemplate => {
                self.pull.finish();
                output::note(&format!(
                    "[template] phase=boot environment={} (first use of this shape: it is booted once, later starts \
                     are clones)",
                    self.environment
                ));
            }
            StartEvent::RebuildingTemplate(reason) => {
                output::note(&format!(
                    "[template] phase=rebuild environment={} reason={reason}",
                    self.environment
                ));
            }
            StartEvent::HostCompat(reason) => output::note(&on_this_host(&reason)),
        }
        Ok(())
    }

    fn finish(&mut self) {
        self.pull.finish();
    }
}

/// Says loudly that there will be no machine.
pub fn on_this_host(reason: &str) -> String {
    format!(
        "warning: commands run ON THIS HOST, WITHOUT ISOLATION (--allow-host-compat): no guest could be started: \
         {reason}"
    )
}

/// Shows how much of a tree of files has been moved. How much there is nobody knows before its end.
#[derive(Debug, Clone)]
pub struct TransferDisplay {
    name: &'static str,
    /// None where standard error is no terminal.
    bar: Option<ProgressBar>,
}

impl TransferDisplay {
    /// `name` is the word in brackets: `seed`, `sync`.
    pub fn new(name: &'static str) -> Self {
        let bar = output::stderr_is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(style("{spinner} {prefix}: {msg} entries, {bytes} ({elapsed})"));
            bar.set_prefix(name);
            bar
        });
        Self { name, bar }
    }

    pub fn show(&self, progress: SyncProgress) {
        if let Some(bar) = &self.bar {
            bar.set_message(progress.entry_count.to_string());
            bar.set_position(progress.bytes);
        }
    }

    /// All is there, or it has failed. Takes the bar away, if there is one.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// All is there.
    pub fn done(&self, entry_count: u64, bytes: u64) {
        self.finish();
        if self.bar.is_none() {
            output::note(&format!("[{}] entries={entry_count} bytes={bytes}", self.name));
        }
    }
}

fn spinner() -> ProgressStyle {
    style("{spinner} pull {prefix}: {msg} ({elapsed})")
}

fn counter(in_bytes: bool) -> ProgressStyle {
    if in_bytes {
        style("{spinner} pull {prefix}: {msg} {bytes}/{total_bytes} {wide_bar}")
    } else {
        style("{spinner} pull {prefix}: {msg} {pos}/{len} {wide_bar}")
    }
}

fn style(template: &str) -> ProgressStyle {
    // Constant templates; should one be wrong, the default bar is still a bar.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
