//! The confinement of real machines: as it looks from outside, and on hosts that lack a part of it.

use crate::{accelerator, output, shared_environment};
use pyro_host::identity;
use pyro_host::state_dir::StateDir;
use pyro_host::template::{TemplateKey, Templates};
use pyro_host::vm::confinement::{LayerName, LayerState, Mechanisms, RequireIsolation};
use pyro_host::vm::hypervisor::Hypervisor;
use pyro_host::vm::machine::Machine;
use pyro_host::vm::{Border, VmSpec};
use std::fs;
use std::path::Path;

/// A clone on a host that has only these means.
async fn clone_on(mechanisms: Mechanisms) -> Machine {
    let (environment, environments) = shared_environment().await;
    let state_dir = StateDir::below(environments.ancestors().nth(2).unwrap()).unwrap();
    let mut hypervisor = Hypervisor::find(&state_dir, accelerator()).unwrap();
    hypervisor.confinement.mechanisms = mechanisms;
    let spec = VmSpec::default();
    let key = TemplateKey::new(&hypervisor, &spec, &environment).unwrap();
    let templates = Templates::new(state_dir.clone());
    let template = match templates.find(&key) {
        Some(template) => template,
        None => templates.build(&key, &hypervisor, &spec, &environment).await.unwrap(),
    };
    let disk = template.disk(&state_dir).unwrap();
    let (origin, border) = (template.into_origin(), Border::default());
    let mut machine = Machine::launch(&hypervisor, &spec, &environment, disk, origin, &border).await.unwrap();
    machine.ready().await.unwrap();
    machine.connection().identify(identity::fresh().unwrap()).await.unwrap();
    machine
}

#[tokio::test]
async fn a_machine_starts_on_a_host_that_lacks_any_one_part_or_all() {
    let all = Mechanisms::ALL;
    let cases = [
        (LayerName::User, Mechanisms { own_user: false, ..all }),
        (LayerName::Privileges, Mechanisms { privileges: false, ..all }),
        (LayerName::Files, Mechanisms { landlock: false, mount_namespace: false, ..all }),
        (LayerName::Network, Mechanisms { network_namespace: false, ..all }),
        (LayerName::Processes, Mechanisms { pid_namespace: false, ..all }),
        (LayerName::Ipc, Mechanisms { ipc_namespace: false, ..all }),
        (LayerName::Hostname, Mechanisms { uts_namespace: false, ..all }),
        (LayerName::Syscalls, Mechanisms { seccomp: false, ..all }),
        (LayerName::Limits, Mechanisms { cgroups: false, ..all }),
        (LayerName::Files, Mechanisms::NONE),
    ];
    let is_root = rustix::process::geteuid().is_root();
    for (name, mechanisms) in cases {
        let machine = clone_on(mechanisms).await;
        assert_eq!(output(&machine, "echo works").await, "works", "without {name}");
        let layer = machine.isolation().layer(name).unwrap();
        // An ordinary user's machine has no user of its own, whatever the host.
        if name != LayerName::User || is_root {
            assert!(matches!(layer.state, LayerState::Missing | LayerState::Partial), "{layer:?}");
            assert!(layer.missing.as_ref().is_some_and(|why| !why.is_empty()), "{layer:?}");
        }
        machine.kill().unwrap();
    }
    for only in [Mechanisms { landlock: false, ..all }, Mechanisms { mount_namespace: false, ..all }] {
        let machine = clone_on(only).await;
        assert_eq!(output(&machine, "echo works").await, "works", "with {only:?}");
        machine.kill().unwrap();
    }
}

#[tokio::test]
async fn from_outside_a_machine_shares_nothing_with_its_owner() {
    let machine = clone_on(Mechanisms::ALL).await;
    let process = format!("/proc/{}", machine.process_id());
    let status = fs::read_to_string(format!("{process}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim().to_owned()
    };
    let isolation = machine.isolation();
    let given = |name| isolation.layer(name).unwrap().state == LayerState::Full;
    assert!(given(LayerName::Privileges) && given(LayerName::Syscalls), "{isolation:?}");
    assert_eq!(field("NoNewPrivs"), "1");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    if given(LayerName::Network) {
        assert_eq!(field("CapBnd"), "0000000000000000");
    }
    // Two of pyro's, one or more of QEMU's own.
    assert!(field("Seccomp_filters").parse::<u32>().unwrap() >= 3, "{status}");
    let namespaces = [
        (LayerName::Network, "net"),
        (LayerName::Processes, "pid"),
        (LayerName::Ipc, "ipc"),
        (LayerName::Hostname, "uts"),
    ];
    for (name, link) in namespaces {
        let of = |process: &str| fs::read_link(format!("{process}/ns/{link}")).unwrap();
        assert_eq!(of(&process) != of("/proc/self"), given(name), "{name}");
    }
    let cgroup = fs::read_to_string(format!("{process}/cgroup")).unwrap();
    assert_eq!(cgroup.contains("/pyro-"), isolation.layer(LayerName::Limits).unwrap().by.contains("cgroup"));
    machine.kill().unwrap();
    assert!(!Path::new(&process).exists());
}

#[tokio::test]
async fn with_full_isolation_required_a_machine_runs_or_the_error_names_what_is_missing() {
    let (environment, environments) = shared_environment().await;
    let state_dir = StateDir::below(environments.ancestors().nth(2).unwrap()).unwrap();
    let mut hypervisor = Hypervisor::find(&state_dir, accelerator()).unwrap();
    hypervisor.confinement.mechanisms.uts_namespace = false;
    let spec = VmSpec::default();
    let disk = tempfile::tempfile().unwrap();
    let origin = pyro_host::vm::machine::Origin::Boot;
    let border = Border { require_isolation: RequireIsolation::Full, ..Border::default() };
    let error = Machine::launch(&hypervisor, &spec, &environment, disk, origin, &border).await.unwrap_err();
    assert_eq!(error.kind(), pyro_host::error::ErrorKind::UnsupportedHost);
    assert!(error.chain().join(": ").contains("hostname") && error.hint().is_some(), "{error:?}");
}
