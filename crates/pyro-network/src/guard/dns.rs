//! Answers the DNS queries of the guest (RFC 1035): from its bytes to bytes for it. What is answered is decided in
//! `lookup.rs`.
//!
//! A name that is not allowed does not exist (NXDOMAIN), and an extended error says why (RFC 8914). REFUSED would be
//! more honest, but resolvers take it for a broken server: musl waits until its time is over, glibc asks the next
//! server. A guest would seem to hang.

use super::Guard;
use super::lookup::Outcome;
use super::reply::{EDE_BLOCKED, EDE_NETWORK_ERROR, EDE_NO_REACHABLE_AUTHORITY, EDE_PROHIBITED, Reply};
use super::upstream::Failure;
use crate::denial::DenialKind;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::DNSClass;

/// How a query came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram.
    Udp,
    /// In a stream, behind its length.
    Tcp,
}

/// Bytes of the header of a message.
const HEADER_LEN: usize = 12;

/// The bit that makes a message an answer.
const IS_ANSWER: u8 = 0x80;

impl Guard {
    /// Answers one query: a whole message, without the length that goes before it in a stream. None: it is to be
    /// dropped, since it is no query. Takes at most five seconds. A denial has been logged when this returns.
    pub async fn answer_dns(&self, query: &[u8], transport: Transport) -> Option<Vec<u8>> {
        // Whoever answers answers starts a conversation without end.
        if query.len() < HEADER_LEN || query[2] & IS_ANSWER != 0 {
            return None;
        }
        // Room is made for as many questions as it says there are, so that is looked at first.
        let message = if has_one_question(query) { Message::from_vec(query).ok() } else { None };
        let Some(message) = message else {
            let id = u16::from_be_bytes([query[0], query[1]]);
            let op_code = OpCode::from_u8((query[2] >> 3) & 0x0f);
            let code = if op_code == OpCode::Query { ResponseCode::FormErr } else { ResponseCode::NotImp };
            return Message::error_msg(id, op_code, code).to_vec().ok();
        };
        let reply = Reply::to(&message, transport);
        let question = match question(&message) {
            Ok(question) => question,
            Err(code) => return reply.code(code).into_bytes(),
        };
        // Not queued: whoever asks for so much at once is better told to come again.
        let Ok(_one_of_them) = self.queries.try_acquire() else {
            return reply.code(ResponseCode::ServFail).into_bytes();
        };
        let outcome = self.look_up(question).await;
        self.answer_with(outcome, reply).into_bytes()
    }

    fn answer_with(&self, outcome: Outcome, reply: Reply) -> Reply {
        match outcome {
            Outcome::Answer { code, answers, authorities } => reply.code(code).records(answers, authorities),
            Outcome::Unanswered(code) => reply.code(code),
            Outcome::Denied(verdict, address) => {
                self.log(DenialKind::Dns, &verdict, address, None);
                // Prohibited: who asks may not. Blocked: what is answered must not be told.
                let code = if address.is_some() { EDE_BLOCKED } else { EDE_PROHIBITED };
                let text = match address {
                    Some(address) => format!("{address}: {}", verdict.rule),
                    None => verdict.rule,
                };
                reply.code(ResponseCode::NXDomain).because(code, &text)
            }
            Outcome::Failed(failure) => {
                tracing::debug!(%failure, "could not answer a DNS query");
                let code = match failure {
                    Failure::Silent => EDE_NO_REACHABLE_AUTHORITY,
                    Failure::Network(_) | Failure::Code(_) => EDE_NETWORK_ERROR,
                };
                reply.code(ResponseCode::ServFail).because(code, &failure.to_string())
            }
        }
    }
}

/// Whether the header of a message says so.
pub(super) fn has_one_question(message: &[u8]) -> bool {
    message.get(4..6) == Some(&[0, 1])
}

/// The one question of a query, or what is wrong with it.
fn question(message: &Message) -> Result<&Query, ResponseCode> {
    let metadata = &message.metadata;
    if metadata.message_type != MessageType::Query || metadata.op_code != OpCode::Query {
        return Err(ResponseCode::NotImp);
    }
    if message.edns.as_ref().is_some_and(|edns| edns.version() != 0) {
        return Err(ResponseCode::BADVERS);
    }
    let [question] = message.queries.as_slice() else { return Err(ResponseCode::FormErr) };
    if question.query_class != DNSClass::IN {
        return Err(ResponseCode::Refused);
    }
    Ok(question)
}

#[cfg(test)]
mod tests;
