//! The members of an archive on their way into a stream.

use super::pack::{PackError, Packer};
use super::source::{Archive, Compression};
use super::tar_reader::{Member, TarReader};
use super::zstd_frames::ZstdFrames;
use crate::error::{Error, ErrorKind};
use flate2::bufread::MultiGzDecoder;
use pyro_protocol::tree::{Entry, EntryKind};
use std::io::{self, BufReader, Read, Write};
use tar::EntryType;

const BUFFER_SIZE: usize = 128 * 1024;

/// Packs an archive to its end.
pub(super) fn read<W: Write>(archive: Archive, packer: &mut Packer<'_, W>) -> Result<(), PackError> {
    let file = BufReader::with_capacity(BUFFER_SIZE, archive.file);
    match archive.compression {
        Compression::None => read_tar(file, packer),
        Compression::Gzip => {
            read_tar(BufReader::with_capacity(BUFFER_SIZE, MultiGzDecoder::new(file)), packer)
        }
        Compression::Zstd => read_tar(BufReader::with_capacity(BUFFER_SIZE, ZstdFrames::new(file)), packer),
    }
}

fn read_tar<W: Write>(from: impl Read, packer: &mut Packer<'_, W>) -> Result<(), PackError> {
    let mut reader = TarReader::new(from);
    while let Some(member) = reader.next().map_err(|error| unreadable(&packer.subject, error))? {
        let Some(entry) = entry_of(member, packer)? else { continue };
        let is_file = matches!(entry.kind, EntryKind::File { .. });
        let path = entry.path.clone();
        packer.entry(entry)?;
        if is_file {
            packer.content(&path, &mut reader, &unreadable)?;
        }
    }
    Ok(())
}

/// The entry that a member stands for; `None` for the root itself.
fn entry_of<W: Write>(member: Member, packer: &Packer<'_, W>) -> Result<Option<Entry>, Error> {
    let name = &member.name[..];
    let path = plain_name(name);
    let kind = match member.kind {
        EntryType::Regular | EntryType::Continuous if name.ends_with(b"/") => EntryKind::Directory, // as of old
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            EntryKind::File { size: member.size }
        }
        EntryType::Directory => EntryKind::Directory,
        EntryType::Symlink => EntryKind::Symlink { target: member.link },
        EntryType::Link => EntryKind::HardLink { target: plain_name(&member.link).to_vec() },
        EntryType::Char | EntryType::Block => return Err(packer.check.not_carried(name, "a device")),
        EntryType::Fifo => return Err(packer.check.not_carried(name, "a FIFO")),
        other => {
            let letter = char::from(other.as_byte()).escape_default();
            return Err(packer.check.not_carried(name, &format!("of the unknown type `{letter}`")));
        }
    };
    if kind == EntryKind::Directory {
        if member.size > 0 {
            return Err(packer.check.malformed(name, "it is a directory with content"));
        }
        if path.is_empty() && name.starts_with(b".") {
            return Ok(None);
        }
    }
    Ok(Some(Entry {
        path: path.to_vec(),
        kind,
        mode: member.mode,
        mtime_seconds: member.mtime_seconds,
        mtime_nanos: member.mtime_nanos,
    }))
}

/// A name without the `./` before and the `/` behind it, both of which are usual in archives.
fn plain_name(mut name: &[u8]) -> &[u8] {
    while let Some(rest) = name.strip_prefix(b"./") {
        name = rest;
    }
    if name == b"." {
        return b"";
    }
    match name {
        [rest @ .., b'/'] if !rest.is_empty() => rest,
        _ => name,
    }
}

fn unreadable(subject: &str, error: io::Error) -> Error {
    if error.raw_os_error().is_some() {
        return Error::new(ErrorKind::Io, format!("could not read {subject}")).with_source(error);
    }
    let what = match error.kind() {
        io::ErrorKind::UnexpectedEof => "is cut off",
        _ => "is damaged, or no tar archive",
    };
    let error = if error.kind() == io::ErrorKind::UnexpectedEof {
        io::Error::new(error.kind(), "it ends before its end marker")
    } else {
        error
    };
    Error::invalid(format!("{subject} {what}")).with_source(error).with_hint("make or fetch it again")
}
