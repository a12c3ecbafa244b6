//! The conversation: the model is asked, what it calls is done and told to it, until it answers.

use super::answer::{Message, ToolCall};
use super::client::Client;
use super::log::Log;
use super::report::{CallReport, Report};
use super::vm_run::Tools;
use pyro_host::error::{Error, ErrorKind, Result};
use pyro_host::pyro::Pyro;
use pyro_mcp::reply::Reply;
use serde_json::{Value, json};
use std::time::Instant;

/// How often the model is asked at most.
const MOST_ROUNDS: usize = 8;

/// How many calls of one answer are done.
const MOST_CALLS: usize = 4;

const SYSTEM: &str = "You have a tool, vm_run, that runs a command in a fresh Linux machine. Use it to find out what you \
are asked; never guess. When a call fails, its hint says what to do. When you know the answer, give it in one sentence.";

const QUESTION: &str = "Which version of git is installed in the environment debian:12? Find out with vm_run, with the \
environment \"debian:12\" and the command \"git --version\".";

const OTHER_MODEL: &str = "take a model that is better at calling tools, for example --model qwen3:8b";

/// A conversation, as far as it has come.
pub struct Conversation {
    client: Client,
    tools: Tools,
    log: Log,
    begun: Instant,
    rounds: usize,
    calls: Vec<CallReport>,
    answer: Option<String>,
}

impl Conversation {
    /// Nothing has been said yet.
    pub fn new(client: Client, pyro: Pyro, log: Log) -> Self {
        let tools = Tools::new(pyro);
        Self { client, tools, log, begun: Instant::now(), rounds: 0, calls: Vec::new(), answer: None }
    }

    /// What it came to.
    pub fn end(self) -> Report {
        let ran_in = |call: &CallReport| call.result["execution_mode"].as_str().map(str::to_owned);
        Report {
            base_url: self.client.base_url().to_owned(),
            model: self.client.model().to_owned(),
            execution_mode: self.calls.iter().rev().find_map(ran_in),
            answer: self.answer,
            rounds: self.rounds,
            tool_calls: self.calls.len(),
            calls: self.calls,
            duration_ms: self.begun.elapsed().as_secs_f64() * 1000.0,
        }
    }

    /// Holds it.
    ///
    /// # Errors
    /// Where the server does not answer, and where the model does not do what it was asked for.
    pub async fn hold(&mut self) -> Result<()> {
        let server = format!("{} at {}", self.client.model(), self.client.base_url());
        self.log.say("demo", &format!("asking {server}: {QUESTION}")).await?;
        let mut messages =
            vec![json!({"role": "system", "content": SYSTEM}), json!({"role": "user", "content": QUESTION})];
        while self.rounds < MOST_ROUNDS {
            let message = self.ask(&messages).await?;
            self.log.say("model", message.text()).await?;
            if message.n_calls() == 0 {
                return self.judge(&message);
            }
            // One more than are done: its answer tells the model that the others were not.
            let calls = message.calls(MOST_CALLS + 1);
            messages.push(message.repeated(&calls));
            for (number, call) in calls.iter().enumerate() {
                let dropped = if number < MOST_CALLS { 0 } else { message.n_calls() - number };
                messages.push(self.call(call, dropped).await?);
            }
        }
        let message =
            format!("model {} has not come to an answer in {MOST_ROUNDS} rounds", self.client.model());
        Err(Error::new(ErrorKind::LimitReached, message).with_hint(OTHER_MODEL))
    }

    async fn ask(&mut self, messages: &[Value]) -> Result<Message> {
        self.rounds += 1;
        let request = self.client.request(messages, &self.tools.described());
        self.log.wire("request", &request.to_string()).await?;
        let (answer, text) = self.client.ask(&request).await?;
        self.log.wire("answer", &text).await?;
        answer.into_message().ok_or_else(|| self.client.not_understood(&text))
    }

    /// Does one call, unless it is one of those that are dropped, and gives the message that tells the model what came of it.
    async fn call(&mut self, call: &ToolCall, dropped: usize) -> Result<Value> {
        let (name, arguments) = (&call.function.name, call.kept());
        self.log.say("model", &format!("calls {name} with {arguments}")).await?;
        let reply = match dropped {
            0 => self.tools.call(call, &self.log).await,
            n => Reply::failed(&too_many(n)),
        };
        self.log.say("tool", &format!("{name}: {}", reply.text)).await?;
        self.calls.push(CallReport::new(name.clone(), arguments, &reply));
        Ok(json!({"role": "tool", "tool_call_id": call.id, "name": name, "content": reply.text}))
    }

    /// Whether the model has done what it was asked for.
    fn judge(&mut self, message: &Message) -> Result<()> {
        let model = self.client.model();
        let failed = |what: String| Err(Error::new(ErrorKind::Unsupported, what).with_hint(OTHER_MODEL));
        if self.calls.is_empty() {
            return failed(format!("model {model} has answered without calling vm_run"));
        }
        if !self.calls.iter().any(CallReport::succeeded) {
            return failed(format!("no call of vm_run by model {model} has succeeded"));
        }
        if message.text().is_empty() {
            return failed(format!("model {model} has called vm_run and then said nothing"));
        }
        self.answer = Some(message.text().to_owned());
        Ok(())
    }
}

fn too_many(dropped: usize) -> Error {
    let message = format!("only {MOST_CALLS} calls are done at a time, {dropped} more were dropped");
    Error::new(ErrorKind::LimitReached, message).with_hint("make again those that are still needed")
}
