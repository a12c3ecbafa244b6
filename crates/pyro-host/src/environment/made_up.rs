//! Made-up installs, and what is found of them after they were damaged. Tests only.

use super::installed::{
    Installed, Provenance, digest_folder, look, name_folder, read_manifest, write_record,
};
use super::manifest::{FileRecord, KernelKind, KernelRecord, Manifest};
use super::{Environments, PruneOptions, catalog};
use crate::fingerprint::sha256_bytes;
use crate::state_dir::{DirLock, StateDir, make_private_dir};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// A home with one made-up environment in it.
struct MadeUp {
    _home: tempfile::TempDir,
    state_dir: StateDir,
    digest: String,
}

const NAME: &str = "debian:12-base";

impl MadeUp {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let state_dir = StateDir::below(home.path()).expect("absolute");
        let digest = install(&state_dir, "first");
        Self { _home: home, state_dir, digest }
    }

    fn folder(&self) -> PathBuf {
        digest_folder(&self.state_dir, &self.digest)
    }

    fn record(&self) -> PathBuf {
        name_folder(&self.state_dir, NAME).join("installed.json")
    }

    fn look(&self) -> Installed {
        look(&self.state_dir, catalog::find(NAME).expect("in the catalogue"))
    }

    fn damage(&self) -> String {
        match self.look() {
            Installed::Damaged(damage) => damage,
            other => panic!("{other:?}"),
        }
    }

    fn is_intact(&self) -> bool {
        matches!(self.look(), Installed::Intact(_))
    }

    fn prune(&self, options: PruneOptions) -> Vec<String> {
        let report = Environments::new(self.state_dir.clone()).prune(options).expect("prunes");
        assert_eq!(report.count, report.deleted.len());
        report.deleted.into_iter().map(|pruned| pruned.digest).collect()
    }
}

/// Installs made-up files, as a pull would. Gives the digest.
fn install(state_dir: &StateDir, content: &str) -> String {
    let paths = ["root.erofs", "kernel", "modules/virtio.ko"];
    let file = |path: &str| {
        let content = format!("{path} {content}");
        FileRecord { path: path.into(), size: content.len() as u64, sha256: sha256_bytes(content.as_bytes()) }
    };
    let kernel = KernelRecord {
        package: "linux".into(),
        version: "6".into(),
        release: "6".into(),
        kind: KernelKind::Bzimage,
    };
    let entry = catalog::find(NAME).expect("in the catalogue");
    let manifest = Manifest::new(
        entry,
        kernel,
        vec!["virtio".into()],
        Vec::new(),
        paths.iter().map(|path| file(path)).collect(),
    );
    let (bytes, digest) = manifest.encode().expect("encodes");
    let folder = digest_folder(state_dir, &digest);
    fs::create_dir_all(folder.join("modules")).expect("makes");
    for path in paths {
        fs::write(folder.join(path), format!("{path} {content}")).expect("writes");
    }
    fs::write(folder.join("manifest.json"), bytes).expect("writes");
    make_private_dir(&name_folder(state_dir, NAME)).expect("makes");
    let provenance = Provenance {
        sources: Vec::new(),
        pulled_at: 0.0,
        pull_seconds: 0.0,
        pyro_version: "0".into(),
        tools: BTreeMap::new(),
    };
    write_record(state_dir, &manifest, &digest, provenance).expect("writes");
    digest
}

#[test]
fn what_was_installed_is_found() {
    let made_up = MadeUp::new();
    let Installed::Intact(environment) = made_up.look() else { panic!("not intact") };
    assert_eq!((environment.name.as_str(), &environment.digest), (NAME, &made_up.digest));
    assert_eq!(environment.modules, [made_up.folder().join("modules/virtio.ko")]);
    let environments = Environments::new(made_up.state_dir.clone());
    let list = environments.list().expect("lists");
    let installed: Vec<bool> = list.environments.iter().map(|summary| summary.installed).collect();
    assert_eq!(installed, [false, true, false]);
    let sizes = environments.inspect(NAME).expect("known").sizes.expect("installed");
    assert_eq!(sizes.total_bytes, sizes.root_image_bytes + sizes.kernel_bytes + sizes.modules_bytes);
}

#[test]
fn a_file_that_looks_different_is_hashed_once_more() {
    let made_up = MadeUp::new();
    let path = made_up.folder().join("kernel");
    let content = fs::read(&path).expect("reads");
    fs::remove_file(&path).expect("removes");
    fs::write(&path, content).expect("writes");
    let before = fs::read(made_up.record()).expect("reads");
    assert!(made_up.is_intact());
    let after = fs::read(made_up.record()).expect("reads");
    assert_ne!(before, after, "the new looks were not recorded");
    assert!(made_up.is_intact());
    assert_eq!(fs::read(made_up.record()).expect("reads"), after);
}

#[test]
fn every_damage_is_found_and_named() {
    type Harm = fn(PathBuf);
    let cases: [(&str, Harm, &str); 6] = [
        ("kernel", |path| fs::write(path, "kernel fIrst").expect("writes"), "does not match its digest"),
        ("kernel", |path| fs::write(path, "").expect("writes"), "is not a file of 12 bytes"),
        ("root.erofs", |path| fs::remove_file(path).expect("removes"), "is missing"),
        ("manifest.json", |path| fs::write(path, "{}").expect("writes"), "does not match its digest"),
        ("manifest.json", |path| fs::remove_file(path).expect("removes"), "is missing"),
        ("modules", |path| fs::remove_dir_all(path).expect("removes"), "is missing"),
    ];
    for (file, harm, expected) in cases {
        let made_up = MadeUp::new();
        harm(made_up.folder().join(file));
        assert!(made_up.damage().contains(expected), "{file}: {}", made_up.damage());
    }
}

#[test]
fn a_symlink_is_never_followed() {
    let made_up = MadeUp::new();
    let path = made_up.folder().join("kernel");
    let elsewhere = made_up.folder().join("elsewhere");
    fs::rename(&path, &elsewhere).expect("moves");
    std::os::unix::fs::symlink(&elsewhere, &path).expect("links");
    assert!(made_up.damage().contains("is not a file"));
    fs::rename(made_up.record(), &elsewhere).expect("moves");
    std::os::unix::fs::symlink(&elsewhere, made_up.record()).expect("links");
    made_up.damage();
}

#[test]
fn an_odd_record_is_damage_and_never_a_panic() {
    let made_up = MadeUp::new();
    let good = fs::read(made_up.record()).expect("reads");
    for end in 0..good.len() {
        fs::write(made_up.record(), &good[..end]).expect("writes");
        made_up.damage();
    }
    let text = String::from_utf8(good).expect("text");
    let odd_digests = ["sha256-../../../../etc", "..", "", &made_up.digest.to_uppercase()];
    for digest in odd_digests {
        fs::write(made_up.record(), text.replace(&made_up.digest, digest)).expect("writes");
        made_up.damage();
    }
    fs::write(made_up.record(), vec![b' '; 5 << 20]).expect("writes");
    assert!(made_up.damage().contains("larger than any record"));
    fs::remove_file(made_up.record()).expect("removes");
    fs::create_dir(made_up.record()).expect("makes");
    made_up.damage();
}

#[test]
fn another_environment_under_this_name_is_damage() {
    let made_up = MadeUp::new();
    let other = name_folder(&made_up.state_dir, "debian:12");
    make_private_dir(&other).expect("makes");
    fs::copy(made_up.record(), other.join("installed.json")).expect("copies");
    let state = look(&made_up.state_dir, catalog::find("debian:12").expect("in the catalogue"));
    assert!(
        matches!(state, Installed::Damaged(damage) if damage.contains("is the environment `debian:12-base`"))
    );
}

#[test]
fn prune_removes_what_no_name_stands_for() {
    let made_up = MadeUp::new();
    assert_eq!(made_up.prune(PruneOptions::default()), [] as [String; 0]);
    let newer = install(&made_up.state_dir, "second");
    let keep = PruneOptions { all: false, keep: vec![made_up.digest.clone()] };
    assert_eq!(made_up.prune(keep), [] as [String; 0]);
    assert_eq!(made_up.prune(PruneOptions::default()), std::slice::from_ref(&made_up.digest));
    assert!(made_up.is_intact() && !made_up.folder().exists());
    let all = || PruneOptions { all: true, keep: Vec::new() };
    assert_eq!(made_up.prune(all()), [newer]);
    assert!(matches!(made_up.look(), Installed::Absent));
    assert_eq!(made_up.prune(all()), [] as [String; 0]);
}

#[test]
fn prune_removes_what_is_damaged_but_nothing_under_a_pull() {
    let made_up = MadeUp::new();
    fs::write(made_up.folder().join("kernel"), "").expect("writes");
    let lock = DirLock::wait(&name_folder(&made_up.state_dir, NAME)).expect("locks");
    let all = || PruneOptions { all: true, keep: Vec::new() };
    assert_eq!(made_up.prune(all()), [] as [String; 0]);
    drop(lock);
    assert_eq!(made_up.prune(PruneOptions::default()), std::slice::from_ref(&made_up.digest));
    assert!(matches!(made_up.look(), Installed::Absent));
}

#[test]
fn an_open_file_survives_prune() {
    let made_up = MadeUp::new();
    let mut open = fs::File::open(made_up.folder().join("kernel")).expect("opens");
    made_up.prune(PruneOptions { all: true, keep: Vec::new() });
    let mut content = String::new();
    std::io::Read::read_to_string(&mut open, &mut content).expect("reads");
    assert_eq!(content, "kernel first");
}

#[test]
fn a_manifest_is_believed_only_under_its_digest() {
    let made_up = MadeUp::new();
    assert!(read_manifest(&made_up.folder(), &made_up.digest).is_ok());
    let other = format!("sha256-{}", "0".repeat(64));
    assert!(read_manifest(&made_up.folder(), &other).expect_err("refused").contains("does not match"));
}
