//! The stream of a diff becomes a list of changes and one patch.

use super::patch::{Blob, GitMode, Patcher};
use super::shown::shown;
use super::{ArtifactType, ReadError};
use crate::error::{Error, ErrorKind};
use crate::output::text_of;
use pyro_protocol::tree::{Change, MAX_PATH, Node, NodeKind, Record, TreeReader, check_path};
use serde::Serialize;
use std::io::{BufReader, Read};

#[cfg(test)]
mod tests;

const BUFFER_SIZE: usize = 256 * 1024;

/// The most changes of a diff, and the most bytes of its paths and patches, with every copy of them that is held.
const MAX_CHANGES: usize = 1_000_000;
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Of a text, git looks at so many bytes for a zero byte, which makes it binary.
const LOOKED_AT: usize = 8000;

/// What a workspace has become since its baseline.
#[derive(Debug, Clone, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WorkspaceDiff {
    /// Whether anything is different.
    pub changed: bool,
    /// The changes, counted.
    pub summary: DiffSummary,
    /// The changes, ordered by path.
    pub entries: Vec<DiffEntry>,
    /// The patches of all entries that have one, for `git apply` in a copy of the baseline. Bytes that are not UTF-8
    /// are replaced: [`patch_bytes`](Self::patch_bytes) has them.
    pub patch: String,
    /// The patch if it is not UTF-8.
    #[serde(skip)]
    raw_patch: Option<Vec<u8>>,
}

impl WorkspaceDiff {
    /// The patch, byte by byte.
    pub fn patch_bytes(&self) -> &[u8] {
        self.raw_patch.as_deref().unwrap_or(self.patch.as_bytes())
    }
}

/// How many changes there are of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DiffSummary {
    /// All.
    pub total: u64,
    /// Paths that the baseline does not have.
    pub added: u64,
    /// Files and links with another content, and anything with another mode.
    pub modified: u64,
    /// Paths that are gone.
    pub deleted: u64,
    /// Paths where something of another type stands now.
    pub type_changed: u64,
    /// Those that have a patch.
    pub text_patched: u64,
    /// Those whose change no patch can carry: binary or large files, sockets, the files of a git repository itself.
    pub non_text: u64,
}

/// A path that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DiffEntry {
    /// Where, below the workspace. Bytes that are not UTF-8 are replaced.
    pub path: String,
    /// How.
    pub status: DiffStatus,
    /// What stands there now; of a deleted one, what stood there.
    pub artifact_type: ArtifactType,
    /// The patch for this path alone. A directory has none, nor has a change of mode that git does not know.
    pub text_patch: Option<String>,
}

/// How a path changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DiffStatus {
    /// It is new.
    Added,
    /// Its content, target or mode is another.
    Modified,
    /// It is gone.
    Deleted,
    /// What stands there is of another type.
    TypeChanged,
}

/// Reads the stream of a diff. `max_text_bytes` is what the guest was told: the most bytes of one file's content.
///
/// # Errors
/// [`ReadError::Stream`] if the stream breaks off. Refused are: `guest_unreachable` for a stream that no guest agent
/// would send, `unsafe_path` for a path in it that leads out, and `wrong_state` for more changes than can be kept.
pub fn read_diff(from: impl Read, max_text_bytes: u64) -> Result<WorkspaceDiff, ReadError> {
    let mut reader = TreeReader::new(BufReader::with_capacity(BUFFER_SIZE, from));
    let mut changes = Changes { patcher: Patcher::new(), found: Vec::new(), held: Held::default() };
    loop {
        match reader.record().map_err(ReadError::Stream)? {
            Record::End => return Ok(changes.finish()?),
            Record::Entry(_) => return Err(malformed("it contains an entry of a tree").into()),
            Record::Change(change) => {
                check(&change)?;
                let old = content(&mut reader, change.before.as_ref(), max_text_bytes)?;
                let new = content(&mut reader, change.after.as_ref(), max_text_bytes)?;
                changes.add(change, old.as_deref(), new.as_deref())?;
            }
        }
    }
}

/// A change that was read.
struct Found {
    path: Vec<u8>,
    status: DiffStatus,
    artifact_type: ArtifactType,
    patch: Patch,
}

enum Patch {
    /// A patch as text, and its bytes if they are not UTF-8.
    Text { text: String, raw: Option<Vec<u8>> },
    /// Nothing that a patch would say is different.
    Nothing,
    /// What is different does not fit into a patch.
    Impossible,
}

impl Patch {
    fn text(mut patch: Vec<u8>) -> Self {
        patch.shrink_to_fit();
        match String::from_utf8(patch) {
            Ok(text) => Self::Text { text, raw: None },
            Err(error) => {
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                Self::Text { text, raw: Some(error.into_bytes()) }
            }
        }
    }
}

struct Changes {
    patcher: Patcher,
    found: Vec<Found>,
    held: Held,
}

/// How many bytes a diff holds, or will.
#[derive(Default)]
struct Held {
    paths: usize,
    /// Patches as text.
    texts: usize,
    /// Their bytes.
    raw: usize,
    /// Whether the bytes are held too: some of them are not UTF-8.
    is_raw: bool,
}

impl Held {
    fn add(&mut self, found: &Found) {
        self.paths += found.path.len();
        if let Patch::Text { text, raw } = &found.patch {
            self.texts += text.len();
            self.raw += raw.as_ref().map_or(text.len(), Vec::len);
            self.is_raw |= raw.is_some();
        }
    }

    /// A text is held twice: alone, and in the patch of all.
    fn bytes(&self) -> usize {
        self.paths + 2 * self.texts + if self.is_raw { self.raw } else { 0 }
    }
}

impl Changes {
    fn add(&mut self, change: Change, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<(), Error> {
        let (status, node) = match (&change.before, &change.after) {
            (None, Some(after)) => (DiffStatus::Added, after),
            (Some(before), None) => (DiffStatus::Deleted, before),
            (Some(before), Some(after)) if artifact_type(before) == artifact_type(after) => {
                (DiffStatus::Modified, after)
            }
            (Some(_), Some(after)) => (DiffStatus::TypeChanged, after),
            (None, None) => return Err(malformed("a change has no side")),
        };
        let artifact_type = artifact_type(node);
        let patch = self.patch(&change, old, new);
        let found = Found { path: change.path, status, artifact_type, patch };
        self.held.add(&found);
        if self.held.bytes() > MAX_BYTES || self.found.len() >= MAX_CHANGES {
            return Err(too_many());
        }
        self.found.push(found);
        Ok(())
    }

    fn patch(&self, change: &Change, old: Option<&[u8]>, new: Option<&[u8]>) -> Patch {
        let sides = (side(change.before.as_ref(), old), side(change.after.as_ref(), new));
        let (Ok(old), Ok(new)) = sides else { return Patch::Impossible };
        if old.is_none() && new.is_none() {
            return Patch::Nothing; // directories
        }
        match self.patcher.patch(&change.path, old, new) {
            Some(patch) if patch.is_empty() => Patch::Nothing,
            Some(patch) => Patch::text(patch),
            None => Patch::Impossible,
        }
    }

    fn finish(mut self) -> Result<WorkspaceDiff, Error> {
        self.found.sort_by(|a, b| a.path.cmp(&b.path));
        if let Some(twice) = self.found.windows(2).find(|pair| pair[0].path == pair[1].path) {
            return Err(malformed(&format!("`{}` comes twice", shown(&twice[0].path))));
        }
        let mut diff = WorkspaceDiff { changed: !self.found.is_empty(), ..WorkspaceDiff::default() };
        diff.entries.reserve_exact(self.found.len());
        diff.patch.reserve_exact(self.held.texts);
        diff.raw_patch = self.held.is_raw.then(|| Vec::with_capacity(self.held.raw));
        for found in self.found {
            diff.summary.count(&found);
            let Found { path, status, artifact_type, patch } = found;
            let text_patch = match patch {
                Patch::Text { text, raw } => {
                    diff.patch.push_str(&text);
                    if let Some(whole) = &mut diff.raw_patch {
                        whole.extend_from_slice(raw.as_deref().unwrap_or(text.as_bytes()));
                    }
                    Some(text)
                }
                Patch::Nothing | Patch::Impossible => None,
            };
            diff.entries.push(DiffEntry { path: text_of(path), status, artifact_type, text_patch });
        }
        Ok(diff)
    }
}

impl DiffSummary {
    fn count(&mut self, found: &Found) {
        self.total += 1;
        match found.status {
            DiffStatus::Added => self.added += 1,
            DiffStatus::Modified => self.modified += 1,
            DiffStatus::Deleted => self.deleted += 1,
            DiffStatus::TypeChanged => self.type_changed += 1,
        }
        match found.patch {
            Patch::Text { .. } => self.text_patched += 1,
            Patch::Impossible => self.non_text += 1,
            Patch::Nothing => {}
        }
    }
}

fn artifact_type(node: &Node) -> ArtifactType {
    match node.kind {
        NodeKind::Directory => ArtifactType::Directory,
        NodeKind::File { .. } => ArtifactType::File,
        NodeKind::Symlink { .. } => ArtifactType::Symlink,
        NodeKind::Other => ArtifactType::Other,
    }
}

/// What git sees on one side: nothing where there is nothing or a directory; an error where it is no text.
fn side<'a>(node: Option<&'a Node>, content: Option<&'a [u8]>) -> Result<Option<Blob<'a>>, ()> {
    let Some(node) = node else { return Ok(None) };
    match &node.kind {
        NodeKind::Directory => Ok(None),
        NodeKind::Other => Err(()),
        NodeKind::Symlink { target } => Ok(Some(Blob { mode: GitMode::Symlink, content: target })),
        NodeKind::File { .. } => match content {
            Some(text) if !text.iter().take(LOOKED_AT).any(|&byte| byte == 0) => {
                Ok(Some(Blob { mode: GitMode::of_file(node.mode), content: text }))
            }
            _ => Err(()),
        },
    }
}

fn check(change: &Change) -> Result<(), Error> {
    check_path(&change.path).map_err(|fault| {
        let name = shown(&change.path);
        Error::new(
            ErrorKind::UnsafePath,
            format!("the diff is refused because of its path `{name}`: {fault}"),
        )
    })?;
    for node in [&change.before, &change.after].into_iter().flatten() {
        match &node.kind {
            NodeKind::File { .. } => {}
            _ if node.content => return Err(malformed("something else than a file has content")),
            NodeKind::Symlink { target }
                if target.is_empty() || target.len() > MAX_PATH || target.contains(&0) =>
            {
                return Err(malformed("the target of a link is empty, too long or has a zero byte"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The content that a node announces.
fn content<R: Read>(
    reader: &mut TreeReader<R>,
    node: Option<&Node>,
    max_text_bytes: u64,
) -> Result<Option<Vec<u8>>, ReadError> {
    if !node.is_some_and(|node| node.content) {
        return Ok(None);
    }
    let mut content = Vec::new();
    while let Some(piece) = reader.piece().map_err(ReadError::Stream)? {
        if (content.len() + piece.len()) as u64 > max_text_bytes {
            return Err(malformed("a content is longer than was asked for").into());
        }
        content.extend_from_slice(piece);
    }
    Ok(Some(content))
}

fn too_many() -> Error {
    let mib = MAX_BYTES / (1024 * 1024);
    let message = format!(
        "the workspace has more changes than a diff holds: {MAX_CHANGES}, or {mib} MiB of paths and patches, where a \
         patch counts at least twice: alone, and in the patch of all"
    );
    Error::new(ErrorKind::WrongState, message)
        .with_hint("export what you need, and delete what was only built")
}

fn malformed(why: &str) -> Error {
    Error::new(ErrorKind::GuestUnreachable, format!("the guest did not send a diff: {why}"))
}
