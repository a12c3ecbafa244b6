//! One step of the story: told when it begins and when it is done, and remembered.

use super::display::Event;
use super::report::StepReport;
use crate::commands::shown;
use pyro_host::error::{Error, ErrorKind, Result};
use pyro_host::start::StartEvent;
use std::time::Instant;
use tokio::sync::mpsc;

/// What a step is for, and what does the same when it is typed.
pub struct Step {
    name: &'static str,
    title: &'static str,
    command: String,
    begun: Instant,
}

/// What the typed command would have printed, and ended with.
pub struct Came {
    pub output: String,
    pub exit_code: i32,
}

impl Came {
    pub fn well(output: impl Into<String>) -> Self {
        Self { output: output.into(), exit_code: 0 }
    }
}

/// Tells the steps.
pub struct Teller {
    events: mpsc::Sender<Event>,
    steps: Vec<StepReport>,
}

impl Teller {
    pub fn new(events: mpsc::Sender<Event>) -> Self {
        Self { events, steps: Vec::new() }
    }

    /// All that was done.
    pub fn steps(self) -> Vec<StepReport> {
        self.steps
    }

    /// A step begins. `words` follow `pyro` when it is typed.
    pub async fn begins(&self, name: &'static str, title: &'static str, words: &[&str]) -> Result<Step> {
        let words: Vec<_> = words.iter().map(|word| shown::word(word)).collect();
        let command = format!("pyro {}", words.join(" "));
        self.say(Event::Begins { title, command: command.clone() }).await?;
        Ok(Step { name, title, command, begun: Instant::now() })
    }

    /// It is done.
    pub async fn ends(&mut self, step: Step, came: Came) -> Result<()> {
        let duration_ms = milliseconds(step.begun);
        let Step { name, command, .. } = step;
        let report =
            StepReport { name, command, exit_code: came.exit_code, output: came.output, duration_ms };
        self.steps.push(report.clone());
        self.say(Event::Done(report)).await
    }

    /// Passes on what a machine needs on its way.
    pub async fn passing_on<E>(&self, mut heard: mpsc::Receiver<E>, of: fn(E) -> Option<StartEvent>) {
        while let Some(event) = heard.recv().await {
            if let Some(event) = of(event) {
                let _ = self.say(Event::Start(event)).await; // the next step tells that nobody listens
            }
        }
    }

    async fn say(&self, event: Event) -> Result<()> {
        let unheard = |_| Error::new(ErrorKind::OutputClosed, "nobody listens to the story any more");
        self.events.send(event).await.map_err(unheard)
    }
}

impl Step {
    /// How long ago it began.
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// Refuses another exit code than that which the story is about.
    pub fn expect(&self, came: &Came, code: i32) -> Result<()> {
        if came.exit_code == code {
            return Ok(());
        }
        let Came { output, exit_code } = came;
        Err(self.unexpected(&format!("`{}` ended with {exit_code}, not with {code}: {output}", self.command)))
    }

    /// Something else happened than the story tells.
    pub fn unexpected(&self, what: &str) -> Error {
        let title = self.title.to_lowercase();
        Error::new(ErrorKind::Internal, format!("the demo did not come to what it tells: {title}"))
            .with_source(what)
            .with_hint("pyro doctor --boot looks whether guests run as they should")
    }
}

pub fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}
