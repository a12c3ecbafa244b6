//! A guest agent in a thread of this process, and what tests ask it for.

use pyro_host::guest::{Connection, ExecEvent, Execution};
use pyro_protocol::exec::{Exec, Exited};
use std::fs::File;
use std::future::Future;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

/// Enough for anything on a busy machine; only a defect makes a test wait so long.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Awaits something that must come.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("nothing came in time")
}

/// A guest agent, ended when its connection is.
pub struct Guest {
    pub connection: Connection,
    socket: UnixStream,
    agent: JoinHandle<()>,
}

impl Guest {
    pub fn start() -> Self {
        let (host, agent) = serve();
        host.set_nonblocking(true).unwrap();
        let socket = host.try_clone().unwrap();
        let connection = Connection::over(tokio::net::UnixStream::from_std(host).unwrap());
        Self { connection, socket, agent }
    }

    /// Runs a shell script to its end.
    pub async fn shell(&self, script: &str) -> Output {
        self.run(shell(script)).await
    }

    pub async fn run(&self, exec: Exec) -> Output {
        let mut execution = self.connection.exec(exec).unwrap();
        within(finish(&mut execution)).await
    }

    /// Hangs up, whoever still holds the connection, and waits for the agent's thread.
    pub fn stop(self) {
        self.socket.shutdown(std::net::Shutdown::Both).unwrap();
        self.agent.join().unwrap();
    }
}

/// An agent in a thread, and the host's end of its stream.
pub fn serve() -> (UnixStream, JoinHandle<()>) {
    let (host, guest) = UnixStream::pair().unwrap();
    let agent =
        std::thread::spawn(move || drop(pyro_guest::serve(guest.into(), pyro_guest::Root::Host).unwrap()));
    (host, agent)
}

/// What came of a command.
#[derive(Debug, PartialEq, Eq)]
pub struct Output {
    pub exited: Exited,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Output {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }
}

/// Reads a command to its end.
pub async fn finish(execution: &mut Execution) -> Output {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    loop {
        match execution.next().await.unwrap() {
            ExecEvent::Started { pid } => assert!(pid > 0),
            ExecEvent::Stdout(bytes) => stdout.extend(bytes),
            ExecEvent::Stderr(bytes) => stderr.extend(bytes),
            ExecEvent::Exited(exited) => return Output { exited, stdout, stderr },
        }
    }
}

pub fn command(argv: &[&str]) -> Exec {
    Exec {
        argv: argv.iter().map(ToString::to_string).collect(),
        env: [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into(),
        cwd: "/".into(),
        timeout_ms: None,
        ..Exec::default()
    }
}

pub fn shell(script: &str) -> Exec {
    command(&["sh", "-c", script])
}

/// A place in the file system that tells whether any process that opened it is left.
pub struct Fifo {
    _folder: tempfile::TempDir,
    pub path: PathBuf,
}

impl Fifo {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        Self { _folder: folder, path }
    }

    /// Waits until somebody has opened it for writing, then until everybody has closed it.
    pub fn opened_and_closed(&self) -> (impl Future<Output = ()> + use<>, impl Future<Output = ()> + use<>) {
        let (opened_sender, opened) = tokio::sync::oneshot::channel();
        let (closed_sender, closed) = tokio::sync::oneshot::channel();
        let path = self.path.clone();
        std::thread::spawn(move || watch(&path, opened_sender, closed_sender));
        (async { within(opened).await.unwrap() }, async { within(closed).await.unwrap() })
    }
}

fn watch(path: &Path, opened: tokio::sync::oneshot::Sender<()>, closed: tokio::sync::oneshot::Sender<()>) {
    let mut fifo = File::open(path).unwrap();
    let _ = opened.send(());
    let mut rest = Vec::new();
    let _ = fifo.read_to_end(&mut rest);
    let _ = closed.send(());
}
