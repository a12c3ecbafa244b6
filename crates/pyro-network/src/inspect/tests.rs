//! What passes, what does not, and that it makes no difference how it is cut.

use super::*;
use crate::guard::Upstream;
use crate::policy::Policy;
use proptest::prelude::*;

const TO: &str = "203.0.113.5";

/// A guard that has resolved `a.org` and `c.org` to the address, and allows `a.org` and `b.org`.
fn guard() -> Arc<Guard> {
    let guard = Guard::with_upstream(Policy::parse(&["a.org", "b.org"]).unwrap(), Upstream::from(Vec::new()));
    for name in ["a.org", "c.org"] {
        guard.resolved(&HostName::parse(name).unwrap(), &[(TO.parse().unwrap(), 60)]);
    }
    guard.resolved(&HostName::parse("b.org").unwrap(), &[("203.0.113.6".parse().unwrap(), 60)]);
    guard
}

/// What passes of bytes that come in pieces, and the refusal.
fn pass(guard: &Arc<Guard>, pieces: impl IntoIterator<Item = Vec<u8>>) -> (Vec<u8>, Option<Refusal>, bool) {
    let mut inspector = guard.inspector(SocketAddr::new(TO.parse().unwrap(), 443));
    let mut passed = Vec::new();
    for piece in pieces {
        match inspector.pass(piece) {
            Ok(bytes) => passed.extend(bytes),
            Err(refusal) => return (passed, Some(refusal), false),
        }
    }
    (passed, None, inspector.is_done())
}

fn whole(bytes: &[u8]) -> (Vec<u8>, Option<Refusal>, bool) {
    pass(&guard(), [bytes.to_vec()])
}

fn by_one(bytes: &[u8]) -> (Vec<u8>, Option<Refusal>, bool) {
    pass(&guard(), bytes.iter().map(|byte| vec![*byte]))
}

/// Passes whole, however it is cut.
#[track_caller]
fn passes(bytes: &[u8]) {
    let shown = String::from_utf8_lossy(bytes);
    for (passed, refusal, _) in [whole(bytes), by_one(bytes)] {
        assert_eq!(refusal, None, "{shown}");
        assert_eq!(passed, bytes, "{shown}");
    }
}

/// Is refused, however it is cut. Gives what passed before, and the denial.
#[track_caller]
fn refused(bytes: &[u8]) -> (Vec<u8>, crate::denial::Denial) {
    let shown = String::from_utf8_lossy(bytes);
    let guard = guard();
    let (_, together, _) = pass(&guard, [bytes.to_vec()]);
    let together = together.unwrap_or_else(|| panic!("passes: {shown}"));
    let denials = guard.denials().since(0);
    assert_eq!(denials.len(), 1);
    let (passed, alone, _) = by_one(bytes);
    assert_eq!(alone, Some(together), "{shown}");
    (passed, denials.into_iter().next().unwrap())
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

fn name_extension(name: &[u8]) -> Vec<u8> {
    let list = [&[0][..], &long(name)].concat();
    [&[0, 0][..], &long(&long(&list))].concat()
}

/// The handshake message with these extensions.
fn hello(extensions: &[u8]) -> Vec<u8> {
    let head = [&[3, 3][..], &[7; 32], &[0], &[0, 2, 0x13, 1], &[1, 0]].concat();
    let body = [head, long(extensions)].concat();
    [&[1, 0][..], &long(&body)].concat()
}

fn records(message: &[u8], len: usize) -> Vec<u8> {
    message.chunks(len).flat_map(|part| [&[22, 3, 1][..], &long(part)].concat()).collect()
}

fn tls(name: &str) -> Vec<u8> {
    records(&hello(&name_extension(name.as_bytes())), 16384)
}

#[test]
fn tls_passes_with_the_name_of_the_address() {
    let bytes = [tls("A.org"), b"\x17\x03\x03\x00\x01x and more".to_vec()].concat();
    passes(&bytes);
    assert!(whole(&bytes).2);
    passes(&records(&hello(&name_extension(b"a.org")), 5));
    let others = [&[0, 16][..], &long(b"\0\x03\x02h2")].concat();
    passes(&records(&hello(&[others, name_extension(b"a.org")].concat()), 16384));
}

/// What OpenSSL 3 says to `a.org`.
fn of_openssl() -> Vec<u8> {
    let digits: Vec<u8> =
        include_bytes!("client_hello.hex").iter().filter(|byte| **byte != b'\n').copied().collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

#[test]
fn a_real_client_passes_and_is_refused_once_it_is_changed() {
    let bytes = of_openssl();
    passes(&bytes);
    let at = bytes.windows(5).position(|part| part == b"a.org").unwrap();
    let other = [&bytes[..at], b"c", &bytes[at + 1..]].concat();
    assert_eq!(refused(&other).1.name.as_deref(), Some("c.org"));
}

#[test]
fn tls_is_refused_with_any_other_name() {
    for (name, rule) in [
        ("c.org", "not in the allowlist"),
        ("evil.org", "not in the allowlist"),
        ("b.org", "the name was not resolved to this address"),
    ] {
        let (passed, denial) = refused(&tls(name));
        assert_eq!((passed.len(), denial.kind), (0, DenialKind::Tls));
        assert_eq!((denial.name.as_deref(), denial.rule.as_str()), (Some(name), rule));
    }
    assert_eq!(whole(&tls("c.org")).1.unwrap().answer, [21, 3, 3, 0, 2, 2, 112]);
}

#[test]
fn tls_without_a_name_or_with_two_is_refused() {
    let with = |extensions: &[u8]| records(&hello(extensions), 16384);
    let twice = [name_extension(b"a.org"), name_extension(b"c.org")].concat();
    let list = [&[0][..], &long(b"a.org"), &[0], &long(b"c.org")].concat();
    let two_in_one = [&[0, 0][..], &long(&long(&list))].concat();
    for bytes in [with(&[]), with(&twice), with(&two_in_one), tls("203.0.113.5"), tls("a.org\0"), tls("")] {
        let (passed, denial) = refused(&bytes);
        assert_eq!((passed.len(), denial.kind, denial.name), (0, DenialKind::Tls, None));
        assert!(denial.hint.contains("--allow 203.0.113.5:443"));
    }
    let padded = [name_extension(b"a.org"), vec![0, 21, 0, 9], vec![0; 9]].concat();
    assert_eq!(refused(&records(&hello(&padded), 1)).1.rule, "a TLS ClientHello in too many records");
    refused(b"\x80\x2e\x01\x03\x01\x00\x15");
    refused(b"\x16\x03\x01\x00\x00");
    refused(&[b"\x16\x02", &tls("evil.org")[2..]].concat());
    for before in
        [&b"\x15\x03\x01\x00\x02\x01\x00"[..], b"\x14\x03\x03\x00\x01\x01", b"\x17\x00\x00\x00\x01x"]
    {
        let denial = refused(&[before, &tls("evil.org")].concat()).1;
        assert_eq!((denial.kind, denial.rule.as_str()), (DenialKind::Tls, tls::NOT_HELLO));
    }
    refused(b"\x16\x03\x01\xff\xff");
    refused(b"\x16\x03\x01\x00\x04\x02\x00\x00\x00");
}

#[test]
fn a_second_hello_is_looked_at_too() {
    let change = b"\x14\x03\x03\x00\x01\x01".to_vec();
    for between in [Vec::new(), change.clone()] {
        passes(&[tls("a.org"), between.clone(), tls("a.org")].concat());
        refused(&[tls("a.org"), between.clone(), tls("c.org")].concat());
        refused(&[tls("a.org"), between, records(&hello(&name_extension(b"c.org")), 3)].concat());
    }
    let early = hello(&[name_extension(b"a.org"), vec![0, 42, 0, 0]].concat());
    let data = b"\x17\x03\x03\x00\x02xx".to_vec();
    refused(&[records(&early, 16384), data, tls("c.org")].concat());
    // TLS 1.2: the end of the handshake is encrypted.
    let finished = [&[22, 3, 3][..], &long(&[1; 40])].concat();
    passes(&[tls("a.org"), change, finished].concat());
}

#[test]
fn every_request_of_a_connection_is_looked_at() {
    let first = b"GET / HTTP/1.1\r\nHost: a.org\r\n\r\n";
    passes(first);
    passes(&first.repeat(3));
    let (passed, denial) = refused(&[&first[..], b"GET / HTTP/1.1\r\nHost: c.org\r\n\r\n"].concat());
    assert_eq!(passed, first);
    assert_eq!((denial.kind, denial.name.as_deref()), (DenialKind::Http, Some("c.org")));
    let answer =
        String::from_utf8(whole(b"GET / HTTP/1.0\r\nHost: c.org\r\n\r\n").1.unwrap().answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"));
    assert!(answer.contains("c.org: not in the allowlist\nallow it with `--allow c.org:443`\n"));
}

#[test]
fn bodies_are_passed_over() {
    let other = b"GET / HTTP/1.1\r\nHost: c.org\r\n\r\n";
    let post = |fields: &str, body: &[u8]| {
        [format!("POST / HTTP/1.1\r\nHost: a.org:443\r\n{fields}\r\n\r\n").as_bytes(), body].concat()
    };
    let len = post("Content-Length: 31", other);
    let chunked = post(
        "transfer-encoding: Chunked",
        &[&b"1f;x=\"y\"\r\n"[..], other, b"\r\n0\r\nA: b\r\n\r\n"].concat(),
    );
    for bytes in [len, chunked] {
        passes(&[&bytes[..], &bytes].concat());
        refused(&[&bytes[..], other].concat());
    }
    passes(&post("Content-Length: 0", b""));
    refused(&[&post("Content-Length: 0", b"")[..], other].concat());
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    for head in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.org\r\nHost: a.org\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.org\r\nHost: c.org\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a.org\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.org\r\n X: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.org, c.org\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.org@c.org\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 203.0.113.5\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: \r\n\r\n",
        "GET / HTTP/1.1\nHost: a.org\n\n",
        "GET / HTTP/1.1\r\nX: y\nHost: a.org\r\n\r\n",
        "GET http://c.org/ HTTP/1.1\r\nHost: a.org\r\n\r\n",
        "GET http://a.org@c.org/ HTTP/1.1\r\nHost: a.org\r\n\r\n",
        "GET c.org HTTP/1.1\r\nHost: a.org\r\n\r\n",
        "CONNECT a.org:443 HTTP/1.1\r\nHost: a.org\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/3.0\r\nHost: a.org\r\n\r\n",
        "GET /\r\n",
        "GET /\0 HTTP/1.1\r\nHost: c.org\r\n\r\n",
        "GET\0/ HTTP/1.1\r\nHost: c.org\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a.org\r\n\r\n",
        "\t GET / HTTP/1.1\r\nHost: a.org\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.org\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.org\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.org\r\nContent-Length: 1, 1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.org\r\nContent-Length: +1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.org\r\nContent-Length: 9999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.org\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.org\r\nTransfer-Encoding: identity\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: a.org\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        let (passed, denial) = refused(head.as_bytes());
        assert_eq!((passed.len(), denial.kind), (0, DenialKind::Http), "{head}");
    }
    assert!(refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").1.hint.starts_with("use HTTP/1.1; "));
    let chunked = "POST / HTTP/1.1\r\nHost: a.org\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in [
        "x\r\n",
        "1 \r\n",
        "1\n",
        "1;a\nb\r\n",
        "1\r\nxy\r\n",
        "\r\n",
        "fffffffffffffffff\r\n",
        "0\r\nA: b\n\r\n",
    ] {
        refused(format!("{chunked}{body}").as_bytes());
    }
}

#[test]
fn forms_of_requests_that_are_clear_pass() {
    for head in [
        "\r\nGET / HTTP/1.1\r\nHost: A.org.:443\r\n\r\n",
        "GET http://a.org/x?y HTTP/1.1\r\nHost: a.org\r\n\r\n",
        "GET HTTPS://a.org:443?y HTTP/1.1\r\nHost: a.org\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nhost:a.org\r\n\r\n",
        "FROBNICATE / HTTP/1.1\r\nHost: a.org\r\nUpgrade: h2c\r\n\r\n",
    ] {
        passes(head.as_bytes());
    }
}

#[test]
fn web_sockets_pass_unless_they_are_requests() {
    let upgrade = "GET / HTTP/1.1\r\nHost: a.org\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n\r\n";
    let frames = [upgrade.as_bytes(), b"\x81\x85\x01\x02\x03\x04GET / HTTP/1.1\r\n\r\n"].concat();
    passes(&frames);
    assert!(whole(&frames).2);
    refused(format!("{upgrade}GET / HTTP/1.1\r\nHost: c.org\r\n\r\n").as_bytes());
}

#[test]
fn anything_else_passes() {
    for bytes in [
        &b"SSH-2.0-OpenSSH_9.2\r\n\x00\x00\x05"[..],
        b"EHLO me.org\r\nMAIL FROM:<x>\r\n",
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        b"0032git-upload-pack /x\0host=a.org\0",
        b"\xff\xfe\xfd\xfc",
    ] {
        passes(bytes);
        assert!(whole(bytes).2);
    }
}

#[test]
fn what_is_held_back_is_bounded() {
    refused(&vec![b'A'; 70_000]);
    let head = format!("GET / HTTP/1.1\r\nHost: a.org\r\nX: {}", "y".repeat(70_000));
    assert_eq!(refused(head.as_bytes()).1.rule, "an HTTP request with a head that is too long");
    let (passed, refusal, _) = whole(b"GET / HTTP/1.1\r\nHo");
    assert_eq!((passed.len(), refusal), (0, None));
}

#[test]
fn what_can_become_nothing_passes_at_the_end() {
    let mut inspector = guard().inspector(SocketAddr::new(TO.parse().unwrap(), 443));
    assert_eq!(inspector.pass(b"QUIT".to_vec()).unwrap(), b"");
    assert_eq!(inspector.finish(), b"QUIT");
    let mut inspector = guard().inspector(SocketAddr::new(TO.parse().unwrap(), 443));
    assert_eq!(inspector.pass(b"GET / HTTP/1.1".to_vec()).unwrap(), b"");
    assert_eq!(inspector.finish(), b"");
}

#[test]
fn what_is_held_for_too_long_is_refused_and_told() {
    let request = b"GET / HTTP/1.1\r\nHost: a.org\r\n\r\n";
    for partial in [&b"Q"[..], b"GET / HT", b"GET / HTTP/1.1\r\nHo", b"\x16", &tls("a.org")[..40]] {
        let guard = guard();
        let mut inspector = guard.inspector(SocketAddr::new(TO.parse().unwrap(), 443));
        assert!(!inspector.is_holding());
        assert_eq!(inspector.pass(partial.to_vec()).unwrap(), b"");
        assert!(inspector.is_holding());
        assert_eq!(inspector.give_up().unwrap_err().answer, b"");
        assert!(!inspector.is_holding() && inspector.pass(request.to_vec()).is_err());
        let denials = guard.denials().since(0);
        assert_eq!((denials.len(), denials[0].kind), (1, DenialKind::Tcp));
        assert_eq!(denials[0].rule, "what it says first could not be recognised");
        assert!(denials[0].hint.contains("`--allow 203.0.113.5:443`"));
    }
    let guard = guard();
    let mut inspector = guard.inspector(SocketAddr::new(TO.parse().unwrap(), 443));
    inspector.pass(request.to_vec()).unwrap();
    assert!(!inspector.is_holding());
    inspector.pass(b"GE".to_vec()).unwrap();
    guard.set_policy(Policy::parse(&["*"]).unwrap());
    assert_eq!(inspector.give_up().unwrap(), b"GE");
    assert!(inspector.is_done());
}

#[test]
fn a_policy_that_has_changed_counts() {
    let guard = guard();
    let mut inspector = guard.inspector(SocketAddr::new(TO.parse().unwrap(), 443));
    let request = b"GET / HTTP/1.1\r\nHost: a.org\r\n\r\n".to_vec();
    assert_eq!(inspector.pass(request.clone()).unwrap(), request);
    guard.set_policy(Policy::parse(&["b.org"]).unwrap());
    assert!(inspector.pass(request.clone()).is_err());
    assert_eq!(inspector.pass(request).unwrap_err().answer, b"");
    let mut inspector = guard.inspector(SocketAddr::new(TO.parse().unwrap(), 443));
    guard.set_policy(Policy::parse(&["*"]).unwrap());
    assert_eq!(inspector.pass(tls("evil.org")).unwrap(), tls("evil.org"));
    assert!(inspector.is_done());
}

/// Pieces of requests and of hellos, good and bad.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        &b"GET / HTTP/1.1\r\nHost: a.org\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: c.org\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a.org\r\nContent-Length: 5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: a.org\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.org\r\nUpgrade: websocket\r\n\r\n",
        b"Host: c.org\r\n",
        b"\r\n",
        b"\n",
        b" ",
        b"\x81\x80",
        b"\x16\x03\x01\x00",
    ];
    let hellos = [tls("a.org"), tls("c.org"), records(&hello(&name_extension(b"a.org")), 7)];
    let known: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).chain(hellos).collect();
    prop_oneof![4 => proptest::sample::select(known), 1 => proptest::collection::vec(any::<u8>(), 0..20)]
}

proptest! {
    #[test]
    fn how_it_is_cut_makes_no_difference(
        pieces in proptest::collection::vec(piece(), 1..6),
        cuts in proptest::collection::vec(1usize..40, 1..200),
    ) {
        let bytes = pieces.concat();
        let (passed, refusal, done) = whole(&bytes);
        let mut rest = bytes.as_slice();
        let mut cut = Vec::new();
        for len in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (part, behind) = rest.split_at((*len).min(rest.len()));
            cut.push(part.to_vec());
            rest = behind;
        }
        for (by_parts, other_refusal, other_done) in [by_one(&bytes), pass(&guard(), cut)] {
            prop_assert_eq!(&other_refusal, &refusal);
            prop_assert!(bytes.starts_with(&by_parts));
            if refusal.is_none() {
                prop_assert_eq!(&by_parts, &passed);
                prop_assert_eq!(other_done, done);
            }
        }
    }

    #[test]
    fn nothing_of_a_refused_name_passes(before in 0usize..3, cuts in proptest::collection::vec(1usize..20, 1..100)) {
        let good = b"GET / HTTP/1.1\r\nHost: a.org\r\n\r\n".repeat(before);
        let bytes = [&good[..], b"GET /secret HTTP/1.1\r\nHost: c.org\r\n\r\n"].concat();
        let mut at = 0;
        let parts = cuts.iter().cycle().map_while(|len| {
            let part = bytes.get(at..(at + len).min(bytes.len())).filter(|part| !part.is_empty())?;
            at += len;
            Some(part.to_vec())
        });
        let (passed, refusal, _) = pass(&guard(), parts.collect::<Vec<_>>());
        prop_assert!(refusal.is_some());
        prop_assert!(good.starts_with(&passed));
    }
}
