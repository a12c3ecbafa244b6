//! Turns what a failed program printed into an error that says what was wrong and what to do.

use super::mirror::without_credentials;
use super::sandbox::Failure;
use crate::error::{Error, ErrorKind};

/// How many of the last lines go into the error.
const MAX_LINES: usize = 12;

/// The error for a pull whose program failed. `seen` are the lines worth remembering from the whole output.
pub(super) fn diagnose(environment: &str, failure: &Failure, seen: &[String]) -> Error {
    let lines: Vec<String> = seen.iter().chain(&failure.tail).map(|line| without_credentials(line)).collect();
    let (what, hint) = judge(&lines).unwrap_or_else(|| (failure.what.clone(), None));
    let skipped = lines.len().saturating_sub(MAX_LINES);
    let error =
        Error::new(ErrorKind::EnvironmentUnavailable, format!("could not pull `{environment}`: {what}"))
            .with_source(lines[skipped..].join("\n"));
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// Whether a line may say why a pull failed, and so is kept though many follow.
pub(super) fn is_telling(line: &str) -> bool {
    ["Err:", "E: ", "W: Failed to fetch", "W: GPG error", "dpkg: error"]
        .iter()
        .any(|start| line.starts_with(start))
        || line.contains("No space left on device")
}

fn judge(lines: &[String]) -> Option<(String, Option<String>)> {
    let having = |text: &str| lines.iter().any(|line| line.contains(text));
    if having("No space left on device") || having("You don't have enough free space") {
        return Some((
            "the disk is full".into(),
            Some("free some space, or set PYRO_HOME to a folder elsewhere".into()),
        ));
    }
    if having("NO_PUBKEY") || having("EXPKEYSIG") || having("is not signed") || having("BADSIG") {
        let hint = "the archive is not Debian's, or the package debian-archive-keyring is too old";
        return Some(("the archive's signature is not good".into(), Some(hint.into())));
    }
    if having("is not valid yet") || having("is expired") {
        let hint = "check the clock of this host; if it is right, the mirror is out of date: choose another with --mirror";
        return Some(("the archive's signature is not valid at this time".into(), Some(hint.into())));
    }
    if let Some(address) = lines.iter().find_map(|line| unreachable_address(line)) {
        let hint = "check the network, or choose another Debian mirror with --mirror or PYRO_DEBIAN_MIRROR";
        return Some((format!("{address} could not be reached"), Some(hint.into())));
    }
    if having("Unable to locate package") || having("has no installation candidate") {
        return Some((
            "the archive lacks a package".into(),
            Some("choose another mirror with --mirror".into()),
        ));
    }
    None
}

/// The address in apt's words for a failed download, as precise as they are.
fn unreachable_address(line: &str) -> Option<String> {
    for start in ["Could not resolve '", "Temporary failure resolving '"] {
        if let Some((_, rest)) = line.split_once(start) {
            return Some(format!("`{}`", rest.split('\'').next()?));
        }
    }
    if let Some((_, rest)) = line.split_once("Failed to fetch ") {
        return Some(format!("`{}`", rest.split_whitespace().next()?));
    }
    let rest = line.strip_prefix("Err:")?;
    Some(format!("`{}`", rest.split_whitespace().nth(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnosed(lines: &[&str]) -> Error {
        let tail = lines.iter().map(|line| (*line).to_owned()).collect();
        diagnose("debian:12", &Failure { what: "`mmdebstrap` ended with exit code 1".into(), tail }, &[])
    }

    #[test]
    fn what_could_not_be_reached_is_named() {
        let error = diagnosed(&[
            "Err:1 http://u:p@127.0.0.1:9/debian bookworm InRelease",
            "  Could not connect to 127.0.0.1:9 (127.0.0.1). - connect (111: Connection refused)",
        ]);
        assert_eq!(error.kind(), ErrorKind::EnvironmentUnavailable);
        assert_eq!(
            error.message(),
            "could not pull `debian:12`: `http://127.0.0.1:9/debian` could not be reached"
        );
        assert!(error.chain()[1].contains("Connection refused"));
        assert!(!error.chain()[1].contains("u:p"));
        let error = diagnosed(&["  Temporary failure resolving 'm.example'"]);
        assert!(error.message().ends_with("`m.example` could not be reached"), "{error}");
    }

    #[test]
    fn other_causes_are_told_apart() {
        let cases = [
            ("tar: write error: No space left on device", "the disk is full"),
            ("W: GPG error: x InRelease: NO_PUBKEY 1234", "signature is not good"),
            ("E: Unable to locate package nonsense", "lacks a package"),
            ("E: Release file for x is not valid yet (invalid for another 3h)", "not valid at this time"),
            ("something else", "ended with exit code 1"),
        ];
        for (line, expected) in cases {
            let error = diagnosed(&[line]);
            assert!(error.message().contains(expected), "{error}");
            assert!(is_telling(line) || !line.starts_with("E: "));
        }
    }

    #[test]
    fn the_source_is_bounded() {
        let lines = vec!["noise"; 1000];
        assert_eq!(diagnosed(&lines).chain()[1].lines().count(), MAX_LINES);
    }
}
