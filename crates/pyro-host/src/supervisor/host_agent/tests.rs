use super::*;
use crate::command::Command;
use crate::guest::{ExecEvent, Execution, TaskWords};
use pyro_protocol::task::Task;
use pyro_protocol::tree::{Entry, EntryKind, NodeKind, Record, TreeReader, TreeWriter};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Instant;

const LIMIT: Duration = Duration::from_secs(60);

/// An agent in a folder of its own.
struct Ground {
    folder: tempfile::TempDir,
    agent: HostAgent,
}

impl Ground {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let agent = HostAgent::start(&folder.path().join("host")).await.unwrap();
        Self { folder, agent }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("host").join(path)
    }

    async fn task(&self, task: Task, input: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        let mut execution = self.agent.connection().task(task.clone()).unwrap();
        let mut sender = execution.stdin().unwrap();
        let _ = sender.send(input).await;
        drop(sender);
        let done = tokio::time::timeout(LIMIT, finish(&mut execution)).await.unwrap();
        if done.code == Some(0) {
            return Ok(done.stdout);
        }
        let mut words = TaskWords::default();
        words.push(&done.stderr);
        Err(words.into_error(&task))
    }

    async fn shell(&self, script: &str) -> Done {
        let command = Command::Shell(script.into()).to_exec(LIMIT, false);
        let mut execution = self.agent.connection().exec(command).unwrap();
        tokio::time::timeout(LIMIT, finish(&mut execution)).await.unwrap()
    }

    async fn open(&self) {
        self.agent.connection().open_workspace().await.unwrap();
    }
}

struct Done {
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Done {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }
}

async fn finish(execution: &mut Execution) -> Done {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    loop {
        match execution.next().await.unwrap() {
            ExecEvent::Started { .. } => {}
            ExecEvent::Stdout(bytes) => stdout.extend(bytes),
            ExecEvent::Stderr(bytes) => stderr.extend(bytes),
            ExecEvent::Exited(exited) => return Done { code: exited.code, stdout, stderr },
        }
    }
}

fn entry(path: &str, kind: EntryKind, mode: u32) -> Record {
    Record::Entry(Entry { path: path.into(), kind, mode, mtime_seconds: 1_000_000, mtime_nanos: 0 })
}

/// A directory that is closed, a program with the rights of another, a link out, and files with these contents.
fn tree(contents: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = TreeWriter::new(Vec::new());
    writer.record(&entry("d", EntryKind::Directory, 0o555)).unwrap();
    for (path, content) in contents {
        writer.record(&entry(path, EntryKind::File { size: content.len() as u64 }, 0o4755)).unwrap();
        writer.piece(content.as_bytes()).unwrap();
        writer.end_of_content().unwrap();
    }
    writer.record(&entry("link", EntryKind::Symlink { target: b"/etc".to_vec() }, 0o777)).unwrap();
    writer.finish().unwrap()
}

/// Path of every change, and whether it is there before and after.
fn changes(stream: &[u8]) -> Vec<(String, bool, bool)> {
    let mut reader = TreeReader::new(stream);
    let mut found = Vec::new();
    while let Record::Change(change) = reader.record().unwrap() {
        for node in [&change.before, &change.after].into_iter().flatten().filter(|node| node.content) {
            assert!(matches!(node.kind, NodeKind::File { .. }));
            while reader.piece().unwrap().is_some() {}
        }
        let path = String::from_utf8(change.path).unwrap();
        found.push((path, change.before.is_some(), change.after.is_some()));
    }
    found
}

fn seed() -> Task {
    Task::Seed { destination: String::new() }
}

fn sync(destination: &str) -> Task {
    Task::Sync { destination: destination.into() }
}

fn diff() -> Task {
    Task::Diff { max_text_bytes: 1000 }
}

#[tokio::test]
async fn a_workspace_lives_in_a_folder() {
    let ground = Ground::new().await;
    ground.task(seed(), &tree(&[("a", "one"), ("d/b", "two")])).await.unwrap();
    ground.open().await;
    ground.task(Task::Recover, b"").await.unwrap();
    assert_eq!(changes(&ground.task(diff(), b"").await.unwrap()), []);
    let look = fs::metadata(ground.path("workspace/d/b")).unwrap();
    assert_eq!((look.mode() & 0o7777, look.mtime()), (0o755, 1_000_000));
    let again = ground.task(seed(), &tree(&[])).await.unwrap_err();
    assert!(again.chain().join(" ").contains("open already"), "{again:?}");

    let done = ground.shell("pwd; cat a d/b; echo new > c; rm a; readlink link").await;
    let text = format!("{}\nonetwo/etc\n", ground.path("workspace").display());
    assert_eq!((done.code, done.text()), (Some(0), text.as_str()));
    ground.open().await; // has no effect by now
    let expected = [("a".to_owned(), true, false), ("c".to_owned(), false, true)];
    assert_eq!(changes(&ground.task(diff(), b"").await.unwrap()), expected);

    ground.task(sync("x/y"), &tree(&[("f", "synced")])).await.unwrap();
    assert_eq!(fs::read_to_string(ground.path("workspace/x/y/f")).unwrap(), "synced");
    let broken = ground.task(sync("z"), &tree(&[("f", "synced")])[..40]).await.unwrap_err();
    assert_eq!(broken.kind(), ErrorKind::InvalidArgument);
    assert!(!ground.path("workspace/z").exists());
    assert_eq!(fs::read_dir(ground.path("staging")).unwrap().count(), 0);

    let exported = ground.task(Task::Export { path: "x".into() }, b"").await.unwrap();
    let mut reader = TreeReader::new(&exported[..]);
    assert!(matches!(reader.record().unwrap(), Record::Entry(entry) if entry.path.is_empty()));
    assert!(matches!(reader.record().unwrap(), Record::Entry(entry) if entry.path == b"y"));
    let outside = ground.task(Task::Export { path: "link/passwd".into() }, b"").await.unwrap_err();
    assert_eq!(outside.kind(), ErrorKind::UnsafePath);
}

#[tokio::test]
async fn commands_get_private_folders_and_nothing_of_ours() {
    let ground = Ground::new().await;
    let done = ground.shell("echo $HOME; echo $TMPDIR; umask; ls /proc/self/fd | wc -l; env").await;
    let lines: Vec<&str> = done.text().lines().collect();
    let folder = |name| ground.path(name).display().to_string();
    assert_eq!(lines[..3], [folder("home"), folder("tmp"), "0022".into()]);
    assert_eq!(lines[3], "4", "standard ones, and that of ls itself");
    assert!(!done.text().contains("CARGO"), "{}", done.text());
    for (name, mode) in
        [("", 0o700), ("home", 0o700), ("tmp", 0o700), ("staging", 0o700), ("workspace", 0o755)]
    {
        assert_eq!(fs::metadata(ground.path(name)).unwrap().mode() & 0o7777, mode, "{name}");
    }
}

#[tokio::test]
async fn a_directory_that_nobody_may_write_to_stops_a_sync_before_it_began() {
    if rustix::process::geteuid().is_root() {
        return; // who may write to any
    }
    let ground = Ground::new().await;
    ground.open().await;
    fs::create_dir(ground.path("workspace/closed")).unwrap();
    fs::set_permissions(ground.path("workspace/closed"), fs::Permissions::from_mode(0o555)).unwrap();
    for destination in ["closed", "closed/x"] {
        let error = ground.task(sync(destination), &tree(&[("f", "x")])).await.unwrap_err();
        assert!(error.chain().join(" ").contains("may not be written to"), "{error:?}");
    }
    ground.task(sync("open"), &tree(&[("f", "x")])).await.unwrap();
}

/// The processes that hold a file open for writing end: what reads from it comes to its end.
fn opened_by_commands(ground: &Ground) -> std::thread::JoinHandle<()> {
    let path = ground.path("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    std::thread::spawn(move || drop(fs::read(path).unwrap()))
}

/// In the background, in a session of its own, deaf to everything: what a process group does not hold.
const STUBBORN: &str =
    "exec 3>../fifo; (trap '' TERM HUP; setsid sh -c 'sleep 1000; true' &) & (trap '' TERM; sleep 1000) &";

#[tokio::test]
async fn whatever_ends_the_agent_ends_all_that_it_has_started() {
    for in_order in [true, false] {
        let mut ground = Ground::new().await;
        let all_closed = opened_by_commands(&ground);
        assert_eq!(ground.shell(&format!("{STUBBORN} echo done")).await.text(), "done\n");
        let running = Command::Shell("exec sleep 1000".into()).to_exec(LIMIT, false);
        let _execution = ground.agent.connection().exec(running).unwrap();
        let begun = Instant::now();
        if in_order {
            assert_eq!(ground.agent.power_off(LIMIT).await.unwrap(), PowerOff::Clean);
        } else {
            ground.agent.kill().await.unwrap();
        }
        assert!(begun.elapsed() < Duration::from_secs(10));
        all_closed.join().unwrap();
    }
}

#[tokio::test]
async fn an_agent_whose_owner_was_killed_ends_all_that_it_has_started() {
    let ground = Ground::new().await;
    let all_closed = opened_by_commands(&ground);
    let Done { code, .. } = ground.shell(STUBBORN).await;
    assert_eq!(code, Some(0));
    // The socket is all that tells: the kernel closes it when the owner dies.
    ground.agent.socket.shutdown(Shutdown::Both).unwrap();
    all_closed.join().unwrap();
}

#[tokio::test]
async fn an_agent_that_was_killed_takes_its_commands_with_it() {
    let mut ground = Ground::new().await;
    let all_closed = opened_by_commands(&ground);
    let command = Command::Shell("exec 3>../fifo; echo; exec sleep 1000".into()).to_exec(LIMIT, false);
    let mut execution = ground.agent.connection().exec(command).unwrap();
    while !matches!(execution.next().await.unwrap(), ExecEvent::Stdout(_)) {}
    ground.agent.process.kill().unwrap();
    all_closed.join().unwrap();
    assert!(matches!(ground.agent.event().await, MachineEvent::Ended(why) if why.contains("signal: 9")));
}
