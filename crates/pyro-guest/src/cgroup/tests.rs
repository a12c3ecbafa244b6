//! These need a control group hierarchy that is ours: root on a host that has one. Elsewhere they check nothing.

use super::*;
use crate::spawn::{Program, Spawner, Surroundings};
use nix::fcntl::open;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, fstatfs};
use std::ffi::CString;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

fn hierarchy() -> Option<Arc<OwnedFd>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let is_cgroup2 = |directory: &OwnedFd| {
        fstatfs(directory).is_ok_and(|stat| stat.filesystem_type() == CGROUP2_SUPER_MAGIC)
    };
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .iter()
        .filter_map(|path| open(*path, flags, Mode::empty()).ok())
        .find(is_cgroup2)
        .map(Arc::new)
}

fn made(name: &str) -> Option<Cgroup> {
    Cgroup::make(&hierarchy()?, format!("pyro-test-{name}-{}", std::process::id())).ok()
}

/// Starts a shell in the group, which says that it is ready by closing the pipe that is its output.
fn started(cgroup: &Cgroup, script: &str) -> i32 {
    let (reading, writing) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    let null: OwnedFd = File::open("/dev/null").unwrap().into();
    let argv = ["sh", "-c", script].map(|word| CString::new(word).unwrap()).into();
    let (candidates, cwd) = (vec![c"/bin/sh".into()], c"/".into());
    let program = Program { candidates, argv, env: vec![c"PATH=/usr/bin:/bin".into()], cwd };
    let entrance = cgroup.entrance().unwrap();
    let stdio: [BorrowedFd<'_>; 3] = [null.as_fd(), writing.as_fd(), null.as_fd()];
    let around = Surroundings { stdio, terminal: false, namespace: None, cgroup: Some(entrance.as_fd()) };
    let pid = Spawner::new(&crate::Root::Host).spawn(&program, &around).unwrap();
    drop(writing);
    File::from(reading).read_to_string(&mut String::new()).unwrap();
    pid
}

fn becomes_empty(cgroup: &Cgroup) {
    let start = Instant::now();
    while !cgroup.is_empty() {
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", cgroup.processes());
        std::thread::yield_now();
    }
}

#[test]
fn nothing_gets_out_of_it() {
    let Some(cgroup) = made("out") else { return };
    assert!(cgroup.is_empty() && cgroup.processes().is_empty());
    // A session of its own whose parent is gone, and the main process.
    let script =
        "setsid sh -c 'setsid sleep 1000 >/dev/null & exit' & wait; exec >/dev/null; sleep 1000; true";
    let pid = started(&cgroup, script);
    assert!(cgroup.processes().contains(&pid));
    assert!(cgroup.processes().len() >= 2 && !cgroup.is_empty(), "{:?}", cgroup.processes());
    assert!(!cgroup.remove(), "somebody is in it");
    cgroup.kill();
    becomes_empty(&cgroup);
    nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None).unwrap();
    assert!(cgroup.remove());
    assert!(cgroup.is_empty() && cgroup.remove(), "one that is gone");
}

#[test]
fn groups_that_a_command_makes_below_go_with_it() {
    let Some(cgroup) = made("below") else { return };
    let path =
        std::fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&*cgroup.parent)));
    let below = path.unwrap().join(&cgroup.name).join("a/b");
    std::fs::create_dir_all(&below).unwrap();
    let script = format!("echo $$ >{}/cgroup.procs; exec >/dev/null; sleep 1000; true", below.display());
    let pid = started(&cgroup, &script);
    assert!(cgroup.processes().contains(&pid) && !cgroup.is_empty());
    cgroup.kill();
    becomes_empty(&cgroup);
    nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None).unwrap();
    assert!(cgroup.remove() && !below.exists());
}

#[test]
fn one_that_is_dropped_is_removed_and_a_name_is_used_once() {
    let Some(cgroup) = made("drop") else { return };
    assert_eq!(Cgroup::make(&cgroup.parent, cgroup.name.clone()).unwrap_err(), Errno::EEXIST);
    let (parent, name) = (Arc::clone(&cgroup.parent), cgroup.name.clone());
    drop(cgroup);
    assert!(open_group(&parent, &name).is_err());
}
