//! Memory: what a clone that does nothing costs the host, and what the guest agent takes in the guest.

use crate::Result;
use crate::executable::Executable;
use crate::processes::{memory_mib, number};
use crate::run::floor::Floor;
use crate::samples::Samples;
use std::fs;
use std::path::Path;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a clone is left alone before it is looked at.
const IDLE: Duration = Duration::from_secs(2);

/// How long a machine may take to come up or to vanish.
const PATIENCE: Duration = Duration::from_secs(30);

/// Memory of idle clones that is nobody else's, in MiB of QEMU's process.
#[derive(Default)]
pub struct IdleClones {
    pub pyro_mib: Samples,
    pub floor_mib: Samples,
}

impl IdleClones {
    /// Looks at so many clones of each, in turns.
    pub fn measure(executable: &Executable, floor: &Floor<'_>, n_clones: usize) -> Result<Self> {
        let mut clones = Self::default();
        for _ in 0..n_clones {
            clones.pyro_mib.add(idle_run(executable)?);
            let (clone, _) = floor.run_true()?;
            sleep(IDLE);
            clones.floor_mib.add(anonymous_mib(clone.id())?);
        }
        Ok(clones)
    }
}

/// KiB of the guest agent's memory that are in the guest's RAM.
pub fn agent_resident_kib(executable: &Executable) -> Result<f64> {
    let line = executable.output_of(&["grep", "VmRSS", "/proc/1/status"])?;
    Ok(number(&line, "VmRSS:").ok_or("process 1 of the guest has no resident size")?)
}

/// Starts a run that only sleeps, and looks at its QEMU.
fn idle_run(executable: &Executable) -> Result<f64> {
    let owner = Ended(executable.start(&["sleep", "60"])?);
    let qemu = child_of(owner.0.id())?;
    sleep(IDLE);
    let anonymous = anonymous_mib(qemu);
    drop(owner);
    until(|| (!Path::new(&format!("/proc/{qemu}")).exists()).then_some(()))
        .ok_or_else(|| format!("QEMU {qemu} has outlived its pyro"))?;
    anonymous
}

/// The child of a process, which for a run is its QEMU.
fn child_of(parent: u32) -> Result<u32> {
    let is_child = |entry: &fs::DirEntry| {
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        number(&status, "PPid:") == Some(f64::from(parent))
    };
    let found = until(|| {
        let mut processes = fs::read_dir("/proc").ok()?.flatten();
        processes.find(is_child)?.file_name().to_str()?.parse().ok()
    });
    Ok(found.ok_or("`pyro run` has started no QEMU")?)
}

fn anonymous_mib(pid: u32) -> Result<f64> {
    memory_mib(pid, &["Anonymous:"])
}

fn until<T>(mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        match attempt() {
            None if begun.elapsed() < PATIENCE => sleep(Duration::from_millis(20)),
            done => return done,
        }
    }
}

/// A process that is killed and reaped when dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Fails only where it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
