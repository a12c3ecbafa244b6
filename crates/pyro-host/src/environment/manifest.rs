//! What is in an installed environment: `manifest.json`, whose SHA-256 is the digest and so the folder's name.
//!
//! The manifest holds only what was built, never when or from where (that is the provenance in `installed.json`),
//! so that the same content has the same digest. What is read from disk is not trusted: a manifest is believed
//! only if its bytes have the digest that the folder is named after, and it never names a path outside of it.

use super::catalog::CATALOG_VERSION;
use crate::error::{Error, ErrorKind, Result};
use crate::fingerprint::sha256_bytes;
use serde::{Deserialize, Serialize};

/// The name of the manifest's file.
pub(super) const MANIFEST_FILE: &str = "manifest.json";
/// The name of the root image's file.
pub(super) const ROOT_IMAGE_FILE: &str = "root.erofs";
/// The name of the guest kernel's file.
pub(super) const KERNEL_FILE: &str = "kernel";
/// The folder of the modules that the guest needs at boot.
pub(super) const MODULES_FOLDER: &str = "modules";

/// The layout of the manifest itself.
const FORMAT: u32 = 1;

/// What is in one installed environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The layout of this record.
    pub format: u32,
    /// The name in the catalogue, such as `debian:12`.
    pub name: String,
    /// The version of the catalogue that it was built from.
    pub catalog_version: u32,
    /// The Debian release.
    pub suite: String,
    /// The processor architecture.
    pub architecture: String,
    /// The guest kernel.
    pub kernel: KernelRecord,
    /// The modules that the guest loads at boot, in the order in which they must be loaded.
    pub modules: Vec<String>,
    /// Every package in the root image, by name.
    pub packages: Vec<PackageRecord>,
    /// Every file of the environment but the manifest itself, by path.
    pub files: Vec<FileRecord>,
}

/// The guest kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelRecord {
    /// The Debian package.
    pub package: String,
    /// The version of the package.
    pub version: String,
    /// What `uname -r` says in the guest.
    pub release: String,
    /// The form in which it is stored.
    pub kind: KernelKind,
}

/// The form of a stored kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KernelKind {
    /// An uncompressed ELF file with a PVH entry point: the fastest to start.
    Vmlinux,
    /// The image as it was packaged, which unpacks itself in the guest.
    Bzimage,
}

/// One package of the root image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PackageRecord {
    /// The name of the package.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture (`amd64` or `all`).
    pub architecture: String,
}

/// One file of the environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileRecord {
    /// The path below the environment's folder.
    pub path: String,
    /// The size in bytes.
    pub size: u64,
    /// The SHA-256 of the content, in lower-case hexadecimal.
    pub sha256: String,
}

impl Manifest {
    /// A manifest of the present format. The lists are put in order.
    pub(super) fn new(
        entry: &super::catalog::CatalogEntry,
        kernel: KernelRecord,
        modules: Vec<String>,
        mut packages: Vec<PackageRecord>,
        mut files: Vec<FileRecord>,
    ) -> Self {
        packages.sort();
        files.sort();
        Self {
            format: FORMAT,
            name: entry.name.into(),
            catalog_version: CATALOG_VERSION,
            suite: super::catalog::SUITE.into(),
            architecture: super::catalog::ARCHITECTURE.into(),
            kernel,
            modules,
            packages,
            files,
        }
    }

    /// The bytes of `manifest.json` and the digest that they give.
    pub(super) fn encode(&self) -> Result<(Vec<u8>, String)> {
        let mut bytes = serde_json::to_vec(self).map_err(|error| {
            Error::new(ErrorKind::Internal, "could not encode the manifest").with_source(error)
        })?;
        bytes.push(b'\n');
        let digest = digest_of(&bytes);
        Ok((bytes, digest))
    }

    /// Reads a manifest. The error is one sentence that says what is wrong with it.
    pub(super) fn decode(bytes: &[u8]) -> std::result::Result<Self, String> {
        let manifest: Self = serde_json::from_slice(bytes)
            .map_err(|error| format!("{MANIFEST_FILE} is not a manifest: {error}"))?;
        if manifest.format != FORMAT {
            return Err(format!("{MANIFEST_FILE} has the format {}, not {FORMAT}", manifest.format));
        }
        for file in &manifest.files {
            if !is_known_path(&file.path) {
                return Err(format!("{MANIFEST_FILE} names the file `{}`", file.path.escape_debug()));
            }
        }
        let module_paths = manifest.modules.iter().map(|module| module_path(module));
        let needed = [ROOT_IMAGE_FILE.to_owned(), KERNEL_FILE.to_owned()].into_iter().chain(module_paths);
        for path in needed {
            if !manifest.files.iter().any(|file| file.path == path) {
                return Err(format!("{MANIFEST_FILE} lacks the file `{}`", path.escape_debug()));
            }
        }
        Ok(manifest)
    }

    /// The size of all files but the manifest itself.
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.size))
    }
}

/// The digest, and so the folder's name, of an environment whose manifest has these bytes.
pub(super) fn digest_of(manifest: &[u8]) -> String {
    format!("sha256-{}", sha256_bytes(manifest))
}

/// Whether a text has the form of a digest, and so is safe as the name of a folder.
pub(super) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256-").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

/// The path of a module's file below the environment's folder.
pub(super) fn module_path(module: &str) -> String {
    format!("{MODULES_FOLDER}/{module}.ko")
}

/// Only these paths are ever joined to the environment's folder.
fn is_known_path(path: &str) -> bool {
    if path == ROOT_IMAGE_FILE || path == KERNEL_FILE {
        return true;
    }
    let module = path.strip_prefix(MODULES_FOLDER).and_then(|rest| rest.strip_prefix('/'));
    module.and_then(|name| name.strip_suffix(".ko")).is_some_and(|name| {
        !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A manifest of a made-up environment with these files.
    pub(in crate::environment) fn sample(files: Vec<FileRecord>) -> Manifest {
        let entry = super::super::catalog::find("debian:12-base").expect("in the catalogue");
        let kernel = KernelRecord {
            package: "linux-image-6.1.0-1-cloud-amd64".into(),
            version: "6.1.1-1".into(),
            release: "6.1.0-1-cloud-amd64".into(),
            kind: KernelKind::Vmlinux,
        };
        Manifest::new(entry, kernel, vec!["virtio".into()], Vec::new(), files)
    }

    fn file(path: &str) -> FileRecord {
        FileRecord { path: path.into(), size: 1, sha256: sha256_bytes(path.as_bytes()) }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let manifest = sample(vec![file("root.erofs"), file("kernel"), file("modules/virtio.ko")]);
        let (bytes, digest) = manifest.encode().expect("encodes");
        assert!(is_digest(&digest));
        assert_eq!(Manifest::decode(&bytes).expect("decodes"), manifest);
        assert_eq!(manifest.total_bytes(), 3);
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        for path in
            ["../x", "/etc/passwd", "modules/../../x.ko", "modules/.ko", "modules/a/b.ko", "manifest.json"]
        {
            let manifest =
                sample(vec![file("root.erofs"), file("kernel"), file("modules/virtio.ko"), file(path)]);
            let (bytes, _) = manifest.encode().expect("encodes");
            let error = Manifest::decode(&bytes).expect_err("refused");
            assert!(error.contains("names the file"), "{error}");
        }
    }

    #[test]
    fn a_manifest_without_a_kernel_or_cut_short_is_refused() {
        let (bytes, _) =
            sample(vec![file("root.erofs"), file("modules/virtio.ko")]).encode().expect("encodes");
        assert!(Manifest::decode(&bytes).expect_err("refused").contains("lacks the file `kernel`"));
        for end in 0..bytes.len() - 1 {
            assert!(Manifest::decode(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn only_a_digest_is_a_digest() {
        let hex = "0123456789abcdef".repeat(4);
        assert!(is_digest(&format!("sha256-{hex}")));
        for text in ["", "sha256-", "sha256-..", &hex, &format!("sha256-{}", hex.to_uppercase())] {
            assert!(!is_digest(text), "{text}");
        }
    }
}
