//! What of a name server's answer a guest may see. Built anew from what is known to be harmless, never patched:
//!
//! - the chain of aliases that begins with the question, and at its end the records of the type that was asked for;
//! - of those, no address that is not public or is the host's own (DNS rebinding), unless a rule names it;
//! - of the other sections, only what says for how long there is no answer (SOA).
//!
//! Everything else is left out: addresses that nobody asked for, and records with addresses and keys of their own
//! (HTTPS, SVCB), which would get around the policy.

use super::names::MAX_KEPT;
use crate::policy::Verdict;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use std::net::IpAddr;

/// Longest chain of aliases.
const MAX_ALIASES: usize = 16;

/// What is left of an answer.
#[derive(Debug)]
pub(super) struct Screened {
    pub(super) code: ResponseCode,
    pub(super) answers: Vec<Record>,
    pub(super) authorities: Vec<Record>,
    /// The addresses among the answers, with their TTLs in seconds.
    pub(super) addresses: Vec<(IpAddr, u32)>,
    /// The first address that was taken out, and why.
    pub(super) removed: Option<(IpAddr, Verdict)>,
}

/// Screens an answer. `refuse` gives the reason for which an address must not be told. None: the chain of aliases does
/// not end.
pub(super) fn screen(
    question: &Query,
    message: Message,
    refuse: impl Fn(IpAddr) -> Option<Verdict>,
) -> Option<Screened> {
    let mut records: Vec<Record> = message.answers;
    records.retain(|record| record.dns_class == DNSClass::IN);
    let (mut answers, end) = aliases(question, &records)?;
    let (mut addresses, mut removed) = (Vec::new(), None);
    for mut record in records.into_iter().filter(|record| record.name == end) {
        if record.record_type() != question.query_type {
            continue;
        }
        cap_ttl(&mut record);
        if let Some(address) = record.data.ip_addr() {
            if let Some(reason) = refuse(address) {
                removed.get_or_insert((address, reason));
                continue;
            }
            addresses.push((address, record.ttl));
        }
        answers.push(record);
    }
    let is_soa =
        |record: &Record| record.record_type() == RecordType::SOA && record.dns_class == DNSClass::IN;
    let mut authorities: Vec<Record> = message.authorities.into_iter().filter(is_soa).take(1).collect();
    authorities.iter_mut().for_each(cap_ttl);
    Some(Screened { code: message.metadata.response_code, answers, authorities, addresses, removed })
}

/// The chain of aliases (CNAME) from the question on, and the name at its end.
fn aliases(question: &Query, records: &[Record]) -> Option<(Vec<Record>, Name)> {
    let (mut chain, mut end) = (Vec::new(), question.name.clone());
    if question.query_type == RecordType::CNAME {
        return Some((chain, end));
    }
    loop {
        let alias = records.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == end => Some((record, target.0.clone())),
            _ => None,
        });
        let Some((record, target)) = alias else { return Some((chain, end)) };
        if chain.len() == MAX_ALIASES {
            return None;
        }
        let mut record = record.clone();
        cap_ttl(&mut record);
        chain.push(record);
        end = target;
    }
}

/// Nobody is to know an address for longer than the table of names does.
fn cap_ttl(record: &mut Record) {
    record.ttl = record.ttl.min(MAX_KEPT.as_secs() as u32);
}
