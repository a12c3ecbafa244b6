//! A name server on this host that answers as a test wants, over UDP and TCP on one port.

use super::upstream::Upstream;
use hickory_proto::op::{Message, Metadata, Query};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

/// What it answers to a query: datagrams, or over TCP the first of them. `true`: it came by TCP.
pub(crate) type Answer = dyn Fn(&Message, bool) -> Vec<Vec<u8>> + Send + Sync;

/// One that is running. Its tasks end with the runtime of the test.
pub(crate) struct FakeUpstream {
    pub(crate) address: SocketAddr,
    /// How many queries came.
    pub(crate) asked: Arc<AtomicUsize>,
}

impl FakeUpstream {
    pub(crate) async fn start(
        answer: impl Fn(&Message, bool) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let answer: Arc<Answer> = Arc::new(answer);
        // The port of one kind is almost always free for the other.
        let (socket, listener) = loop {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(listener) = TcpListener::bind(socket.local_addr().unwrap()).await {
                break (socket, listener);
            }
        };
        let fake = Self { address: socket.local_addr().unwrap(), asked: Arc::default() };
        tokio::spawn(by_datagram(socket, Arc::clone(&answer), Arc::clone(&fake.asked)));
        tokio::spawn(by_stream(listener, answer, Arc::clone(&fake.asked)));
        fake
    }

    /// One that answers every question with the records that a function gives.
    pub(crate) async fn with_records(
        records: impl Fn(&Query) -> Vec<Record> + Send + Sync + 'static,
    ) -> Self {
        Self::start(move |query, _| vec![reply(query, records(&query.queries[0])).to_vec().unwrap()]).await
    }

    pub(crate) fn upstream(&self) -> Upstream {
        Upstream::from(vec![self.address])
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn by_datagram(socket: UdpSocket, answer: Arc<Answer>, asked: Arc<AtomicUsize>) {
    let mut buffer = [0; 4096];
    while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
        asked.fetch_add(1, Ordering::SeqCst);
        let query = Message::from_vec(&buffer[..len]).unwrap();
        for datagram in answer(&query, false) {
            socket.send_to(&datagram, from).await.unwrap();
        }
    }
}

async fn by_stream(listener: TcpListener, answer: Arc<Answer>, asked: Arc<AtomicUsize>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        asked.fetch_add(1, Ordering::SeqCst);
        let mut query = vec![0; stream.read_u16().await.unwrap().into()];
        stream.read_exact(&mut query).await.unwrap();
        let bytes = answer(&Message::from_vec(&query).unwrap(), true).remove(0);
        stream.write_u16(bytes.len() as u16).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
    }
}

/// An answer to a query.
pub(crate) fn reply(query: &Message, records: Vec<Record>) -> Message {
    let mut message = Message::response(query.metadata.id, query.metadata.op_code);
    message.metadata = Metadata::response_from_request(&query.metadata);
    message.queries.clone_from(&query.queries);
    message.answers = records;
    message
}

pub(crate) fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

pub(crate) fn address(owner: &str, address: &str) -> Record {
    let data = match address.parse().unwrap() {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    };
    Record::from_rdata(name(owner), 30, data)
}

pub(crate) fn alias(owner: &str, target: &str) -> Record {
    Record::from_rdata(name(owner), 30, RData::CNAME(CNAME(name(target))))
}
