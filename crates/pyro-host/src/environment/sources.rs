//! Reads apt's `sources.list(5)` in both its formats: only as much as it takes to find the archives in use.
//!
//! Pure: text in, entries out. It must not touch the file system and never fails: what it does not understand, it
//! leaves out.

/// One enabled archive of binary packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SourceEntry {
    /// The base of the archive.
    pub(super) uri: String,
    /// The suites, such as `bookworm-updates`.
    pub(super) suites: Vec<String>,
    /// The components, such as `main`.
    pub(super) components: Vec<String>,
    /// The keys that its signatures are checked with, if the entry says so.
    pub(super) signed_by: Option<String>,
}

/// The entries of a file in the one-line format (`*.list`).
pub(super) fn parse_list(text: &str) -> Vec<SourceEntry> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<SourceEntry> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?;
    let rest = rest.strip_prefix(char::is_whitespace)?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(inner) => inner.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    let signed_by = options
        .split_whitespace()
        .find_map(|option| option.strip_prefix("signed-by="))
        .map(|value| value.trim_matches('"').to_owned());
    Some(SourceEntry {
        uri: words.next()?,
        suites: vec![words.next()?],
        components: words.collect(),
        signed_by,
    })
}

/// The entries of a file in the deb822 format (`*.sources`).
pub(super) fn parse_deb822(text: &str) -> Vec<SourceEntry> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines.split(|line| line.trim().is_empty()).flat_map(parse_stanza).collect()
}

fn parse_stanza(lines: &[&str]) -> Vec<SourceEntry> {
    let words = |name| field(lines, name).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let is_off =
        matches!(field(lines, "Enabled").trim(), "no" | "false" | "off" | "0" | "without" | "disable");
    if is_off || !words("Types").iter().any(|kind| kind == "deb") {
        return Vec::new();
    }
    let signed_by = Some(field(lines, "Signed-By").trim().to_owned()).filter(|keys| !keys.is_empty());
    let entry = |uri| SourceEntry {
        uri,
        suites: words("Suites"),
        components: words("Components"),
        signed_by: signed_by.clone(),
    };
    words("URIs").into_iter().map(entry).collect()
}

/// The value of a field, with its continuation lines.
fn field(lines: &[&str], name: &str) -> String {
    let mut value = String::new();
    let mut is_inside = false;
    for line in lines {
        if line.starts_with([' ', '\t']) {
            if is_inside {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((key, rest)) = line.split_once(':') {
            is_inside = key.trim().eq_ignore_ascii_case(name);
            if is_inside {
                value = rest.trim().to_owned();
            }
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(uri: &str, suites: &[&str], components: &[&str], signed_by: Option<&str>) -> SourceEntry {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let signed_by = signed_by.map(str::to_owned);
        SourceEntry { uri: uri.into(), suites: owned(suites), components: owned(components), signed_by }
    }

    #[test]
    fn one_line_entries() {
        let text = "# deb http://off.example/debian bookworm main\n\
                    deb-src http://a.example/debian bookworm main\n\
                    \tdeb\thttp://a.example/debian  bookworm main contrib # why\n\
                    deb [arch=amd64 signed-by=/usr/share/keyrings/k.gpg] https://b.example/debian/ sid main\n\
                    deb\ndeb http://short.example\ndebian nonsense\ndeb [unclosed http://x y z\n";
        assert_eq!(
            parse_list(text),
            [
                entry("http://a.example/debian", &["bookworm"], &["main", "contrib"], None),
                entry("https://b.example/debian/", &["sid"], &["main"], Some("/usr/share/keyrings/k.gpg")),
            ]
        );
    }

    #[test]
    fn deb822_entries() {
        let text = "# made by hand\nTypes: deb deb-src\nURIs: http://a.example/debian\n http://b.example/debian\n\
                    # a comment within\nSuites: bookworm bookworm-updates\nComponents: main\n\
                    Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n\n\n\
                    Enabled: no\nTypes: deb\nURIs: http://off.example/debian\nSuites: x\nComponents: main\n\n\
                    types: deb-src\nuris: http://src.example/debian\nsuites: x\n";
        let keys = Some("-----BEGIN PGP PUBLIC KEY BLOCK----- . abc");
        let suites = ["bookworm", "bookworm-updates"];
        assert_eq!(
            parse_deb822(text),
            [
                entry("http://a.example/debian", &suites, &["main"], keys),
                entry("http://b.example/debian", &suites, &["main"], keys),
            ]
        );
    }

    #[test]
    fn nonsense_has_no_entries() {
        for text in ["", "\0\u{fffd}", ":\n::\n", "Types: deb", " Types: deb\n URIs: x", "deb [", "deb ]["] {
            assert_eq!(parse_deb822(text), [], "{text:?}");
            assert_eq!(parse_list(text), [], "{text:?}");
        }
    }
}
