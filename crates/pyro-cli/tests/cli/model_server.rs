//! A server that speaks as an OpenAI-compatible one does, from a script: one reply for each request.

use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What is replied.
pub enum Reply {
    /// A message of the model.
    Says(Value),
    /// A status and a body.
    Status(u16, String),
    /// Bytes instead of HTTP, and the end.
    Bytes(&'static [u8]),
    /// A body without an end.
    Endless,
    /// Nothing, while the client waits.
    Nothing,
}

/// A request as it came.
#[derive(Clone)]
pub struct Request {
    pub head: String,
    pub body: Value,
}

pub struct ModelServer {
    address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl ModelServer {
    /// Replies in this order. A request too many finds the connection closed.
    pub fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (mut replies, seen): (VecDeque<Reply>, _) = (replies.into_iter().collect(), requests.clone());
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let request = read(&connection);
                seen.lock().unwrap().push(request);
                let Some(reply) = replies.pop_front() else { continue };
                std::thread::spawn(move || answer(connection, reply));
            }
        });
        Self { address, requests }
    }

    /// Where it is, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Request {
    /// The text of the latest message in it.
    pub fn told(&self) -> &str {
        let message = self.body["messages"].as_array().and_then(|messages| messages.last()).unwrap();
        message["content"].as_str().unwrap()
    }
}

/// A message that calls a tool.
pub fn calls(name: &str, arguments: &str) -> Reply {
    let function = json!({"name": name, "arguments": arguments});
    let call = json!({"id": "call_x", "type": "function", "function": function});
    Reply::Says(json!({"role": "assistant", "content": null, "tool_calls": [call]}))
}

/// A message to the user.
pub fn says(text: &str) -> Reply {
    Reply::Says(json!({"role": "assistant", "content": text}))
}

fn read(connection: &TcpStream) -> Request {
    let mut reader = BufReader::new(connection);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "the request ends in its head: {head}");
    }
    let length =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap()];
    reader.read_exact(&mut body).unwrap();
    Request { head, body: serde_json::from_slice(&body).unwrap() }
}

/// A client that has gone is for the test to judge.
fn answer(mut connection: TcpStream, reply: Reply) {
    let _ = match reply {
        Reply::Says(message) => {
            let completion =
                json!({"object": "chat.completion", "choices": [{"index": 0, "message": message}]});
            send(&mut connection, 200, &completion.to_string())
        }
        Reply::Status(status, body) => send(&mut connection, status, &body),
        Reply::Bytes(bytes) => connection.write_all(bytes),
        Reply::Endless => endless(&mut connection),
        Reply::Nothing => connection.read(&mut [0]).map(drop), // until the client goes
    };
}

fn send(connection: &mut TcpStream, status: u16, body: &str) -> std::io::Result<()> {
    let length = body.len();
    write!(
        connection,
        "HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

fn endless(connection: &mut TcpStream) -> std::io::Result<()> {
    connection.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
    loop {
        connection.write_all(&[b'x'; 65536])?;
    }
}
