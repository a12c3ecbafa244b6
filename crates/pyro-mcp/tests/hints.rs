//! The façade's hints are written for people at a terminal. None of them may reach a model untranslated.

use pyro_host::error::Error;
use pyro_mcp::failure::hint_for_model;
use std::fs;
use std::path::{Path, PathBuf};

/// What is there no tool for: a model can only tell the user of it.
const FOR_THE_USER: &[&str] = &[
    "pyro doctor --boot",
    "pyro doctor",
    "pyro env pull",
    "pyro env prune",
    "the user's `pyro workspace ",
    "ask for it to be started: pyro workspace start ",
    "use pyro {theirs} for it",
    "drop --accel kvm",
];

/// Commands of the guest.
const OF_THE_GUEST: &[&str] = &["git --version"];

#[test]
fn no_hint_names_a_command_that_a_model_cannot_type() {
    let sources = rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../pyro-host/src"));
    let hints: Vec<String> = sources.iter().flat_map(|path| hints_of(path)).collect();
    assert!(hints.len() > 60, "only {} hints were found", hints.len());
    let mut left: Vec<String> = hints.iter().filter_map(|hint| untranslated(hint)).collect();
    left.sort();
    left.dedup();
    assert!(left.is_empty(), "add these to failure.rs:\n{}", left.join("\n"));
}

/// What stays of a hint that a model cannot do.
fn untranslated(hint: &str) -> Option<String> {
    let meant = hint_for_model(&Error::invalid("x").with_hint(hint));
    let allowed = FOR_THE_USER.iter().chain(OF_THE_GUEST);
    let told = allowed.fold(meant.clone(), |text, words| text.replace(words, ""));
    let is_left = told.contains("pyro ") || told.contains(" --") || told.contains("`--");
    is_left.then_some(meant)
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let is_source =
        |path: &PathBuf| path.extension().is_some_and(|it| it == "rs") && !path.ends_with("tests.rs");
    folders.iter().flat_map(|folder| rust_files(folder)).chain(files.into_iter().filter(is_source)).collect()
}

/// The texts of what is given to `with_hint` in a file, also behind a `format!`.
fn hints_of(path: &Path) -> Vec<String> {
    let source = fs::read_to_string(path).unwrap();
    let product = source.split("#[cfg(test)]").next().unwrap_or_default();
    product.split("with_hint(").skip(1).filter_map(first_text).collect()
}

/// The first string literal before the end of the statement, if it is one without escapes.
fn first_text(code: &str) -> Option<String> {
    let (before, rest) = code.split_once('"')?;
    if before.contains(';') || before.contains("with_") {
        return None;
    }
    let (text, _) = rest.split_once('"')?;
    let lines = text.split("\\\n").map(str::trim_start);
    Some(lines.collect())
}
