//! `pyro workspace sync push`.

use crate::commands::block_on;
use crate::commands::progress::TransferDisplay;
use crate::commands::shown;
use crate::exit::Failure;
use crate::output;
use clap::Args;
use pyro_host::command::WORKSPACE_PATH;
use pyro_host::pyro::Pyro;
use pyro_host::workspace::SyncResult;
use std::path::PathBuf;

/// Bring a directory or an archive of this host into a started workspace: all of it, or nothing.
///
/// Files that are there already are replaced, others stay. The baseline of `diff` stays what it was.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
\x20 id=$(pyro workspace create debian:12 --id-only)\n\
\x20 pyro workspace sync push $id .\n\
\x20 pyro workspace sync push $id . --dest /workspace/app --json\n\
\x20 pyro workspace delete $id")]
pub struct Push {
    /// The workspace.
    #[arg(value_name = "WORKSPACE_ID")]
    id: String,

    /// A directory, or an archive: .tar, .tar.gz, .tgz or .tar.zst.
    #[arg(value_name = "SOURCE_PATH")]
    source: PathBuf,

    /// The directory of the workspace that it goes to, made if it is missing: below /workspace, or relative to it.
    #[arg(long, value_name = "WORKSPACE_PATH", default_value = WORKSPACE_PATH)]
    dest: String,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Push {
    pub fn execute(self) -> Result<u8, Failure> {
        let pyro = Pyro::from_environment()?;
        let display = TransferDisplay::new("sync");
        let shown = display.clone();
        let progress = move |progress| shown.show(progress);
        let pushed = block_on(pyro.push_workspace_sync(&self.id, &self.source, &self.dest, Some(progress)));
        display.finish();
        let pushed = pushed?;
        display.done(pushed.entry_count, pushed.bytes_written);
        if self.json {
            output::json(&pushed)?;
        } else {
            output::text(&summary(&pushed))?;
            output::note(&closing_line(&pushed));
        }
        Ok(0)
    }
}

fn summary(pushed: &SyncResult) -> String {
    let SyncResult { source, destination, entry_count, bytes_written, .. } = pushed;
    let size = shown::size(*bytes_written);
    format!("pushed {} to {destination}: {entry_count} entries, {size}\n", shown::word(source))
}

fn closing_line(pushed: &SyncResult) -> String {
    format!(
        "[workspace-sync] workspace_id={} mode={} source={} destination={} entry_count={} bytes_written={} \
         execution_mode={}",
        pushed.workspace_id,
        pushed.mode,
        shown::word(&pushed.source),
        shown::word(&pushed.destination),
        pushed.entry_count,
        pushed.bytes_written,
        pushed.execution_mode.name(),
    )
}
