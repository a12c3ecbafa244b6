//! Hierarchies as hosts have them, read from texts, and made of ordinary folders.

use super::*;

const CAPS: Caps = Caps { memory_bytes: 1 << 30, n_processes: 129, n_cpus: 2 };

fn second(folder: &Path, own: &str) -> Hierarchies {
    let mounts = format!("30 1 0:26 / {} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate", folder.display());
    Hierarchies::of(&format!("0::{own}\n"), &mounts)
}

/// A folder with the files that the kernel would put there.
fn group(folder: &Path, controllers: &str) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("cgroup.subtree_control"), controllers).unwrap();
}

#[test]
fn version_1_has_a_folder_for_each_controller() {
    let cgroup = "9:name=systemd:/\n8:pids:/a\n4:memory:/b/c\n1:cpu,cpuacct:/\n0::/\n";
    let mounts = "31 30 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                  32 30 0:28 /a /sys/fs/cgroup/pids rw shared:9 - cgroup cgroup rw,pids\n\
                  33 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";
    let hierarchies = Hierarchies::of(cgroup, mounts);
    let expected = [
        (Controller::Pids, "/sys/fs/cgroup/pids"),
        (Controller::Memory, "/sys/fs/cgroup/memory/b/c"),
        (Controller::Cpu, "/sys/fs/cgroup/cpu,cpuacct"),
    ];
    assert_eq!(hierarchies.first, expected.map(|(one, path)| (one, PathBuf::from(path))));
    assert_eq!(hierarchies.second, Vec::<PathBuf>::new());
}

#[test]
fn a_group_that_the_mount_does_not_show_is_not_guessed() {
    let mounts = "30 1 0:26 /inner /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
    assert_eq!(Hierarchies::of("0::/../outer\n", mounts).second, Vec::<PathBuf>::new());
    assert_eq!(Hierarchies::of("0::/elsewhere\n", mounts).second, Vec::<PathBuf>::new());
}

#[test]
fn version_2_looks_up_to_the_nearest_folder_that_gives_all() {
    let root = tempfile::tempdir().unwrap();
    group(root.path(), "cpu memory pids");
    group(&root.path().join("user"), "cpu io memory pids");
    group(&root.path().join("user/app"), "memory pids");
    group(&root.path().join("user/app/own"), "");
    let folders = second(root.path(), "/user/app/own").second();
    let names: Vec<&Path> = folders.iter().map(|(path, _)| path.strip_prefix(root.path()).unwrap()).collect();
    assert_eq!(names, [Path::new("user"), Path::new(""), Path::new("user/app")]);
}

#[test]
fn a_folder_whose_limits_cannot_be_set_is_not_left_behind() {
    let root = tempfile::tempdir().unwrap();
    group(root.path(), "cpu memory pids");
    // The files of a group appear with it; here they do not, so that nothing can be set.
    let groups = Groups::make_in(&second(root.path(), "/"), CAPS);
    assert!(groups.given.is_empty() && !groups.limits(Controller::Memory));
    let left: Vec<_> =
        fs::read_dir(root.path()).unwrap().flatten().filter(|entry| entry.path().is_dir()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_dead_owners_left_is_swept_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    // Process ids end at 4194304.
    let names = [
        "pyro-4194999-0".to_owned(),
        format!("pyro-{}-7", std::process::id()),
        "pyro-x".into(),
        "other".into(),
    ];
    names.iter().for_each(|name| fs::create_dir(root.path().join(name)).unwrap());
    sweep(root.path());
    let left = |name: &str| root.path().join(name).exists();
    assert_eq!(names.each_ref().map(|name| left(name)), [false, true, true, true]);
}

#[test]
fn each_version_has_its_own_words() {
    let words = |controller: Controller, version| controller.settings(version, CAPS);
    assert_eq!(
        words(Controller::Cpu, Version::Two),
        [("cpu.max", "200000 100000".to_owned()), ("cpu.weight", "200".to_owned())]
    );
    assert_eq!(
        words(Controller::Memory, Version::One),
        [("memory.limit_in_bytes", (1_u64 << 30).to_string())]
    );
    assert_eq!(words(Controller::Pids, Version::Two), [("pids.max", "129".to_owned())]);
}

/// The kernel's own version 2, where the tests may write to it. What it limits there is nothing.
#[test]
fn a_process_is_born_into_a_folder_of_version_2() {
    let places = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(Path::new);
    let Some(parent) = places.into_iter().find(|place| place.join("cgroup.procs").exists()) else {
        println!("NOT TESTED: no control groups of version 2 are mounted");
        return;
    };
    let mut groups = Groups::default();
    let name = format!("pyro-{}-test", std::process::id());
    if groups.add(&parent.join(&name), Version::Two, &[], CAPS).is_err() {
        println!("NOT TESTED: no control group may be made in {}", parent.display());
        return;
    }
    let cradle = groups.cradle().unwrap();
    let born =
        super::super::system_calls::fork_into(0, Some(std::os::fd::AsRawFd::as_raw_fd(&cradle))).unwrap();
    if born == 0 {
        std::thread::sleep(std::time::Duration::from_secs(600));
        super::super::system_calls::end();
    }
    let cgroup = fs::read_to_string(format!("/proc/{born}/cgroup")).unwrap();
    let pid = Pid::from_raw(born).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).unwrap();
    assert!(cgroup.lines().any(|line| line.starts_with("0::") && line.ends_with(&name)), "{cgroup}");
    drop(groups);
    assert!(!parent.join(name).exists());
}
