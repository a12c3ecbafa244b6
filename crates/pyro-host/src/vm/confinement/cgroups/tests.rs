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
fn version_2_looks_up_to_the_nearest_folder_that_gives_anything() {
    let root = tempfile::tempdir().unwrap();
    group(root.path(), "cpu memory pids");
    group(&root.path().join("user"), "cpu io memory pids");
    group(&root.path().join("user/app"), "memory pids");
    group(&root.path().join("user/app/own"), "");
    let hierarchies = second(root.path(), "/user/app/own");
    let names: Vec<&Path> =
        hierarchies.second().map(|place| place.parent.strip_prefix(root.path()).unwrap()).collect();
    assert_eq!(names, [Path::new("user/app"), Path::new("user"), Path::new("")]);
    assert_eq!(hierarchies.second().next().unwrap().controllers, [Controller::Memory, Controller::Pids]);
}

#[test]
fn a_group_further_up_does_not_leave_the_limits_of_the_folders_passed_over() {
    let root = tempfile::tempdir().unwrap();
    let (app, own) = (root.path().join("app"), root.path().join("app/own"));
    group(root.path(), "cpu memory pids");
    group(&app, "");
    group(&own, "");
    let set = |folder: &Path, file: &str, text: &str| fs::write(folder.join(file), text).unwrap();
    set(root.path(), "memory.max", "5\n");
    set(&app, "memory.max", "400000000\n");
    set(&app, "memory.high", "max\n");
    set(&app, "cpu.max", "max 100000\n");
    set(&app, "pids.max", "1000\n");
    set(&own, "memory.max", "max\n");
    set(&own, "memory.high", "300000000\n");
    set(&own, "cpu.max", "25000 50000\n");
    let hierarchies = second(root.path(), "/app/own");
    let places: Vec<Place<'_>> = hierarchies.second().collect();
    assert_eq!(places.len(), 1);
    let settings: Vec<(&str, String)> = Controller::ALL
        .into_iter()
        .flat_map(|one| one.settings(Version::Two, CAPS, &places[0].ceiling))
        .collect();
    let expected = [
        ("memory.high", "300000000"),
        ("memory.max", "400000000"),
        ("pids.max", "129"),
        ("cpu.max", "50000 100000"),
        ("cpu.weight", "200"),
    ];
    assert_eq!(settings, expected.map(|(file, value)| (file, value.to_owned())));
}

/// The kernel's own version 1, where the tests may write to it.
#[test]
fn below_a_parent_with_a_smaller_quota_a_group_of_version_1_has_what_the_parent_has() {
    let parent = Path::new("/sys/fs/cgroup/cpu").join(unique_name());
    if fs::create_dir(&parent).is_err() || fs::write(parent.join("cpu.cfs_quota_us"), "50000").is_err() {
        println!("NOT TESTED: no control group of version 1 for cpu can be made");
        return;
    }
    let hierarchies = Hierarchies { first: vec![(Controller::Cpu, parent.clone())], second: Vec::new() };
    let groups = Groups::make_in(&hierarchies, CAPS);
    let quota = groups.folders.first().map(|folder| fs::read_to_string(folder.join("cpu.cfs_quota_us")));
    let is_given = groups.limits(Controller::Cpu);
    drop(groups);
    fs::remove_dir(&parent).unwrap();
    assert!(is_given);
    assert_eq!(quota.unwrap().unwrap().trim(), "-1");
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
    let left = || names.each_ref().map(|name| root.path().join(name).exists());
    names.iter().for_each(|name| fs::create_dir(root.path().join(name)).unwrap());
    sweep(root.path());
    // An owner that cannot be seen may be about to use it.
    assert_eq!(left(), [true; 4]);
    for name in &names {
        let folder = File::open(root.path().join(name)).unwrap();
        folder.set_modified(SystemTime::now() - 2 * YOUNG).unwrap();
    }
    sweep(root.path());
    assert_eq!(left(), [false, true, true, true]);
}

#[test]
fn each_version_has_its_own_words() {
    let words = |controller: Controller, version| controller.settings(version, CAPS, &Ceiling::default());
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
    let wanted = Wanted { version: Version::Two, controllers: &[], caps: CAPS };
    if groups.add(&parent.join(&name), &wanted, &Ceiling::default()).is_err() {
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
