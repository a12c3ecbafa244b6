//! What a name is to a guest: the one function behind every DNS answer, and behind `explain.rs`. It logs nothing.

use super::Guard;
use super::screen::screen;
use super::upstream::Failure;
use crate::host_name::HostName;
use crate::plan::{GATEWAY_V4, GATEWAY_V6};
use crate::policy::Verdict;
use crate::rule::HOST_LOOPBACK;
use hickory_proto::op::{Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{RData, Record, RecordType};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// For how long an answer of the gateway's own may be kept, in seconds. A changed policy changes it.
const OWN_TTL: u32 = 10;

/// What a question leads to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// An answer, which may be empty or say that there is no such name.
    Answer {
        /// `NoError` or `NXDomain`.
        code: ResponseCode,
        answers: Vec<Record>,
        authorities: Vec<Record>,
    },
    /// The policy refuses it. With the address, where it is the answer that is refused.
    Denied(Verdict, Option<IpAddr>),
    /// It is nothing that is answered here.
    Unanswered(ResponseCode),
    /// It could not be found out.
    Failed(Failure),
}

impl Outcome {
    fn of_gateway(answers: Vec<Record>) -> Self {
        Self::Answer { code: ResponseCode::NoError, answers, authorities: Vec::new() }
    }

    /// There is such a name, but nothing of that type.
    fn nothing() -> Self {
        Self::of_gateway(Vec::new())
    }

    /// There is no such name.
    fn missing() -> Self {
        Self::Answer { code: ResponseCode::NXDomain, answers: Vec::new(), authorities: Vec::new() }
    }
}

impl Guard {
    /// Finds the answer to a question of the class IN.
    pub(crate) async fn look_up(&self, question: &Query) -> Outcome {
        if let Some(code) = unanswered(question) {
            return Outcome::Unanswered(code);
        }
        if let Ok(network) = question.name.parse_arpa_name() {
            return self.look_up_address(question, network.network()).await;
        }
        // Programs that want an address ask for host names. Other names could be read in two ways by those who compare.
        let Some(name) = HostName::from_labels(question.name.iter()) else { return Outcome::missing() };
        if let Some(outcome) = self.look_up_own(question, &name) {
            return outcome;
        }
        let verdict = self.in_force().judge_name(&name);
        if !verdict.is_allowed() {
            return self.denied(&name, verdict);
        }
        match question.query_type {
            // They carry addresses and keys to hide the server name with, past the policy. Nobody needs them.
            RecordType::HTTPS | RecordType::SVCB => Outcome::nothing(),
            RecordType::AAAA if !self.has_ipv6() => Outcome::nothing(),
            _ => self.forward(question, &name).await,
        }
    }

    /// Names that the gateway knows itself.
    fn look_up_own(&self, question: &Query, name: &HostName) -> Option<Outcome> {
        if name.is_localhost() {
            // The guest's own, whoever asks (RFC 6761, section 6.3).
            return Some(own_addresses(question, Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST));
        }
        if name.as_str() == HOST_LOOPBACK {
            let verdict = self.in_force().judge_host_loopback(None);
            return Some(if verdict.is_allowed() {
                own_addresses(question, GATEWAY_V4, GATEWAY_V6)
            } else {
                Outcome::Denied(verdict.about(Some(name)), None)
            });
        }
        name.as_str().ends_with(".pyro.internal").then(Outcome::missing)
    }

    /// A name that is not allowed. That of a service of a host that is allowed (`_http._tcp.deb.example.org`) is not
    /// there, without a word: programs ask for it on their own account, and then go on with the host.
    fn denied(&self, name: &HostName, verdict: Verdict) -> Outcome {
        let about = name.without_service();
        if about.is_some_and(|host| self.in_force().judge_name(&host).is_allowed()) {
            return Outcome::missing();
        }
        Outcome::Denied(verdict.about(Some(name)), None)
    }

    async fn forward(&self, question: &Query, name: &HostName) -> Outcome {
        let message = match self.upstream.ask(question).await {
            Ok(message) => message,
            Err(failure) => return Outcome::Failed(failure),
        };
        let policy = self.in_force();
        let Some(screened) =
            screen(question, message, |address| policy.judge_answer(address, self.is_own(address)))
        else {
            return Outcome::Failed(Failure::Network("the chain of aliases does not end".to_owned()));
        };
        if let Some((address, verdict)) = screened.removed {
            tracing::debug!(%name, %address, rule = verdict.rule, "left an address out of an answer");
            if screened.addresses.is_empty() {
                return Outcome::Denied(verdict.about(Some(name)), Some(address));
            }
        }
        // Under the name that was asked for: an alias is whatever its owner makes it.
        self.resolved(name, &screened.addresses);
        Outcome::Answer { code: screened.code, answers: screened.answers, authorities: screened.authorities }
    }

    /// The name of an address, or of a network. Programs ask for it on their own account, so nothing is said where it
    /// is not allowed. It is asked for where the address itself may be talked to: what is not public is nobody's
    /// business outside, and a question can carry a message.
    async fn look_up_address(&self, question: &Query, address: IpAddr) -> Outcome {
        let names = self.names_of(address);
        if !self.in_force().may_name(address, self.is_own(address), &names) {
            return Outcome::missing();
        }
        if question.query_type != RecordType::PTR {
            return Outcome::nothing();
        }
        let message = match self.upstream.ask(question).await {
            Ok(message) => message,
            Err(failure) => return Outcome::Failed(failure),
        };
        match screen(question, message, |_| None) {
            Some(screened) => Outcome::Answer {
                code: screened.code,
                answers: screened.answers,
                authorities: screened.authorities,
            },
            None => Outcome::missing(),
        }
    }
}

/// Types that are no types of records, and the root, which no program has business with.
fn unanswered(question: &Query) -> Option<ResponseCode> {
    match question.query_type {
        RecordType::ANY => Some(ResponseCode::NotImp),
        RecordType::AXFR | RecordType::IXFR => Some(ResponseCode::Refused),
        RecordType::OPT | RecordType::TSIG | RecordType::ZERO => Some(ResponseCode::FormErr),
        RecordType::Unknown(128..=255) => Some(ResponseCode::NotImp),
        _ => question.name.is_root().then_some(ResponseCode::Refused),
    }
}

fn own_addresses(question: &Query, v4: Ipv4Addr, v6: Ipv6Addr) -> Outcome {
    let data = match question.query_type {
        RecordType::A => RData::A(A(v4)),
        RecordType::AAAA => RData::AAAA(AAAA(v6)),
        _ => return Outcome::nothing(),
    };
    Outcome::of_gateway(vec![Record::from_rdata(question.name.clone(), OWN_TTL, data)])
}
