//! Disks that outlive their machines: what was written is there again, whatever ended the machine, and a host without
//! room makes a machine wait.

use crate::{accelerator, output, shared_environment};
use pyro_host::error::Result;
use pyro_host::start::{self, MachineDisk, StartEvent, StartSpec, StartedMachine};
use pyro_host::state_dir::StateDir;
use pyro_host::vm::machine::{Machine, MachineEvent, PauseReason, PowerOff};
use pyro_host::vm::{Border, DiskSpec, VmSpec};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const MIB: u64 = 1024 * 1024;
/// Enough for anything here on a busy host without KVM.
const PATIENCE: Duration = Duration::from_secs(60);

/// The place that all tests share, so that the template of this shape is built once.
async fn shared_state_dir() -> StateDir {
    let (_, environments) = shared_environment().await;
    StateDir::below(environments.ancestors().nth(2).unwrap()).unwrap()
}

async fn start_on(disk: MachineDisk) -> Result<StartedMachine<()>> {
    let spec = StartSpec {
        environment: "debian:12-base".into(),
        environment_digest: None,
        vm: VmSpec { disk: DiskSpec::Persistent { size_mib: 2048 }, ..VmSpec::default() },
        accelerator: accelerator(),
        cold: matches!(disk, MachineDisk::UsedAt(_)),
        mirror: None,
        border: Border::default(),
    };
    let (state_dir, nobody) = (shared_state_dir().await, None::<&mpsc::Sender<StartEvent>>);
    let prepared = start::prepare(&state_dir, &spec, nobody).await?;
    start::start(&state_dir, &spec, prepared, &disk, nobody, |_| Ok(())).await
}

async fn machine_on(disk: MachineDisk) -> Machine {
    start_on(disk).await.unwrap().machine
}

async fn next_event(machine: &mut Machine) -> MachineEvent {
    tokio::time::timeout(PATIENCE, machine.event()).await.expect("nothing happens")
}

async fn turn_off(mut machine: Machine) {
    assert_eq!(machine.power_off(PATIENCE).await.unwrap(), PowerOff::Clean);
}

fn mib_on_host(path: &Path) -> u64 {
    path.metadata().unwrap().blocks() * 512 / MIB
}

/// Waits until the host's file is as small as that. The guest frees blocks when its journal has been written, which it
/// does on its own time and tells nobody.
fn wait_until_below(path: &Path, limit_mib: u64) {
    let deadline = Instant::now() + PATIENCE;
    while mib_on_host(path) >= limit_mib {
        assert!(Instant::now() < deadline, "{} MiB are still taken", mib_on_host(path));
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn assert_whole(disk: &Path) {
    let check = Command::new("/sbin/e2fsck").args(["-f", "-n"]).arg(disk).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}

#[tokio::test]
async fn what_was_written_is_there_after_a_power_off_and_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    let machine = machine_on(MachineDisk::NewAt(path.clone())).await;
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    output(&machine, "echo first > /workspace/first").await;
    turn_off(machine).await;
    assert_whole(&path);

    let mut machine = machine_on(MachineDisk::UsedAt(path.clone())).await;
    assert_eq!(output(&machine, "cat /workspace/first").await, "first");
    output(&machine, "echo second > /workspace/second; sync; echo lost > /workspace/third").await;
    let id = machine.process_id().cast_signed();
    rustix::process::kill_process(rustix::process::Pid::from_raw(id).unwrap(), rustix::process::Signal::KILL)
        .unwrap();
    let ended = next_event(&mut machine).await;
    assert!(matches!(&ended, MachineEvent::Ended(words) if words.contains("signal: 9")), "{ended:?}");
    // Asked again, it says so again; and it cannot be turned off any more.
    assert_eq!(next_event(&mut machine).await, ended);
    assert!(matches!(machine.power_off(PATIENCE).await.unwrap(), PowerOff::Unclean(_)));

    let machine = machine_on(MachineDisk::UsedAt(path.clone())).await;
    assert_eq!(output(&machine, "cat /workspace/first /workspace/second").await, "first\nsecond");
    turn_off(machine).await;
    assert_whole(&path);
}

#[tokio::test]
async fn what_the_guest_deletes_is_given_back_to_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    let machine = machine_on(MachineDisk::NewAt(path.clone())).await;
    assert!(mib_on_host(&path) < 8, "a fresh disk takes {} MiB", mib_on_host(&path));
    let options = output(&machine, "cat /proc/fs/ext4/vdb/options").await;
    assert!(options.lines().any(|option| option == "discard"), "{options}");
    assert!(options.lines().any(|option| option == "errors=remount-ro"), "{options}");
    output(&machine, "head -c 500M /dev/zero > /workspace/big; sync").await;
    assert!(mib_on_host(&path) > 500);
    output(&machine, "rm /workspace/big").await;
    wait_until_below(&path, 100);
    turn_off(machine).await;
}

/// A file system in memory that is too small for the disk, unmounted when dropped.
struct SmallPlace(tempfile::TempDir);

impl SmallPlace {
    /// `None` where this process may not mount one.
    fn of(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], folder.path());
        mounted.then_some(Self(folder))
    }

    fn grow(&self, size: &str) {
        assert!(mount(&["-o", &format!("remount,size={size}")], self.0.path()));
    }

    fn disk(&self) -> PathBuf {
        self.0.path().join("disk")
    }
}

impl Drop for SmallPlace {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn mount(arguments: &[&str], place: &Path) -> bool {
    Command::new("mount").args(arguments).arg(place).status().is_ok_and(|status| status.success())
}

#[tokio::test]
async fn a_machine_waits_while_its_host_has_no_room() {
    let Some(place) = SmallPlace::of("64m") else {
        eprintln!("SKIPPED: a full host disk is shown on a small tmpfs, which only root can mount");
        return;
    };
    let mut machine = machine_on(MachineDisk::NewAt(place.disk())).await;
    let writer = machine.connection().clone();
    let command =
        pyro_host::command::Command::Shell("head -c 200M /dev/zero > /workspace/big && sync".into());
    let mut writing = writer.exec(command.to_exec(10 * PATIENCE, false)).unwrap();
    assert_eq!(next_event(&mut machine).await, MachineEvent::Paused { reason: PauseReason::HostDiskFull });
    assert_eq!(machine.paused(), Some(&PauseReason::HostDiskFull));

    // Without more room it stops again, which is a new event.
    machine.resume().await.unwrap();
    assert_eq!(next_event(&mut machine).await, MachineEvent::Resumed);
    assert_eq!(next_event(&mut machine).await, MachineEvent::Paused { reason: PauseReason::HostDiskFull });

    place.grow("400m");
    machine.resume().await.unwrap();
    assert_eq!(next_event(&mut machine).await, MachineEvent::Resumed);
    assert_eq!(machine.paused(), None);
    let exit_code = tokio::time::timeout(PATIENCE, async {
        loop {
            if let pyro_host::guest::ExecEvent::Exited(exited) = writing.next().await.unwrap() {
                return exited.code;
            }
        }
    });
    assert_eq!(exit_code.await.unwrap(), Some(0), "the guest saw an error");
    assert_eq!(output(&machine, "stat -c %s /workspace/big").await, (200 * MIB).to_string());
    turn_off(machine).await;
    assert_whole(&place.disk());
}

#[tokio::test]
async fn a_machine_that_stands_still_is_ended_at_once() {
    let Some(place) = SmallPlace::of("40m") else {
        eprintln!("SKIPPED: a full host disk is shown on a small tmpfs, which only root can mount");
        return;
    };
    let mut machine = machine_on(MachineDisk::NewAt(place.disk())).await;
    // Little enough to stay in the guest's memory until it is turned off.
    let write = output(&machine, "head -c 70M /dev/zero > /workspace/big");
    tokio::time::timeout(PATIENCE, write).await.expect("the guest stands still too early");
    let asked = Instant::now();
    let ended = machine.power_off(PATIENCE).await.unwrap();
    assert!(matches!(&ended, PowerOff::Unclean(why) if why.contains("no room")), "{ended:?}");
    assert!(asked.elapsed() < PATIENCE);
}
