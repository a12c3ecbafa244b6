//! The content of files: sending it, comparing it, telling text from other things.

use super::failure::{At, Result, not_written};
use pyro_protocol::tree::TreeWriter;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

const PIECE_BYTES: usize = 128 * 1024;

/// How far a zero byte is looked for, as git does.
const LOOKED_AT_BYTES: usize = 8000;

/// Sends the first `size` bytes of a file, or those that it has by now, and ends its content.
pub(crate) fn send<W: Write>(file: &File, size: u64, to: &mut TreeWriter<W>, path: &[u8]) -> Result<()> {
    let mut buffer = vec![0; buffer_bytes(size)];
    let mut position = 0;
    while position < size {
        let n_bytes = read_piece(file, &mut buffer, position, size).at(path, "could not read the file")?;
        if n_bytes == 0 {
            break;
        }
        to.piece(&buffer[..n_bytes]).map_err(|error| not_written(&error))?;
        position += n_bytes as u64;
    }
    to.end_of_content().map_err(|error| not_written(&error))
}

/// Whether two files of this size have the same bytes.
pub(crate) fn same(one: &File, other: &File, size: u64) -> io::Result<bool> {
    let mut buffers = [vec![0; buffer_bytes(size)], vec![0; buffer_bytes(size)]];
    let mut position = 0;
    while position < size {
        let [left, right] = &mut buffers;
        let n_bytes = read_piece(one, left, position, size)?;
        let n_others = read_piece(other, right, position, size)?;
        if n_bytes != n_others || left[..n_bytes] != right[..n_bytes] {
            return Ok(false);
        }
        if n_bytes == 0 {
            break;
        }
        position += n_bytes as u64;
    }
    Ok(true)
}

/// Whether a file looks like text.
pub(crate) fn is_text(file: &File, size: u64) -> io::Result<bool> {
    let mut buffer = [0; LOOKED_AT_BYTES];
    let n_bytes = read_piece(file, &mut buffer, 0, size)?;
    Ok(!buffer[..n_bytes].contains(&0))
}

fn buffer_bytes(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX).min(PIECE_BYTES)
}

/// Fills the buffer from a position, as far as the file and `size` go.
fn read_piece(file: &File, buffer: &mut [u8], position: u64, size: u64) -> io::Result<usize> {
    let left = usize::try_from(size - position).unwrap_or(usize::MAX);
    let most = buffer.len().min(left);
    let mut n_bytes = 0;
    while n_bytes < most {
        match file.read_at(&mut buffer[n_bytes..most], position + n_bytes as u64) {
            Ok(0) => break,
            Ok(n_more) => n_bytes += n_more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(n_bytes)
}
