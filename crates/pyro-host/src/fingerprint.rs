//! Whether a file is still the one that was checked.
//!
//! Hashing hundreds of megabytes at every start would cost more than the start. A file is hashed once; after
//! that its inode, size and times stand for its content: whoever writes to a file changes its `ctime`, which
//! cannot be set back without the privilege to fool any check (`inode(7)`).

use crate::error::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The identity of a file at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    device: u64,
    inode: u64,
    size: u64,
    modified_ns: i128,
    changed_ns: i128,
}

impl Fingerprint {
    /// The fingerprint of the file at this path, symlinks followed.
    pub fn of(path: &Path) -> Result<Self> {
        let metadata = path.metadata().doing(|| format!("could not look at `{}`", path.display()))?;
        Ok(Self::from(&metadata))
    }
}

impl From<&std::fs::Metadata> for Fingerprint {
    fn from(metadata: &std::fs::Metadata) -> Self {
        let nanoseconds = |seconds: i64, part: i64| i128::from(seconds) * 1_000_000_000 + i128::from(part);
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The SHA-256 of a file as lower-case hexadecimal, as `sha256sum(1)` prints it.
pub fn sha256_file(path: &Path) -> Result<String> {
    let doing = || format!("could not read `{}`", path.display());
    let mut file = std::fs::File::open(path).doing(doing)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let n_read = file.read(&mut buffer).doing(doing)?;
        if n_read == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&buffer[..n_read]);
    }
}

/// The SHA-256 of some bytes as lower-case hexadecimal.
pub fn sha256_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes as lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
