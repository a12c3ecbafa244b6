//! Rules that the compiler does not know: which crate and module may depend on which, how long
//! files may be, what may not be named.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The crates named under `[dependencies]` of a crate of ours.
fn dependencies(name: &str) -> BTreeSet<String> {
    let manifest = fs::read_to_string(project().join("crates").join(name).join("Cargo.toml")).unwrap();
    let (_, rest) = manifest.split_once("\n[dependencies]\n").unwrap();
    let section = rest.split("\n[").next().unwrap();
    section.lines().filter_map(|line| line.split(['.', ' ', '=']).next()).map(str::to_owned).collect()
}

#[test]
fn dependencies_run_one_way() {
    let forbidden: &[(&str, &[&str])] = &[
        ("pyro-protocol", &["tokio", "pyro-guest", "pyro-host", "pyro-cli", "nix", "rustix"]),
        ("pyro-guest", &["tokio", "pyro-host", "pyro-cli", "clap"]),
        ("pyro-network", &["pyro-guest", "pyro-host", "pyro-mcp", "pyro-cli", "clap", "rmcp", "pyo3"]),
        ("pyro-host", &["pyro-guest", "pyro-mcp", "pyro-cli", "clap", "indicatif", "rmcp", "pyo3", "anyhow"]),
        ("pyro-mcp", &["pyro-guest", "pyro-protocol", "pyro-cli", "clap", "indicatif", "rustix", "nix"]),
        ("pyro-cli", &["pyro-guest", "pyro-protocol", "rmcp", "schemars", "rustix", "nix"]),
        (
            "pyro-python",
            &["pyro-guest", "pyro-protocol", "pyro-cli", "clap", "rmcp", "schemars", "rustix", "nix"],
        ),
    ];
    for (name, never) in forbidden {
        let dependencies = dependencies(name);
        assert!(!dependencies.is_empty(), "{name}");
        for other in *never {
            assert!(!dependencies.contains(*other), "{name} must not depend on {other}");
        }
    }
}

/// What moves fast is in one place.
#[test]
fn one_module_knows_rmcp() {
    let sources = project().join("crates/pyro-mcp/src");
    for path in rust_files(&sources) {
        let text = fs::read_to_string(&path).unwrap();
        let knows = text.contains("use rmcp") || text.contains("rmcp::");
        assert_eq!(knows, path == sources.join("protocol.rs"), "{}", path.display());
    }
}

/// Upper modules of the host use lower ones, never the reverse.
#[test]
fn modules_of_the_host_use_what_is_below_them() {
    const LAYERS: [&str; 12] = [
        "pyro",
        "doctor",
        "vms",
        "workspace",
        "run",
        "supervisor",
        "instance",
        "start",
        "template",
        "vm",
        "environment",
        "guest",
    ];
    let top = ["pyro", "doctor", "vms", "workspace", "run"];
    let mut upward: Vec<(&str, Vec<&str>)> = LAYERS[5..]
        .iter()
        .enumerate()
        .map(|(depth, &module)| (module, LAYERS[..5 + depth].to_vec()))
        .collect();
    // Two siblings know nothing of each other, nor does the code for trees of files of anything.
    upward.push(("run", vec!["pyro", "doctor", "vms", "workspace", "supervisor", "instance"]));
    upward.push(("workspace", vec!["pyro", "doctor", "vms", "run"]));
    upward.push(("tree", [&top[..], &LAYERS[5..]].concat()));
    let sources = project().join("crates/pyro-host/src");
    for (module, never) in upward {
        for path in rust_files(&sources.join(module)) {
            let text = fs::read_to_string(&path).unwrap();
            for other in &never {
                let (one, many) = (format!("crate::{other}::"), format!("use crate::{other};"));
                assert!(!text.contains(&one) && !text.contains(&many), "{} uses `{other}`", path.display());
            }
        }
    }
}

#[test]
fn files_stay_short_enough_to_read() {
    for path in rust_files(&project().join("crates")) {
        let n_lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(n_lines <= 600, "{} has {n_lines} lines: which noun is hiding in it?", path.display());
    }
}

#[test]
fn no_file_is_named_for_nothing() {
    for path in rust_files(&project()) {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let empty = ["utils", "util", "common", "helpers", "helper", "misc", "manager"];
        assert!(!empty.contains(&name.as_str()), "{}", path.display());
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
