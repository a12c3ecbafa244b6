//! The VM calls of the library, from a process that is not pyro itself.

use crate::home::{BASE, Home, PYRO};
use pyro_host::command::Command;
use pyro_host::error::ErrorKind;
use pyro_host::instance::InstanceState;
use pyro_host::pyro::Pyro;
use pyro_host::run::RunSpec;
use pyro_host::state_dir::StateDir;
use pyro_host::supervisor::PersistentSpec;
use pyro_host::workspace::{ExecSpec, WorkspaceSpec};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn library(home: &Home) -> Pyro {
    Pyro::with_executable(StateDir::below(home.path()).unwrap(), 2, PYRO.into())
}

fn spec() -> PersistentSpec {
    WorkspaceSpec::new(BASE).machine
}

fn argv(words: &[&str]) -> ExecSpec {
    ExecSpec::new(Command::Argv(words.iter().map(ToString::to_string).collect()))
}

#[test]
fn a_vm_is_created_started_and_used_up_by_its_command() {
    let home = Home::new();
    let pyro = library(&home);
    block_on(async {
        let vm = pyro.create_vm(&spec(), None).await.unwrap();
        assert_eq!((vm.state, vm.accelerator), (InstanceState::Created, None));
        let early = pyro.exec_vm(&vm.vm_id, &argv(&["true"]), None, None).await.unwrap_err();
        assert_eq!(early.kind(), ErrorKind::WrongState, "{early}");
        assert!(early.hint().unwrap().contains("start_vm"));
        assert_eq!(pyro.status_vm(&vm.vm_id).unwrap().state, InstanceState::Created);

        let started = pyro.start_vm(&vm.vm_id).await.unwrap();
        assert_eq!(started.state, InstanceState::Started);
        assert!(started.accelerator.is_some());
        assert!(!pyro.network_info_vm(&vm.vm_id).await.unwrap().network.network_enabled);
        let result =
            pyro.exec_vm(&vm.vm_id, &argv(&["sh", "-c", "echo out; exit 3"]), None, None).await.unwrap();
        assert_eq!((result.stdout.as_str(), result.exit_code), ("out\n", 3));
        assert_eq!(pyro.status_vm(&vm.vm_id).unwrap_err().kind(), ErrorKind::NotFound);
    });
    home.assert_nothing_left();
}

#[test]
fn a_vm_is_stopped_started_again_and_deleted() {
    let home = Home::new();
    let pyro = library(&home);
    block_on(async {
        let id = pyro.create_vm(&spec(), None).await.unwrap().vm_id;
        pyro.start_vm(&id).await.unwrap();
        assert_eq!(pyro.stop_vm(&id).await.unwrap().state, InstanceState::Stopped);
        assert_eq!(pyro.stop_vm(&id).await.unwrap().state, InstanceState::Stopped);
        assert_eq!(pyro.start_vm(&id).await.unwrap().state, InstanceState::Started);
        assert_eq!(pyro.start_vm(&id).await.unwrap().state, InstanceState::Started);
        assert!(pyro.delete_vm(&id).await.unwrap().deleted);
        assert_eq!(pyro.delete_vm(&id).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(pyro.status_vm("vm-nonsense").unwrap_err().kind(), ErrorKind::NotFound);
    });
    home.assert_nothing_left();
}

#[test]
fn only_so_many_are_started_and_what_is_over_is_reaped() {
    let home = Home::new();
    let pyro = library(&home);
    block_on(async {
        let workspace = pyro.create_workspace(&WorkspaceSpec::new(BASE), None).await.unwrap();
        let ids = [pyro.create_vm(&spec(), None).await.unwrap().vm_id, {
            let short = PersistentSpec { ttl_seconds: 3, ..spec() };
            pyro.create_vm(&short, None).await.unwrap().vm_id
        }];
        pyro.start_vm(&ids[0]).await.unwrap();
        let one_too_many = pyro.start_vm(&ids[1]).await.unwrap_err();
        assert!(
            matches!(one_too_many.kind(), ErrorKind::LimitReached | ErrorKind::NotFound),
            "{one_too_many}"
        );
        while pyro.status_vm(&ids[1]).is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert!(pyro.reap_expired().vms.is_empty(), "a look has reaped it already");
        pyro.delete_workspace(&workspace.workspace_id).await.unwrap();
        pyro.delete_vm(&ids[0]).await.unwrap();
    });
    home.assert_nothing_left();
}

#[test]
fn a_run_needs_no_supervisor() {
    let home = Home::new();
    let spec = RunSpec::new(BASE, Command::Shell("echo $((6 * 7))".into()));
    let result = block_on(library(&home).run(&spec, None, None)).unwrap();
    assert_eq!((result.stdout.as_str(), result.exit_code), ("42\n", 0));
    home.assert_nothing_left();
}
