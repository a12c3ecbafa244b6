use super::*;
use crate::instance::{InstanceId, InstanceKind};
use std::path::Path;

pub(super) fn instance(folder: &Path) -> Instance {
    let id = InstanceId::fresh(InstanceKind::Workspace).unwrap();
    Instance { kind: InstanceKind::Workspace, id, folder: folder.to_owned() }
}

pub(super) fn record(name: &str, state: ServiceState) -> ServiceRecord {
    ServiceRecord {
        service_name: ServiceName::parse(name).unwrap(),
        command: Command::Shell("serve".into()),
        cwd: "/workspace".into(),
        state,
        started_at: 1.5,
        ready_at: None,
        ended_at: None,
        exit_code: None,
        signal: None,
        pid: Some(7),
        readiness: None,
        stop_reason: None,
        failure: None,
        published: Vec::new(),
        log_start: [0, 0],
    }
}

#[test]
fn one_damaged_record_does_not_hide_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let instance = instance(folder.path());
    for name in ["web", "db", "old"] {
        instance.services().write(&record(name, ServiceState::Running)).unwrap();
    }
    std::fs::write(folder.path().join("services/db/record.json"), "{\"service_name\":").unwrap();
    std::fs::create_dir(folder.path().join("services/Not A Service")).unwrap();
    let services = services_of(&instance, true);
    let told: Vec<_> =
        services.iter().map(|service| (service.service_name.as_str(), service.state)).collect();
    let running = ServiceState::Running;
    assert_eq!(told, [("db", ServiceState::Failed), ("old", running), ("web", running)]);
    assert!(services[0].failure.as_ref().unwrap().contains("db/record.json"), "{:?}", services[0].failure);
    assert_eq!((&services[2].workspace_id[..], services[2].pid), (instance.id.as_str(), Some(7)));
}

#[test]
fn nothing_runs_without_a_supervisor() {
    let folder = tempfile::tempdir().unwrap();
    let instance = instance(folder.path());
    instance.services().write(&record("web", ServiceState::Running)).unwrap();
    instance.services().write(&record("was", ServiceState::Stopped)).unwrap();
    let services = services_of(&instance, false);
    let told: Vec<_> = services.iter().map(|service| (service.state, service.stop_reason)).collect();
    let ended = (ServiceState::Failed, Some(StopReason::SupervisorEnded));
    assert_eq!(told, [(ServiceState::Stopped, None), ended]);
}
