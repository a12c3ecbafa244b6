//! `pyro demo`: one file per command, and what the story needs.

mod display;
mod ollama;
mod project;
mod report;
mod shortened;
mod step;
mod story;

use super::block_on;
use super::printer::Printer;
use crate::exit::Failure;
use crate::output;
use clap::{Args, Subcommand};
use display::Display;
use pyro_host::error::ErrorKind;
use pyro_host::pyro::Pyro;
use pyro_host::vm::accelerator::AcceleratorChoice;
use story::Story;

/// Tell a short story in real guests: what pyro does, with the commands to type.
///
/// A small project is copied into a workspace, its test fails, the fix is brought in, the test passes; a web service, a shell,
/// a diff and an export follow. All of it is deleted at the end, also when the story is interrupted.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:\n  pyro demo\n  pyro demo --json")]
pub struct Demo {
    #[command(subcommand)]
    command: Option<DemoCommand>,

    #[command(flatten)]
    story: StoryArgs,
}

/// What is demonstrated instead of the story.
#[derive(Debug, Subcommand)]
enum DemoCommand {
    Ollama(ollama::Ollama),
}

/// The story that is wanted.
#[derive(Debug, Clone, Args)]
struct StoryArgs {
    /// Give the guests a network.
    #[arg(long)]
    network: bool,

    /// What runs the guests: auto (by measurement), kvm or tcg.
    #[arg(long, value_name = "ACCELERATOR", env = "PYRO_ACCEL", default_value = "auto")]
    accel: AcceleratorChoice,

    /// The Debian mirror to pull the environment from, if it is not installed.
    #[arg(long, value_name = "URL", env = "PYRO_DEBIAN_MIRROR")]
    mirror: Option<String>,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What is said at the end of the story.
const NEXT: &str = "
That is all. The machines are gone, and all files that were in them.

What to try next:
  pyro run debian:12 -- COMMAND                                    one command in a machine of its own
  id=$(pyro workspace create debian:12 --seed-path . --id-only)    a workspace with a copy of this directory
  pyro workspace --help                                            what can be done with it
  claude mcp add pyro -- pyro mcp serve                            all of it as tools for a coding agent
  pyro demo ollama                                                 a local model that uses a machine
";

impl Demo {
    /// Whether the result is to be JSON.
    pub fn json(&self) -> bool {
        match &self.command {
            Some(DemoCommand::Ollama(ollama)) => ollama.json,
            None => self.story.json,
        }
    }

    pub fn execute(self) -> Result<u8, Failure> {
        match self.command {
            Some(DemoCommand::Ollama(ollama)) => ollama.execute(),
            None => tell(self.story),
        }
    }
}

fn tell(wanted: StoryArgs) -> Result<u8, Failure> {
    let json = wanted.json;
    let pyro = Pyro::from_environment()?;
    let (events, printer) = Printer::start(Display::new(story::ENVIRONMENT, json));
    let mut story = Story::new(pyro.clone(), wanted, events);
    let told = block_on(story.tell());
    if let Some(id) = story.workspace() {
        delete(&pyro, id);
    }
    let report = story.end();
    let ((), printer) = printer.outcome(told)?;
    printer.printed()?;
    if json {
        output::json(&report)?;
    } else {
        output::text(NEXT)?;
    }
    Ok(0)
}

/// Deletes the workspace of a story that has not come to its end.
fn delete(pyro: &Pyro, id: &str) {
    match block_on(pyro.delete_workspace(id)) {
        Ok(_) => output::note(&format!("[demo] deleted workspace {id}")),
        // It has ended by itself.
        Err(Failure::Error(error)) if error.kind() == ErrorKind::NotFound => {}
        Err(why) => {
            let why = match why {
                Failure::Error(error) => error.chain().join(": "),
                Failure::Interrupted(signal) => format!("interrupted by signal {signal}"),
            };
            output::note(&format!(
                "[demo] workspace {id} is still there ({why}): it ends by itself with its time to live, or now: \
                 pyro workspace delete {id}"
            ));
        }
    }
}
