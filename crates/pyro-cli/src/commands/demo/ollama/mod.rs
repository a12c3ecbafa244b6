//! `pyro demo ollama`: a model of this computer uses a machine.

mod answer;
mod client;
mod conversation;
mod endpoint;
mod log;
mod report;
mod vm_run;

use crate::commands::block_on;
use crate::commands::printer::Printer;
use crate::exit::Failure;
use crate::output;
use clap::Args;
use client::Client;
use conversation::Conversation;
use endpoint::Endpoint;
use log::Log;
use pyro_host::limits::validate_timeout;
use pyro_host::pyro::Pyro;

/// Let a local model use a machine: a conversation with Ollama, or any other OpenAI-compatible server.
///
/// The model is asked for something that it cannot know, and offered the tool vm_run. What it calls is run in a fresh
/// microVM, and what comes of it is told to the model, mistakes with what to do next. Exit code 0 when a call of vm_run
/// succeeded and the model has answered.
#[derive(Debug, Args)]
#[command(after_help = "With Ollama:\n\
\x20 ollama serve\n\
\x20 ollama pull llama3.2:3b\n\n\
Examples:\n\
\x20 pyro demo ollama\n\
\x20 pyro demo ollama --model qwen3:8b --verbose")]
pub struct Ollama {
    /// Where the server is; http only, with or without /v1.
    #[arg(long, value_name = "URL", env = "PYRO_OLLAMA_URL", default_value = "http://127.0.0.1:11434/v1")]
    base_url: String,

    /// The model. It must be able to call tools.
    #[arg(long, value_name = "NAME", default_value = "llama3.2:3b")]
    model: String,

    /// Seconds that the model may take for one answer: 1 to 604800.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout_seconds: u64,

    /// Print requests and answers too, shortened.
    #[arg(long)]
    verbose: bool,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Ollama {
    pub fn execute(self) -> Result<u8, Failure> {
        let endpoint = Endpoint::parse(&self.base_url)?;
        let timeout = validate_timeout(self.timeout_seconds)?;
        let pyro = Pyro::from_environment()?;
        let (lines, printer) = Printer::start(log::Lines { json: self.json });
        let log = Log::new(lines, self.verbose);
        let client = Client::new(endpoint, self.model, timeout);
        let mut conversation = Conversation::new(client, pyro, log);
        let result = block_on(conversation.hold());
        let report = conversation.end();
        let summary = report.summary(&result);
        let result = printer.outcome(result).and_then(|((), printer)| Ok(printer.printed()?));
        if self.json {
            result?;
            output::json(&report)?;
        } else {
            output::text(&summary)?;
            result?;
        }
        Ok(0)
    }
}
