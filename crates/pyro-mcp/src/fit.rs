//! Makes a result short enough for a model, whatever it holds: commands are repeated in results, and a model that writes
//! files with them makes them long.

use crate::cut::{cut, share, width};
use serde_json::Value;

/// How long a result is at most, as JSON. More than the output in it, and what stands around that.
pub const LONGEST_RESULT: usize = 50_000;

/// How wide a command is at most that is told again: who gave it knows it.
const LONGEST_COMMAND: usize = 500;

const REST: &str = "this result would be too long with them";

/// Shortens the texts of a result until it is short enough.
pub fn fit(value: &mut Value) {
    shorten_commands(value);
    let n_chars = value.to_string().chars().count();
    if n_chars <= LONGEST_RESULT {
        return;
    }
    let mut texts = Vec::new();
    collect_texts(value, &mut texts);
    let widths: Vec<usize> = texts.iter().map(|text| width(text.as_bytes())).collect();
    let around = n_chars - widths.iter().sum::<usize>();
    let each = share(&widths, LONGEST_RESULT.saturating_sub(around));
    for text in texts {
        *text = cut(std::mem::take(text), each, REST);
    }
}

fn shorten_commands(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if name == "command" { shorten_command(field) } else { shorten_commands(field) }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(shorten_commands),
        _ => {}
    }
}

/// A line, or a list of words. What runs last, such as in a service with a record, is an object that holds it.
fn shorten_command(command: &mut Value) {
    match command {
        Value::String(line) => {
            *line = cut(std::mem::take(line), LONGEST_COMMAND, "the end of the command follows");
        }
        Value::Array(words) => {
            let n_words = words.len();
            let mut left = LONGEST_COMMAND;
            let mut fits = |word: &Value| {
                let wide = word.as_str().map_or(0, |word| width(word.as_bytes()) + 3);
                left = left.saturating_sub(wide);
                left > 0
            };
            let n_fitting = words.iter().take_while(|word| fits(word)).count();
            // One word is told, shortened, however long it is.
            words.truncate(n_fitting.max(1));
            words.iter_mut().for_each(shorten_command);
            if words.len() < n_words {
                words.push(format!("[... {} words are left out here ...]", n_words - words.len()).into());
            }
        }
        other => shorten_commands(other),
    }
}

fn collect_texts<'a>(value: &'a mut Value, texts: &mut Vec<&'a mut String>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.iter_mut().for_each(|item| collect_texts(item, texts)),
        Value::Object(fields) => fields.values_mut().for_each(|field| collect_texts(field, texts)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn commands_are_short_and_short_ones_stay() {
        let mut value = json!({
            "command": ["a", "b".repeat(600), "c"],
            "last_command": {"command": "x".repeat(20_000), "exit_code": 0},
            "entries": [{"command": "ls"}, {"command": "\n".repeat(1000)}, {"command": ["ls", "-l"]}],
            "stdout": "y".repeat(1000),
        });
        let before = value.clone();
        fit(&mut value);
        assert_eq!(
            (&value["entries"][0], &value["entries"][2]),
            (&before["entries"][0], &before["entries"][2])
        );
        assert_eq!(value["stdout"], before["stdout"]);
        assert_eq!(value["command"], json!(["a", "[... 2 words are left out here ...]"]));
        for command in [&value["last_command"]["command"], &value["entries"][1]["command"]] {
            let command = command.as_str().unwrap();
            assert!(command.contains("bytes are left out") && width(command.as_bytes()) < 600, "{command}");
        }
        let mut long = json!({"command": ["e".repeat(600)]});
        fit(&mut long);
        assert!(long["command"][0].as_str().unwrap().starts_with("eee") && long.to_string().len() < 600);
    }

    #[test]
    fn nothing_is_too_long() {
        for text in ["x", "\0", "日本"] {
            let mut value =
                json!({"one": text.repeat(60_000), "other": [text.repeat(60_000)], "short": "stays"});
            fit(&mut value);
            assert!(value.to_string().chars().count() < LONGEST_RESULT + 500, "{}", value.to_string().len());
            assert_eq!(value["short"], "stays");
            assert!(value["one"].as_str().unwrap().contains("bytes are left out"));
        }
    }
}
