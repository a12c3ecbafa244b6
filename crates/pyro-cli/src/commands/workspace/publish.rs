//! `pyro workspace publish`.

use crate::commands::block_on;
use crate::exit::Failure;
use crate::output;
use clap::Args;
use pyro_host::publish::PublishSpec;
use pyro_host::pyro::Pyro;

/// Make a port of a workspace's guest reachable at 127.0.0.1 of this host.
///
/// It stays so until it is taken back, or the workspace is deleted; after a stop and a start too. Nobody but this host
/// reaches it. Whoever listens in the guest has to listen on all its addresses (0.0.0.0), not on its loopback alone. The
/// workspace needs a network; with `--allow none` the guest itself can talk to nobody.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
\x20 id=$(pyro workspace create debian:12 --network --allow none --id-only)\n\
\x20 pyro workspace publish $id 0:8000\n\
\x20 pyro workspace publish $id 18000:8000\n\
\x20 pyro workspace publish $id --remove 18000\n\
\x20 pyro workspace delete $id")]
pub struct Publish {
    /// The workspace.
    #[arg(value_name = "WORKSPACE_ID")]
    id: String,

    /// The port of the guest; before it, and a colon, that of the host, if it is to be another: 0 for any free one.
    #[arg(value_name = "[HOST_PORT:]GUEST_PORT", required_unless_present = "remove")]
    port: Option<PublishSpec>,

    /// Take back what is published at this port of the host.
    #[arg(long, value_name = "HOST_PORT", conflicts_with = "port")]
    remove: Option<u16>,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Publish {
    pub fn execute(self) -> Result<u8, Failure> {
        let pyro = Pyro::from_environment()?;
        let is_removed = self.remove.is_some();
        let published = block_on(async {
            match (self.remove, self.port) {
                (Some(host_port), _) => pyro.unpublish_workspace(&self.id, host_port).await,
                (None, Some(port)) => pyro.publish_workspace(&self.id, port).await,
                (None, None) => Err(pyro_host::error::Error::invalid("no port is given")),
            }
        })?;
        if self.json {
            output::json(&published)?;
            return Ok(0);
        }
        let PublishSpec { host_port, guest_port } = published.port;
        if !is_removed {
            output::text(&format!("127.0.0.1:{host_port}\n"))?;
        }
        output::note(&format!(
            "[workspace-publish] workspace_id={} host_port={host_port} guest_port={guest_port}{}",
            self.id,
            if is_removed { " removed=true" } else { "" },
        ));
        Ok(0)
    }
}
