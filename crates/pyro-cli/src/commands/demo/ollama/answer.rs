//! What a server answers.

use serde::Deserialize;
use serde_json::{Value, json};

/// The longest text and the longest arguments that are kept, in bytes.
pub const MOST_BYTES: usize = 8_000;

/// The longest name and the longest id of a call that are kept, in characters.
const MOST_NAME_CHARS: usize = 64;

/// A chat completion, as far as it matters here.
#[derive(Debug, Deserialize)]
pub struct Answer {
    choices: Vec<Choice>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    message: Message,
}

/// What the model says.
#[derive(Debug, Default, Deserialize)]
pub struct Message {
    content: Option<String>,
    tool_calls: Option<Vec<ToolCall>>,
}

/// A tool that the model calls.
#[derive(Debug, Clone, Deserialize)]
pub struct ToolCall {
    /// How the model finds the answer again.
    #[serde(default)]
    pub id: String,
    /// What is called.
    pub function: Function,
}

/// A tool by its name, with what the model wants of it.
#[derive(Debug, Clone, Deserialize)]
pub struct Function {
    /// The name.
    pub name: String,
    /// An object written as a string; some servers send the object itself.
    #[serde(default)]
    pub arguments: Value,
}

impl Answer {
    /// The message, if there is one.
    pub fn into_message(self) -> Option<Message> {
        self.choices.into_iter().next().map(|choice| choice.message)
    }
}

impl Message {
    /// What it says to the user, as far as it is kept.
    pub fn text(&self) -> &str {
        let text = self.content.as_deref().unwrap_or_default().trim();
        text.char_indices().find(|(end, _)| *end >= MOST_BYTES).map_or(text, |(end, _)| &text[..end])
    }

    /// How often it calls something.
    pub fn n_calls(&self) -> usize {
        self.tool_calls.as_ref().map_or(0, Vec::len)
    }

    /// The first calls, at most so many. Those without an id that can be kept get one.
    pub fn calls(&self, most: usize) -> Vec<ToolCall> {
        let first = self.tool_calls.iter().flatten().take(most).cloned();
        first.enumerate().map(|(number, call)| call.bounded(number)).collect()
    }

    /// The same as the next request has to repeat it.
    pub fn repeated(&self, calls: &[ToolCall]) -> Value {
        let calls: Vec<Value> = calls.iter().map(ToolCall::repeated).collect();
        json!({"role": "assistant", "content": self.text(), "tool_calls": calls})
    }
}

impl ToolCall {
    /// The arguments as they were written.
    pub fn written(&self) -> String {
        self.function.arguments.as_str().map_or_else(|| self.function.arguments.to_string(), str::to_owned)
    }

    /// The same as far as they are kept: if they are too long, no arguments, since half an object is none to a server.
    pub fn kept(&self) -> String {
        let written = self.written();
        if written.len() > MOST_BYTES { "{}".into() } else { written }
    }

    fn bounded(mut self, number: usize) -> Self {
        let name = &mut self.function.name;
        *name = name.chars().take(MOST_NAME_CHARS).collect();
        if self.id.is_empty() || self.id.chars().count() > MOST_NAME_CHARS {
            self.id = format!("call_{number}");
        }
        self
    }

    fn repeated(&self) -> Value {
        let function = json!({"name": self.function.name, "arguments": self.kept()});
        json!({"id": self.id, "type": "function", "function": function})
    }
}
