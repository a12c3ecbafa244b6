//! Full disks, many files, large files, long names.

use crate::home::{Home, names_in, report, wait_until};
use crate::trees::{self, host, noise, write};
use crate::workspace::{Workspace, text};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Command;

const MIB: u64 = 1024 * 1024;

#[test]
fn a_full_disk_of_the_guest_is_told_and_breaks_nothing() {
    let home = Home::new();
    let scratch = tempfile::tempdir().unwrap();
    let small = scratch.path().join("small");
    write(&small.join("synced"), "synced\n", 0o644);
    let workspace = home.workspace_with(&["--disk-mib", "512"]);
    workspace.sh("echo here > here");
    let see = "ls -lAR; df --output=avail / | tail -n 1 | awk '{ print int($1 / 4096) }'";
    let (before, diff) = (workspace.sh(see), workspace.diff());
    // One that the guest finds out, and one that the host can tell.
    for mib in [505, 600] {
        let large = scratch.path().join(format!("large-{mib}"));
        fs::create_dir(&large).unwrap();
        write(&large.join("here"), "replaced\n", 0o644);
        File::create(large.join("zeros")).unwrap().set_len(mib * MIB).unwrap();
        assert_full(&workspace, &large);
        assert_eq!((workspace.sh(see), workspace.diff()), (before.clone(), diff.clone()), "{mib} MiB");
    }
    let full = workspace.exec(&["sh", "-c", "dd if=/dev/zero of=fill bs=1M; code=$?; sync; exit $code"]);
    assert!(full.status.code().is_some_and(|code| code == 1), "{}", report(&full));
    assert!(report(&full).contains("No space left"), "{}", report(&full));
    assert_eq!(workspace.sh("cat here"), "here\n");
    assert_eq!(workspace.diff()["summary"]["total"], 2);
    assert_full(&workspace, &bomb(scratch.path(), 50));
    workspace.export("here", &scratch.path().join("out"));
    workspace.sh("rm fill; sync");
    workspace.sync(&small, &[]);
    assert_eq!(workspace.sh("cat synced here"), "synced\nhere\n");
    workspace.stop();
    workspace.start();
    assert_eq!(workspace.sh("cat synced here"), "synced\nhere\n");
    drop(workspace);
    home.assert_nothing_left();
}

fn assert_full(workspace: &Workspace<'_>, source: &Path) {
    let error = workspace.refused(&["sync", "push"], &[text(source)]);
    assert_eq!(error["kind"], "disk_full", "{}: {error}", source.display());
    assert!(error["hint"].is_string(), "{error}");
}

/// A small archive of many zeros.
fn bomb(scratch: &Path, mib: u64) -> std::path::PathBuf {
    let (zeros, bomb) = (scratch.join("zeros"), scratch.join("bomb.tar.gz"));
    File::create(&zeros).unwrap().set_len(mib * MIB).unwrap();
    host(Command::new("tar").arg("-C").arg(scratch).arg("-czf").arg(&bomb).arg("zeros"));
    fs::remove_file(zeros).unwrap();
    bomb
}

#[test]
fn an_archive_that_grows_past_the_disk_is_refused() {
    let home = Home::new();
    let scratch = tempfile::tempdir().unwrap();
    let bomb = bomb(scratch.path(), 700);
    assert!(fs::metadata(&bomb).unwrap().len() < 2 * MIB);
    let options = ["--disk-mib", "512", "--json", "--seed-path", text(&bomb)];
    let output = home.create(&options).output().unwrap();
    assert!(!output.status.success() && report(&output).contains("disk_full"), "{}", report(&output));
    home.assert_nothing_left();
    let workspace = home.workspace_with(&options[..2]);
    assert_full(&workspace, &bomb);
    assert_eq!((workspace.sh("ls -A"), workspace.diff()["changed"].clone()), (String::new(), false.into()));
    drop(workspace);
    home.assert_nothing_left();
}

#[test]
fn a_hundred_thousand_small_files() {
    const N_FOLDERS: u32 = 100;
    const N_FILES: u32 = 1000;
    let home = Home::new();
    let scratch = tempfile::tempdir().unwrap();
    let (seed, out) = (scratch.path().join("seed.tar"), scratch.path().join("out"));
    let mut tar = BufWriter::new(File::create(&seed).unwrap());
    for folder in 0..N_FOLDERS {
        tar.write_all(&tar_header(&format!("folder-{folder}/"), 0)).unwrap();
        for file in 0..N_FILES {
            let content = format!("{folder} {file}\n");
            tar.write_all(&tar_header(&format!("folder-{folder}/file-{file}"), content.len())).unwrap();
            tar.write_all(content.as_bytes()).unwrap();
            tar.write_all(&[0; 512][content.len()..]).unwrap();
        }
    }
    tar.write_all(&[0; 1024]).unwrap();
    tar.into_inner().unwrap();
    let workspace = home.workspace_with(&["--seed-path", text(&seed)]);
    let n_entries = N_FOLDERS * N_FILES + N_FOLDERS;
    assert_eq!(workspace.status()["workspace_seed"]["entry_count"], n_entries);
    assert_eq!(workspace.sh("find . -type f | wc -l"), format!("{}\n", N_FOLDERS * N_FILES));
    assert_eq!(workspace.diff()["changed"], false);
    // The root of what is exported is an entry as well.
    let exported = workspace.export("/workspace", &out)["entry_count"].as_u64().unwrap();
    assert!([n_entries, n_entries + 1].contains(&u32::try_from(exported).unwrap()), "{exported}");
    for folder in 0..N_FOLDERS {
        let folder_there = out.join(format!("folder-{folder}"));
        assert_eq!(names_in(&folder_there).len(), N_FILES as usize);
        for file in 0..N_FILES {
            let content = fs::read_to_string(folder_there.join(format!("file-{file}"))).unwrap();
            assert_eq!(content, format!("{folder} {file}\n"));
        }
    }
    drop(workspace);
    home.assert_nothing_left();
}

/// The header of a file, or with a slash at the end of a directory, in an archive (`tar(5)`, ustar). Made here, since
/// a host needs longer for a hundred thousand files of its own than a guest.
fn tar_header(name: &str, size: usize) -> [u8; 512] {
    let mut header = [0; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    let is_directory = name.ends_with('/');
    put(0, name);
    put(100, if is_directory { "0000755" } else { "0000644" });
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, "14600000000");
    put(148, "        ");
    put(156, if is_directory { "5" } else { "0" });
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    header
}

#[test]
fn a_file_of_two_gigabytes() {
    let home = Home::new();
    let scratch = tempfile::tempdir().unwrap();
    let source = scratch.path().join("source");
    fs::create_dir(&source).unwrap();
    let large = File::create(source.join("large")).unwrap();
    large.set_len(2048 * MIB).unwrap();
    for (number, at) in [0, 511, 1023, 1024, 1500, 2047].into_iter().enumerate() {
        large.write_all_at(&noise(MIB as usize, number as u64), at * MIB).unwrap();
    }
    let workspace = home.workspace();
    assert_eq!(workspace.sync(&source, &[])["bytes_written"], 2048 * MIB);
    let there = workspace.sh("sha256sum large");
    assert_eq!(there, host(Command::new("sha256sum").arg("large").current_dir(&source)));
    let out = scratch.path().join("out");
    assert_eq!(workspace.export("large", &out)["bytes_written"], 2048 * MIB);
    host(Command::new("cmp").arg(source.join("large")).arg(&out));
    drop(workspace);
    home.assert_nothing_left();
}

#[test]
fn long_names_and_deep_directories() {
    let home = Home::new();
    let scratch = tempfile::tempdir().unwrap();
    let (seed, out) = (scratch.path().join("seed"), scratch.path().join("out"));
    write(&seed.join("n".repeat(255)), "a name of 255 bytes\n", 0o644);
    write(&seed.join("ü".repeat(127)), "one of 254, in 127 characters\n", 0o644);
    let deep = vec!["directory"; 200].join("/");
    write(&seed.join(&deep).join("bottom"), "deep\n", 0o644);
    let workspace = home.workspace_with(&["--seed-path", text(&seed)]);
    let script = format!("cat {deep}/bottom; echo more >> {deep}/bottom; echo new > {}", "m".repeat(255));
    assert_eq!(workspace.sh(&script), "deep\n");
    workspace.sync(&seed.join("directory"), &["--dest", "second"]);
    assert_eq!(workspace.diff()["summary"]["modified"], 1);
    workspace.export("/workspace", &out);
    write(&seed.join(&deep).join("bottom"), "deep\nmore\n", 0o644);
    write(&seed.join("m".repeat(255)), "new\n", 0o644);
    assert_eq!(fs::read_to_string(out.join("second").join(&deep[10..]).join("bottom")).unwrap(), "deep\n");
    fs::remove_dir_all(out.join("second")).unwrap();
    trees::assert_same(&trees::read(&seed), &trees::read(&out));
    drop(workspace);
    home.assert_nothing_left();
}

#[test]
fn room_that_is_freed_in_the_guest_comes_back_to_the_host() {
    let home = Home::new();
    let workspace = home.workspace();
    let used = || fs::metadata(workspace.folder().join("disk")).unwrap().blocks() * 512 / MIB;
    workspace.sh("yes | head -c 300M > large; sync");
    let full = used();
    assert!(full >= 290, "{full} MiB");
    let told = workspace.status()["disk_used_bytes"].as_u64().unwrap() / MIB;
    assert!(told >= 290, "{told} MiB");
    workspace.sh("rm large; sync");
    wait_until("the host has its room back", || used() < full - 250);
    drop(workspace);
    home.assert_nothing_left();
}

#[test]
fn a_workspace_stands_still_while_the_host_has_no_room() {
    let home = Home::new();
    let data = home.path().join("data");
    fs::create_dir(&data).unwrap();
    let Some(mounted) = Mounted::small_at(&data) else {
        println!("NOT RUN: only root can mount a small file system for this");
        return;
    };
    let ballast = data.join("ballast");
    fs::write(&ballast, vec![1; 300 * MIB as usize]).unwrap();
    let workspace = home.workspace();
    workspace.sh("echo kept > kept; sync");
    let full = workspace.exec(&["sh", "-c", "dd if=/dev/zero of=fill bs=1M count=1000 conv=fsync"]);
    assert_eq!(full.status.code(), Some(125), "{}", report(&full));
    assert!(report(&full).contains("no room") && report(&full).contains("hint: "), "{}", report(&full));
    let error = workspace.refused(&["exec"], &["--", "true"]);
    assert_eq!(error["kind"], "disk_full", "{error}");
    assert_eq!(workspace.state(), "started");
    fs::remove_file(ballast).unwrap();
    wait_until("it goes on by itself", || workspace.exec(&["true"]).status.success());
    assert_eq!(workspace.sh("rm -f fill; sync; cat kept"), "kept\n");
    wait_until("no command runs", || workspace.entries().iter().all(|entry| entry["running"] == false));
    workspace.stop();
    workspace.start();
    assert_eq!(workspace.sh("cat kept"), "kept\n");
    drop(workspace);
    assert!(trees::read(&data).values().all(|node| matches!(node, trees::Node::Directory { .. })));
    drop(mounted);
    home.assert_nothing_left();
}

#[test]
fn services_and_shells_go_on_while_the_host_has_no_room_for_what_they_print() {
    let home = Home::new();
    let data = home.path().join("data");
    fs::create_dir(&data).unwrap();
    let Some(mounted) = Mounted::small_at(&data) else {
        println!("NOT RUN: only root can mount a small file system for this");
        return;
    };
    let workspace = home.workspace();
    workspace.sh("mkfifo /tmp/gate");
    workspace.serve("loud", &[], "echo begin; cat /tmp/gate; seq 1 1000000; cat /tmp/gate; echo end; exit 3");
    workspace.wait_for_service_log("loud", "begin\n");
    let shell = workspace.shell();
    let ballast = data.join("ballast");
    fill(&ballast);
    // The second is opened when all was printed: unless the machine stands still meanwhile, both end without room.
    shell.line("true > /tmp/gate; true > /tmp/gate; exit 5");
    let dropped =
        || workspace.done(&["service", "logs"], &["loud"])["stdout_dropped_bytes"].as_u64().unwrap();
    wait_until("some of it could not be kept", || dropped() > 0);
    fs::remove_file(&ballast).unwrap();
    let ended = workspace.service_in("loud", "exited");
    assert_eq!(ended["exit_code"], 3, "{ended:#}");
    assert_eq!(shell.status_in("exited")["exit_code"], 5);
    let logs = workspace.done(&["service", "logs"], &["loud", "--all"]);
    let stdout = logs["stdout"].as_str().unwrap();
    assert!(stdout.starts_with("begin\n") && logs["truncated"] == true, "{}", stdout.len());
    let n_printed: u64 = (1..=1_000_000).map(|number: u64| number.to_string().len() as u64 + 1).sum();
    assert_eq!(stdout.len() as u64 + dropped(), n_printed + "begin\nend\n".len() as u64);
    workspace.stop();
    drop(workspace);
    drop(mounted);
    home.assert_nothing_left();
}

/// Takes all the room that there is.
fn fill(ballast: &Path) {
    let mut file = fs::File::create(ballast).unwrap();
    while file.write_all(&[1; 64 * 1024]).is_ok() {}
    while file.write_all(&[1]).is_ok() {}
}

/// A small file system, unmounted with the value.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn small_at(folder: &'a Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=700m,mode=0700", "tmpfs"]).arg(folder);
        mount.status().unwrap().success().then_some(Self(folder))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0).status().unwrap().success();
        assert!(unmounted || std::thread::panicking(), "something still uses the small file system");
    }
}
