//! What `probe.c` is denied.

use super::*;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use tempfile::TempDir;

/// A folder that everybody may enter, with the compiled probe.
struct Probe {
    folder: TempDir,
    program: PathBuf,
}

impl Probe {
    fn build() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let source = folder.path().join("probe.c");
        fs::write(&source, include_str!("probe.c")).unwrap();
        let program = folder.path().join("qemu-probe");
        let built = Command::new("cc")
            .args(["-O1", "-w", "-pthread", "-o"])
            .args([&program, &source])
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Self { folder, program }
    }

    /// A file that anybody may read and write, as far as its mode goes.
    fn open_file(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, "secret").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        path
    }

    /// Runs it to its end, and returns what it said and how everything came out.
    fn run(&self, words: &[String], mechanisms: Mechanisms) -> (String, Isolation) {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let (_socket, handed_over) = UnixStream::pair().unwrap();
        let path = self.open_file("template");
        if !mechanisms.landlock {
            // Then it is the file's own rights that keep a user of the machine's own from it.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        }
        let template = fs::File::open(path).unwrap();
        let mut wanted = wanted(&self.program, words, theirs.into());
        wanted.handed_over = vec![
            HandedOver { number: 3, fd: handed_over.into() },
            HandedOver { number: 8, fd: template.into() },
        ];
        wanted.opened_by_path = vec![(8, false)];
        let settings = ConfinementSettings { require: RequireIsolation::Any, mechanisms };
        let (process, isolation) = start(wanted, &settings).unwrap();
        let mut text = String::new();
        ours.read_to_string(&mut text).unwrap();
        drop(process);
        (text, isolation)
    }

    fn try_everything(&self, mechanisms: Mechanisms) -> (String, Isolation) {
        let others = self.open_file("another-workspace.disk");
        let own = format!("/tmp/pyro-probe-{}", std::process::id());
        fs::write(&own, "a file of the user who started it").unwrap();
        let mut words = vec!["all".to_owned(), std::process::id().to_string()];
        words.extend(
            ["/", "/home", "/root", "/tmp", "/etc/passwd", "/etc/shadow", "/etc", "/sys", "/var/tmp", "/run"]
                .map(str::to_owned),
        );
        words.extend([
            own.clone(),
            others.display().to_string(),
            "/bin/true".into(),
            "/proc/1/environ".into(),
        ]);
        let outcome = self.run(&words, mechanisms);
        assert_eq!(fs::read_to_string(&own).unwrap(), "a file of the user who started it");
        assert_eq!(fs::read_to_string(&others).unwrap(), "secret");
        fs::remove_file(own).unwrap();
        outcome
    }
}

fn allowed(text: &str) -> BTreeSet<&str> {
    text.lines().filter(|line| line.starts_with("ALLOWED") || line.starts_with("MISSING")).collect()
}

/// A listener that a program without a network of its own could reach.
fn listen_abstract() -> std::os::unix::net::UnixListener {
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name("pyro-probe-abstract");
    std::os::unix::net::UnixListener::bind_addr(&address.unwrap()).unwrap_or_else(|_| {
        std::os::unix::net::UnixListener::bind(format!("/tmp/pyro-l-{}", std::process::id())).unwrap()
    })
}

#[test]
fn nothing_is_left_to_a_program_that_turns_on_the_host() {
    let _listener = listen_abstract();
    let probe = Probe::build();
    let (text, isolation) = probe.try_everything(Mechanisms::ALL);
    println!("{text}\n{isolation:?}");
    assert!(text.ends_with("done\n") && text.contains("given template"), "{text}");
    assert_eq!(allowed(&text), BTreeSet::new(), "{isolation:?}");
    assert!(text.lines().filter(|line| line.starts_with("denied")).count() > 190, "{text}");
    let descriptors: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("descriptor ")).collect();
    assert_eq!(descriptors, ["0", "1", "2", "3", "8"]);
    again_as_ordinary_user("probe::nothing_is_left_to_a_program_that_turns_on_the_host");
}

#[test]
fn landlock_alone_keeps_all_files_away() {
    let probe = Probe::build();
    let (text, isolation) = probe.try_everything(Mechanisms { mount_namespace: false, ..Mechanisms::ALL });
    assert!(text.ends_with("done\n") && text.contains("given template"), "{text}");
    assert_eq!(allowed(&text), BTreeSet::new(), "{isolation:?}");
    again_as_ordinary_user("probe::landlock_alone_keeps_all_files_away");
}

/// A root folder of its own can be looked at, and holds nothing of anybody.
#[test]
fn a_root_folder_alone_keeps_all_files_away() {
    let probe = Probe::build();
    let (text, isolation) = probe.try_everything(Mechanisms { landlock: false, ..Mechanisms::ALL });
    assert!(text.ends_with("done\n") && text.contains("given template"), "{text}");
    let harmless = [
        "ALLOWED list /",
        "ALLOWED list /etc",
        "ALLOWED list .",
        "ALLOWED list processes",
        "ALLOWED read /",
        "ALLOWED read /etc",
    ];
    // What an ordinary user's machine has for reading is that user's own, which the report says.
    let own_files = match isolation.layer(LayerName::Files).unwrap().state {
        LayerState::Full => &[][..],
        _ => &["ALLOWED template for writing", "ALLOWED template truncate"],
    };
    assert_eq!(own_files.is_empty(), rustix::process::geteuid().is_root(), "{isolation:?}");
    // Two folders exist only where the probe itself is below them.
    let above_probe = ["ALLOWED list /tmp", "ALLOWED read /tmp"];
    // Of its own process alone, which is the first of its namespace.
    let own_process = ["ALLOWED read /proc/1/environ"];
    let rest: Vec<&str> = allowed(&text)
        .into_iter()
        .filter(|line| {
            ![&harmless[..], &above_probe, &own_process, own_files].iter().any(|known| known.contains(line))
        })
        .collect();
    assert_eq!(rest, Vec::<&str>::new(), "{text}\n{isolation:?}");
    again_as_ordinary_user("probe::a_root_folder_alone_keeps_all_files_away");
}

#[test]
fn an_ordinary_user_without_namespaces_still_keeps_files_sockets_and_processes() {
    again_as_ordinary_user(
        "probe::an_ordinary_user_without_namespaces_still_keeps_files_sockets_and_processes",
    );
    if rustix::process::geteuid().is_root() {
        return;
    }
    let probe = Probe::build();
    let (text, isolation) = probe.try_everything(Mechanisms { user_namespace: false, ..Mechanisms::ALL });
    // Who its parent is, it may know.
    let rest: Vec<&str> =
        allowed(&text).into_iter().filter(|line| *line != "ALLOWED know the owner").collect();
    assert_eq!(rest, Vec::<&str>::new(), "{text}\n{isolation:?}");
}

#[test]
fn a_machine_has_no_more_threads_than_it_needs() {
    let probe = Probe::build();
    let (text, isolation) = probe.run(&["threads".into(), "1000".into()], Mechanisms::ALL);
    let started: u32 = text.lines().find_map(|line| line.strip_prefix("threads ")).unwrap().parse().unwrap();
    if isolation.layer(LayerName::Limits).unwrap().by.contains("pids") {
        assert_eq!(started, 129, "{isolation:?}");
    }
    let without_groups = Mechanisms { cgroups: false, ..Mechanisms::ALL };
    let (text, isolation) = probe.run(&["threads".into(), "1000".into()], without_groups);
    // An ordinary user's processes are counted apart from the user's others in a user namespace alone.
    let has_namespace = isolation.layer(LayerName::Processes).unwrap().state == LayerState::Full;
    if rustix::process::geteuid().is_root() || has_namespace {
        assert!(text.contains("threads 129"), "{text}");
    }
    again_as_ordinary_user("probe::a_machine_has_no_more_threads_than_it_needs");
}

#[test]
fn a_machine_has_no_more_memory_than_it_needs() {
    let probe = Probe::build();
    let (text, isolation) = probe.run(&["memory".into(), "1400".into()], Mechanisms::ALL);
    if !isolation.layer(LayerName::Limits).unwrap().by.contains("memory") {
        println!("NOT TESTED: no control group for memory can be made here");
        return;
    }
    assert!(!text.contains("ALLOWED") && !text.contains("done"), "{text}");
    let (text, _) = probe.run(&["memory".into(), "900".into()], Mechanisms::ALL);
    assert!(text.contains("ALLOWED memory"), "{text}");
}
