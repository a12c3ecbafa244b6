//! Shows the story step by step.

use super::report::StepReport;
use super::shortened;
use crate::commands::printer::Show;
use crate::commands::progress::StartDisplay;
use crate::output;
use pyro_host::error::Error;
use pyro_host::start::StartEvent;

/// What happens in the story.
#[derive(Debug)]
pub enum Event {
    /// A step begins: what it is for, and what does the same when it is typed.
    Begins { title: &'static str, command: String },
    /// A machine needs something.
    Start(StartEvent),
    /// The step is done.
    Done(StepReport),
}

/// Prints it. As JSON nothing but progress, on standard error.
pub struct Display {
    start: StartDisplay,
    n_steps: usize,
    json: bool,
}

impl Display {
    pub fn new(environment: &str, json: bool) -> Self {
        Self { start: StartDisplay::new(environment), n_steps: 0, json }
    }

    fn begins(&mut self, title: &str, command: &str) -> Result<(), Error> {
        self.n_steps += 1;
        let before = if self.n_steps == 1 { "" } else { "\n" };
        output::text(&format!("{before}{}. {title}\n   $ {command}\n", self.n_steps))
    }
}

impl Show<Event> for Display {
    fn show(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Start(event) => return self.start.show(event),
            _ if self.json => {}
            Event::Begins { title, command } => self.begins(title, &command)?,
            Event::Done(step) => {
                self.start.finish();
                output::text(&came(&step))?;
            }
        }
        Ok(())
    }

    fn finish(&mut self) {
        self.start.finish();
    }
}

fn came(step: &StepReport) -> String {
    let lines = shortened::lines(&step.output);
    let output: String = lines.iter().map(|line| format!("   {line}").trim_end().to_owned() + "\n").collect();
    let code = if step.exit_code == 0 { String::new() } else { format!("exit code {}, ", step.exit_code) };
    format!("{output}   ({code}{:.0} ms)\n", step.duration_ms)
}
