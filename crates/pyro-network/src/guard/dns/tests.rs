//! What a guest is answered.

use super::super::fake_upstream::{FakeUpstream, address, alias, name};
use super::super::reply::EDE_OPTION;
use super::super::{Access, MAX_QUERIES, Upstream, lock};
use super::*;
use crate::denial::Denial;
use crate::policy::Policy;
use hickory_proto::op::Edns;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::rdata::{NULL, TXT};
use hickory_proto::rr::{RData, Record, RecordType};
use proptest::prelude::*;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn guard(allow: &[&str], upstream: Upstream) -> Arc<Guard> {
    let guard = Guard::with_upstream(Policy::parse(allow).unwrap(), upstream);
    *lock(&guard.ipv6) = Some((Instant::now(), true));
    guard
}

fn query(text: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name(text), kind));
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    message.set_edns(edns);
    message
}

async fn ask(guard: &Guard, query: &Message) -> Message {
    let answer = guard.answer_dns(&query.to_vec().unwrap(), Transport::Udp).await.unwrap();
    let answer = Message::from_vec(&answer).unwrap();
    assert_eq!(answer.metadata.id, query.metadata.id);
    answer
}

/// The answer to a question for addresses, with its code.
async fn addresses(guard: &Guard, text: &str, kind: RecordType) -> (ResponseCode, Vec<String>) {
    let answer = ask(guard, &query(text, kind)).await;
    let addresses = answer.answers.iter().filter_map(|record| record.data.ip_addr());
    (answer.metadata.response_code, addresses.map(|address| address.to_string()).collect())
}

fn last_denial(guard: &Guard) -> Denial {
    guard.denials().since(0).pop().unwrap()
}

fn extended_error(answer: &Message) -> Option<(u16, String)> {
    match answer.edns.as_ref()?.option(EdnsCode::from(EDE_OPTION))? {
        EdnsOption::Unknown(_, data) => {
            Some((u16::from_be_bytes([data[0], data[1]]), String::from_utf8(data[2..].to_vec()).unwrap()))
        }
        _ => None,
    }
}

fn tcp(guard: &Guard, address: &str, port: u16) -> Access {
    guard.check(DenialKind::Tcp, address.parse().unwrap(), Some(port))
}

#[tokio::test]
async fn an_allowed_name_is_resolved_and_its_address_reachable() {
    let fake = FakeUpstream::with_records(|question| {
        vec![
            address(&question.name.to_ascii(), "203.0.113.5"),
            address(&question.name.to_ascii(), "203.0.113.6"),
        ]
    })
    .await;
    let guard = guard(&["a.example.org:443"], fake.upstream());
    assert_eq!(tcp(&guard, "203.0.113.5", 443), Access::Denied);
    let answer = addresses(&guard, "A.Example.org", RecordType::A).await;
    assert_eq!(answer, (ResponseCode::NoError, vec!["203.0.113.5".to_owned(), "203.0.113.6".to_owned()]));
    assert_eq!(tcp(&guard, "203.0.113.5", 443), Access::IfNamed);
    assert_eq!(tcp(&guard, "203.0.113.6", 443), Access::IfNamed);
    assert_eq!(tcp(&guard, "203.0.113.6", 80), Access::Denied);
    assert_eq!(tcp(&guard, "203.0.113.7", 443), Access::Denied);
    guard.set_policy(Policy::parse(&["b.example.org"]).unwrap());
    assert_eq!(tcp(&guard, "203.0.113.5", 443), Access::Denied);
}

#[tokio::test]
async fn a_name_that_is_not_allowed_does_not_exist_and_nobody_is_asked() {
    let fake = FakeUpstream::with_records(|_| Vec::new()).await;
    let guard = guard(&["a.example.org"], fake.upstream());
    let answer = ask(&guard, &query("secret.b.example.org", RecordType::A)).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(extended_error(&answer), Some((EDE_PROHIBITED, "not in the allowlist".to_owned())));
    assert_eq!(fake.asked(), 0);
    let denial = last_denial(&guard);
    assert_eq!((denial.kind, denial.name.as_deref()), (DenialKind::Dns, Some("secret.b.example.org")));
    assert_eq!(denial.hint, "allow it with `--allow secret.b.example.org`");
    let mut plain = query("b.example.org", RecordType::A);
    plain.edns = None;
    assert!(ask(&guard, &plain).await.edns.is_none());
}

#[tokio::test]
async fn what_points_to_the_inside_is_not_told() {
    let inside = [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "100.96.0.1",
        "::ffff:127.0.0.1",
        "::1",
        "::",
        "fd70:7972:6f00::1",
        "fe80::1",
        "64:ff9b::7f00:1",
    ];
    for hidden in inside {
        let round = AtomicUsize::new(0);
        let fake = FakeUpstream::with_records(move |question| {
            let is_v4 = !hidden.contains(':');
            if (question.query_type == RecordType::A) != is_v4 {
                return Vec::new();
            }
            let outside = if is_v4 { "203.0.113.5" } else { "2001:db8::5" };
            let now = if round.fetch_add(1, Ordering::SeqCst) == 0 { outside } else { hidden };
            vec![address("a.example.org", now)]
        })
        .await;
        let kind = if hidden.contains(':') { RecordType::AAAA } else { RecordType::A };
        for allow in [&[][..], &["a.example.org"], &["*"], &["0.0.0.0/0", "::/0", "*.example.org"]] {
            let guard = guard(allow, fake.upstream());
            if allow.is_empty() {
                assert_eq!(addresses(&guard, "a.example.org", kind).await.1.len(), 1);
            }
            let answer = ask(&guard, &query("a.example.org", kind)).await;
            assert_eq!(
                (answer.metadata.response_code, answer.answers.len()),
                (ResponseCode::NXDomain, 0),
                "{hidden}"
            );
            assert_eq!(extended_error(&answer).unwrap().0, EDE_BLOCKED);
            let denial = last_denial(&guard);
            assert_eq!(denial.address, Some(hidden.parse::<IpAddr>().unwrap()));
            assert_eq!(tcp(&guard, hidden, 80), Access::Denied);
        }
    }
}

#[tokio::test]
async fn the_hosts_own_addresses_are_not_told() {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    if socket.connect("203.0.113.77:9").is_err() {
        println!("skipped: this host has no route to the outside");
        return;
    }
    let own = socket.local_addr().unwrap().ip().to_string();
    let told = own.clone();
    let fake = FakeUpstream::with_records(move |_| vec![address("a.example.org", &told)]).await;
    let guard = guard(&["*"], fake.upstream());
    assert_eq!(addresses(&guard, "a.example.org", RecordType::A).await.0, ResponseCode::NXDomain);
    assert_eq!(last_denial(&guard).rule, "the host's own address");
    guard.set_policy(Policy::parse(&["*", &own]).unwrap());
    assert_eq!(addresses(&guard, "a.example.org", RecordType::A).await.1, [own]);
}

#[tokio::test]
async fn of_a_mixed_answer_the_outside_is_left() {
    let fake = FakeUpstream::with_records(|_| {
        vec![address("a.example.org", "10.0.0.1"), address("a.example.org", "203.0.113.5")]
    })
    .await;
    let guard = guard(&[], fake.upstream());
    assert_eq!(addresses(&guard, "a.example.org", RecordType::A).await.1, ["203.0.113.5"]);
    assert!(guard.denials().since(0).is_empty());
}

#[tokio::test]
async fn a_named_inside_address_is_told() {
    let fake = FakeUpstream::with_records(|_| vec![address("db.example.org", "10.0.0.5")]).await;
    let guard = guard(&["db.example.org", "10.0.0.5:5432"], fake.upstream());
    assert_eq!(addresses(&guard, "db.example.org", RecordType::A).await.1, ["10.0.0.5"]);
    assert_eq!(
        (tcp(&guard, "10.0.0.5", 5432), tcp(&guard, "10.0.0.5", 22)),
        (Access::Allowed, Access::Denied)
    );
}

#[tokio::test]
async fn aliases_are_followed_and_strangers_left_out() {
    let fake = FakeUpstream::start(|query, _| {
        let mut message = super::super::fake_upstream::reply(
            query,
            vec![
                address("stranger.org", "203.0.113.9"),
                address("b.cdn.org", "203.0.113.5"),
                alias("a.cdn.org", "B.cdn.org"),
                alias("a.example.org", "a.cdn.org"),
                address("b.cdn.org", "2001:db8::5"),
                Record::from_rdata(
                    name("a.example.org"),
                    9,
                    RData::Unknown { code: RecordType::HTTPS, rdata: NULL::with(vec![0, 1, 0]) },
                ),
            ],
        );
        message.additionals = vec![address("a.example.org", "203.0.113.8")];
        message.authorities = vec![address("a.example.org", "203.0.113.7")];
        vec![message.to_vec().unwrap()]
    })
    .await;
    let guard = guard(&["a.example.org"], fake.upstream());
    let answer = ask(&guard, &query("a.example.org", RecordType::A)).await;
    let expected = [
        alias("a.example.org", "a.cdn.org"),
        alias("a.cdn.org", "b.cdn.org"),
        address("b.cdn.org", "203.0.113.5"),
    ];
    assert_eq!(answer.answers, expected);
    assert!(answer.additionals.is_empty() && answer.authorities.is_empty());
    assert_eq!(tcp(&guard, "203.0.113.5", 443), Access::IfNamed);
    for stranger in ["203.0.113.7", "203.0.113.8", "203.0.113.9", "2001:db8::5"] {
        assert_eq!(tcp(&guard, stranger, 443), Access::Denied);
    }
}

#[tokio::test]
async fn aliases_without_end_fail() {
    let fake = FakeUpstream::with_records(|_| vec![alias("a.org", "b.org"), alias("b.org", "a.org")]).await;
    let guard = guard(&[], fake.upstream());
    let answer = ask(&guard, &query("a.org", RecordType::A)).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(extended_error(&answer).unwrap().0, EDE_NETWORK_ERROR);
}

#[tokio::test]
async fn names_of_the_gateways_own_are_answered_here() {
    let fake = FakeUpstream::with_records(|_| Vec::new()).await;
    let guard = guard(&[], fake.upstream());
    assert_eq!(addresses(&guard, "app.localhost", RecordType::A).await.1, ["127.0.0.1"]);
    assert_eq!(addresses(&guard, "localhost", RecordType::AAAA).await.1, ["::1"]);
    assert_eq!(addresses(&guard, "host.pyro.internal", RecordType::A).await.0, ResponseCode::NXDomain);
    assert!(last_denial(&guard).hint.contains("`--allow host.pyro.internal:PORT`"));
    assert_eq!(addresses(&guard, "x.pyro.internal", RecordType::A).await.0, ResponseCode::NXDomain);
    guard.set_policy(Policy::parse(&["host.pyro.internal:80"]).unwrap());
    assert_eq!(addresses(&guard, "Host.Pyro.internal", RecordType::A).await.1, ["100.96.0.1"]);
    assert_eq!(addresses(&guard, "host.pyro.internal", RecordType::AAAA).await.1, ["fd70:7972:6f00::1"]);
    assert_eq!(
        addresses(&guard, "host.pyro.internal", RecordType::TXT).await,
        (ResponseCode::NoError, Vec::new())
    );
    assert_eq!(
        (tcp(&guard, "100.96.0.1", 80), tcp(&guard, "100.96.0.1", 81)),
        (Access::Allowed, Access::Denied)
    );
    assert_eq!(fake.asked(), 0);
}

#[tokio::test]
async fn what_would_get_around_the_policy_is_not_asked_for() {
    let fake = FakeUpstream::with_records(|_| Vec::new()).await;
    let guard = guard(&["a.example.org"], fake.upstream());
    for kind in [RecordType::HTTPS, RecordType::SVCB] {
        assert_eq!(addresses(&guard, "a.example.org", kind).await, (ResponseCode::NoError, Vec::new()));
    }
    let codes = [
        ("a.example.org", RecordType::ANY, ResponseCode::NotImp),
        ("a.example.org", RecordType::AXFR, ResponseCode::Refused),
        ("a.example.org", RecordType::Unknown(249), ResponseCode::NotImp),
        ("1.0.0.10.in-addr.arpa", RecordType::PTR, ResponseCode::NXDomain),
        ("1.0.0.127.in-addr.arpa", RecordType::PTR, ResponseCode::NXDomain),
        ("9.113.0.203.in-addr.arpa", RecordType::PTR, ResponseCode::NXDomain),
        ("_http._tcp.a.example.org", RecordType::SRV, ResponseCode::NXDomain),
    ];
    for (text, kind, code) in codes {
        assert_eq!(ask(&guard, &query(text, kind)).await.metadata.response_code, code, "{text} {kind}");
    }
    *lock(&guard.ipv6) = Some((Instant::now(), false));
    assert_eq!(
        addresses(&guard, "a.example.org", RecordType::AAAA).await,
        (ResponseCode::NoError, Vec::new())
    );
    assert_eq!(fake.asked(), 0);
    assert!(guard.denials().since(0).is_empty());
}

#[tokio::test]
async fn the_name_of_an_address_is_asked_for_where_it_may_be_reached() {
    let fake = FakeUpstream::with_records(|question| {
        vec![Record::from_rdata(
            question.name.clone(),
            9,
            RData::PTR(hickory_proto::rr::rdata::PTR(name("a.org"))),
        )]
    })
    .await;
    let text = "5.113.0.203.in-addr.arpa";
    for allow in [&[][..], &["203.0.113.0/24:443"], &["*"]] {
        let guard = guard(allow, fake.upstream());
        assert_eq!(ask(&guard, &query(text, RecordType::PTR)).await.answers.len(), 1);
        assert!(ask(&guard, &query(text, RecordType::A)).await.answers.is_empty());
    }
    assert_eq!(fake.asked(), 3);
}

#[tokio::test]
async fn queries_that_are_none_get_what_they_deserve() {
    let guard = guard(&[], Upstream::from(Vec::new()));
    let mut two = query("a.org", RecordType::A);
    two.add_query(Query::query(name("b.org"), RecordType::A));
    let mut chaos = query("a.org", RecordType::TXT);
    chaos.queries[0].query_class = DNSClass::CH;
    let mut update = query("a.org", RecordType::A);
    update.metadata.op_code = OpCode::Update;
    let mut version = query("a.org", RecordType::A);
    version.edns.as_mut().unwrap().set_version(1);
    for (message, code) in [
        (two, ResponseCode::FormErr),
        (chaos, ResponseCode::Refused),
        (update, ResponseCode::NotImp),
        (version, ResponseCode::BADVERS),
    ] {
        // By number: 16 has two names.
        let answered = ask(&guard, &message).await.metadata.response_code;
        assert_eq!(u16::from(answered), u16::from(code));
    }
    let mut answer = query("a.org", RecordType::A).to_vec().unwrap();
    answer[2] |= IS_ANSWER;
    assert_eq!(guard.answer_dns(&answer, Transport::Udp).await, None);
    assert_eq!(guard.answer_dns(&[0; 11], Transport::Udp).await, None);
    let broken =
        guard.answer_dns(&[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12], Transport::Udp).await.unwrap();
    assert_eq!(Message::from_vec(&broken).unwrap().metadata.response_code, ResponseCode::FormErr);
}

#[tokio::test]
async fn a_label_with_a_dot_in_it_is_not_two() {
    let fake =
        FakeUpstream::with_records(|question| vec![address(&question.name.to_ascii(), "203.0.113.5")]).await;
    let guard = guard(&["*.pypi.org"], fake.upstream());
    let mut message = query("a.org", RecordType::A);
    message.queries[0].name = hickory_proto::rr::Name::from_labels([&b"evil.pypi"[..], b"org"]).unwrap();
    assert_eq!(ask(&guard, &message).await.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(fake.asked(), 0);
}

#[tokio::test]
async fn a_long_answer_is_cut_for_a_datagram_and_whole_in_a_stream() {
    let fake = FakeUpstream::with_records(|_| {
        (0..60).map(|last| address("a.org", &format!("203.0.113.{last}"))).collect()
    })
    .await;
    let guard = guard(&[], fake.upstream());
    let mut message = query("a.org", RecordType::A);
    message.edns = None;
    let short = ask(&guard, &message).await;
    assert!(short.metadata.truncation && short.answers.is_empty());
    let long = guard.answer_dns(&message.to_vec().unwrap(), Transport::Tcp).await.unwrap();
    assert_eq!(Message::from_vec(&long).unwrap().answers.len(), 60);
    assert_eq!(ask(&guard, &query("a.org", RecordType::A)).await.answers.len(), 60);
}

#[tokio::test]
async fn texts_pass_and_are_not_kept_for_ever() {
    let fake = FakeUpstream::with_records(|_| {
        vec![Record::from_rdata(name("a.org"), 1_000_000, RData::TXT(TXT::new(vec!["x".to_owned()])))]
    })
    .await;
    let guard = guard(&[], fake.upstream());
    let answer = ask(&guard, &query("a.org", RecordType::TXT)).await;
    assert_eq!((answer.answers.len(), answer.answers[0].ttl), (1, 3600));
}

#[tokio::test]
async fn too_many_at_once_are_told_to_come_again() {
    let silent = FakeUpstream::start(|_, _| Vec::new()).await;
    let guard = guard(&[], silent.upstream());
    let waiting: Vec<_> = (0..MAX_QUERIES)
        .map(|_| {
            let guard = Arc::clone(&guard);
            tokio::spawn(async move { ask(&guard, &query("a.org", RecordType::A)).await })
        })
        .collect();
    while guard.queries.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    assert_eq!(addresses(&guard, "a.org", RecordType::A).await.0, ResponseCode::ServFail);
    assert!(began.elapsed() < Duration::from_secs(1));
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_host_without_name_servers_fails_and_says_so() {
    let gone = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let guard = guard(&[], Upstream::from(vec![gone]));
    let answer = ask(&guard, &query("a.org", RecordType::A)).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(extended_error(&answer).unwrap().0, EDE_NETWORK_ERROR);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), header: bool) {
        let mut bytes = bytes;
        if header {
            let start = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
            bytes.splice(..bytes.len().min(12), start);
        }
        let guard = guard(&["none"], Upstream::from(Vec::new()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for transport in [Transport::Udp, Transport::Tcp] {
            if let Some(answer) = runtime.block_on(guard.answer_dns(&bytes, transport)) {
                prop_assert!(Message::from_vec(&answer).is_ok());
                prop_assert!(answer.len() <= 4096);
            }
        }
    }
}
