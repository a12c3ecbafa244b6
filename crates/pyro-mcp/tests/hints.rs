//! The façade's hints are written for people at a terminal. None of them may reach a model untranslated.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

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
    "ask for it to be started: pyro workspace start ",
    "use pyro {theirs} for it",
    "drop --accel kvm",
];

#[test]
fn no_hint_names_a_command_that_a_model_cannot_type() {
    let mut sources = rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../pyro-host/src"));
    // No tool examines the host.
    sources.retain(|path| !path.to_string_lossy().contains("/src/doctor/"));
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
    let told =
        FOR_THE_USER.iter().fold(without_what_users_type(&meant), |text, words| text.replace(words, ""));
    let is_left = ["pyro ", " --", "`--", " ID"].iter().any(|words| told.contains(words));
    is_left.then_some(meant)
}

/// Takes out commands of which a hint says that they are the user's.
fn without_what_users_type(hint: &str) -> String {
    let mut parts = hint.split("the user's `");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('`').map_or("", |(_, rest)| rest))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let is_source =
        |path: &PathBuf| path.extension().is_some_and(|it| it == "rs") && !path.ends_with("tests.rs");
    folders.iter().flat_map(|folder| rust_files(folder)).chain(files.into_iter().filter(is_source)).collect()
}

/// The texts of what is given to `with_hint` in a file, also behind a `format!`, and all others that name a command.
fn hints_of(path: &Path) -> Vec<String> {
    let source = fs::read_to_string(path).unwrap();
    let product = source.split("#[cfg(test)]").next().unwrap_or_default();
    let given = product.split("with_hint(").skip(1).filter_map(first_text);
    let names_command = |text: &String| text.contains("pyro workspace ") || text.contains("pyro env ");
    given.chain(texts(product).filter(names_command)).collect()
}

/// The first string literal before the end of the statement.
fn first_text(code: &str) -> Option<String> {
    let (before, rest) = code.split_once('"')?;
    let is_of_it = !before.contains(';') && !before.contains("with_");
    is_of_it.then(|| unfolded(rest.split('"').next().unwrap_or_default()))
}

/// What stands between two quotation marks in lines that are no comments. What stands between two texts is taken for one
/// too, which harms nobody.
fn texts(code: &str) -> impl Iterator<Item = String> {
    let lines: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let texts: Vec<String> = lines.join("\n").split('"').map(unfolded).collect();
    texts.into_iter()
}

fn unfolded(text: &str) -> String {
    text.split("\\\n").map(str::trim_start).collect()
}
