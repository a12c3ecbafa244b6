//! Messages to the guest: built from its query and from what was found, and cut to what it can take.

use super::dns::Transport;
use hickory_proto::op::{Edns, Message, Metadata, Query, ResponseCode};
use hickory_proto::rr::Record;
use hickory_proto::rr::rdata::opt::EdnsOption;

/// Most bytes of an answer in a datagram, without and with EDNS (RFC 1035, section 4.2.1; RFC 6891).
const MAX_PLAIN: u16 = 512;
const MAX_EDNS: u16 = 4096;

/// Extended DNS errors (RFC 8914).
pub(super) const EDE_OPTION: u16 = 15;
pub(super) const EDE_BLOCKED: u16 = 15;
pub(super) const EDE_PROHIBITED: u16 = 18;
pub(super) const EDE_NO_REACHABLE_AUTHORITY: u16 = 22;
pub(super) const EDE_NETWORK_ERROR: u16 = 23;

/// Most bytes of the text of such an error.
const MAX_EDE_TEXT: usize = 160;

/// An answer that is being written.
#[derive(Debug)]
pub(super) struct Reply {
    message: Message,
    limit: u16,
}

impl Reply {
    /// To a query, with its question where there is exactly one.
    pub(super) fn to(query: &Message, transport: Transport) -> Self {
        let metadata = &query.metadata;
        let mut message = Message::response(metadata.id, metadata.op_code);
        message.metadata = Metadata::response_from_request(metadata);
        // What was screened is not what was signed, so nothing is claimed of its signature.
        message.metadata.checking_disabled = false;
        message.metadata.recursion_available = true;
        if let [question] = query.queries.as_slice() {
            message.add_query(Query::clone(question));
        }
        let mut limit = MAX_PLAIN;
        if let Some(asked) = &query.edns {
            let mut edns = Edns::new();
            edns.set_max_payload(MAX_EDNS);
            message.set_edns(edns);
            limit = asked.max_payload().clamp(MAX_PLAIN, MAX_EDNS);
        }
        if transport == Transport::Tcp {
            limit = u16::MAX;
        }
        Self { message, limit }
    }

    pub(super) fn code(mut self, code: ResponseCode) -> Self {
        self.message.metadata.response_code = code;
        self
    }

    pub(super) fn records(mut self, answers: Vec<Record>, authorities: Vec<Record>) -> Self {
        self.message.answers = answers;
        self.message.authorities = authorities;
        self
    }

    /// Says why, to those who understand it.
    pub(super) fn because(mut self, code: u16, text: &str) -> Self {
        if let Some(edns) = &mut self.message.edns {
            let end = text.floor_char_boundary(MAX_EDE_TEXT);
            let data = [&code.to_be_bytes(), &text.as_bytes()[..end]].concat();
            edns.options_mut().insert(EdnsOption::Unknown(EDE_OPTION, data));
        }
        self
    }

    /// As bytes. What is too long is left out, and the guest asks again by TCP (RFC 2181, section 9).
    pub(super) fn into_bytes(self) -> Option<Vec<u8>> {
        let bytes = self.message.to_vec().ok()?;
        if bytes.len() <= usize::from(self.limit) {
            return Some(bytes);
        }
        self.message.truncate().to_vec().ok()
    }
}
