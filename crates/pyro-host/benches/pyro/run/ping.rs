//! Round trips: to a guest agent through pyro's library, to the trivial one of the floor, and between two processes
//! over a unix socket.

use crate::Result;
use crate::run::bare_qemu::BareQemu;
use crate::samples::Samples;
use pyro_host::guest::Connection;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// Tells this program to be the other process.
pub const ECHO: &str = "--echo";

/// Bytes of a `ping` and of its `pong`, with their frames.
const MESSAGE_BYTES: usize = 13;

const ROUNDS: usize = 10;
const PER_ROUND: usize = 60;
const WARM_UP: usize = 10;

/// Microseconds of round trips.
#[derive(Default)]
pub struct RoundTrips {
    /// To pyro's guest agent.
    pub guest_us: Samples,
    /// To the floor's.
    pub floor_us: Samples,
    /// Between two processes, wherever the scheduler puts them.
    pub socket_us: Samples,
    /// Between two processes that have a core each.
    pub across_us: Samples,
}

impl RoundTrips {
    /// Measures all in turns.
    pub async fn measure(connection: &Connection, floor: &mut BareQemu) -> Result<Self> {
        let mut trips = Self::default();
        let cores = sched_getaffinity(None)?;
        let (mut echo, mut across) = (Echo::start()?, Echo::start()?);
        sched_setaffinity(Some(Pid::from_child(&across.process)), &one_of(&cores, |all| all.last()))?;
        for _ in 0..ROUNDS {
            for index in 0..WARM_UP + PER_ROUND {
                let begun = Instant::now();
                connection.ping().await?;
                trips.guest_us.add_warm(index, begun);
            }
            for index in 0..WARM_UP + PER_ROUND {
                let begun = Instant::now();
                floor.request(b"p")?;
                floor.line()?;
                trips.floor_us.add_warm(index, begun);
            }
            echo.ping_often(&mut trips.socket_us)?;
            sched_setaffinity(None, &one_of(&cores, |all| all.next()))?;
            across.ping_often(&mut trips.across_us)?;
            sched_setaffinity(None, &cores)?;
        }
        Ok(trips)
    }
}

impl Samples {
    /// Adds the microseconds since then, unless this is still the warm-up.
    fn add_warm(&mut self, index: usize, begun: Instant) {
        let elapsed = begun.elapsed();
        if index >= WARM_UP {
            self.add(elapsed.as_secs_f64() * 1e6);
        }
    }
}

/// One of the cores that this process may use.
fn one_of(cores: &CpuSet, pick: impl FnOnce(&mut dyn Iterator<Item = usize>) -> Option<usize>) -> CpuSet {
    let mut all = (0..CpuSet::MAX_CPU).filter(|&core| cores.is_set(core));
    let mut one = CpuSet::new();
    one.set(pick(&mut all).unwrap_or_default());
    one
}

/// Another process that sends back what it gets.
struct Echo {
    process: Child,
    socket: UnixStream,
}

impl Echo {
    fn start() -> Result<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        let mut command = Command::new(std::env::current_exe()?);
        let process = command.arg(ECHO).stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).spawn()?;
        Ok(Self { process, socket })
    }

    fn ping_often(&mut self, samples: &mut Samples) -> Result<()> {
        let mut message = [0; MESSAGE_BYTES];
        for index in 0..WARM_UP + PER_ROUND {
            let begun = Instant::now();
            self.socket.write_all(&message)?;
            self.socket.read_exact(&mut message)?;
            samples.add_warm(index, begun);
        }
        Ok(())
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // It ends when its socket is closed, at the latest with this.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The other process: sends back what it gets on the socket that is its standard input, until that is closed.
pub fn echo() -> Result<()> {
    let mut socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let mut message = [0; MESSAGE_BYTES];
    while socket.read_exact(&mut message).is_ok() {
        socket.write_all(&message)?;
    }
    Ok(())
}
