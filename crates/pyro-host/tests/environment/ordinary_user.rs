//! Starts a part of the tests as a process of its own, perhaps as another user.

use crate::home::Home;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// A user who is not root and may make user namespaces.
pub(crate) struct OrdinaryUser {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// A copy of this program that the user may execute.
    program: tempfile::TempDir,
}

impl OrdinaryUser {
    /// The first user of this host with subordinate ids, if this process is root and so can become that user.
    pub(crate) fn find() -> Option<Self> {
        if fs::metadata("/proc/self").ok().map(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata))
            != Some(0)
        {
            println!("NOT RUN: only root can become another user; the other stories ran as an ordinary user");
            return None;
        }
        let subuid = fs::read_to_string("/etc/subuid").unwrap_or_default();
        let passwd = fs::read_to_string("/etc/passwd").expect("there");
        let user = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| {
            fields.len() > 3
                && fields[2] != "0"
                && subuid.lines().any(|line| line.split(':').next() == Some(fields[0]))
        });
        let Some(fields) = user else {
            println!("NOT RUN: no ordinary user has a line in /etc/subuid (`sudo useradd -m` makes one)");
            return None;
        };
        let program = tempfile::tempdir().expect("a folder");
        fs::set_permissions(program.path(), fs::Permissions::from_mode(0o755)).expect("sets the mode");
        fs::copy(std::env::current_exe().expect("known"), program.path().join("tests")).expect("copies");
        let number = |field: &str| field.parse().expect("a number");
        Some(Self { name: fields[0].into(), uid: number(fields[2]), gid: number(fields[3]), program })
    }
}

/// This program again, with one of its tests.
pub(crate) fn helper(user: Option<&OrdinaryUser>, home: &Home, test: &str) -> Command {
    let mut command = match user {
        None => Command::new(std::env::current_exe().expect("known")),
        Some(user) => {
            let mut command = Command::new("setpriv");
            command.args([format!("--reuid={}", user.uid), format!("--regid={}", user.gid)]);
            command.args(["--init-groups", "--"]).arg(user.program.path().join("tests"));
            command.env("HOME", home.path());
            command
        }
    };
    command
        .args(["--ignored", "--exact", test, "--nocapture"])
        .env("PYRO_HOME", home.path())
        .current_dir("/");
    command
}
