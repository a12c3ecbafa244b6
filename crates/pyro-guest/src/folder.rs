//! A folder of the host that stands for a machine: commands work in it as the user that the agent runs as.
//!
//! ```text
//! workspace   what commands are told is /workspace
//! home, tmp   their HOME and TMPDIR
//! baseline, staging   see `tasks::place`
//! ```
//!
//! There is no isolation. What commands leave running is ended with the agent, see `descendants`.

use crate::tasks::place::{STAGING, TREE};
use nix::errno::Errno;
use nix::sys::stat::Mode;
use nix::unistd::mkdir;
use pyro_protocol::exec::Exec;
use pyro_protocol::probe::{Check, Probe};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Where commands of a machine find their files.
const WORKSPACE: &str = "/workspace";

const HOME: &str = "home";
const TEMPORARY: &str = "tmp";

/// Variables that tell who the user of a machine is, and nothing about who that is here.
const OF_A_MACHINE: [&str; 2] = ["LOGNAME", "USER"];

/// A folder that is ready for commands.
#[derive(Debug)]
pub struct Folder {
    path: String,
}

impl Folder {
    /// Makes in a folder what commands need. The folder must be there, and nobody else's.
    ///
    /// # Errors
    /// When the path is not absolute, or something cannot be made.
    pub fn prepare(path: String) -> io::Result<Self> {
        if !path.starts_with('/') {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the folder's path is not absolute"));
        }
        for (name, mode) in [(TREE, 0o755), (STAGING, 0o700), (HOME, 0o700), (TEMPORARY, 0o700)] {
            match mkdir(&Path::new(&path).join(name), Mode::from_bits_truncate(mode)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(Self { path })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// A command for a machine as it is to be run here: only directory and environment differ. Its words are its own.
    pub(crate) fn adapted(&self, request: &Exec) -> Exec {
        let (cwd, env) = (self.adapted_path(&request.cwd), self.adapted_env(&request.env));
        Exec { cwd, env, ..request.clone() }
    }

    /// A probe of a machine as it is to be made here: likewise, and a file is looked for where it would be.
    pub(crate) fn adapted_probe(&self, probe: &Probe) -> Probe {
        let check = match &probe.check {
            Check::File { path } => Check::File { path: self.adapted_path(path) },
            other => other.clone(),
        };
        let (cwd, env) = (self.adapted_path(&probe.cwd), self.adapted_env(&probe.env));
        Probe { check, cwd, env, interval_ms: probe.interval_ms }
    }

    fn adapted_path(&self, path: &str) -> String {
        match below_workspace(path) {
            Some(below) => format!("{}/{TREE}{below}", self.path),
            None => path.to_owned(),
        }
    }

    fn adapted_env(&self, env: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut env = env.clone();
        for (name, folder) in [("HOME", HOME), ("TMPDIR", TEMPORARY)] {
            env.insert(name.into(), format!("{}/{folder}", self.path));
        }
        for name in OF_A_MACHINE {
            env.remove(name);
        }
        env
    }
}

/// The rest of a path that leads to the workspace or below it.
fn below_workspace(path: &str) -> Option<&str> {
    path.strip_prefix(WORKSPACE).filter(|below| below.is_empty() || below.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_find_their_files_in_the_folder() {
        let folder = Folder { path: "/f".into() };
        let request = |cwd: &str| Exec {
            argv: vec!["ls".into(), "/workspace".into()],
            env: [("HOME", "/root"), ("PATH", "/bin"), ("USER", "root")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            cwd: cwd.into(),
            timeout_ms: None,
            ..Exec::default()
        };
        let adapted = folder.adapted(&request("/workspace"));
        let env = [("HOME", "/f/home"), ("PATH", "/bin"), ("TMPDIR", "/f/tmp")];
        assert!(adapted.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(env));
        assert_eq!(adapted.argv, ["ls", "/workspace"]);
        for (cwd, here) in [
            ("/workspace", "/f/workspace"),
            ("/workspace/a b", "/f/workspace/a b"),
            ("/workspaces", "/workspaces"),
            ("/", "/"),
        ] {
            assert_eq!(folder.adapted(&request(cwd)).cwd, here);
        }
    }

    #[test]
    fn probes_look_for_files_in_the_folder() {
        let folder = Folder { path: "/f".into() };
        let check = |path: &str| Check::File { path: path.into() };
        let probe = |check| Probe { check, interval_ms: 1, env: BTreeMap::new(), cwd: "/workspace".into() };
        for (path, here) in [("/workspace/ready", "/f/workspace/ready"), ("/etc/hosts", "/etc/hosts")] {
            let adapted = folder.adapted_probe(&probe(check(path)));
            assert_eq!((adapted.check, adapted.cwd.as_str()), (check(here), "/f/workspace"));
            assert_eq!(adapted.env["HOME"], "/f/home");
        }
        let command = Check::Command { command: "test -e /workspace/ready".into() };
        assert_eq!(folder.adapted_probe(&probe(command.clone())).check, command);
    }

    #[test]
    fn a_folder_is_prepared_as_often_as_one_likes() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().to_str().unwrap().to_owned();
        Folder::prepare(path.clone()).unwrap();
        std::fs::write(place.path().join("workspace/f"), "").unwrap();
        assert_eq!(Folder::prepare(path.clone()).unwrap().path(), path);
        assert!(place.path().join("workspace/f").exists());
        assert!(Folder::prepare("relative".into()).is_err());
        assert!(Folder::prepare(format!("{path}/missing")).is_err());
    }
}
