//! Asks the name servers of the host one question. What comes back is hostile: it is taken only if it answers that
//! question, and `screen.rs` decides what of it a guest may see.
//!
//! Each question has an id of its own and a socket of its own with a random port, connected to the server, so that an
//! answer cannot be made up by who does not see the question (RFC 5452). Nothing is cached: the host's own resolver
//! does that, and the guest's programs.

use super::dns::has_one_question;
use super::servers::Servers;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// For how long one server may be silent.
const ONE_SERVER: Duration = Duration::from_secs(2);

/// For how long all of them may be.
const ALL_SERVERS: Duration = Duration::from_secs(5);

/// How often each is asked: a datagram may be lost.
const ROUNDS: usize = 2;

/// Most bytes of an answer in a datagram (DNS flag day 2020): more is fetched by TCP.
const MAX_DATAGRAM: u16 = 1232;

/// Most datagrams that are looked at for one that answers the question.
const MAX_STRAY: usize = 32;

/// Whom to ask.
#[derive(Debug)]
pub struct Upstream {
    source: Source,
}

#[derive(Debug)]
enum Source {
    File(Servers),
    Fixed(Vec<SocketAddr>),
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// None came in time.
    #[error("no name server of the host answered in time")]
    Silent,
    /// They could not be asked, or answered nonsense.
    #[error("the name servers of the host could not be asked: {0}")]
    Network(String),
    /// They said that they failed.
    #[error("the name servers of the host answered {0}")]
    Code(ResponseCode),
}

impl Upstream {
    /// The name servers of this host.
    pub fn of_host() -> Self {
        Self { source: Source::File(Servers::of("/etc/resolv.conf")) }
    }

    /// Asks a question. Takes at most five seconds.
    pub(super) async fn ask(&self, question: &Query) -> Result<Message, Failure> {
        timeout(ALL_SERVERS, self.ask_in_turn(question)).await.unwrap_or(Err(Failure::Silent))
    }

    async fn ask_in_turn(&self, question: &Query) -> Result<Message, Failure> {
        let servers = match &self.source {
            Source::File(servers) => servers.list(),
            Source::Fixed(servers) => servers.clone(),
        };
        let mut failure = Failure::Network("there are none".to_owned());
        for server in servers.iter().cycle().take(servers.len() * ROUNDS) {
            match timeout(ONE_SERVER, ask_one(*server, question)).await {
                Ok(Ok(answer)) => match answer.metadata.response_code {
                    ResponseCode::NoError | ResponseCode::NXDomain => return Ok(answer),
                    code => failure = Failure::Code(code),
                },
                Ok(Err(error)) => failure = Failure::Network(error.to_string()),
                Err(_) => failure = Failure::Silent,
            }
        }
        Err(failure)
    }
}

impl From<Vec<SocketAddr>> for Upstream {
    fn from(servers: Vec<SocketAddr>) -> Self {
        Self { source: Source::Fixed(servers) }
    }
}

async fn ask_one(server: SocketAddr, question: &Query) -> io::Result<Message> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(question.clone());
    let mut edns = Edns::new();
    edns.set_max_payload(MAX_DATAGRAM);
    message.set_edns(edns);
    let bytes = message.to_vec().map_err(io::Error::other)?;
    let answer = by_datagram(server, &message, &bytes).await?;
    if answer.metadata.truncation { by_stream(server, &message, &bytes).await } else { Ok(answer) }
}

async fn by_datagram(server: SocketAddr, message: &Message, bytes: &[u8]) -> io::Result<Message> {
    let unbound: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(unbound, 0)).await?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = [0; 4096];
    for _ in 0..MAX_STRAY {
        let len = socket.recv(&mut buffer).await?;
        if let Some(answer) = answer_to(message, &buffer[..len]) {
            return Ok(answer);
        }
    }
    Err(io::Error::other("only answers to other questions came"))
}

async fn by_stream(server: SocketAddr, message: &Message, bytes: &[u8]) -> io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let len = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&[&len.to_be_bytes(), bytes].concat()).await?;
    let mut answer = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut answer).await?;
    answer_to(message, &answer).ok_or_else(|| io::Error::other("the answer is to another question"))
}

/// The message, if it is an answer to that question.
fn answer_to(question: &Message, bytes: &[u8]) -> Option<Message> {
    let answer = has_one_question(bytes).then(|| Message::from_vec(bytes).ok()).flatten()?;
    let is_answer = answer.metadata.id == question.metadata.id
        && answer.metadata.message_type == MessageType::Response
        && answer.metadata.op_code == OpCode::Query
        && answer.queries == question.queries;
    is_answer.then_some(answer)
}

#[cfg(test)]
mod tests;
