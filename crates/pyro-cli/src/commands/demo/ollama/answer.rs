//! What a server answers.

use serde::Deserialize;
use serde_json::{Value, json};

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
    /// What it says to the user.
    pub fn text(&self) -> &str {
        self.content.as_deref().unwrap_or_default().trim()
    }

    /// What it calls. Calls without an id get one.
    pub fn calls(&self) -> Vec<ToolCall> {
        let mut calls = self.tool_calls.clone().unwrap_or_default();
        for (number, call) in calls.iter_mut().enumerate().filter(|(_, call)| call.id.is_empty()) {
            call.id = format!("call_{number}");
        }
        calls
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

    fn repeated(&self) -> Value {
        let function = json!({"name": self.function.name, "arguments": self.written()});
        json!({"id": self.id, "type": "function", "function": function})
    }
}
