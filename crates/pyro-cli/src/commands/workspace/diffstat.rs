//! A diff as a table: how much changed in each path.

use crate::commands::shown;
use pyro_host::tree::{ArtifactType, DiffEntry, DiffStatus, DiffSummary, WorkspaceDiff};

/// The most signs that stand for changed lines.
const SIGNS: usize = 40;

/// A row for each path, and totals.
pub fn diffstat(diff: &WorkspaceDiff) -> String {
    let counted: Vec<(&DiffEntry, Option<Lines>)> =
        diff.entries.iter().map(|entry| (entry, entry.text_patch.as_deref().map(count))).collect();
    let most = counted.iter().filter_map(|(_, lines)| *lines).map(|lines| lines.added + lines.removed).max();
    let rows: Vec<Vec<String>> = counted
        .iter()
        .map(|(entry, lines)| {
            let change = lines.map_or_else(|| without_patch(entry), |lines| lines.drawn(most.unwrap_or(0)));
            let mark = format!("{} {}", letter(entry.status), shown::path(&entry.path));
            vec![mark, format!("| {change}")]
        })
        .collect();
    let total = counted.iter().filter_map(|(_, lines)| *lines).fold(Lines::default(), |sum, lines| Lines {
        added: sum.added + lines.added,
        removed: sum.removed + lines.removed,
    });
    format!("{}{}\n", shown::table(&rows), totals(&diff.summary, total))
}

fn totals(summary: &DiffSummary, lines: Lines) -> String {
    let DiffSummary { total, added, modified, deleted, type_changed, text_patched, non_text } = summary;
    let Lines { added: lines_added, removed: lines_removed } = lines;
    format!(
        "{total} changed: {added} added, {modified} modified, {deleted} deleted, {type_changed} type changed; \
         {text_patched} with a patch ({lines_added}+ {lines_removed}-), {non_text} that no patch can carry"
    )
}

fn letter(status: DiffStatus) -> char {
    match status {
        DiffStatus::Added => 'A',
        DiffStatus::Modified => 'M',
        DiffStatus::Deleted => 'D',
        DiffStatus::TypeChanged => 'T',
    }
}

fn without_patch(entry: &DiffEntry) -> String {
    match entry.artifact_type {
        ArtifactType::Directory => "directory".into(),
        ArtifactType::File => "file, no patch".into(),
        ArtifactType::Symlink => "symlink, no patch".into(),
        ArtifactType::Other => "socket, FIFO or device, no patch".into(),
    }
}

/// Lines of a patch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Lines {
    added: usize,
    removed: usize,
}

impl Lines {
    fn drawn(self, most: usize) -> String {
        let all = self.added + self.removed;
        let scaled = |lines: usize| if most <= SIGNS { lines } else { (lines * SIGNS).div_ceil(most) };
        let (plus, minus) = ("+".repeat(scaled(self.added)), "-".repeat(scaled(self.removed)));
        format!("{all} {plus}{minus}").trim_end().to_owned()
    }
}

/// Counts the lines of hunks. What stands before the first hunk of a file is no line of it.
fn count(patch: &str) -> Lines {
    let mut lines = Lines::default();
    let mut in_hunk = false;
    for line in patch.split('\n') {
        match line.as_bytes().first() {
            Some(b'@') => in_hunk = true,
            Some(b'd') => in_hunk = false, // the next file; a line of a hunk begins with a sign
            Some(b'+') if in_hunk => lines.added += 1,
            Some(b'-') if in_hunk => lines.removed += 1,
            _ => {}
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_hunks_count() {
        let patch = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@\n same\n--- gone\n+new\n+++ more\n\
                     diff --git a/x b/x\ndeleted file mode 100644\n--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-last\n";
        assert_eq!(count(patch), Lines { added: 2, removed: 2 });
        assert_eq!(count("diff --git a/x b/x\nold mode 100644\nnew mode 100755\n"), Lines::default());
    }

    #[test]
    fn long_changes_are_scaled() {
        assert_eq!(Lines { added: 2, removed: 1 }.drawn(3), "3 ++-");
        let drawn = Lines { added: 1000, removed: 1 }.drawn(1001);
        assert_eq!(drawn, format!("1001 {}-", "+".repeat(40)));
        assert_eq!(Lines::default().drawn(5), "0");
    }
}
