//! How fast bytes go to and from a command, and how long the first template of a shape takes.

use crate::Result;
use crate::host::Host;
use crate::samples::{Samples, megabytes_per_second};
use pyro_host::guest::{Connection, ExecEvent, Execution};
use pyro_host::state_dir::StateDir;
use pyro_host::template::Templates;
use pyro_protocol::exec::Exec;
use std::time::Instant;

const N_BYTES: usize = 100_000_000;
const N_RUNS: usize = 3;

/// Bytes of one call: what `pyro run` reads from its own input at once.
const CHUNK_BYTES: usize = 32 * 1024;

/// Megabytes (of a million bytes) a second.
#[derive(Default)]
pub struct Streams {
    pub stdout: Samples,
    pub stdin: Samples,
}

impl Streams {
    /// Measures both directions in turns.
    pub async fn measure(connection: &Connection) -> Result<Self> {
        let mut streams = Self::default();
        for _ in 0..N_RUNS {
            let begun = Instant::now();
            let script = format!("exec head -c {N_BYTES} /dev/zero");
            drain(connection.exec(shell(&script, false))?, N_BYTES).await?;
            streams.stdout.add(megabytes_per_second(N_BYTES, begun.elapsed()));
            let begun = Instant::now();
            send(connection.exec(shell("exec cat > /dev/null", true))?).await?;
            streams.stdin.add(megabytes_per_second(N_BYTES, begun.elapsed()));
        }
        Ok(streams)
    }
}

/// Seconds that the template of a shape takes at its first use: a boot, a warm-up, a save. In a folder of its own.
pub async fn template_seconds(host: &Host) -> Result<f64> {
    let folder = tempfile::tempdir_in(host.state_dir.cache())?;
    let templates = Templates::new(StateDir::below(folder.path())?);
    let begun = Instant::now();
    templates.build(&host.template_key()?, &host.hypervisor, &host.spec, &host.environment).await?;
    Ok(begun.elapsed().as_secs_f64())
}

fn shell(script: &str, stdin: bool) -> Exec {
    let argv = ["sh", "-c", script].map(str::to_owned).into();
    Exec { argv, env: [].into(), cwd: "/".into(), stdin, ..Exec::default() }
}

async fn send(mut execution: Execution) -> Result<()> {
    let mut stdin = execution.stdin().ok_or("the command has no input")?;
    let chunk = vec![0; CHUNK_BYTES];
    let mut left = N_BYTES;
    while left > 0 {
        let n_bytes = left.min(chunk.len());
        stdin.send(&chunk[..n_bytes]).await?;
        left -= n_bytes;
    }
    drop(stdin);
    drain(execution, 0).await
}

async fn drain(mut execution: Execution, expected: usize) -> Result<()> {
    let mut n_bytes = 0;
    loop {
        match execution.next().await? {
            ExecEvent::Stdout(bytes) => n_bytes += bytes.len(),
            ExecEvent::Exited(exited) if exited.code == Some(0) && n_bytes == expected => return Ok(()),
            ExecEvent::Exited(exited) => return Err(format!("{n_bytes} bytes came, then {exited:?}").into()),
            ExecEvent::Started { .. } | ExecEvent::Stderr(_) => {}
        }
    }
}
