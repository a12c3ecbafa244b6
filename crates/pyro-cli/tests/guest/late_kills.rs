//! Clients that die when the tree of a sync has arrived, wholly or almost: with a tree that takes seconds to be put in
//! its place.

use crate::home::{Home, wait_until};
use crate::trees::write;
use crate::workspace::Workspace;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

const N_FILES: u32 = 3000;

/// Kills after so many hundredths of what a whole sync takes.
const MOMENTS: [u32; 6] = [50, 70, 80, 90, 97, 103];

fn write_version(source: &Path, version: u32) {
    for file in 0..N_FILES {
        write(&source.join(format!("d{}/f{file}", file % 30)), format!("{version}\n"), 0o644);
    }
}

/// The versions that the files have, each once.
fn versions(workspace: &Workspace) -> Vec<String> {
    let found = workspace.sh("find tree -type f -exec cat {} + | sort -u");
    found.lines().map(str::to_owned).collect()
}

#[test]
fn a_sync_whose_client_dies_late_is_there_wholly_or_not_at_all() {
    let home = Home::new();
    let workspace = home.workspace();
    let source = tempfile::tempdir().unwrap();
    write_version(source.path(), 0);
    workspace.sync(source.path(), &["--dest", "tree"]);
    write_version(source.path(), 1);
    let begun = Instant::now();
    workspace.sync(source.path(), &["--dest", "tree"]);
    let whole = begun.elapsed();
    assert_eq!(versions(&workspace), ["1"]);
    for (turn, hundredths) in MOMENTS.into_iter().enumerate() {
        let version = u32::try_from(turn).unwrap() + 2;
        write_version(source.path(), version);
        let words = [source.path().to_str().unwrap(), "--dest", "tree"];
        let mut client = workspace.command(&["sync", "push"], &words);
        let mut client = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole * hundredths / 100);
        client.kill().unwrap();
        client.wait().unwrap();
        // One that has its whole tree is finished without its client; that takes a while, and has an end.
        let settled = || {
            std::thread::sleep(Duration::from_millis(200));
            versions(&workspace).len() == 1
        };
        wait_until("every file is of one version", settled);
    }
    write_version(source.path(), 100);
    workspace.sync(source.path(), &["--dest", "tree"]);
    assert_eq!(versions(&workspace), ["100"]);
    drop(workspace);
    home.assert_nothing_left();
}
