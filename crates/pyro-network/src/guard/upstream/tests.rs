//! Name servers that are slow, silent, broken or lying.

use super::super::fake_upstream::{FakeUpstream, address, name, reply};
use super::*;
use hickory_proto::rr::RecordType;
use std::time::Instant;

fn question() -> Query {
    Query::query(name("a.example.org"), RecordType::A)
}

fn honest(query: &Message) -> Message {
    reply(query, vec![address("a.example.org", "203.0.113.5")])
}

fn bytes(message: &Message) -> Vec<u8> {
    message.to_vec().unwrap()
}

/// Datagrams that are no answer, each in its way.
fn lies(query: &Message) -> Vec<Vec<u8>> {
    let mut other_id = honest(query);
    other_id.metadata.id = query.metadata.id.wrapping_add(1);
    let mut other_name = honest(query);
    other_name.queries[0].name = name("b.example.org");
    let mut other_type = honest(query);
    other_type.queries[0].query_type = RecordType::AAAA;
    let mut no_question = honest(query);
    no_question.queries.clear();
    let mut looping = bytes(&honest(query))[..12].to_vec();
    // The name of the question is a pointer to itself.
    looping.extend([0xc0, 12, 0, 1, 0, 1]);
    let mut counts = bytes(&honest(query));
    counts[6..8].copy_from_slice(&[0xff, 0xff]);
    let lies = [bytes(&other_id), bytes(&other_name), bytes(&other_type), bytes(&no_question), bytes(query)];
    lies.into_iter().chain([looping, counts, Vec::new(), vec![0xff; 1200]]).collect()
}

#[tokio::test]
async fn an_answer_is_taken_and_lies_before_it_are_not() {
    let fake = FakeUpstream::start(|query, _| {
        let mut datagrams = lies(query);
        datagrams.push(bytes(&honest(query)));
        datagrams
    })
    .await;
    let answer = fake.upstream().ask(&question()).await.unwrap();
    assert_eq!(answer.answers, [address("a.example.org", "203.0.113.5")]);
}

#[tokio::test]
async fn a_flood_of_lies_ends() {
    let fake = FakeUpstream::start(|query, _| vec![lies(query).remove(0); 60]).await;
    let began = Instant::now();
    assert!(matches!(fake.upstream().ask(&question()).await, Err(Failure::Network(_))));
    assert!(began.elapsed() < ONE_SERVER, "{:?}", began.elapsed());
}

#[tokio::test]
async fn the_next_server_is_asked() {
    let refusing = FakeUpstream::start(|query, _| {
        let mut message = reply(query, Vec::new());
        message.metadata.response_code = ResponseCode::ServFail;
        vec![bytes(&message)]
    })
    .await;
    let good = FakeUpstream::start(|query, _| vec![bytes(&honest(query))]).await;
    // Nothing listens on this port any more.
    let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let began = Instant::now();
    let upstream = Upstream::from(vec![gone, refusing.address, good.address]);
    assert_eq!(upstream.ask(&question()).await.unwrap().answers.len(), 1);
    assert!(began.elapsed() < ONE_SERVER);
    assert_eq!(refusing.upstream().ask(&question()).await, Err(Failure::Code(ResponseCode::ServFail)));
}

#[tokio::test]
async fn silence_has_a_limit() {
    let silent = FakeUpstream::start(|_, _| Vec::new()).await;
    let began = Instant::now();
    assert_eq!(silent.upstream().ask(&question()).await, Err(Failure::Silent));
    assert!(began.elapsed() < ALL_SERVERS + Duration::from_millis(500), "{:?}", began.elapsed());
    assert_eq!(silent.asked(), ROUNDS);
}

#[tokio::test]
async fn what_is_truncated_is_fetched_by_tcp() {
    let fake = FakeUpstream::start(|query, by_stream| {
        let mut message = honest(query);
        if by_stream {
            message.answers = (0..2000)
                .map(|number| address("a.example.org", &format!("203.0.113.{}", number % 256)))
                .collect();
        } else {
            message.metadata.truncation = true;
        }
        vec![bytes(&message)]
    })
    .await;
    assert_eq!(fake.upstream().ask(&question()).await.unwrap().answers.len(), 2000);
}

#[tokio::test]
async fn without_servers_there_is_no_answer() {
    assert!(matches!(Upstream::from(Vec::new()).ask(&question()).await, Err(Failure::Network(_))));
}
