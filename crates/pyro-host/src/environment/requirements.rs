//! What a pull needs of the host: a few programs, Debian's keys, and for an ordinary user the right to make user
//! namespaces. Every error says what to type.

use super::mirror::KEYRING;
use super::sandbox::{Failure, Sandbox};
use crate::error::{Error, ErrorKind, Result};
use crate::program::find_program;
use std::path::Path;

/// A program, and the Debian package that has it.
const PROGRAMS: &[(&str, &str)] = &[
    ("mmdebstrap", "mmdebstrap"),
    ("mkfs.erofs", "erofs-utils"),
    ("apt-get", "apt"),
    ("dpkg-deb", "dpkg"),
    ("unshare", "util-linux"),
];
/// Programs that only an ordinary user needs.
const USER_PROGRAMS: &[(&str, &str)] = &[("newuidmap", "uidmap"), ("newgidmap", "uidmap")];

/// Whether everything is there. The error names all that is missing.
pub(super) fn check_installed() -> Result<()> {
    let is_root = rustix::process::geteuid().is_root();
    let programs = PROGRAMS.iter().chain(if is_root { [].iter() } else { USER_PROGRAMS.iter() });
    let mut missing: Vec<(&str, &str)> =
        programs.filter(|(program, _)| find_program(program).is_none()).copied().collect();
    if !Path::new(KEYRING).exists() {
        missing.push((KEYRING, "debian-archive-keyring"));
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(missing_error(&missing))
}

fn missing_error(missing: &[(&str, &str)]) -> Error {
    let what: Vec<String> = missing.iter().map(|(what, _)| format!("`{what}`")).collect();
    let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    packages.dedup();
    Error::new(ErrorKind::UnsupportedHost, format!("pulling an environment needs {}", what.join(", ")))
        .with_hint(format!("sudo apt-get install {}", packages.join(" ")))
}

/// Whether a sandbox can be made here, and if not, why.
pub(super) async fn check_sandbox() -> Result<()> {
    let mut printed = Vec::new();
    let probe = Sandbox::new("true", Path::new("/"));
    match probe.run(|line| printed.push(line.to_owned())).await {
        Ok(()) => Ok(()),
        Err(failure) => Err(refusal(&failure, &Facts::of_host())),
    }
}

/// What decides whether an ordinary user may make user namespaces.
#[derive(Debug, Default)]
struct Facts {
    is_root: bool,
    user: String,
    has_subordinate_ids: bool,
    /// `kernel.unprivileged_userns_clone` is 0 (a switch of Debian's kernels).
    is_switched_off: bool,
    /// `kernel.apparmor_restrict_unprivileged_userns` is 1 (Ubuntu 24.04 and later).
    is_restricted_by_apparmor: bool,
    /// `user.max_user_namespaces` is 0.
    is_limited_to_none: bool,
}

impl Facts {
    fn of_host() -> Self {
        let setting = |name: &str| {
            let text = std::fs::read_to_string(format!("/proc/sys/{name}")).unwrap_or_default();
            text.trim().parse::<u64>().ok()
        };
        let uid = rustix::process::geteuid();
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let user = user_name(&passwd, uid.as_raw()).unwrap_or_else(|| uid.as_raw().to_string());
        let has_range = |file: &str| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            text.lines()
                .filter_map(|line| line.split(':').next())
                .any(|owner| owner == user || owner == uid.as_raw().to_string())
        };
        Self {
            is_root: uid.is_root(),
            has_subordinate_ids: has_range("/etc/subuid") && has_range("/etc/subgid"),
            user,
            is_switched_off: setting("kernel/unprivileged_userns_clone") == Some(0),
            is_restricted_by_apparmor: setting("kernel/apparmor_restrict_unprivileged_userns") == Some(1),
            is_limited_to_none: setting("user/max_user_namespaces") == Some(0),
        }
    }
}

fn user_name(passwd: &str, uid: u32) -> Option<String> {
    let mut lines = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let fields = lines.find(|fields| fields.get(2).and_then(|field| field.parse().ok()) == Some(uid))?;
    fields.first().map(|name| (*name).to_owned())
}

fn refusal(failure: &Failure, facts: &Facts) -> Error {
    let (why, hint) = explain(failure, facts);
    let details = failure.tail.join("\n");
    let details = if details.is_empty() { failure.what.clone() } else { details };
    Error::new(ErrorKind::UnsupportedHost, format!("this host does not let pyro build environments: {why}"))
        .with_source(details)
        .with_hint(hint)
}

fn explain(failure: &Failure, facts: &Facts) -> (String, String) {
    if facts.is_root {
        return (
            "root may not make namespaces here".into(),
            "in a container, allow it CAP_SYS_ADMIN (such as `--privileged`), or pull outside of the container".into(),
        );
    }
    if !facts.has_subordinate_ids {
        let user = &facts.user;
        return (
            format!("/etc/subuid and /etc/subgid have no line for the user `{user}`"),
            format!("sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"),
        );
    }
    if facts.is_switched_off {
        let why = "kernel.unprivileged_userns_clone is 0, which forbids user namespaces".into();
        return (why, "sudo sysctl kernel.unprivileged_userns_clone=1".into());
    }
    if facts.is_limited_to_none {
        let why = "user.max_user_namespaces is 0, which forbids user namespaces".into();
        return (why, "sudo sysctl user.max_user_namespaces=15000".into());
    }
    if facts.is_restricted_by_apparmor {
        let why = "kernel.apparmor_restrict_unprivileged_userns is 1, which restricts user namespaces".into();
        return (why, "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0".into());
    }
    if failure.tail.iter().any(|line| line.contains("unrecognized option")) {
        let why = "its `unshare` does not know `--map-auto`".into();
        return (why, "install util-linux 2.38 or later, or pull as root".into());
    }
    ("user namespaces are refused".into(), "pull as root, or on a host that allows user namespaces".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_missing_is_named_at_once() {
        let error = missing_error(&[("newuidmap", "uidmap"), ("newgidmap", "uidmap"), ("/k.gpg", "keys")]);
        assert_eq!(error.kind(), ErrorKind::UnsupportedHost);
        assert_eq!(error.message(), "pulling an environment needs `newuidmap`, `newgidmap`, `/k.gpg`");
        assert_eq!(error.hint(), Some("sudo apt-get install uidmap keys"));
    }

    #[test]
    fn a_refusal_says_what_to_type() {
        let failure = Failure { what: "killed".into(), tail: Vec::new() };
        let user = || Facts { user: "me".into(), has_subordinate_ids: true, ..Facts::default() };
        let cases = [
            (Facts { has_subordinate_ids: false, ..user() }, "--add-subgids 100000-165535 me"),
            (Facts { is_switched_off: true, ..user() }, "kernel.unprivileged_userns_clone=1"),
            (Facts { is_limited_to_none: true, ..user() }, "user.max_user_namespaces="),
            (
                Facts { is_restricted_by_apparmor: true, ..user() },
                "kernel.apparmor_restrict_unprivileged_userns=0",
            ),
            (Facts { is_root: true, ..user() }, "CAP_SYS_ADMIN"),
            (user(), "as root"),
        ];
        for (facts, expected) in cases {
            let error = refusal(&failure, &facts);
            assert!(error.hint().expect("a hint").contains(expected), "{facts:?}");
        }
    }

    #[test]
    fn a_user_is_found_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\n::bad\nme:x:1000:1000::/home/me:/bin/sh\n";
        assert_eq!(user_name(passwd, 1000).as_deref(), Some("me"));
        assert_eq!(user_name(passwd, 7), None);
    }
}
