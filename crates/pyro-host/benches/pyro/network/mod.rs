//! What a guest's network costs: its bytes beside those of the guest's own loopback, and the start of a machine that has
//! one beside the start of one that has none.

mod peer;

use crate::Result;
use crate::arguments::Arguments;
use crate::executable::Executable;
use crate::host::Host;
use crate::lot::Lot;
use crate::samples::Samples;
use crate::table::Bar::AtMost;
use crate::table::Table;
use peer::Peer;
use pyro_host::command::Command;
use pyro_host::network::policy;
use pyro_host::workspace::ExecSpec;
use tokio::runtime::Runtime;

const PROGRAM: &str = include_str!("in_guest.py");

/// The name by which a guest reaches the loopback of its host.
const HOST: &str = "host.pyro.internal";

/// Bytes of one transfer.
const TRANSFER: usize = 64 * 1024 * 1024;

/// Connections that are made one after the other.
const CONNECTIONS: usize = 50;

/// Everything that was measured.
#[derive(Default)]
struct Measured {
    without: Samples,
    with: Samples,
    loopback: Samples,
    download: Samples,
    upload: Samples,
    connect: Samples,
}

/// Measures everything about networks.
pub fn bench(
    runtime: &Runtime,
    host: &Host,
    executable: &Executable,
    arguments: &Arguments,
) -> Result<Table> {
    let mut measured = Measured::default();
    eprintln!("{} rounds of runs with a network and without", arguments.networks);
    time_starts(executable, arguments.networks, &mut measured)?;
    eprintln!("{} rounds of {} MiB each way", arguments.transfers, TRANSFER >> 20);
    runtime.block_on(time_transfers(host, executable, arguments.transfers, &mut measured))?;
    Ok(measured.table())
}

fn time_starts(executable: &Executable, n_rounds: usize, measured: &mut Measured) -> Result<()> {
    // Each builds its template, where that is missing.
    executable.time_run(&[])?;
    executable.time_run(&["--network"])?;
    for _ in 0..n_rounds {
        measured.without.add(executable.time_run(&[])?);
        measured.with.add(executable.time_run(&["--network"])?);
    }
    Ok(())
}

async fn time_transfers(
    host: &Host,
    executable: &Executable,
    n_rounds: usize,
    measured: &mut Measured,
) -> Result<()> {
    let peer = Peer::start(TRANSFER)?;
    let port = peer.port().to_string();
    let mut lot = Lot::new(host, executable);
    lot.give_network(policy(&[format!("{HOST}:{port}")])?);
    let (id, _) = lot.create(None).await?;
    let bytes = TRANSFER.to_string();
    for _ in 0..n_rounds {
        let to_host = |what| [what, bytes.as_str(), HOST, port.as_str()];
        measured.loopback.add(figure(&lot, &id, &["loopback", &bytes]).await?);
        measured.download.add(figure(&lot, &id, &to_host("download")).await?);
        measured.upload.add(figure(&lot, &id, &to_host("upload")).await?);
        let connects = ["connects", &CONNECTIONS.to_string(), HOST, &port];
        measured.connect.add(figure(&lot, &id, &connects).await?);
    }
    Ok(())
}

/// What `in_guest.py` prints.
async fn figure(lot: &Lot<'_>, id: &str, words: &[&str]) -> Result<f64> {
    let words = ["python3", "-c", PROGRAM].iter().chain(words).map(|&word| word.to_owned());
    let spec = ExecSpec { timeout_seconds: 600, ..ExecSpec::new(Command::Argv(words.collect())) };
    let ended = lot.workspaces.exec(id, &spec, None, None).await?;
    if ended.exit_code != 0 {
        return Err(format!("the guest's program ended with {}: {}", ended.exit_code, ended.stderr).into());
    }
    Ok(ended.stdout.trim().parse()?)
}

impl Measured {
    fn table(self) -> Table {
        let Self { without, with, loopback, download, upload, connect } = self;
        let mut table = Table::default();
        table.add("run --network: of `true`, warm", "ms", with.clone());
        table.figure(with.median() - without.median(), "ms more", Some(AtMost(10.0)));
        table.add("  without a network", "ms", without);
        table.add("guest from host: 64 MiB of TCP", "MB/s", download.clone());
        table.figure(download.median() / loopback.median(), "of loopback's", None);
        table.add("guest to host: 64 MiB of TCP", "MB/s", upload.clone());
        table.figure(upload.median() / loopback.median(), "of loopback's", None);
        table.add("  the guest's own loopback", "MB/s", loopback);
        table.add("a connection from guest to host", "ms", connect);
        table
    }
}
