//! Shows how far a pull is: a bar on a terminal, lines elsewhere.

use crate::output;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pyro_host::environment::PullProgress;
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
