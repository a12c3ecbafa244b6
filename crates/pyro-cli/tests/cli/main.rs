//! The command line without a guest: usage, messages, JSON, and the rules of the house.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod contract;
mod contract_cli;
mod contract_exits;
mod contract_mcp;
mod demo;
mod home;
mod host_compat_service;
mod host_compat_shell;
mod host_compat_workspace;
mod house_rules;
mod mcp;
mod mcp_client;
mod model_server;
mod service;
mod shell;
mod terminal;
mod workspaces;

use std::process::{Command, Output};

fn pyro(words: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_pyro")).args(words).env("PYRO_HOME", home.path()).output().unwrap()
}

/// Standard error of a command that must end with this code and print nothing to standard output.
fn fails(words: &[&str], code: i32) -> String {
    let output = pyro(words);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{words:?}: {stderr}");
    assert_eq!(output.stdout, b"", "{words:?}");
    stderr
}

fn json(words: &[&str], code: i32) -> serde_json::Value {
    let output = pyro(words);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn wrong_usage_is_2_and_says_what_would_be_right() {
    assert!(fails(&["run", "debian:12"], 2).contains("-- <COMMAND>"));
    assert!(
        fails(&["run", "debian:12", "--accel", "warp", "--", "true"], 2).contains("none of auto, kvm, tcg")
    );
    assert!(fails(&["frobnicate"], 2).contains("unrecognized subcommand"));
    assert!(fails(&["run", "debian:12", "--mem-mib", "lots", "--", "true"], 2).contains("--mem-mib"));
}

#[test]
fn values_out_of_range_name_the_range() {
    let out_of_range =
        |option: &str, value: &str| fails(&["run", "debian:12", option, value, "--", "true"], 2);
    assert!(out_of_range("--mem-mib", "127").contains("mem_mib is 127, which is not in 128 to"));
    assert!(out_of_range("--vcpu-count", "0").contains("vcpu_count is 0, which is not in 1 to"));
    assert!(out_of_range("--vcpu-count", "1000").contains("vcpu_count is 1000"));
    assert!(
        out_of_range("--timeout-seconds", "0").contains("timeout_seconds is 0, which is not in 1 to 604800")
    );
    assert!(out_of_range("--ttl-seconds", "604801").contains("ttl_seconds is 604801"));
    assert!(fails(&["run", "debian:12", "--", ""], 2).contains("there is no command"));
}

#[test]
fn an_unknown_environment_is_told_with_those_that_exist() {
    let stderr = fails(&["run", "debian:13", "--", "true"], 125);
    assert!(
        stderr.contains("debian:13") && stderr.contains("debian:12-base") && stderr.contains("hint: "),
        "{stderr}"
    );
    let error = &json(&["env", "inspect", "debian:13", "--json"], 125)["error"];
    assert_eq!(error["kind"], "not_found");
}

#[test]
fn errors_as_json_are_one_object_even_for_wrong_usage() {
    for words in
        [&["run", "--json", "debian:12"][..], &["run", "debian:12", "--json", "--mem-mib", "1", "--", "true"]]
    {
        let error = &json(words, 2)["error"];
        assert_eq!(error["kind"], "invalid_argument", "{error}");
        assert!(error["message"].is_string() && error["hint"].is_string(), "{error}");
    }
    // After `--` it is the command's word, not ours.
    assert!(pyro(&["run", "--", "--json"]).stdout.is_empty());
}

#[test]
fn rules_of_a_network_that_are_none_are_refused() {
    for create in [&["run"][..], &["workspace", "create"]] {
        for rule in ["https://pypi.org/", "pypi.org:0", "*.", "@nowhere", "127.0.0.1:80", "a b", ""] {
            let words = [create, &["debian:12", "--allow", rule, "--json"]].concat();
            let words = if create == ["run"] { [&words[..], &["--", "true"]].concat() } else { words };
            let error = &json(&words, 2)["error"];
            assert_eq!(error["kind"], "invalid_argument", "{rule:?}: {error}");
            assert!(error["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{rule:?}: {error}");
        }
    }
}

#[test]
fn a_host_that_may_stand_in_keeps_no_rules() {
    for flags in [&["--allow", "none"][..], &["--require-isolation", "full"]] {
        let words = [&["run", "debian:12", "--allow-host-compat", "--json"], flags, &["--", "true"]].concat();
        let error = &json(&words, 2)["error"];
        assert_eq!(error["kind"], "invalid_argument", "{flags:?}: {error}");
    }
}

#[test]
fn what_would_become_of_a_connection_is_explained() {
    let explained = |target: &str, rules: &[&str], code| {
        let rules: Vec<&str> = rules.iter().flat_map(|rule| ["--allow", rule]).collect();
        json(&[&["network", "explain", target, "--json"], &rules[..]].concat(), code)
    };
    assert_eq!(explained("203.0.113.7:443", &[], 0)["allowed"], true);
    for (target, rules) in [
        ("203.0.113.7:80", &["203.0.113.0/24:443"][..]),
        ("127.0.0.1:80", &["*"]),
        ("169.254.169.254:80", &["0.0.0.0/0"]),
        ("[::ffff:10.0.0.1]:80", &[]),
    ] {
        let explanation = explained(target, rules, 1);
        let last = explanation["steps"].as_array().unwrap().last().unwrap();
        assert_eq!(
            (&explanation["allowed"], &last["allowed"]),
            (&false.into(), &false.into()),
            "{explanation}"
        );
        assert!(!last["hint"].as_str().unwrap().is_empty(), "{explanation}");
    }
    assert_eq!(explained("pypi.org", &[], 2)["error"]["kind"], "invalid_argument");
}

#[test]
fn environments_are_listed_and_inspected_before_any_is_installed() {
    let list = json(&["env", "list", "--json"], 0);
    let environments = list["environments"].as_array().unwrap();
    let names: Vec<&str> = environments.iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["debian:12", "debian:12-base", "debian:12-build"]);
    assert!(environments.iter().all(|entry| entry["installed"] == false), "{list}");
    let inspect = json(&["env", "inspect", "debian:12", "--json"], 0);
    assert_eq!((&inspect["installed"], &inspect["templates"]), (&false.into(), &serde_json::json!([])));
    let prune = json(&["env", "prune", "--json"], 0);
    assert_eq!((&prune["count"], &prune["freed_bytes"]), (&0.into(), &0.into()));
}

#[test]
fn an_unreachable_mirror_is_named() {
    let mirror = "http://127.0.0.1:9/debian";
    let error = &json(&["env", "pull", "debian:12-base", "--mirror", mirror, "--json"], 125)["error"];
    assert_eq!(error["kind"], "environment_unavailable", "{error}");
    assert!(error["message"].as_str().unwrap().contains("127.0.0.1:9"), "{error}");
}

#[test]
fn doctor_says_what_it_found_and_what_to_type() {
    let report = json(&["doctor", "--json"], 0);
    let keys: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "accelerator",
        "boot",
        "checks",
        "isolation",
        "issues",
        "kvm",
        "networking",
        "platform",
        "qemu",
        "runtime",
        "runtime_ok",
    ];
    assert_eq!(keys, expected);
    assert_eq!(report["runtime_ok"], true);
    assert!(report["qemu"]["version"].as_str().unwrap().contains("QEMU emulator version"));
    assert!(["kvm", "tcg"].contains(&report["accelerator"]["kind"].as_str().unwrap()));
    assert!(!report["accelerator"]["reason"].as_str().unwrap().is_empty());
}

#[test]
fn doctor_fails_with_a_remedy_where_there_is_no_qemu() {
    let home = tempfile::tempdir().unwrap();
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_pyro"));
    doctor.args(["doctor", "--json"]).env("PYRO_HOME", home.path()).env("PYRO_QEMU", "/nonexistent/qemu");
    let output = doctor.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["runtime_ok"], &report["qemu"]), (&false.into(), &serde_json::Value::Null));
    let issues = report["issues"].as_array().unwrap();
    assert!(
        issues
            .iter()
            .any(|issue| issue["what"].as_str().unwrap().contains("QEMU") && issue["hint"].is_string())
    );
}

#[test]
fn version_completions_and_manual_pages() {
    let version = String::from_utf8(pyro(&["--version"]).stdout).unwrap();
    assert_eq!(version.trim(), concat!("pyro ", env!("CARGO_PKG_VERSION")));
    let bash = String::from_utf8(pyro(&["completions", "bash"]).stdout).unwrap();
    assert!(bash.contains("--timeout-seconds"));
    let man = String::from_utf8(pyro(&["man", "env", "pull"]).stdout).unwrap();
    assert!(man.contains(".TH") && man.contains("mirror"), "{man}");
    assert!(fails(&["man", "frobnicate"], 2).contains("there is no command `frobnicate`"));
}

#[test]
fn a_home_that_is_no_absolute_path_is_refused() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pyro"));
    let output = command.args(["env", "list"]).env("PYRO_HOME", "relative").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("PYRO_HOME is `relative`"));
}
