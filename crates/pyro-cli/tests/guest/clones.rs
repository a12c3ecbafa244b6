//! Two clones of one template are two machines.

use crate::home::{BASE, Home, report};
use std::collections::BTreeSet;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

const WHO: &str = "cat /proc/sys/kernel/random/boot_id; head -c 16 /dev/urandom | od -An -tx1; \
                   cat /proc/sys/kernel/random/uuid; hostname; cat /etc/machine-id; cat /etc/hostname";

#[test]
fn clones_share_no_random_numbers_and_no_names() {
    let home = Home::new().warmed();
    let machines: Vec<Vec<String>> =
        (0..4).map(|_| home.stdout(&["sh", "-c", WHO]).lines().map(str::to_owned).collect()).collect();
    for what in 0..5 {
        let different: BTreeSet<&String> = machines.iter().map(|machine| &machine[what]).collect();
        assert_eq!(different.len(), machines.len(), "{machines:#?}");
    }
    for machine in &machines {
        assert_eq!(machine[3], machine[5], "hostname and /etc/hostname");
        assert_eq!(machine[4].len(), 32, "machine id");
    }
    assert_eq!(home.template_folders().len(), 1);
    home.assert_nothing_left();
}

#[test]
fn a_clone_has_the_time_of_now() {
    let home = Home::new().warmed();
    let guest: u64 = home.stdout(&["date", "+%s"]).trim().parse().unwrap();
    let host = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(host.abs_diff(guest) <= 2, "guest {guest}, host {host}");
    home.assert_nothing_left();
}

#[test]
fn what_a_clone_writes_stays_its_own() {
    let home = Home::new().warmed();
    home.stdout(&["sh", "-c", "echo mine > /root/file; echo mine > /workspace/file; rm /etc/passwd; sync"]);
    assert_eq!(
        home.stdout(&["sh", "-c", "ls /root /workspace; test -e /etc/passwd && echo intact"]),
        "/root:\n\n/workspace:\nintact\n"
    );
    home.assert_nothing_left();
}

#[test]
fn a_damaged_template_is_built_again() {
    let home = Home::new().warmed();
    let folder = home.template_folders().remove(0);
    for damage in ["memory", "state", "disk", "template.json"] {
        fs::write(folder.join(damage), b"garbage").unwrap();
        assert_eq!(home.stdout(&["echo", "works"]), "works\n", "{damage}");
    }
    home.assert_nothing_left();
}

#[test]
fn a_template_that_does_not_restore_is_built_again() {
    let home = Home::new().warmed();
    let folder = home.template_folders().remove(0);
    // A record that vouches for a state that is none: as after a defect of the disk.
    let script = r#"
import json, os, sys
folder = sys.argv[1]
with open(folder + "/state", "r+b") as f: f.write(b"\0" * 4096)
s = os.stat(folder + "/state")
path = folder + "/template.json"
record = json.load(open(path))
record["state"].update(modified_ns=s.st_mtime_ns, changed_ns=s.st_ctime_ns, size=s.st_size)
json.dump(record, open(path, "w"))
"#;
    let done = std::process::Command::new("python3").args(["-c", script]).arg(&folder).status().unwrap();
    assert!(done.success());
    let output = home.run(&["echo", "works"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "works\n", "{}", report(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("phase=rebuild"), "{}", report(&output));
    home.assert_nothing_left();
}

#[test]
fn another_shape_gets_another_template_and_prune_knows_them() {
    let home = Home::new().warmed();
    let json = home.json(
        &["--mem-mib", "512", "--vcpu-count", "2"],
        &["sh", "-c", "nproc; free -m | awk '/Mem/{print $2}'"],
    );
    let lines: Vec<u64> =
        json["stdout"].as_str().unwrap().lines().map(|line| line.parse().unwrap()).collect();
    assert!(lines[0] == 2 && (400..512).contains(&lines[1]), "{json}");
    assert_eq!(home.template_folders().len(), 2);
    let inspect = home.pyro(&["env", "inspect", BASE, "--json"]).output().unwrap();
    let inspect: serde_json::Value = serde_json::from_slice(&inspect.stdout).unwrap();
    let templates = inspect["templates"].as_array().unwrap();
    assert_eq!(templates.len(), 2, "{inspect}");
    assert!(templates.iter().any(|template| template["mem_mib"] == 512 && template["vcpu_count"] == 2));
    home.assert_nothing_left();
}
