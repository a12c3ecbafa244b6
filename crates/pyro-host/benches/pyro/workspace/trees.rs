//! Trees of files that are the same at each run: nested directories, sizes mixed.

use crate::Result;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Sizes of twenty files in a row, with a mean of 10 000 bytes.
const SIZES: [usize; 20] = [
    1000, 4000, 18_000, 1000, 1000, 4000, 1000, 18_000, 1000, 4000, //
    1000, 4000, 1000, 1000, 18_000, 4000, 1000, 112_000, 1000, 4000,
];

/// The file of a directory that is changed.
const CHANGED: usize = 1;

/// Changed files, each in a directory of its own.
pub const N_CHANGED: usize = 10;

/// Directories in directories, with as many files in each of the inner ones.
#[derive(Clone, Copy)]
struct Shape {
    n_outer: usize,
    n_inner: usize,
    n_files: usize,
}

/// 20 000 files, 200 000 000 bytes.
const LARGE: Shape = Shape { n_outer: 20, n_inner: 25, n_files: 40 };

/// 100 files. The large tree has all their names too.
const SMALL: Shape = Shape { n_outer: 2, n_inner: 5, n_files: 10 };

/// All of them, in a folder that is removed when dropped.
pub struct Trees {
    folder: TempDir,
}

impl Trees {
    /// Writes them.
    pub fn write() -> Result<Self> {
        let trees = Self { folder: tempfile::tempdir()? };
        write(&trees.large(), LARGE)?;
        write(&trees.small(), SMALL)?;
        Ok(trees)
    }

    /// 20 000 files.
    pub fn large(&self) -> PathBuf {
        self.folder.path().join("large")
    }

    /// 100 files.
    pub fn small(&self) -> PathBuf {
        self.folder.path().join("small")
    }

    /// Where something may be put, removed with all the rest.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes ten files with their paths, each of which both trees have with another content.
    pub fn changed(&self, round: usize) -> Result<PathBuf> {
        let root = self.scratch("changed");
        for outer in 0..SMALL.n_outer {
            for inner in 0..SMALL.n_inner {
                let directory = directory(&root, outer, inner);
                fs::create_dir_all(&directory)?;
                let content =
                    content(usize::MAX - round * N_CHANGED - outer * SMALL.n_inner - inner, CHANGED);
                fs::write(file(&directory, CHANGED), content)?;
            }
        }
        Ok(root)
    }
}

fn write(root: &Path, shape: Shape) -> Result<()> {
    for outer in 0..shape.n_outer {
        for inner in 0..shape.n_inner {
            let directory = directory(root, outer, inner);
            fs::create_dir_all(&directory)?;
            for index in 0..shape.n_files {
                let seed = (outer * shape.n_inner + inner) * shape.n_files + index;
                fs::write(file(&directory, index), content(seed, index))?;
            }
        }
    }
    Ok(())
}

fn directory(root: &Path, outer: usize, inner: usize) -> PathBuf {
    root.join(format!("part-{outer:02}/module-{inner:02}"))
}

fn file(directory: &Path, index: usize) -> PathBuf {
    directory.join(format!("file-{index:02}.txt"))
}

/// Lines of text that no other file has.
fn content(seed: usize, index: usize) -> Vec<u8> {
    let n_bytes = SIZES[index % SIZES.len()];
    let mut state = seed as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let mut text = Vec::with_capacity(n_bytes + 80);
    while text.len() < n_bytes {
        for _ in 0..4 {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text.extend(format!("{state:016x}").into_bytes());
        }
        text.push(b'\n');
    }
    text.truncate(n_bytes);
    text
}
