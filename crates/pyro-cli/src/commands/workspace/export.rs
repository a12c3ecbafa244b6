//! `pyro workspace export`.

use crate::commands::block_on;
use crate::commands::shown;
use crate::exit::Failure;
use crate::output;
use clap::Args;
use pyro_host::pyro::Pyro;
use pyro_host::tree::ArtifactType;
use pyro_host::workspace::ExportResult;
use std::path::PathBuf;

/// Bring one file, directory or link out of a started workspace.
///
/// It appears at the output in one step, or not at all. Links are brought out as links and never followed; set-uid
/// bits are dropped; sockets, FIFOs and devices are refused.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
\x20 id=$(pyro workspace create debian:12 --id-only)\n\
\x20 pyro workspace exec $id -- sh -c 'mkdir out; date > out/now'\n\
\x20 out=$(mktemp -d)\n\
\x20 pyro workspace export $id out/now --output $out/now\n\
\x20 pyro workspace export $id /workspace/out --output $out --force --json\n\
\x20 pyro workspace delete $id")]
pub struct Export {
    /// The workspace.
    #[arg(value_name = "WORKSPACE_ID")]
    id: String,

    /// What to bring out: below /workspace, or relative to it.
    #[arg(value_name = "PATH")]
    path: String,

    /// Where it is to be on this host, with its new name. The directory that it lies in must be there.
    #[arg(long, value_name = "HOST_PATH")]
    output: PathBuf,

    /// Replace what is there: a file or a link by a file or a link, a directory with all its content by a directory.
    #[arg(long)]
    force: bool,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Export {
    pub fn execute(self) -> Result<u8, Failure> {
        let pyro = Pyro::from_environment()?;
        let exported = block_on(pyro.export_workspace(&self.id, &self.path, &self.output, self.force))?;
        if self.json {
            output::json(&exported)?;
        } else {
            output::text(&summary(&exported))?;
            output::note(&closing_line(&exported));
        }
        Ok(0)
    }
}

fn kind(artifact_type: ArtifactType) -> &'static str {
    match artifact_type {
        ArtifactType::File => "file",
        ArtifactType::Directory => "directory",
        ArtifactType::Symlink => "symlink",
        ArtifactType::Other => "other",
    }
}

fn summary(exported: &ExportResult) -> String {
    let ExportResult { workspace_path, output_path, entry_count, bytes_written, .. } = exported;
    format!(
        "exported {} {} to {}: {entry_count} entries, {}\n",
        kind(exported.artifact_type),
        shown::word(workspace_path),
        shown::word(output_path),
        shown::size(*bytes_written),
    )
}

fn closing_line(exported: &ExportResult) -> String {
    format!(
        "[workspace-export] workspace_id={} workspace_path={} output_path={} artifact_type={} entry_count={} \
         bytes_written={} execution_mode={}",
        exported.workspace_id,
        shown::word(&exported.workspace_path),
        shown::word(&exported.output_path),
        kind(exported.artifact_type),
        exported.entry_count,
        exported.bytes_written,
        exported.execution_mode.name(),
    )
}
