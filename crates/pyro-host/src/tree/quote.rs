//! Names in patches, as git writes and reads them.

/// A name after `a/` or `b/`, quoted in the way of C if it needs it.
pub(super) fn quoted(prefix: &str, path: &[u8]) -> Vec<u8> {
    let is_plain = |byte: &u8| (b' '..0x7f).contains(byte) && *byte != b'"' && *byte != b'\\';
    let mut name = prefix.as_bytes().to_vec();
    if path.iter().all(is_plain) {
        name.extend_from_slice(path);
        return name;
    }
    name.insert(0, b'"');
    for &byte in path {
        match byte {
            b'"' | b'\\' => name.extend([b'\\', byte]),
            b'\n' => name.extend(b"\\n"),
            b'\t' => name.extend(b"\\t"),
            b'\r' => name.extend(b"\\r"),
            byte if is_plain(&byte) => name.push(byte),
            byte => name.extend(format!("\\{byte:03o}").bytes()),
        }
    }
    name.push(b'"');
    name
}

/// Whether `git apply` refuses to touch a path: those of a repository's own files, under all the names that some file
/// system takes for them (`verify_path` in git's `read-cache.c`).
pub(super) fn is_refused_by_git(path: &[u8], is_symlink: bool) -> bool {
    path.split(|&byte| byte == b'/' || byte == b'\\').any(|name| {
        let name = name.to_ascii_lowercase();
        let repository = [&b".git"[..], b"git~1"].iter().any(|prefix| {
            let Some(rest) = name.strip_prefix(*prefix) else { return false };
            let end = rest.iter().position(|byte| *byte != b' ' && *byte != b'.');
            end.is_none_or(|end| rest[end] == b':')
        });
        let modules = [&b".gitmodules"[..], b"gitmod~", b"gi7eba~", b".gitmod"];
        repository || is_symlink && modules.iter().any(|prefix| name.starts_with(prefix))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_as_git_does() {
        let cases: [(&[u8], &[u8]); 5] = [
            (b"x y", b"a/x y"),
            ("ä".as_bytes(), br#""a/\303\244""#),
            (b"a\tb\nc\rd", br#""a/a\tb\nc\rd""#),
            (br#"q"\"#, br#""a/q\"\\""#),
            (b"\x01\xff", br#""a/\001\377""#),
        ];
        for (path, wanted) in cases {
            assert_eq!(quoted("a/", path), wanted);
        }
    }

    #[test]
    fn the_files_of_a_repository_are_known() {
        for path in [".git/HEAD", "x/.GIT/a", "git~1", ".git ", ".git.. /x", ".git:x", "a\\.git"] {
            assert!(is_refused_by_git(path.as_bytes(), false), "{path}");
        }
        for path in [".gitignore", ".github/x", "a.git/x", "git", ".gitmodules"] {
            assert!(!is_refused_by_git(path.as_bytes(), false), "{path}");
        }
        assert!(is_refused_by_git(b".gitmodules", true));
    }
}
