//! The patch of one changed path, in git's extended form, so that `git apply` takes it.
//!
//! By bytes: text need not be UTF-8. Lines end at a line feed and nowhere else.

use super::quote::{is_refused_by_git, quoted};
use similar::{Algorithm, DiffOp, capture_diff_slices_deadline, group_diff_ops};
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// Unchanged lines around a change.
const CONTEXT: usize = 3;

/// The most time for one file, and for all of a diff. What is not done by then gets a patch that is larger than it need
/// be.
const TIME_PER_FILE: Duration = Duration::from_secs(5);
const TIME_IN_ALL: Duration = Duration::from_secs(30);

/// A regular file or a symbolic link as git sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blob<'a> {
    /// Its kind and whether it is executable.
    pub mode: GitMode,
    /// Its content, or the target of a link.
    pub content: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GitMode {
    File,
    Executable,
    Symlink,
}

impl GitMode {
    /// The mode of a regular file with these permission bits.
    pub(super) fn of_file(mode: u32) -> Self {
        if mode & 0o100 == 0 { Self::File } else { Self::Executable }
    }

    fn number(self) -> &'static str {
        match self {
            Self::File => "100644",
            Self::Executable => "100755",
            Self::Symlink => "120000",
        }
    }
}

/// Makes the patches of one diff.
pub(super) struct Patcher {
    deadline: Instant,
}

impl Patcher {
    pub(super) fn new() -> Self {
        Self { deadline: Instant::now() + TIME_IN_ALL }
    }

    /// The patch from one state to the other; empty if there is nothing that git would see, `None` if git would not
    /// touch that path.
    pub(super) fn patch(&self, path: &[u8], old: Option<Blob>, new: Option<Blob>) -> Option<Vec<u8>> {
        let is_symlink = [old, new].iter().flatten().any(|blob| blob.mode == GitMode::Symlink);
        if is_refused_by_git(path, is_symlink) {
            return None;
        }
        let mut patch = Vec::new();
        match (old, new) {
            (Some(old), Some(new)) if (old.mode == GitMode::Symlink) != (new.mode == GitMode::Symlink) => {
                self.write(&mut patch, path, Some(old), None);
                self.write(&mut patch, path, None, Some(new));
            }
            _ => self.write(&mut patch, path, old, new),
        }
        Some(patch)
    }

    fn write(&self, patch: &mut Vec<u8>, path: &[u8], old: Option<Blob>, new: Option<Blob>) {
        if old == new {
            return;
        }
        let (old_name, new_name) = (quoted("a/", path), quoted("b/", path));
        line(patch, &[b"diff --git ", &old_name, b" ", &new_name]);
        match (old, new) {
            (None, Some(new)) => line(patch, &[b"new file mode ", new.mode.number().as_bytes()]),
            (Some(old), None) => line(patch, &[b"deleted file mode ", old.mode.number().as_bytes()]),
            // That of a link is said too: nothing else would tell that it is one.
            (Some(old), Some(new)) if old.mode != new.mode || old.mode == GitMode::Symlink => {
                line(patch, &[b"old mode ", old.mode.number().as_bytes()]);
                line(patch, &[b"new mode ", new.mode.number().as_bytes()]);
            }
            _ => {}
        }
        let old_content = old.map_or(&b""[..], |blob| blob.content);
        let new_content = new.map_or(&b""[..], |blob| blob.content);
        if old_content == new_content {
            return;
        }
        // A name with a space is ended by a tab, as git does it: what follows a space could be a time.
        let tab: &[u8] = if path.contains(&b' ') && !old_name.starts_with(b"\"") { b"\t" } else { b"" };
        let (none, dev_null): (&[u8], &[u8]) = (b"", b"/dev/null");
        line(
            patch,
            &[
                b"--- ",
                if old.is_some() { &old_name } else { dev_null },
                if old.is_some() { tab } else { none },
            ],
        );
        line(
            patch,
            &[
                b"+++ ",
                if new.is_some() { &new_name } else { dev_null },
                if new.is_some() { tab } else { none },
            ],
        );
        self.hunks(patch, &lines(old_content), &lines(new_content));
    }

    fn hunks(&self, patch: &mut Vec<u8>, old: &[&[u8]], new: &[&[u8]]) {
        let deadline = self.deadline.min(Instant::now() + TIME_PER_FILE);
        let ops = capture_diff_slices_deadline(Algorithm::Myers, old, new, Some(deadline));
        for group in group_diff_ops(ops, CONTEXT) {
            let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
            let old_range = range(first.old_range().start, last.old_range().end);
            let new_range = range(first.new_range().start, last.new_range().end);
            line(patch, &[b"@@ -", old_range.as_bytes(), b" +", new_range.as_bytes(), b" @@"]);
            for op in &group {
                match op {
                    DiffOp::Equal { .. } => hunk_lines(patch, b' ', &old[op.old_range()]),
                    _ => {
                        hunk_lines(patch, b'-', &old[op.old_range()]);
                        hunk_lines(patch, b'+', &new[op.new_range()]);
                    }
                }
            }
        }
    }
}

/// The lines of a text, each with its line feed.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|&byte| byte == b'\n').collect()
}

/// First line, counted from 1 (that before, if there is none), and number of lines.
fn range(start: usize, end: usize) -> String {
    match end - start {
        0 => format!("{start},0"),
        1 => format!("{}", start + 1),
        length => format!("{},{length}", start + 1),
    }
}

fn hunk_lines(patch: &mut Vec<u8>, sign: u8, lines: &[&[u8]]) {
    for text in lines {
        patch.push(sign);
        patch.extend_from_slice(text);
        if !text.ends_with(b"\n") {
            patch.extend_from_slice(b"\n\\ No newline at end of file\n");
        }
    }
}

fn line(patch: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        patch.extend_from_slice(part);
    }
    patch.push(b'\n');
}
