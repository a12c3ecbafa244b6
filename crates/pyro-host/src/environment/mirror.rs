//! Chooses the package archives that an environment is built from.
//!
//! An explicit mirror wins; then what the host's apt uses, if that is Debian's archive; then mmdebstrap's own
//! default. No archive is named in this code: a host that pyro has not been told about is never asked.
//!
//! An explicit mirror is one or two addresses: the archive, such as `http://mirror.example/debian`, and the
//! archive of security updates. Without the second it is taken to be the sibling whose name has `-security` at the
//! end, as Debian's mirrors lay it out.

use super::catalog::SUITE;
use super::sandbox::Sandbox;
use super::sources::{SourceEntry, parse_deb822, parse_list};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// Debian's keys, with which signatures are checked whatever the mirror.
pub(super) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where packages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mirror {
    /// The archive, and the one of security updates.
    At {
        /// The base of the archive.
        base: String,
        /// The base of the archive of security updates.
        security: String,
    },
    /// Whatever mmdebstrap uses when it is not told.
    MmdebstrapDefault,
}

impl Mirror {
    /// The mirror that was asked for, else the host's, else mmdebstrap's default.
    pub(super) fn choose(explicit: Option<&str>) -> Result<Self> {
        match explicit.map(str::trim).filter(|words| !words.is_empty()) {
            Some(words) => Self::parse(words),
            None => Ok(Self::of_host(Path::new("/etc/apt")).unwrap_or(Self::MmdebstrapDefault)),
        }
    }

    fn parse(words: &str) -> Result<Self> {
        let addresses: Vec<&str> = words.split_whitespace().collect();
        let (base, security) = match addresses.as_slice() {
            [base] => (*base, format!("{}-security", base.trim_end_matches('/'))),
            [base, security] => (*base, (*security).to_owned()),
            _ => return Err(malformed(words)),
        };
        if !is_usable(base) || !is_usable(&security) {
            return Err(malformed(words));
        }
        Ok(Self::At { base: base.trim_end_matches('/').into(), security })
    }

    /// The Debian archive that the host's apt uses, if it uses one.
    fn of_host(apt: &Path) -> Option<Self> {
        let mut entries: Vec<SourceEntry> = source_files(apt)
            .into_iter()
            .filter_map(|path| Some((std::fs::read_to_string(&path).ok()?, path)))
            .flat_map(|(text, path)| match path.extension() {
                Some(extension) if extension == "sources" => parse_deb822(&text),
                _ => parse_list(&text),
            })
            .collect();
        for entry in &mut entries {
            resolve_mirror_file(entry);
        }
        Self::among(&entries)
    }

    /// Entries that are checked with Debian's keys come first: others may merely look like Debian's archive.
    fn among(entries: &[SourceEntry]) -> Option<Self> {
        let pick = |ending: &str| {
            let fits = |entry: &&SourceEntry| is_debian_archive(entry, ending);
            let is_signed = |entry: &&SourceEntry| entry.signed_by.is_some();
            entries.iter().filter(fits).find(is_signed).or_else(|| entries.iter().find(fits))
        };
        let base = pick("/debian")?.uri.trim_end_matches('/').to_owned();
        let security = pick("-security").map(|entry| entry.uri.trim_end_matches('/').to_owned());
        let security = security.unwrap_or_else(|| format!("{base}-security"));
        Some(Self::At { base, security })
    }

    /// The lines of `sources.list(5)` that are handed to mmdebstrap. None for its own default.
    pub(super) fn sources(&self) -> Vec<String> {
        let Self::At { base, security } = self else { return Vec::new() };
        // apt in the guest's tree cannot see the host's files; `copy:` brings them in.
        let readable = |uri: &str| match uri.strip_prefix("file:") {
            Some(path) => format!("copy:{path}"),
            None => uri.to_owned(),
        };
        let line =
            |uri: &str, suite: String| format!("deb [signed-by={KEYRING}] {} {suite} main", readable(uri));
        vec![
            line(base, SUITE.into()),
            line(base, format!("{SUITE}-updates")),
            line(security, format!("{SUITE}-security")),
        ]
    }
}

/// An address without user name and password.
pub(super) fn without_credentials(text: &str) -> String {
    text.split(' ').map(strip_user).collect::<Vec<_>>().join(" ")
}

fn strip_user(word: &str) -> String {
    match word.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
        None => word.to_owned(),
    }
}

/// The settings of the host's apt that decide how archives are reached, such as its proxy.
pub(super) async fn connection_options() -> Vec<String> {
    let mut dump = String::new();
    let sandbox = Sandbox::new("apt-config", Path::new("/")).argument("dump");
    let result = sandbox.run(|line| {
        dump.push_str(line);
        dump.push('\n');
    });
    match result.await {
        Ok(()) => parse_options(&dump),
        Err(failure) => {
            tracing::debug!(?failure, "could not ask the host's apt for its settings");
            Vec::new()
        }
    }
}

fn parse_options(dump: &str) -> Vec<String> {
    let concerns_connections = |line: &&str| {
        let line = line.to_ascii_lowercase();
        line.starts_with("acquire::http::") || line.starts_with("acquire::https::")
    };
    let has_value = |line: &&str| line.ends_with("\";") && !line.ends_with(" \"\";");
    dump.lines().filter(concerns_connections).filter(has_value).map(str::to_owned).collect()
}

fn malformed(words: &str) -> Error {
    let shown = without_credentials(&words.chars().take(200).collect::<String>());
    Error::invalid(format!("`{}` is not a Debian mirror", shown.escape_debug())).with_hint(
        "give the address of the archive, such as http://mirror.example/debian, and, if it is not next to it under \
         the same name with `-security` at the end, the address of the archive of security updates as second word",
    )
}

/// Only addresses that apt understands, and that cannot be taken for anything else on a line of `sources.list(5)`.
fn is_usable(uri: &str) -> bool {
    let has_scheme = ["http://", "https://", "file:/", "copy:/"].iter().any(|scheme| uri.starts_with(scheme));
    has_scheme && uri.bytes().all(|byte| byte.is_ascii_graphic() && !b"[]\"'\\#".contains(&byte))
}

fn is_debian_archive(entry: &SourceEntry, ending: &str) -> bool {
    let is_debians_key = entry.signed_by.as_ref().is_none_or(|keys| keys.contains("debian-archive-"));
    let is_security =
        entry.suites.iter().all(|suite| suite.contains("-security") || suite.contains("/updates"));
    is_usable(&entry.uri)
        && is_debians_key
        && entry.uri.trim_end_matches('/').ends_with(ending)
        && is_security == (ending == "-security")
        && entry.components.iter().any(|component| component == "main")
}

/// apt's files, in the order in which apt reads them.
fn source_files(apt: &Path) -> Vec<PathBuf> {
    let mut parts: Vec<PathBuf> = std::fs::read_dir(apt.join("sources.list.d"))
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    parts.retain(|path| {
        path.extension().is_some_and(|extension| extension == "list" || extension == "sources")
    });
    parts.sort();
    parts.insert(0, apt.join("sources.list"));
    parts
}

/// Cloud images name a file that lists mirrors. The first of them stands for all.
fn resolve_mirror_file(entry: &mut SourceEntry) {
    let Some(path) = entry.uri.strip_prefix("mirror+file:") else { return };
    let first = std::fs::read_to_string(path).ok().and_then(|text| {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Some(lines.next()?.split_whitespace().next()?.to_owned())
    });
    entry.uri = first.unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(base: &str, security: &str) -> Mirror {
        Mirror::At { base: base.into(), security: security.into() }
    }

    fn host(files: &[(&str, &str)]) -> Option<Mirror> {
        let apt = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(apt.path().join("sources.list.d")).expect("makes");
        for (name, text) in files {
            std::fs::write(apt.path().join(name), text).expect("writes");
        }
        Mirror::of_host(apt.path())
    }

    #[test]
    fn an_explicit_mirror_has_a_sibling_or_names_it() {
        let mirror = Mirror::choose(Some(" http://m.example/debian/ ")).expect("usable");
        assert_eq!(mirror, at("http://m.example/debian", "http://m.example/debian-security"));
        let mirror = Mirror::choose(Some("file:///srv/a copy:///srv/b")).expect("usable");
        assert_eq!(mirror, at("file:///srv/a", "copy:///srv/b"));
        let sources = mirror.sources();
        assert_eq!(sources.len(), 3);
        assert!(sources[0].ends_with("] copy:///srv/a bookworm main"), "{}", sources[0]);
        assert!(sources[2].ends_with("] copy:///srv/b bookworm-security main"), "{}", sources[2]);
    }

    #[test]
    fn what_is_no_mirror_is_refused_without_showing_a_password() {
        for words in [
            "debian",
            "ftp://x/debian",
            "http://a/b c://d",
            "http://a/b http://c/d http://e/f",
            "http://a\u{1b}",
        ] {
            assert!(Mirror::choose(Some(words)).is_err(), "{words}");
        }
        let error = Mirror::choose(Some("ftp://me:secret@x/debian")).expect_err("refused");
        assert!(!error.message().contains("secret"), "{error}");
    }

    #[test]
    fn a_debian_host_in_either_format() {
        let list = "deb http://m.example/debian bookworm main\n\
                    deb http://s.example/debian-security bookworm-security main\n";
        let found = Some(at("http://m.example/debian", "http://s.example/debian-security"));
        assert_eq!(host(&[("sources.list", list)]), found);
        let deb822 = "Types: deb\nURIs: http://m.example/debian/\nSuites: trixie trixie-updates\nComponents: main\n\n\
                      Types: deb\nURIs: http://s.example/debian-security/\nSuites: trixie-security\nComponents: main\n";
        assert_eq!(host(&[("sources.list.d/debian.sources", deb822)]), found);
    }

    #[test]
    fn other_archives_are_not_taken_for_debians() {
        let ubuntu =
            "deb http://u.example/ubuntu noble main\ndeb http://u.example/ubuntu noble-security main\n";
        assert_eq!(host(&[("sources.list", ubuntu)]), None);
        let vendor = "deb [signed-by=/usr/share/keyrings/vendor.gpg] https://v.example/stable/debian bookworm main\n\
                      deb https://w.example/linux/debian bookworm stable\n";
        assert_eq!(host(&[("sources.list.d/a.list", vendor)]), None);
        let debian = "deb http://m.example/debian bookworm main\n";
        let both = host(&[("sources.list.d/a.list", vendor), ("sources.list.d/b.list", debian)]);
        assert_eq!(both, Some(at("http://m.example/debian", "http://m.example/debian-security")));
        assert_eq!(host(&[]), None);
        assert_eq!(host(&[("sources.list", "deb cdrom:[Debian]/ bookworm main\n")]), None);
    }

    #[test]
    fn a_file_of_mirrors_stands_for_its_first() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "# mirrors\n\nhttp://m.example/debian\tpriority:1\n").expect("writes");
        let text = format!("deb mirror+file:{} bookworm main\n", file.path().display());
        let found = Some(at("http://m.example/debian", "http://m.example/debian-security"));
        assert_eq!(host(&[("sources.list", &text)]), found);
    }

    #[test]
    fn credentials_are_stripped() {
        assert_eq!(
            without_credentials("deb http://me:p@ss@m.example/debian x"),
            "deb http://m.example/debian x"
        );
        assert_eq!(without_credentials("copy:///srv/a@b"), "copy:///srv/a@b");
    }

    #[test]
    fn only_settings_of_connections_are_taken_over() {
        let dump = "APT::Architecture \"amd64\";\nAcquire::http \"\";\nAcquire::http::Proxy \"http://p:3128\";\n\
                    Acquire::https::Verify-Peer \"\";\nAcquire::Languages:: \"en\";\n";
        assert_eq!(parse_options(dump), ["Acquire::http::Proxy \"http://p:3128\";"]);
    }
}
