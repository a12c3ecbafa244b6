//! What may be typed after `cargo xtask bench --`.

use crate::run::ping;

pub const HELP: &str = "\
usage: cargo xtask bench [-- [run | workspace | session | mcp | network] OPTIONS]

Without a name, all are measured.

of run:
  --runs N        rounds of one warm run, one bare clone and one warm run with --json (15)
  --cold-runs N   how many of the rounds have a cold run too (7)
  --idle-clones N clones of each kind whose memory is looked at (3)

of workspace:
  --seeds N       rounds of one seed and one tar of the large tree, and of what else moves all of it (3)
  --rounds N      rounds of the small things: execs, syncs and differences of ten files (9)

of session:
  --keys N        keys typed at a shell, in each of some ways (25)
  --starts N      rounds of services of each kind (9)
  --prints N      rounds of 8 MB printed, and of 10 MB read (5)

of mcp:
  --calls N       commands through the MCP server, and as many through the façade (25)

of network:
  --networks N    rounds of one run with a network and one without (15)
  --transfers N   rounds of 64 MiB from the host, to the host, and over the guest's loopback (5)";

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Arguments {
    only: Option<Part>,
    pub runs: usize,
    pub cold_runs: usize,
    pub idle_clones: usize,
    pub seeds: usize,
    pub rounds: usize,
    pub keys: usize,
    pub starts: usize,
    pub prints: usize,
    pub calls: usize,
    pub networks: usize,
    pub transfers: usize,
}

const DEFAULTS: Arguments = Arguments {
    only: None,
    runs: 15,
    cold_runs: 7,
    idle_clones: 3,
    seeds: 3,
    rounds: 9,
    keys: 25,
    starts: 9,
    prints: 5,
    calls: 25,
    networks: 15,
    transfers: 5,
};

/// What is measured together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Runs.
    Run,
    /// Workspaces.
    Workspace,
    /// Shells and services.
    Session,
    /// The MCP server.
    Mcp,
    /// Networks.
    Network,
}

impl Part {
    fn of(word: &str) -> Option<Self> {
        match word {
            "run" => Some(Self::Run),
            "workspace" => Some(Self::Workspace),
            "session" => Some(Self::Session),
            "mcp" => Some(Self::Mcp),
            "network" => Some(Self::Network),
            _ => None,
        }
    }
}

/// What this program is to do.
pub enum Wanted {
    Bench(Arguments),
    /// To be the other process of the ping-pong.
    Echo,
    Help,
}

impl Arguments {
    /// Whether this is measured.
    pub fn wants(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }
}

/// Reads the words. `cargo bench` adds one of its own.
pub fn parse(words: impl Iterator<Item = String>) -> Result<Wanted, String> {
    let mut arguments = DEFAULTS;
    let mut is_bench = false;
    let mut words = words;
    while let Some(word) = words.next() {
        if let Some(part) = Part::of(&word) {
            arguments.only = Some(part);
            continue;
        }
        let place = match word.as_str() {
            "--bench" => {
                is_bench = true;
                continue;
            }
            ping::ECHO => return Ok(Wanted::Echo),
            "--runs" => &mut arguments.runs,
            "--cold-runs" => &mut arguments.cold_runs,
            "--idle-clones" => &mut arguments.idle_clones,
            "--seeds" => &mut arguments.seeds,
            "--rounds" => &mut arguments.rounds,
            "--keys" => &mut arguments.keys,
            "--starts" => &mut arguments.starts,
            "--prints" => &mut arguments.prints,
            "--calls" => &mut arguments.calls,
            "--networks" => &mut arguments.networks,
            "--transfers" => &mut arguments.transfers,
            "--help" | "-h" => return Ok(Wanted::Help),
            other => return Err(format!("there is no option `{other}`\n\n{HELP}")),
        };
        let number = words.next().and_then(|text| text.parse().ok()).filter(|&number| number > 0);
        *place = number.ok_or_else(|| format!("{word} wants a number from 1 on"))?;
    }
    // `cargo test --benches` runs this program without that word, and wants nothing measured.
    Ok(if is_bench { Wanted::Bench(arguments) } else { Wanted::Help })
}
