//! `pyro mcp serve`.

use crate::commands::block_on_threads;
use crate::exit::Failure;
use clap::Args;
use clap::builder::PossibleValuesParser;
use pyro_host::limits::allow_many_files;
use pyro_host::pyro::Pyro;
use pyro_mcp::{Permissions, Profile, Server};

/// Offer pyro as tools to an AI agent, over standard input and output.
///
/// MCP clients start it themselves: their configuration names the command `pyro` with the arguments `mcp serve`. It ends
/// when the client closes its standard input. Workspaces live on, machines of vm_run do not.
#[derive(Debug, Args)]
#[command(after_help = "Clients:\n\
\x20 Claude Code: claude mcp add pyro -- pyro mcp serve\n\
\x20 Codex:       codex mcp add pyro -- pyro mcp serve\n\n\
Examples:\n\
\x20 pyro mcp serve < /dev/null && echo ended\n\
\x20 pyro mcp serve --profile vm-run < /dev/null && echo ended\n\
\x20 pyro mcp serve --allow @pypi --allow @debian < /dev/null && echo ended")]
pub struct Serve {
    /// Which tools are offered: vm_run alone; workspaces without services and shells; everything.
    #[arg(long, value_name = "PROFILE", default_value = Profile::default().name(), value_parser = profiles())]
    profile: String,

    /// Let models run commands on this host, WITHOUT ISOLATION, where they ask for it and no guest can be started.
    #[arg(long)]
    allow_host_compat: bool,

    /// A rule that models may give to the network of a guest; may be repeated. A guest with a network may talk to these at
    /// most then. Without any, models may name everything public, and nothing of this host and of private networks.
    #[arg(long, value_name = "RULE")]
    allow: Vec<String>,

    /// Let models choose the ports of this host at which they publish those of a guest. Without, they get free ones.
    #[arg(long)]
    allow_publish: bool,
}

fn profiles() -> PossibleValuesParser {
    PossibleValuesParser::new(Profile::ALL.map(Profile::name))
}

impl Serve {
    pub fn execute(self) -> Result<u8, Failure> {
        let profile = Profile::parse(&self.profile)?;
        pyro_host::network::policy(&self.allow)?; // what is no rule is told now, and not to a model
        let permissions = Permissions {
            host_compat: self.allow_host_compat,
            network: self.allow,
            publish: self.allow_publish,
        };
        allow_many_files(); // for the connections of guests with a network
        let server = Server::new(Pyro::from_environment()?, profile).with_permissions(permissions);
        block_on_threads(server.serve_stdio())?;
        Ok(0)
    }
}
