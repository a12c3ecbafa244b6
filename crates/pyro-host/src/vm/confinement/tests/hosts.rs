//! Hosts that lack something: the program runs all the same, and the report says what is missing.

use super::*;
use std::io::Read;

/// Runs `true` on a host that has only these.
fn outcome(mechanisms: Mechanisms) -> Isolation {
    let settings = ConfinementSettings { require: RequireIsolation::Any, mechanisms };
    examine(crate::vm::accelerator::Accelerator::Tcg, &settings).unwrap()
}

fn state(isolation: &Isolation, name: LayerName) -> (LayerState, String) {
    let layer = isolation.layer(name).unwrap();
    (layer.state, layer.missing.clone().unwrap_or_default())
}

#[test]
fn every_layer_is_told_in_its_order() {
    let isolation = outcome(Mechanisms::ALL);
    let names: Vec<&str> = isolation.layers.iter().map(|layer| layer.name.code()).collect();
    assert_eq!(
        names,
        ["user", "privileges", "files", "network", "processes", "ipc", "hostname", "syscalls", "limits"]
    );
    println!("{}", serde_json::to_string_pretty(&isolation).unwrap());
    for layer in &isolation.layers {
        let is_whole = matches!(layer.state, LayerState::Full | LayerState::Shared);
        assert_eq!(layer.missing.is_none(), is_whole, "{layer:?}");
        assert_eq!(layer.by.is_empty(), layer.state == LayerState::Missing, "{layer:?}");
    }
}

#[test]
fn each_mechanism_may_be_missing() {
    let all = Mechanisms::ALL;
    let is_root = rustix::process::geteuid().is_root();
    let cases = [
        (LayerName::Privileges, Mechanisms { privileges: false, ..all }),
        (LayerName::Files, Mechanisms { landlock: false, mount_namespace: false, ..all }),
        (LayerName::Network, Mechanisms { network_namespace: false, ..all }),
        (LayerName::Processes, Mechanisms { pid_namespace: false, ..all }),
        (LayerName::Ipc, Mechanisms { ipc_namespace: false, ..all }),
        (LayerName::Hostname, Mechanisms { uts_namespace: false, ..all }),
        (LayerName::Syscalls, Mechanisms { seccomp: false, ..all }),
        (LayerName::Limits, Mechanisms { cgroups: false, ..all }),
    ];
    for (name, mechanisms) in cases {
        let isolation = outcome(mechanisms);
        let (state, why) = state(&isolation, name);
        assert!(matches!(state, LayerState::Missing | LayerState::Partial), "{name}: {isolation:?}");
        assert!(!why.is_empty(), "{name}: {isolation:?}");
        assert_eq!(isolation.level, IsolationLevel::Partial);
    }
    if is_root {
        let isolation = outcome(Mechanisms { own_user: false, ..all });
        assert_eq!(state(&isolation, LayerName::User).0, LayerState::Missing, "{isolation:?}");
    }
    again_as_ordinary_user("hosts::each_mechanism_may_be_missing");
}

/// What was handed over to an ordinary user's machine is that user's, and a root folder does not guard it.
#[test]
fn landlock_alone_is_enough_and_a_root_folder_alone_only_with_a_user_of_its_own() {
    let isolation = outcome(Mechanisms { mount_namespace: false, ..Mechanisms::ALL });
    assert_eq!(state(&isolation, LayerName::Files).0, LayerState::Full, "{isolation:?}");
    let without_landlock = Mechanisms { landlock: false, ..Mechanisms::ALL };
    let isolation = outcome(without_landlock);
    let (files, why) = state(&isolation, LayerName::Files);
    match rustix::process::geteuid().is_root() {
        true => assert_eq!(files, LayerState::Full, "{isolation:?}"),
        false => assert!(files == LayerState::Partial && why.contains("handed over"), "{isolation:?}"),
    }
    let isolation = outcome(Mechanisms { own_user: false, ..without_landlock });
    assert_eq!(state(&isolation, LayerName::Files).0, LayerState::Partial, "{isolation:?}");
    again_as_ordinary_user(
        "hosts::landlock_alone_is_enough_and_a_root_folder_alone_only_with_a_user_of_its_own",
    );
}

#[test]
fn without_landlock_the_hosts_proc_in_the_root_folder_is_a_gap() {
    let mechanisms = Mechanisms { pid_namespace: false, ..Mechanisms::ALL };
    let isolation = outcome(mechanisms);
    assert_eq!(state(&isolation, LayerName::Files).0, LayerState::Full, "{isolation:?}");
    let isolation = outcome(Mechanisms { landlock: false, ..mechanisms });
    let (files, why) = state(&isolation, LayerName::Files);
    assert!(files == LayerState::Partial && why.contains("/proc"), "{isolation:?}");
}

/// As in a container that keeps little of root.
#[test]
fn a_root_that_could_not_end_another_users_process_does_not_become_one() {
    if !rustix::process::geteuid().is_root() || std::env::var_os(COPY).is_some() {
        println!("NOT TESTED: this process is not root");
        return;
    }
    let name = "vm::confinement::tests::hosts::every_layer_is_told_in_its_order";
    let output = Command::new("setpriv")
        .args(["--bounding-set=-kill", "--inh-caps=-kill", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("lacks CAP_KILL"), "{text}");
}

#[test]
fn a_host_that_gives_nothing_is_no_obstacle() {
    let isolation = outcome(Mechanisms::NONE);
    for name in
        [LayerName::Files, LayerName::Network, LayerName::Processes, LayerName::Ipc, LayerName::Hostname]
    {
        assert_eq!(state(&isolation, name).0, LayerState::Missing, "{isolation:?}");
    }
    again_as_ordinary_user("hosts::a_host_that_gives_nothing_is_no_obstacle");
}

#[test]
fn an_ordinary_user_without_user_namespaces_keeps_landlock_and_the_filter() {
    again_as_ordinary_user("hosts::an_ordinary_user_without_user_namespaces_keeps_landlock_and_the_filter");
    if rustix::process::geteuid().is_root() {
        return;
    }
    let isolation = outcome(Mechanisms { user_namespace: false, ..Mechanisms::ALL });
    for name in [LayerName::Privileges, LayerName::Files, LayerName::Syscalls] {
        assert_eq!(state(&isolation, name).0, LayerState::Full, "{isolation:?}");
    }
    for name in [LayerName::Network, LayerName::Processes, LayerName::Ipc, LayerName::Hostname] {
        let (state, why) = state(&isolation, name);
        assert!(state != LayerState::Full && why.contains("user namespace"), "{isolation:?}");
    }
}

#[test]
fn where_all_is_required_and_something_missing_the_program_never_runs() {
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let settings = ConfinementSettings {
        require: RequireIsolation::Full,
        mechanisms: Mechanisms { network_namespace: false, ..Mechanisms::ALL },
    };
    let arguments = ["-c".to_owned(), "echo ran >&2".to_owned()];
    let error = start(wanted(Path::new("/bin/sh"), &arguments, theirs.into()), &settings).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedHost);
    assert!(error.chain().join(": ").contains("network"), "{:?}", error.chain());
    let mut text = String::new();
    ours.read_to_string(&mut text).unwrap();
    assert_eq!(text, "");
}

#[test]
fn a_program_that_is_none_is_an_error_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("qemu");
    std::fs::write(&program, "not a program").unwrap();
    let stderr = File::options().write(true).open("/dev/null").unwrap();
    let error = start(wanted(&program, &[], stderr.into()), &ConfinementSettings::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StartFailed, "{error:?}");
    assert!(error.chain().join(": ").contains("ermission denied"), "{:?}", error.chain());
}

/// Supervisors keep their files for themselves.
#[test]
fn the_owners_umask_is_not_in_the_way_of_another_user() {
    let script =
        "umask 077; exec \"$0\" --exact vm::confinement::tests::hosts::every_layer_is_told_in_its_order";
    let tests = std::env::current_exe().unwrap();
    let output = Command::new("sh").args(["-c", script]).arg(tests).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// As Python programs do: what the copy drops at its end belongs to the process that it is a copy of.
#[test]
fn a_copy_of_the_owner_that_was_forked_off_ends_no_machine() {
    let stderr = File::options().write(true).open("/dev/null").unwrap();
    let arguments = ["1000".to_owned()];
    let (mut process, _) =
        start(wanted(Path::new("/bin/sleep"), &arguments, stderr.into()), &ConfinementSettings::default())
            .unwrap();
    let copy = system_calls::fork_into(0, None).unwrap();
    if copy == 0 {
        drop(process);
        system_calls::end();
    }
    let copy = rustix::process::Pid::from_raw(copy).unwrap();
    rustix::process::waitpid(Some(copy), rustix::process::WaitOptions::empty()).unwrap();
    // A signal takes effect when the process runs next.
    std::thread::sleep(std::time::Duration::from_millis(200));
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    assert!(status.contains("State:\tS"), "{status}");
    process.kill().unwrap();
}

#[test]
fn groups_are_removed_when_the_process_has_ended() {
    let stderr = File::options().write(true).open("/dev/null").unwrap();
    let arguments = ["1000".to_owned()];
    let (mut process, _) =
        start(wanted(Path::new("/bin/sleep"), &arguments, stderr.into()), &ConfinementSettings::default())
            .unwrap();
    let cgroup = std::fs::read_to_string(format!("/proc/{}/cgroup", process.id())).unwrap();
    let own: Vec<&str> = cgroup.lines().filter(|line| line.contains("/pyro-")).collect();
    let folder = |line: &str| line.rsplit_once("/pyro-").map(|(_, name)| format!("pyro-{name}")).unwrap();
    process.kill().unwrap();
    for line in own {
        let name = folder(line);
        let controller = line.split(':').nth(1).unwrap();
        let found = Command::new("find")
            .args([&format!("/sys/fs/cgroup/{controller}"), "-name", &name])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&found.stdout), "", "{line}");
    }
}

/// Prints what each mechanism costs: `cargo test --release … -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn cost_of_each_mechanism() {
    let (all, none) = (Mechanisms::ALL, Mechanisms::NONE);
    let cases = [
        ("none", none),
        ("own_user", Mechanisms { own_user: true, ..none }),
        ("privileges", Mechanisms { own_user: true, privileges: true, ..none }),
        ("landlock", Mechanisms { landlock: true, ..none }),
        ("mount", Mechanisms { mount_namespace: true, user_namespace: true, ..none }),
        ("network", Mechanisms { network_namespace: true, user_namespace: true, ..none }),
        ("pid", Mechanisms { pid_namespace: true, user_namespace: true, ..none }),
        ("ipc", Mechanisms { ipc_namespace: true, user_namespace: true, ..none }),
        ("uts", Mechanisms { uts_namespace: true, user_namespace: true, ..none }),
        ("seccomp", Mechanisms { seccomp: true, privileges: true, ..none }),
        ("cgroups", Mechanisms { cgroups: true, ..none }),
        ("all but mount", Mechanisms { mount_namespace: false, ..all }),
        ("all but cgroups", Mechanisms { cgroups: false, ..all }),
        ("all", all),
    ];
    for (name, mechanisms) in cases {
        let mut times: Vec<f64> = (0..50)
            .map(|_| {
                let stderr = File::options().write(true).open("/dev/null").unwrap();
                let settings = ConfinementSettings { require: RequireIsolation::Any, mechanisms };
                let begun = std::time::Instant::now();
                let started = start(wanted(Path::new("/bin/true"), &[], stderr.into()), &settings).unwrap();
                let took = begun.elapsed().as_secs_f64() * 1e3;
                drop(started);
                // Starts seldom follow each other at once, and the kernel is quicker then.
                std::thread::sleep(std::time::Duration::from_millis(30));
                took
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!(
            "{name:16} 10 % {:.2}, median {:.2}, 90 % {:.2}, most {:.2} ms",
            times[5], times[25], times[45], times[49]
        );
    }
}
