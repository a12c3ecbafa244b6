//! Asks the server, over plain HTTP. What it answers is not trusted: its size and its time are limited.

use super::answer::Answer;
use super::endpoint::Endpoint;
use pyro_host::error::{Context, Error, ErrorKind, Result};
use serde_json::{Value, json};
use std::io;
use std::time::Duration;
use ureq::Agent;

/// The longest answer, in bytes.
const MOST_BYTES: u64 = 4 * 1024 * 1024;

/// How much of an answer that is none is told, in characters.
const TOLD_CHARS: usize = 300;

/// The client of one model.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    endpoint: Endpoint,
    model: String,
    timeout: Duration,
}

/// What came over the wire.
struct Received {
    status: u16,
    body: Vec<u8>,
}

impl Client {
    /// `timeout` is for one whole answer.
    pub fn new(endpoint: Endpoint, model: String, timeout: Duration) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_global(Some(timeout))
            .build();
        Self { agent: config.into(), endpoint, model, timeout }
    }

    /// The name of the model.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Where the server is.
    pub fn base_url(&self) -> &str {
        self.endpoint.as_str()
    }

    /// The request for the next message of a conversation.
    pub fn request(&self, messages: &[Value], tools: &Value) -> Value {
        json!({"model": self.model, "messages": messages, "tools": tools, "stream": false})
    }

    /// Sends it, on a thread of its own. Gives the answer, and the same as text.
    pub async fn ask(&self, request: &Value) -> Result<(Answer, String)> {
        let (client, body) = (self.clone(), request.to_string());
        let asking = tokio::task::spawn_blocking(move || client.post(&body));
        let received = asking.await.failing(ErrorKind::Internal, || "the request broke off".into())?;
        let Received { status, body } = received.map_err(|error| self.unreachable(error))?;
        let text = String::from_utf8_lossy(&body).into_owned();
        if !(200..300).contains(&status) {
            return Err(self.refused(status, &text));
        }
        let answer = serde_json::from_slice::<Answer>(&body);
        let answer = answer.map_err(|error| self.not_understood(&text).with_source(error))?;
        Ok((answer, text))
    }

    fn post(&self, body: &str) -> std::result::Result<Received, ureq::Error> {
        let url = self.endpoint.url("chat/completions");
        let mut answer = self.agent.post(&url).content_type("application/json").send(body)?;
        let body = answer.body_mut().with_config().limit(MOST_BYTES).read_to_vec()?;
        Ok(Received { status: answer.status().as_u16(), body })
    }

    fn unreachable(&self, error: ureq::Error) -> Error {
        let (url, model) = (self.base_url(), &self.model);
        let seconds = self.timeout.as_secs();
        let of = |kind, message: String, hint: &str| Error::new(kind, message).with_hint(hint.to_owned());
        match error {
            ureq::Error::Timeout(_) => of(
                ErrorKind::Timeout,
                format!("model {model} at {url} has not answered in {seconds} s"),
                "give it more time with --timeout-seconds, or take a smaller model with --model",
            ),
            ureq::Error::BodyExceedsLimit(_) => of(
                ErrorKind::LimitReached,
                format!("the server at {url} answers with more than {} MiB", MOST_BYTES >> 20),
                "is --base-url that of an OpenAI-compatible server?",
            ),
            error if is_nobody(&error) => {
                of(ErrorKind::Io, format!("could not reach a model server at {url}"), START)
                    .with_source(error)
            }
            error => of(
                ErrorKind::Io,
                format!("the server at {url} has not answered to the end"),
                "look into the log of the server; is --base-url that of an OpenAI-compatible one?",
            )
            .with_source(error),
        }
    }

    /// An answer that says no.
    fn refused(&self, status: u16, text: &str) -> Error {
        let (url, model, said) = (self.base_url(), &self.model, said(text));
        let lower = said.to_lowercase();
        let error =
            |kind, message: String| Error::new(kind, message).with_source(format!("HTTP {status}: {said}"));
        if status == 404 && lower.contains("model") {
            return error(ErrorKind::NotFound, format!("the server at {url} has no model {model}"))
                .with_hint(format!("ollama pull {model}, or take another with --model (ollama list)"));
        }
        if lower.contains("tool") && (400..500).contains(&status) {
            return error(ErrorKind::Unsupported, format!("model {model} cannot call tools")).with_hint(
                "take one that can, for example: ollama pull llama3.2:3b, then --model llama3.2:3b",
            );
        }
        let hint = match status {
            404 => "is --base-url that of an OpenAI-compatible server? Ollama's is http://127.0.0.1:11434/v1",
            401 | 403 => {
                "the server wants a key, which this demo has not: take a local server (ollama serve)"
            }
            _ => "look into the log of the server",
        };
        error(ErrorKind::Io, format!("the server at {url} refused the request")).with_hint(hint)
    }

    /// An answer of which nobody knows what it says.
    pub fn not_understood(&self, text: &str) -> Error {
        let begins: String = text.chars().take(TOLD_CHARS).collect();
        let url = self.base_url();
        let message =
            format!("the server at {url} answered with something that is no chat completion: {begins:?}");
        Error::new(ErrorKind::Io, message).with_hint(
            "is --base-url that of an OpenAI-compatible server? Ollama's is http://127.0.0.1:11434/v1",
        )
    }
}

const START: &str = "start one: ollama serve (https://ollama.com), or say where it is with --base-url";

/// Whether nobody is there.
fn is_nobody(error: &ureq::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    match error {
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => true,
        ureq::Error::Io(error) => {
            matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
        }
        _ => false,
    }
}

/// What a server says of its refusal: the message in its JSON, or the beginning of whatever it is.
fn said(text: &str) -> String {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let message = value["error"]["message"].as_str().or(value["error"].as_str());
    message.unwrap_or(text).chars().take(TOLD_CHARS).collect()
}
