//! The lines between a client and the SDK, which drops what it cannot read: whoever asked would wait for ever. Here it is
//! mended, or answered.

use serde_json::{Value, json};
use std::borrow::Cow;
use std::io;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, DuplexStream};
use tokio::sync::mpsc;

/// The longest line, in bytes. What any tool takes is far shorter.
const LONGEST_LINE: usize = 8 * 1024 * 1024;

/// So much of the end of a longer line is looked at.
const END_OF_LINE: usize = 4096;

const PARSE_ERROR: i64 = -32_700;
const INVALID_REQUEST: i64 = -32_600;

/// Passes the lines of a client on, and answers those that are none of the protocol.
pub(crate) async fn pass_in(
    input: impl AsyncRead + Unpin,
    mut to_sdk: DuplexStream,
    answers: mpsc::Sender<String>,
) -> io::Result<()> {
    let mut input = BufReader::new(input);
    let mut line = Line::default();
    while line.read(&mut input).await? {
        match line.message() {
            Ok(None) => {}
            Ok(Some(message)) => {
                to_sdk.write_all(message.as_bytes()).await?;
                to_sdk.write_all(b"\n").await?;
            }
            // It goes the way of all answers; nobody takes it when the server is ending.
            Err(answer) => drop(answers.send(answer).await),
        }
        line = Line::default();
    }
    Ok(())
}

/// Passes the lines of the SDK on to the client, and the answers of [`pass_in`] between them.
pub(crate) async fn pass_out(
    from_sdk: DuplexStream,
    mut answers: mpsc::Receiver<String>,
    mut output: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let mut lines = BufReader::new(from_sdk).lines();
    loop {
        let line = tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) => line,
                None => break,
            },
            Some(answer) = answers.recv() => answer,
        };
        write_line(&mut output, line).await?;
    }
    while let Ok(answer) = answers.try_recv() {
        write_line(&mut output, answer).await?;
    }
    Ok(())
}

async fn write_line(output: &mut (impl AsyncWrite + Unpin), mut line: String) -> io::Result<()> {
    line.push('\n');
    output.write_all(line.as_bytes()).await?;
    output.flush().await
}

/// A line, or the two ends of one that is too long.
#[derive(Debug, Default)]
struct Line {
    bytes: Vec<u8>,
    n_left_out: usize,
}

impl Line {
    /// Reads one. Says whether there was any.
    async fn read(&mut self, input: &mut (impl AsyncBufReadExt + Unpin)) -> io::Result<bool> {
        let mut is_any = false;
        loop {
            let read = input.fill_buf().await?;
            if read.is_empty() {
                return Ok(is_any);
            }
            is_any = true;
            let end = read.iter().position(|&byte| byte == b'\n');
            self.bytes.extend_from_slice(&read[..end.unwrap_or(read.len())]);
            let n_read = end.map_or(read.len(), |end| end + 1);
            input.consume(n_read);
            if self.bytes.len() > LONGEST_LINE {
                let too_many = self.bytes.len() - LONGEST_LINE;
                let middle = LONGEST_LINE - END_OF_LINE;
                self.bytes.drain(middle..middle + too_many);
                self.n_left_out += too_many;
            }
            if end.is_some() {
                return Ok(true);
            }
        }
    }

    /// The message, as the SDK can read it; nothing where the line is empty; or what is answered to it.
    fn message(&self) -> Result<Option<Cow<'_, str>>, String> {
        let text = String::from_utf8_lossy(&self.bytes);
        if text.trim().is_empty() {
            return Ok(None);
        }
        if self.n_left_out > 0 {
            let n_bytes = self.bytes.len() + self.n_left_out;
            let message = format!("the request has {n_bytes} bytes, and {LONGEST_LINE} at most are taken");
            return Err(answer(id_of(&text).as_ref(), INVALID_REQUEST, &message));
        }
        let text = without_lone_surrogates(text);
        match serde_json::from_str::<Value>(&text) {
            Ok(value) if is_message(&value) => Ok(Some(text)),
            Ok(value) => {
                let id = value.get("id").filter(|id| is_id(id));
                Err(answer(id, INVALID_REQUEST, "this is no JSON-RPC message: one object in each line"))
            }
            Err(error) => {
                Err(answer(id_of(&text).as_ref(), PARSE_ERROR, &format!("this is not JSON: {error}")))
            }
        }
    }
}

fn is_message(value: &Value) -> bool {
    ["method", "result", "error"].iter().any(|name| value.get(name).is_some())
}

fn is_id(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.is_string()
}

fn answer(id: Option<&Value>, code: i64, message: &str) -> String {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}).to_string()
}

/// The id of a request that cannot be read: where clients write it, before or behind everything else.
fn id_of(text: &str) -> Option<Value> {
    let before = text.split("\"params\"").next().unwrap_or_default();
    let behind = text.trim_end().trim_end_matches('}').rsplit('}').next().unwrap_or_default();
    [before, behind].into_iter().find_map(|part| {
        let (_, rest) = part.split_once("\"id\":")?;
        let value = serde_json::Deserializer::from_str(rest).into_iter::<Value>().next()?.ok()?;
        is_id(&value).then_some(value)
    })
}

/// JSON can name halves of characters, which no text can hold: models write them when they are cut off. They become
/// U+FFFD.
fn without_lone_surrogates(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains("\\ud") && !text.contains("\\uD") {
        return text;
    }
    let mut mended = String::with_capacity(text.len());
    let mut rest = &text[..];
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        mended.push_str(before);
        let taken = match (surrogate(escape, 0), surrogate(escape, 6)) {
            (Some(Half::High), Some(Half::Low)) => &escape[..12],
            (Some(_), _) => {
                mended.push_str("\\ufffd");
                rest = &escape[6..];
                continue;
            }
            // The character that is escaped is none that begins an escape itself.
            (None, _) => &escape[..escape.char_indices().nth(2).map_or(escape.len(), |(end, _)| end)],
        };
        mended.push_str(taken);
        rest = &escape[taken.len()..];
    }
    mended.push_str(rest);
    Cow::Owned(mended)
}

enum Half {
    High,
    Low,
}

/// Which half of a character is escaped here, if one is.
fn surrogate(text: &str, at: usize) -> Option<Half> {
    let hex = text.get(at..)?.strip_prefix("\\u")?.get(..4)?;
    match u32::from_str_radix(hex, 16).ok()? {
        0xd800..=0xdbff => Some(Half::High),
        0xdc00..=0xdfff => Some(Half::Low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message_of(line: &[u8]) -> Result<Option<String>, Value> {
        let line = Line { bytes: line.to_vec(), n_left_out: 0 };
        let message = line.message().map(|message| message.map(Cow::into_owned));
        message.map_err(|answer| serde_json::from_str(&answer).unwrap())
    }

    #[test]
    fn halves_of_characters_are_mended_and_whole_ones_stay() {
        let mended = |text: &'static str| without_lone_surrogates(Cow::Borrowed(text)).into_owned();
        for (text, expected) in [
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""a\ud83d""#, r#""a\ufffd""#),
            (r#""\uDE00b""#, r#""\ufffdb""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\\ud83d""#, r#""\\ud83d""#),
            (r#""\ud83d\n\u00e4""#, r#""\ufffd\n\u00e4""#),
            (r#""\ud8"#, r#""\ud8"#),
            (r#""\ud83d\"#, r#""\ufffd\"#),
        ] {
            assert_eq!(mended(text), expected);
        }
        let call = br#"{"jsonrpc":"2.0","id":3,"method":"x","params":{"command":"echo \ud83d"}}"#;
        assert!(message_of(call).unwrap().unwrap().contains("ufffd"));
        assert!(message_of(b"{\"method\":\"\xff\"}").unwrap().is_some());
        assert_eq!(message_of(b" \r"), Ok(None));
    }

    #[test]
    fn what_cannot_be_read_is_answered_to_who_asked() {
        for (line, code, id) in [
            (&b"garbage"[..], PARSE_ERROR, Value::Null),
            (br#"{"jsonrpc":"2.0","id":7,"method":"x","params":{"id":1,}}"#, PARSE_ERROR, json!(7)),
            (br#"{"method":"x","params":{"id":1,},"jsonrpc":"2.0","id":"a"}"#, PARSE_ERROR, json!("a")),
            (b"[]", INVALID_REQUEST, Value::Null),
            (br#"{"id":5}"#, INVALID_REQUEST, json!(5)),
        ] {
            let answer = message_of(line).unwrap_err();
            assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(code), &id), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_answered_and_the_next_one_read() {
        let long = format!(
            r#"{{"method":"x","params":{{"command":"{}"}},"id":9}}{}{{"id":1,"method":"y"}}"#,
            "x".repeat(3 * LONGEST_LINE),
            "\n"
        );
        let mut input = BufReader::new(long.as_bytes());
        let mut line = Line::default();
        assert!(line.read(&mut input).await.unwrap() && line.bytes.len() == LONGEST_LINE);
        let answer: Value = serde_json::from_str(&line.message().unwrap_err()).unwrap();
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(9), &json!(INVALID_REQUEST)));
        let mut line = Line::default();
        assert!(line.read(&mut input).await.unwrap());
        assert_eq!(line.message().unwrap().unwrap(), r#"{"id":1,"method":"y"}"#);
        assert!(!Line::default().read(&mut input).await.unwrap());
    }
}
