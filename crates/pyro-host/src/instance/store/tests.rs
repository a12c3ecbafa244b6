use super::*;

fn instances(home: &Path) -> Instances {
    Instances::new(StateDir::below(home).unwrap(), InstanceKind::Workspace)
}

fn plant(instances: &Instances, id: &str, record: &str) -> PathBuf {
    let folder = instances.state_dir.workspaces().join(id);
    make_private_dir(&folder).unwrap();
    fs::write(folder.join("record.json"), record).unwrap();
    folder
}

fn record(id: &str, state: &str) -> String {
    serde_json::json!({
        "format": 1, "id": id, "kind": "workspace", "state": state, "failure": null,
        "environment": "debian:12", "environment_digest": format!("sha256-{state}"),
        "vm": {"vcpu_count": 1, "mem_mib": 1024, "disk": {"persistent": {"size_mib": 65536}}},
        "accelerator_choice": "auto", "ttl_seconds": 600, "created_at": 1e9, "expires_at": 1e11,
        "last_activity_at": 1e9, "allow_host_compat": false, "network_enabled": false,
        "execution_mode": "guest", "accelerator": "tcg",
        "seed": {"mode": "empty", "seed_path": null, "destination": "/workspace", "entry_count": 0, "bytes_written": 0},
        "start_count": 1, "supervisor": null,
    })
    .to_string()
}

const DAMAGED: &str = "ws-00000000000a";
const OWNED: &str = "ws-00000000000b";
const NEWER: &str = "ws-00000000000c";
const GOOD: &str = "ws-00000000000d";

#[test]
fn what_is_damaged_is_reaped_unless_it_is_owned_or_of_a_newer_version() {
    let home = tempfile::tempdir().unwrap();
    let instances = instances(home.path());
    let damaged = plant(&instances, DAMAGED, "{\"format\": 1");
    let owned = plant(&instances, OWNED, "{}");
    let newer = plant(&instances, NEWER, "{\"format\": 1000}");
    let good = plant(&instances, GOOD, &record(GOOD, "stopped"));
    // What cannot be read is not known to be damaged.
    let unread = plant(&instances, "ws-00000000000e", "");
    fs::remove_file(unread.join("record.json")).unwrap();
    fs::create_dir(unread.join("record.json")).unwrap();
    let lock = DirLock::wait(&owned).unwrap();
    assert_eq!(instances.list().1.len(), 4);
    assert_eq!(instances.reap(), [DAMAGED]);
    assert!(!damaged.exists());
    assert!(owned.exists() && newer.exists() && good.exists() && unread.exists());
    drop(lock);
    assert_eq!(instances.reap(), [OWNED]);
}

#[test]
fn environments_are_in_use_in_every_state() {
    let home = tempfile::tempdir().unwrap();
    let instances = instances(home.path());
    assert_eq!(instances.environment_digests(), Some(Vec::new()));
    plant(&instances, GOOD, &record(GOOD, "stopped"));
    let creating = plant(&instances, NEWER, &record(NEWER, "creating"));
    let _creator = DirLock::wait(&creating).unwrap();
    plant(&instances, DAMAGED, "");
    let mut digests = instances.environment_digests().unwrap();
    digests.sort();
    assert_eq!(digests, ["sha256-creating", "sha256-stopped"]);
    let owned = plant(&instances, OWNED, "{}");
    let lock = DirLock::wait(&owned).unwrap();
    assert_eq!(instances.environment_digests(), None);
    drop(lock);
    assert_eq!(instances.environment_digests().map(|digests| digests.len()), Some(2));
    plant(&instances, NEWER, "{\"format\": 1000}");
    assert_eq!(instances.environment_digests(), None);
}
