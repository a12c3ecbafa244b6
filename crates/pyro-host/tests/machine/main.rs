//! Real machines through the library, where the executable has no knob for what is to be shown.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod confinement;
mod persistent;

use pyro_host::command::Command;
use pyro_host::environment::{Environment, Environments, PullOptions};
use pyro_host::guest::ExecEvent;
use pyro_host::identity;
use pyro_host::state_dir::StateDir;
use pyro_host::template::{TemplateKey, Templates};
use pyro_host::vm::accelerator::AcceleratorChoice;
use pyro_host::vm::hypervisor::Hypervisor;
use pyro_host::vm::machine::Machine;
use pyro_host::vm::{Border, VmSpec};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

const DAY_NS: u64 = 24 * 3600 * 1_000_000_000;

/// The environment that the executable's stories pull as well, in the same place.
async fn shared_environment() -> (Environment, std::path::PathBuf) {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pyro-home");
    let state_dir = StateDir::below(&home).unwrap();
    let environments = Environments::new(state_dir.clone());
    let environment = environments.pull("debian:12-base", PullOptions::default(), |_| {}).await.unwrap();
    (environment, state_dir.environments())
}

/// The accelerator that the tests are to use.
fn accelerator() -> AcceleratorChoice {
    std::env::var("PYRO_ACCEL").unwrap_or("auto".into()).parse().unwrap()
}

/// What a command that must succeed prints.
async fn output(machine: &Machine, script: &str) -> String {
    let exec = Command::Shell(script.into()).to_exec(Duration::from_secs(60), false);
    let mut execution = machine.connection().exec(exec).unwrap();
    let mut text = Vec::new();
    loop {
        match execution.next().await.unwrap() {
            ExecEvent::Stdout(bytes) => text.extend(bytes),
            ExecEvent::Exited(exited) => {
                assert_eq!(exited.code, Some(0), "{script}");
                return String::from_utf8(text).unwrap().trim().to_owned();
            }
            _ => {}
        }
    }
}

/// A clone's clock is what its identity says. That the template is a day old by then comes to the same as that the
/// clone is told a time which is a day ahead.
#[tokio::test]
async fn a_clone_of_a_template_that_is_a_day_old_has_the_time_of_now() {
    let (environment, environments) = shared_environment().await;
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join("cache")).unwrap();
    symlink(environments, home.path().join("cache/environments")).unwrap();
    let state_dir = StateDir::below(home.path()).unwrap();
    let hypervisor = Hypervisor::find(&state_dir, accelerator()).unwrap();
    let spec = VmSpec::default();
    let key = TemplateKey::new(&hypervisor, &spec, &environment).unwrap();
    let template =
        Templates::new(state_dir.clone()).build(&key, &hypervisor, &spec, &environment).await.unwrap();
    let disk = template.disk(&state_dir).unwrap();
    let (origin, border) = (template.into_origin(), Border::default());
    let mut machine = Machine::launch(&hypervisor, &spec, &environment, disk, origin, &border).await.unwrap();

    let mut tomorrow = identity::fresh().unwrap();
    tomorrow.unix_time_ns += DAY_NS;
    machine.ready().await.unwrap();
    machine.connection().identify(tomorrow.clone()).await.unwrap();

    let seconds: u64 = output(&machine, "date +%s").await.parse().unwrap();
    let expected = tomorrow.unix_time_ns / 1_000_000_000;
    assert!((expected..expected + 60).contains(&seconds), "guest {seconds}, told {expected}");
    // Files are dated by that clock, too, and the machine counts its own time from its own start.
    let age: i64 =
        output(&machine, "touch /workspace/f; echo $(( $(date +%s) - $(stat -c %Y /workspace/f) ))")
            .await
            .parse()
            .unwrap();
    assert!((0..60).contains(&age), "a fresh file is {age} s old");
    machine.kill().unwrap();
}
