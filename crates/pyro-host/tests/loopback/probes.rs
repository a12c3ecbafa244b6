//! Probes, by the real agent in a process of its own: they are that program again.

use crate::guest::{Fifo, finish, within};
use command_fds::{CommandFdExt, FdMapping};
use pyro_host::error::ErrorKind;
use pyro_host::guest::{Connection, ExecEvent, Execution};
use pyro_host::vm::initramfs::GUEST_AGENT;
use pyro_protocol::exec::Exec;
use pyro_protocol::probe::{Check, Probe};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command};
use tempfile::TempDir;

/// An agent that serves in a folder.
struct Agent {
    connection: Connection,
    socket: UnixStream,
    process: Child,
    folder: TempDir,
}

impl Agent {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("pyro-guest");
        std::fs::write(&program, GUEST_AGENT).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut command = Command::new(program);
        command.args(["host", "3"]).arg(folder.path());
        command.fd_mappings(vec![FdMapping { parent_fd: theirs.into(), child_fd: 3 }]).unwrap();
        let process = spawn(&mut command);
        ours.set_nonblocking(true).unwrap();
        let socket = ours.try_clone().unwrap();
        let connection = Connection::over(tokio::net::UnixStream::from_std(ours).unwrap());
        Self { connection, socket, process, folder }
    }

    fn workspace(&self) -> PathBuf {
        self.folder.path().join("workspace")
    }

    fn probe(&self, check: Check) -> Execution {
        let env = [("PATH", "/usr/bin:/bin"), ("WORD", "from the environment")];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        self.connection.probe(Probe { check, interval_ms: 10, env, cwd: "/workspace".into() }).unwrap()
    }

    fn stop(mut self) {
        self.socket.shutdown(std::net::Shutdown::Both).unwrap();
        assert!(self.process.wait().unwrap().success());
    }
}

/// Another thread may just have forked while the program was open for writing.
fn spawn(command: &mut Command) -> Child {
    loop {
        match command.spawn() {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
            child => return child.unwrap(),
        }
    }
}

/// Waits for the next answer, which is one line.
async fn answer(execution: &mut Execution) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        match within(execution.next()).await.unwrap() {
            ExecEvent::Started { .. } => {}
            ExecEvent::Stdout(bytes) => line.extend(bytes),
            other => panic!("{other:?}"),
        }
    }
    let line = String::from_utf8(line).unwrap();
    assert_eq!(line.matches('\n').count(), 1, "{line:?}");
    line.trim_end().to_owned()
}

/// Waits until it says that it is ready, and gives what else it says before.
async fn ready(execution: &mut Execution) -> String {
    let output = within(finish(execution)).await;
    assert_eq!((output.exited.code, output.stderr.as_slice()), (Some(0), &b""[..]));
    assert_eq!(output.exited.left_behind, 0);
    output.text().to_owned()
}

#[tokio::test]
async fn a_file_that_appears() {
    let agent = Agent::start();
    let mut execution = agent.probe(Check::File { path: "/workspace/ready".into() });
    let file = agent.workspace().join("ready");
    assert_eq!(answer(&mut execution).await, format!("no file {}", file.display()));
    std::fs::write(file, "").unwrap();
    assert_eq!(ready(&mut execution).await, "", "the same answer is not given again");
    agent.stop();
}

#[tokio::test]
async fn a_port_that_is_opened() {
    let agent = Agent::start();
    let address = unused_address();
    let mut execution = agent.probe(Check::Tcp { address: address.clone() });
    assert_eq!(answer(&mut execution).await, format!("connection refused ({address})"));
    let _listener = std::net::TcpListener::bind(&address).unwrap();
    assert_eq!(ready(&mut execution).await, "");
    agent.stop();
}

/// One that somebody listened on just now. Nobody else on this host gets it so soon.
fn unused_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[tokio::test]
async fn a_server_that_gets_ready() {
    let agent = Agent::start();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("HTTP://{}/health?full#part", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        let busy = "503 Service Unavailable";
        let early = "103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content";
        for status in [busy, busy, "404 Not Found", early] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1000];
            let n_bytes = stream.read(&mut request).unwrap();
            assert!(request[..n_bytes].starts_with(b"GET /health?full HTTP/1.1\r\n"));
            stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).unwrap();
        }
    });
    let mut execution = agent.probe(Check::Http { url });
    assert_eq!(answer(&mut execution).await, "HTTP 503 Service Unavailable");
    assert_eq!(answer(&mut execution).await, "HTTP 404 Not Found");
    assert_eq!(ready(&mut execution).await, "");
    serving.join().unwrap();
    agent.stop();
}

#[tokio::test]
async fn a_command_that_comes_to_succeed() {
    let agent = Agent::start();
    let command = "pwd -P >where; echo \"$WORD\"; test -e go".to_owned();
    let mut execution = agent.probe(Check::Command { command });
    assert_eq!(answer(&mut execution).await, "exit code 1: from the environment");
    let cwd = std::fs::read_to_string(agent.workspace().join("where")).unwrap();
    assert_eq!(PathBuf::from(cwd.trim_end()), agent.workspace().canonicalize().unwrap());
    std::fs::write(agent.workspace().join("go"), "").unwrap();
    assert_eq!(ready(&mut execution).await, "");
    agent.stop();
}

#[tokio::test]
async fn a_command_that_hangs_is_given_up_and_asked_again() {
    let agent = Agent::start();
    let command = "test -e second && exit 0; touch second; sleep 1000".to_owned();
    let mut execution = agent.probe(Check::Command { command });
    assert_eq!(answer(&mut execution).await, "did not end within 10 s");
    assert_eq!(ready(&mut execution).await, "");
    agent.stop();
}

#[tokio::test]
async fn a_probe_that_is_dropped_takes_its_command_along() {
    let agent = Agent::start();
    let fifo = Fifo::new();
    let (opened, closed) = fifo.opened_and_closed();
    let command = format!("exec cat /dev/zero >{}", fifo.path.display());
    let execution = agent.probe(Check::Command { command });
    opened.await;
    drop(execution);
    closed.await;
    agent.stop();
}

#[tokio::test]
async fn what_could_never_be_ready_is_refused() {
    let agent = Agent::start();
    for check in [
        Check::File { path: "relative".into() },
        Check::Tcp { address: "8080".into() },
        Check::Tcp { address: "a:b:80".into() },
        Check::Tcp { address: "::1:80".into() },
        Check::Http { url: "https://localhost/".into() },
        Check::Http { url: "http://localhost:99999/".into() },
    ] {
        let error = within(agent.probe(check).next()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ExecNotStarted);
    }
    agent.stop();
}

/// In a folder, orphans are children of the agent: what gets out of a session is ended with the agent at the latest.
#[tokio::test]
async fn what_a_contained_command_leaves_behind_in_a_folder() {
    let agent = Agent::start();
    let (inside, outside) = (Fifo::new(), Fifo::new());
    let (inside_opened, inside_closed) = inside.opened_and_closed();
    let (outside_opened, outside_closed) = outside.opened_and_closed();
    let script = format!(
        "cat /dev/zero >{} & setsid cat /dev/zero >{} & read line; exit 0",
        inside.path.display(),
        outside.path.display()
    );
    let exec =
        Exec { contained: true, stdin: true, cwd: "/workspace".into(), ..crate::guest::shell(&script) };
    let mut execution = agent.connection.exec(exec).unwrap();
    let mut stdin = execution.stdin().unwrap();
    inside_opened.await;
    outside_opened.await;
    within(stdin.send(b"go\n")).await.unwrap();
    let exited = within(finish(&mut execution)).await.exited;
    assert_eq!((exited.code, exited.left_behind), (Some(0), 1));
    inside_closed.await;
    agent.stop();
    outside_closed.await;
}
