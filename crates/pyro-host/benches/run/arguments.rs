//! What may be typed after `cargo xtask bench --`.

pub const HELP: &str = "\
usage: cargo xtask bench [-- OPTIONS]

  --runs N        rounds of one warm run, one bare clone and one warm run with --json (15)
  --cold-runs N   how many of the rounds have a cold run too (7)
  --idle-clones N clones of each kind whose memory is looked at (3)";

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Arguments {
    pub runs: usize,
    pub cold_runs: usize,
    pub idle_clones: usize,
}

/// What this program is to do.
pub enum Wanted {
    Bench(Arguments),
    /// To be the other process of the ping-pong.
    Echo,
    Help,
}

/// Reads the words. `cargo bench` adds one of its own.
pub fn parse(words: impl Iterator<Item = String>) -> Result<Wanted, String> {
    let mut arguments = Arguments { runs: 15, cold_runs: 7, idle_clones: 3 };
    let mut is_bench = false;
    let mut words = words;
    while let Some(word) = words.next() {
        let place = match word.as_str() {
            "--bench" => {
                is_bench = true;
                continue;
            }
            crate::ping::ECHO => return Ok(Wanted::Echo),
            "--runs" => &mut arguments.runs,
            "--cold-runs" => &mut arguments.cold_runs,
            "--idle-clones" => &mut arguments.idle_clones,
            "--help" | "-h" => return Ok(Wanted::Help),
            other => return Err(format!("there is no option `{other}`\n\n{HELP}")),
        };
        let number = words.next().and_then(|text| text.parse().ok()).filter(|&number| number > 0);
        *place = number.ok_or_else(|| format!("{word} wants a number from 1 on"))?;
    }
    // `cargo test --benches` runs this program without that word, and wants nothing measured.
    Ok(if is_bench { Wanted::Bench(arguments) } else { Wanted::Help })
}
