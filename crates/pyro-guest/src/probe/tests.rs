use super::*;
use std::io::Read;
use std::net::TcpListener;
use std::thread::JoinHandle;
use std::time::Instant;

fn probe(check: Check) -> Probe {
    Probe { check, interval_ms: 1, env: BTreeMap::new(), cwd: "/".into() }
}

fn file(path: &str) -> Check {
    Check::File { path: path.into() }
}

fn http(url: &str) -> Check {
    Check::Http { url: url.into() }
}

fn command(line: &str) -> Result<(), String> {
    command::run(line, "/", command::LIMIT)
}

/// Serves one connection with these bytes, and gives what was asked.
fn server(answer: &'static [u8]) -> (u16, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut piece = [0; 1024];
        while !request.ends_with(b"\r\n\r\n") {
            let n_bytes = stream.read(&mut piece).unwrap();
            request.extend_from_slice(&piece[..n_bytes]);
        }
        stream.write_all(answer).unwrap();
        String::from_utf8(request).unwrap()
    });
    (port, serving)
}

#[test]
fn what_could_never_be_ready_is_refused() {
    for check in [
        file("relative"),
        file("/a\0"),
        Check::Command { command: "a\0b".into() },
        Check::Tcp { address: "localhost".into() },
        Check::Tcp { address: "a:b:80".into() },
        Check::Tcp { address: "::1:80".into() },
        http("https://localhost/"),
        http("http://localhost:99999/"),
    ] {
        assert!(arguments(&probe(check.clone())).is_err(), "{check:?}");
    }
    let relative = Probe { cwd: "x".into(), ..probe(Check::Command { command: "true".into() }) };
    assert!(arguments(&relative).is_err());
    let env = [("SECRET".to_owned(), "hidden".to_owned())].into();
    let words = arguments(&Probe { env, ..probe(file("/x")) }).unwrap();
    assert_eq!(words, arguments(&probe(file("/x"))).unwrap(), "the environment is no argument");
}

#[test]
fn a_file_is_there_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ready");
    let text = path.to_str().unwrap();
    assert_eq!(ask(&probe(file(text))), Err(format!("no file {text}")));
    std::os::unix::fs::symlink("target", &path).unwrap();
    assert_eq!(ask(&probe(file(text))), Err(format!("no file {text}")), "a link to nothing");
    std::fs::write(folder.path().join("target"), "").unwrap();
    assert_eq!(ask(&probe(file(text))), Ok(()));
    assert_eq!(ask(&probe(file(&format!("{text}/x")))), Err(format!("no file {text}/x")));
}

#[test]
fn somebody_accepts_connections_or_not() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let check = probe(Check::Tcp { address: address.clone() });
    assert_eq!(ask(&check), Ok(()));
    drop(listener);
    assert_eq!(ask(&check), Err(format!("connection refused ({address})")));
    let unknown = ask(&probe(Check::Tcp { address: "no-such-host.invalid:80".into() })).unwrap_err();
    assert!(unknown.starts_with("could not resolve no-such-host.invalid: "), "{unknown}");
}

#[test]
fn a_get_is_answered_well_or_not() {
    let refused = |what: &str| Err(what.to_owned());
    for (answer, outcome) in [
        (&b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody"[..], Ok(())),
        (b"HTTP/1.0 399\r\n", Ok(())),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", refused("HTTP 503 Service Unavailable")),
        (b"HTTP/1.1 404 \r\n\r\n", refused("HTTP 404")),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Ok(())),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103\r\n\r\nHTTP/1.1 204\r\n", Ok(())),
        (b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 503 Busy\r\n\r\n", refused("HTTP 503 Busy")),
        (b"HTTP/1.1 199 Early\r\n\r\n", refused("HTTP 199 Early")),
        (b"HTTP/1.1 103 Early Hints\r\n\r\nSSH-2.0-x\r\n", refused("HTTP 103 Early Hints")),
        (b"HTTP/1.1 103 Early Hints\r\nLink: HTTP/1.1 200 OK\r\n", refused("no HTTP")),
        (
            b"HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 200\r\n",
            refused("HTTP 101 Switching Protocols"),
        ),
        (b"SSH-2.0-x\r\n", refused("no HTTP")),
        (b"HTTP/1.1 20", refused("no HTTP")),
        (b"", refused("no HTTP")),
    ] {
        let (port, serving) = server(answer);
        let asked = ask(&probe(http(&format!("http://127.0.0.1:{port}?a=b#c"))));
        match (&asked, &outcome) {
            (Err(said), Err(wanted)) if wanted == "no HTTP" => {
                assert_eq!(said, &format!("the answer is no HTTP (127.0.0.1:{port})"));
            }
            _ => assert_eq!(asked, outcome),
        }
        let version = env!("CARGO_PKG_VERSION");
        let request = format!(
            "GET /?a=b HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: pyro/{version}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(serving.join().unwrap(), request);
    }
}

/// Serves one connection that sends the start, and then the same for ever. Gives what is said of it, and its address.
fn ask_endless(start: &'static [u8], piece: &'static [u8]) -> (Result<(), String>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut sent = stream.write_all(start);
        while sent.is_ok() {
            sent = stream.write_all(piece);
        }
    });
    let answer = ask(&probe(http(&format!("http://{address}/"))));
    serving.join().unwrap();
    (answer, address)
}

#[test]
fn a_head_without_an_end_is_given_up() {
    for start in [&b"HTTP/1.1 200 "[..], b"HTTP/1.1 103 Early Hints\r\nLink: "] {
        let (answer, address) = ask_endless(start, &[b'a'; 1000]);
        assert_eq!(answer, Err(format!("the answer is no HTTP ({address})")));
    }
}

#[test]
fn early_answers_without_an_end_are_given_up() {
    let (answer, _) = ask_endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    assert_eq!(answer, Err("HTTP 103 Early Hints".into()));
}

#[test]
fn early_answers_may_be_long_together() {
    let early = format!("HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n", "a".repeat(4000));
    let answer = format!("{}HTTP/1.1 200 OK\r\n\r\n", early.repeat(16));
    let (port, serving) = server(answer.leak().as_bytes());
    assert_eq!(ask(&probe(http(&format!("HTTP://127.0.0.1:{port}")))), Ok(()));
    serving.join().unwrap();
}

#[test]
fn one_that_accepts_and_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let url = Url::parse(&format!("http://{address}/")).unwrap();
    let answer = http::get(&url, Instant::now() + Duration::from_millis(100));
    assert_eq!(answer, Err(format!("no answer within 5 s ({address})")));
}

#[test]
fn a_command_exits_with_0_or_says_why_not() {
    assert_eq!(command("echo yes; exit 0"), Ok(()));
    assert_eq!(command("exit 3"), Err("exit code 3".into()));
    assert_eq!(command("echo first; echo ' last ' >&2; echo; exit 1"), Err("exit code 1: last".into()));
    assert_eq!(command("kill -9 $$"), Err("ended by signal 9".into()));
    assert_eq!(command("read line && echo input"), Err("exit code 1".into()), "there is no input");
    assert_eq!(command("head -c 1000000 /dev/zero; echo; echo end; exit 2"), Err("exit code 2: end".into()));
    let missing = command::run("true", "/no/such/folder", command::LIMIT).unwrap_err();
    assert_eq!(missing, "could not run /bin/sh in /no/such/folder: no such file or directory");
}

#[test]
fn a_command_that_hangs_is_ended_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pid");
    let line = format!("sleep 1000 & echo $! >{0}.new; mv {0}.new {0}; wait", path.display());
    let limit = Duration::from_millis(500);
    assert_eq!(command::run(&line, "/", limit), Err("did not end within 0 s".into()));
    let pid = std::fs::read_to_string(path).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    assert!(stat.as_ref().map_or(true, |stat| !stat.contains(") S ")), "{stat:?}");
}

#[test]
fn what_a_command_leaves_behind_holds_up_nobody() {
    let start = Instant::now();
    assert_eq!(command("sleep 1000 & exit 0"), Ok(()));
    assert_eq!(command("yes & exit 1").map_err(|answer| answer.starts_with("exit code 1")), Err(true));
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn answers_are_one_short_line() {
    assert_eq!(line("a\nb\tc\u{1b}[0m"), "a b c [0m");
    let long = line(&"ä".repeat(MAX_ANSWER));
    assert_eq!(long.len(), MAX_ANSWER);
    let odd = line(&format!("a{}", "ä".repeat(MAX_ANSWER)));
    assert_eq!(odd.len(), MAX_ANSWER - 1);
}
