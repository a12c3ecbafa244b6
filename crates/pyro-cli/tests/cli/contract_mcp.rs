//! The tools as `pyro mcp serve` tells of them. What they say to a model in words may change.

use crate::home::Home;
use crate::mcp_client::Client;
use serde_json::{Map, Value};

/// Every tool with its arguments, its results and its annotations, and which profile has it.
pub fn lines() -> Vec<String> {
    let home = Home::new();
    let mut lines = Vec::new();
    for profile in ["vm-run", "workspace-core", "workspace-full"] {
        let tools = Client::start(&home, &["--profile", profile]).tools();
        lines.extend(tools.iter().map(|tool| format!("{} profile {profile}", name(tool))));
        if profile == "workspace-full" {
            tools.iter().for_each(|tool| tell(tool, &mut lines));
        }
    }
    lines
}

fn name(tool: &Value) -> &str {
    tool["name"].as_str().unwrap()
}

fn tell(tool: &Value, lines: &mut Vec<String>) {
    let name = name(tool);
    lines.push(name.to_owned());
    let annotations = tool["annotations"].as_object().unwrap();
    lines.extend(annotations.iter().map(|(hint, is)| format!("{name} annotation {hint} {is}")));
    tell_schema(&format!("{name} input"), &tool["inputSchema"], lines);
    tell_schema(&format!("{name} output"), &tool["outputSchema"], lines);
}

/// A schema, with a line for each property.
fn tell_schema(path: &str, schema: &Value, lines: &mut Vec<String>) {
    let mut rest: Map<String, Value> =
        schema.as_object().unwrap_or_else(|| panic!("{path}: {schema}")).clone();
    rest.remove("description");
    if let Some(Value::Object(properties)) = rest.remove("properties") {
        for (property, schema) in &properties {
            let separator = if path.contains("put ") { "." } else { " " };
            tell_schema(&format!("{path}{separator}{property}"), schema, lines);
        }
    }
    if let Some(items) = rest.get("items").filter(|items| items.get("properties").is_some()).cloned() {
        rest.remove("items");
        tell_schema(&format!("{path}[]"), &items, lines);
    }
    lines.push(format!("{path} {}", without_words(Value::Object(rest))));
}

/// The same without descriptions further inside.
fn without_words(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let kept = object.into_iter().filter(|(key, it)| key != "description" || !it.is_string());
            kept.map(|(key, it)| (key, without_words(it))).collect::<Map<_, _>>().into()
        }
        Value::Array(array) => array.into_iter().map(without_words).collect(),
        other => other,
    }
}
