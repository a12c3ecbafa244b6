//! Reads a tar archive member by member: ustar, GNU (long names, sparse files) and PAX.
//!
//! The headers are those of the crate `tar`. Its own walk over an archive is not used, because it takes names of any
//! length into memory, cuts PAX values at line feeds (a name or an extended attribute may hold one, and what follows
//! would then get the wrong name), and takes an archive that was cut off between two members for a whole one.

use std::collections::VecDeque;
use std::io::{self, Read};
use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

const BLOCK: u64 = 512;

/// The longest header that describes another member: names, attributes.
const MAX_EXTENSION: u64 = 1024 * 1024;

/// The most pieces of a sparse file.
const MAX_PIECES: usize = 100_000;

/// The most zeros behind the end of an archive.
const MAX_TAIL: u64 = 64 * 1024 * 1024;

/// One member.
pub(super) struct Member {
    /// As it is written in the archive.
    pub name: Vec<u8>,
    /// The target of a link, as it is written.
    pub link: Vec<u8>,
    /// What it is.
    pub kind: EntryType,
    /// Permission bits.
    pub mode: u32,
    /// Seconds since the epoch.
    pub mtime_seconds: i64,
    /// And nanoseconds.
    pub mtime_nanos: u32,
    /// The bytes of its content, holes included.
    pub size: u64,
}

/// The archive. The content of each member must be read (by `Read`) before the next one is asked for.
pub(super) struct TarReader<R> {
    from: R,
    content: VecDeque<Piece>,
    padding: u64,
}

#[derive(Clone, Copy)]
struct Piece {
    is_hole: bool,
    left: u64,
}

/// What the headers before a member say about it.
#[derive(Default)]
struct Extensions {
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    mtime: Option<(i64, u32)>,
    has_pax: bool,
}

impl<R: Read> TarReader<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, content: VecDeque::new(), padding: 0 }
    }

    /// The next member; `None` at the end. `InvalidData` for what is no tar archive, `UnexpectedEof` for one that is
    /// cut off.
    pub(super) fn next(&mut self) -> io::Result<Option<Member>> {
        let mut extensions = Extensions::default();
        let mut extended = false;
        loop {
            self.skip_padding()?;
            let Some(header) = self.header()? else {
                return if extended { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(None) };
            };
            let size = header.entry_size()?;
            match header.entry_type() {
                EntryType::GNULongName => extensions.long_name = Some(self.extension_text(size)?),
                EntryType::GNULongLink => extensions.long_link = Some(self.extension_text(size)?),
                EntryType::XHeader => extensions.read_pax(&self.extension(size)?)?,
                EntryType::XGlobalHeader => drop(self.extension(size)?),
                _ => return self.member(&header, size, extensions).map(Some),
            }
            extended |= header.entry_type() != EntryType::XGlobalHeader;
        }
    }

    fn member(&mut self, header: &Header, size: u64, extensions: Extensions) -> io::Result<Member> {
        let kind = header.entry_type();
        let has_content = !matches!(kind, EntryType::Link | EntryType::Symlink); // their size counts nothing
        let stored = if has_content { extensions.size.unwrap_or(size) } else { 0 };
        let blocks =
            stored.checked_next_multiple_of(BLOCK).ok_or_else(|| invalid("a size is out of range"))?;
        self.padding = blocks - stored;
        self.content.clear();
        let size = if kind == EntryType::GNUSparse {
            self.sparse_pieces(header, stored)?
        } else {
            self.content.push_back(Piece { is_hole: false, left: stored });
            stored
        };
        // A time that went wrong in an archive is no reason to refuse it.
        let (mtime_seconds, mtime_nanos) =
            extensions.mtime.unwrap_or_else(|| (header.mtime().unwrap_or(0).cast_signed(), 0));
        let written_link = || header.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default();
        Ok(Member {
            name: extensions
                .long_name
                .or(extensions.name)
                .unwrap_or_else(|| header.path_bytes().into_owned()),
            link: extensions.long_link.or(extensions.link).unwrap_or_else(written_link),
            kind,
            mode: header.mode()? & 0o7777,
            mtime_seconds,
            mtime_nanos,
            size,
        })
    }

    /// The pieces of a sparse file in the format of GNU; its size.
    fn sparse_pieces(&mut self, header: &Header, stored: u64) -> io::Result<u64> {
        let gnu = header.as_gnu().ok_or_else(|| invalid("a sparse file without the header of GNU"))?;
        let mut map = SparseMap { end: 0, stored_left: stored, pieces: VecDeque::new() };
        gnu.sparse.iter().try_for_each(|piece| map.add(piece))?;
        let mut more = gnu.is_extended();
        while more {
            let mut extended = GnuExtSparseHeader::new();
            self.from.read_exact(extended.as_mut_bytes())?;
            extended.sparse.iter().try_for_each(|piece| map.add(piece))?;
            more = extended.is_extended();
        }
        let size = gnu.real_size()?;
        if map.stored_left != 0 || size < map.end {
            return Err(invalid("the map of a sparse file does not fit its size"));
        }
        map.pieces.push_back(Piece { is_hole: true, left: size - map.end });
        self.content = map.pieces;
        Ok(size)
    }

    /// The next header that is not all zeros; `None` at the end, which at least one block of zeros announces.
    fn header(&mut self) -> io::Result<Option<Header>> {
        let mut header = Header::new_old();
        let mut zeros = 0_u64;
        loop {
            let read = read_up_to(&mut self.from, header.as_mut_bytes())?;
            let is_zero = header.as_bytes()[..read].iter().all(|&byte| byte == 0);
            if (read as u64) < BLOCK {
                let ended = zeros > 0 && is_zero;
                return if ended { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
            if !is_zero {
                break;
            }
            zeros += BLOCK;
            if zeros > MAX_TAIL {
                return Err(invalid("it does not end"));
            }
        }
        let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
        let bytes = header.as_bytes();
        if header.cksum().ok() != Some(sum(&bytes[..148]) + 8 * 32 + sum(&bytes[156..])) {
            return Err(invalid("the checksum of a header is wrong"));
        }
        Ok(Some(header))
    }

    fn extension(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > MAX_EXTENSION {
            return Err(invalid("a name, or another attribute, is too long"));
        }
        let mut bytes = vec![0; size as usize]; // at most MAX_EXTENSION
        self.from.read_exact(&mut bytes)?;
        self.padding = size.next_multiple_of(BLOCK) - size;
        Ok(bytes)
    }

    /// A long name, which a zero byte ends.
    fn extension_text(&mut self, size: u64) -> io::Result<Vec<u8>> {
        let mut bytes = self.extension(size)?;
        if bytes.last() == Some(&0) {
            bytes.pop();
        }
        Ok(bytes)
    }

    fn skip_padding(&mut self) -> io::Result<()> {
        let mut zeros = [0; BLOCK as usize];
        let padding = std::mem::take(&mut self.padding) as usize; // less than a block
        self.from.read_exact(&mut zeros[..padding])
    }
}

/// The content of the member that came last.
impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.content.front().is_some_and(|piece| piece.left == 0) {
            self.content.pop_front();
        }
        let Some(piece) = self.content.front_mut() else { return Ok(0) };
        let wanted = usize::try_from(piece.left).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = &mut buffer[..wanted];
        let n_bytes = if piece.is_hole {
            buffer.fill(0);
            wanted
        } else {
            self.from.read(buffer)?
        };
        if n_bytes == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        piece.left -= n_bytes as u64;
        Ok(n_bytes)
    }
}

struct SparseMap {
    end: u64,
    stored_left: u64,
    pieces: VecDeque<Piece>,
}

impl SparseMap {
    fn add(&mut self, piece: &GnuSparseHeader) -> io::Result<()> {
        if piece.is_empty() {
            return Ok(());
        }
        let (offset, length) = (piece.offset()?, piece.length()?);
        let hole = offset.checked_sub(self.end);
        let end = offset.checked_add(length);
        let stored_left = self.stored_left.checked_sub(length);
        let (Some(hole), Some(end), Some(stored_left)) = (hole, end, stored_left) else {
            return Err(invalid("the map of a sparse file is out of order"));
        };
        if self.pieces.len() >= MAX_PIECES {
            return Err(invalid("a sparse file has too many pieces"));
        }
        self.pieces.push_back(Piece { is_hole: true, left: hole });
        self.pieces.push_back(Piece { is_hole: false, left: length });
        (self.end, self.stored_left) = (end, stored_left);
        Ok(())
    }
}

impl Extensions {
    /// Records of the form `<length> <key>=<value>\n`, where the length counts all of it.
    fn read_pax(&mut self, mut rest: &[u8]) -> io::Result<()> {
        if std::mem::replace(&mut self.has_pax, true) {
            return Err(invalid("two PAX headers describe one member"));
        }
        while !rest.is_empty() && rest[0] != 0 {
            let (key, value, after) = pax_record(rest).ok_or_else(|| invalid("a PAX header is malformed"))?;
            rest = after;
            match key {
                b"path" => self.name = Some(value.to_vec()).filter(|name| !name.is_empty()),
                b"linkpath" => self.link = Some(value.to_vec()).filter(|name| !name.is_empty()),
                b"size" => self.size = Some(number(value).ok_or_else(|| invalid("a PAX size is no number"))?),
                b"mtime" => self.mtime = pax_time(value),
                key if key.starts_with(b"GNU.sparse.") => {
                    return Err(invalid(
                        "it holds sparse files in a form that is not read: make it again with `tar --format=gnu`, \
                         or without `--sparse`",
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn pax_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|&byte| byte == b' ')?;
    let length = usize::try_from(number(&bytes[..space])?).ok()?;
    let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &bytes[length..]))
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.iter().all(u8::is_ascii_digit) { std::str::from_utf8(digits).ok()?.parse().ok() } else { None }
}

/// Seconds with a fraction, as in `-1.25`, as whole seconds and the nanoseconds that follow them.
fn pax_time(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanos = u32::try_from(number(digits.as_bytes())?).ok()?;
    let seconds: i64 = whole.parse().ok()?;
    if whole.starts_with('-') && nanos > 0 {
        return Some((seconds.checked_sub(1)?, 1_000_000_000 - nanos));
    }
    Some((seconds, nanos))
}

/// Reads until the buffer is full or the reader ends.
pub(super) fn read_up_to(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n_bytes) => filled += n_bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}
