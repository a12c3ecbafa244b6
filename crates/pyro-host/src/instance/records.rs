//! Small records on disk, a folder each: `<name>/record.json`, replaced in one step, so whole at any time.

use crate::error::{Context, Error, ErrorKind, Result};
use crate::state_dir::{make_private_dir, write_atomically_unsynced};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// Longer records than this are none of ours.
const MAX_BYTES: u64 = 1024 * 1024;

/// The records of one kind.
#[derive(Debug)]
pub(super) struct Records<T> {
    folder: PathBuf,
    kind: PhantomData<T>,
}

impl<T> Clone for Records<T> {
    fn clone(&self) -> Self {
        Self::at(self.folder.clone())
    }
}

impl<T> Records<T> {
    pub(super) fn at(folder: PathBuf) -> Self {
        Self { folder, kind: PhantomData }
    }

    /// The folder of one.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The names of all, in order. Names that nobody of ours gives are to be left out by the caller.
    pub(super) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let has_record = |name: &String| self.path(name).exists();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(has_record).collect();
        names.sort_unstable();
        names
    }

    /// Deletes one with everything in its folder. The record goes first, so that what is left of it is nothing.
    pub(super) fn delete(&self, name: &str) -> Result<()> {
        let doing = || format!("could not delete `{}`", self.folder(name).display());
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).doing(doing),
            _ => fs::remove_dir_all(self.folder(name)).doing(doing),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder(name).join("record.json")
    }
}

impl<T: Serialize + DeserializeOwned> Records<T> {
    /// One record. `None` where there is none.
    ///
    /// # Errors
    /// `io` when it cannot be read, or is damaged.
    pub(super) fn read(&self, name: &str) -> Result<Option<T>> {
        let path = self.path(name);
        let doing = || format!("could not read the record `{}`", path.display());
        let bytes = match bounded(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.doing(doing)?,
        };
        serde_json::from_slice(&bytes).doing(doing).map(Some)
    }

    /// Writes one. Only for the owner of the persistent VM.
    ///
    /// # Errors
    /// `io`, also for want of room.
    pub(super) fn write(&self, name: &str, record: &T) -> Result<()> {
        make_private_dir(&self.folder(name))?;
        let doing = || format!("could not write the record `{}`", self.path(name).display());
        let json = serde_json::to_vec_pretty(record).failing(ErrorKind::Internal, doing)?;
        write_atomically_unsynced(&self.path(name), &json)
    }
}

fn bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "it is no file of ours"));
    }
    fs::read(path)
}

/// The reason where a supervisor ended without saying what became of something.
pub(super) const INTERRUPTED: &str = "its supervisor ended without a word, and it ended with that";

/// The error of who asks for something that is not there.
pub(super) fn missing(what: &str, hint: String) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no {what}")).with_hint(hint)
}
