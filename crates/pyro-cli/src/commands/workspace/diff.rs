//! `pyro workspace diff`.

use super::diffstat::diffstat;
use crate::commands::block_on;
use crate::commands::shown;
use crate::exit::Failure;
use crate::output;
use clap::Args;
use pyro_host::pyro::Pyro;
use pyro_host::tree::{ArtifactType, DiffEntry, DiffStatus, DiffSummary, WorkspaceDiff};

/// The most entries without a patch that are named.
const NAMED: usize = 20;

/// Compare /workspace with what it was when the workspace was created: a patch for `git apply`.
///
/// Binary files, texts of more than 2 MiB and the files of a git repository itself (.git) have no patch: they are
/// named on standard error, and `export` brings them out. The exit code does not tell whether something changed; the
/// closing line does, and --json.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
\x20 id=$(pyro workspace create debian:12 --seed-path . --id-only)\n\
\x20 pyro workspace exec $id -- sh -c 'echo hello > hello'\n\
\x20 pyro workspace diff $id | git apply --stat\n\
\x20 pyro workspace diff $id --stat\n\
\x20 pyro workspace diff $id --name-only\n\
\x20 pyro workspace delete $id")]
pub struct Diff {
    /// The workspace.
    #[arg(value_name = "WORKSPACE_ID")]
    id: String,

    /// Print a line for each path with the number of changed lines, and totals.
    #[arg(long, conflicts_with_all = ["name_only", "json"])]
    stat: bool,

    /// Print the paths that changed, one on each line.
    #[arg(long, conflicts_with = "json")]
    name_only: bool,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Diff {
    pub fn execute(self) -> Result<u8, Failure> {
        let pyro = Pyro::from_environment()?;
        let diff = block_on(pyro.diff_workspace(&self.id))?;
        if self.json {
            output::json(&diff)?;
            return Ok(0);
        }
        if self.stat {
            output::text(&diffstat(&diff))?;
        } else if self.name_only {
            output::text(&names(&diff))?;
        } else {
            output::data(diff.patch_bytes())?;
            mention_unpatched(&diff);
        }
        output::note(&closing_line(&self.id, &diff));
        Ok(0)
    }
}

fn names(diff: &WorkspaceDiff) -> String {
    diff.entries.iter().map(|entry| format!("{}\n", shown::path(&entry.path))).collect()
}

/// Names what is missing from the patch. Directories are not: git knows none.
fn mention_unpatched(diff: &WorkspaceDiff) {
    let is_missing =
        |entry: &&DiffEntry| entry.text_patch.is_none() && entry.artifact_type != ArtifactType::Directory;
    let missing: Vec<&DiffEntry> = diff.entries.iter().filter(is_missing).collect();
    for entry in missing.iter().take(NAMED) {
        let status = match entry.status {
            DiffStatus::Added => "added",
            DiffStatus::Modified => "modified",
            DiffStatus::Deleted => "deleted",
            DiffStatus::TypeChanged => "type_changed",
        };
        output::note(&format!("[workspace-diff] no_patch={} status={status}", shown::path(&entry.path)));
    }
    if let Some(more) = missing.len().checked_sub(NAMED).filter(|&more| more > 0) {
        output::note(&format!("[workspace-diff] no_patch for {more} more (--name-only and --stat list all)"));
    }
}

fn closing_line(id: &str, diff: &WorkspaceDiff) -> String {
    let DiffSummary { total, added, modified, deleted, type_changed, text_patched, non_text } = diff.summary;
    format!(
        "[workspace-diff] workspace_id={id} changed={} total={total} added={added} modified={modified} \
         deleted={deleted} type_changed={type_changed} text_patched={text_patched} non_text={non_text}",
        diff.changed,
    )
}
