//! The environments that this version of pyro offers: what they are called and which packages are in them.
//!
//! Pure data. It must not know where packages come from (`mirror.rs`) nor how they are installed (`build.rs`).

use crate::error::{Error, ErrorKind, Result};

/// Counts up whenever an entry changes. An installed environment with another number is built anew at its next pull.
pub const CATALOG_VERSION: u32 = 1;

/// The Debian release that every entry is made of.
pub const SUITE: &str = "bookworm";

/// The only processor architecture of guests.
pub const ARCHITECTURE: &str = "amd64";

/// One environment that can be pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogEntry {
    /// The name that users type, such as `debian:12`.
    pub name: &'static str,
    /// The version of the system inside.
    pub version: &'static str,
    /// One sentence for people.
    pub description: &'static str,
    /// Whether modules for containers and networks are in the image, for `modprobe` in the guest.
    pub(super) has_extra_modules: bool,
    /// What a pull takes on the disk while it runs.
    pub(super) pull_mib: u64,
    /// The packages beyond Debian's required ones, group by group.
    package_groups: &'static [&'static [&'static str]],
}

impl CatalogEntry {
    /// The packages that are asked for by name, beyond Debian's required ones. Their dependencies come on top.
    pub fn packages(&self) -> impl Iterator<Item = &'static str> {
        self.package_groups.iter().flat_map(|group| group.iter().copied())
    }
}

/// What a shell needs to be useful and to reach a package mirror.
const CORE: &[&str] = &["ca-certificates", "iproute2", "less", "netbase", "procps"];

/// The tools of daily work.
#[rustfmt::skip]
const DAILY: &[&str] = &[
    "bzip2", "curl", "diffutils", "file", "git", "iputils-ping", "jq", "kmod", "lsof", "make", "nano",
    "netcat-openbsd", "openssh-client", "patch", "psmisc", "python3", "python3-pip", "python3-venv", "ripgrep",
    "rsync", "strace", "sudo", "tree", "unzip", "vim-tiny", "wget", "xz-utils", "zip", "zstd",
];

/// A compiler tool chain, and what compiled extensions of scripting languages commonly want.
#[rustfmt::skip]
const BUILD: &[&str] = &[
    "autoconf", "automake", "bison", "build-essential", "cmake", "flex", "gdb", "libffi-dev", "libssl-dev", "libtool",
    "ninja-build", "pkg-config", "python3-dev", "zlib1g-dev",
];

const ENTRIES: &[CatalogEntry] = &[
    CatalogEntry {
        name: "debian:12",
        version: "12",
        description: "Debian 12 with git and the tools of daily work; no manual pages",
        has_extra_modules: true,
        pull_mib: 1500,
        package_groups: &[CORE, DAILY],
    },
    CatalogEntry {
        name: "debian:12-base",
        version: "12",
        description: "Debian 12 with a shell and core tools; no manual pages",
        has_extra_modules: false,
        pull_mib: 800,
        package_groups: &[CORE],
    },
    CatalogEntry {
        name: "debian:12-build",
        version: "12",
        description: "Debian 12 with git, the tools of daily work and a compiler tool chain; no manual pages",
        has_extra_modules: true,
        pull_mib: 3000,
        package_groups: &[CORE, DAILY, BUILD],
    },
];

/// Every environment on offer, by name.
pub fn entries() -> &'static [CatalogEntry] {
    ENTRIES
}

/// The environment of this name.
pub fn find(name: &str) -> Result<&'static CatalogEntry> {
    ENTRIES.iter().find(|entry| entry.name == name).ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> Error {
    let names: Vec<&str> = ENTRIES.iter().map(|entry| entry.name).collect();
    let known = format!("the environments are {}", names.join(", "));
    let hint = match nearest(name, &names) {
        Some(nearest) => format!("did you mean `{nearest}`? {known}"),
        None => known,
    };
    let shown: String = name.chars().take(80).collect();
    Error::new(ErrorKind::NotFound, format!("there is no environment `{}`", shown.escape_debug()))
        .with_hint(hint)
}

/// The name that differs least, unless it differs in about half of its letters.
fn nearest<'a>(name: &str, names: &[&'a str]) -> Option<&'a str> {
    if name.len() > 64 {
        return None;
    }
    let (distance, nearest) =
        names.iter().map(|candidate| (edit_distance(name, candidate), *candidate)).min()?;
    (distance <= nearest.len() / 2).then_some(nearest)
}

/// How many letters must be added, dropped or replaced to get from one word to the other.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, letter) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_sorted() {
        let names: Vec<&str> = entries().iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["debian:12", "debian:12-base", "debian:12-build"]);
        for name in names {
            assert_eq!(find(name).expect("known").name, name);
        }
    }

    #[test]
    fn packages_are_named_once_and_safe_to_put_on_a_command_line() {
        for entry in entries() {
            let mut packages: Vec<&str> = entry.packages().collect();
            let count = packages.len();
            packages.sort_unstable();
            packages.dedup();
            assert_eq!(packages.len(), count, "{}", entry.name);
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
            assert!(packages.iter().all(|package| package.chars().all(plain)));
        }
    }

    #[test]
    fn modprobe_comes_with_the_modules() {
        for entry in entries().iter().filter(|entry| entry.has_extra_modules) {
            assert!(entry.packages().any(|package| package == "kmod"), "{}", entry.name);
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones_and_the_nearest() {
        let error = find("debian12-build").expect_err("unknown");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let hint = error.hint().expect("a hint");
        assert!(hint.starts_with("did you mean `debian:12-build`?"), "{hint}");
        assert!(hint.ends_with("debian:12, debian:12-base, debian:12-build"), "{hint}");
        let hint = find("\u{1b}[31m windows").expect_err("unknown");
        assert!(!hint.message().contains('\u{1b}'));
        assert!(!hint.hint().expect("a hint").contains("did you mean"));
    }
}
