//! What a command prints while it runs: the two ends of each output are kept, however long it is.

use crate::cut::{LIMIT, cut, first_chars, joined, joined_from, last_chars, share};
use pyro_host::output::OutputChannel;
use std::collections::VecDeque;

/// As many bytes as the most characters can have: an end is never shown up to where it was cut.
const END_BYTES: usize = 4 * LIMIT;

/// The outputs of a command.
#[derive(Debug, Default)]
pub struct Printed {
    stdout: Ends,
    stderr: Ends,
}

/// The outputs as a model is shown them.
#[derive(Debug, PartialEq, Eq)]
pub struct Shown {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Whether something of one of them is left out.
    pub truncated: bool,
}

#[derive(Debug, Default)]
struct Ends {
    first: Vec<u8>,
    last: VecDeque<u8>,
    n_between: u64,
}

impl Printed {
    /// Takes some output.
    pub fn push(&mut self, channel: OutputChannel, bytes: &[u8]) {
        match channel {
            OutputChannel::Stdout => self.stdout.push(bytes),
            OutputChannel::Stderr => self.stderr.push(bytes),
        }
    }

    /// How many bytes have been printed.
    pub fn n_bytes(&self) -> u64 {
        self.stdout.n_bytes() + self.stderr.n_bytes()
    }

    /// Both outputs, which have [`LIMIT`] characters in all. `rest` says how to get what is left out.
    pub fn show(self, rest: &str) -> Shown {
        let limit = share(&[self.stdout.n_chars(), self.stderr.n_chars()], LIMIT);
        let (stdout, out_cut) = self.stdout.show(limit, rest);
        let (stderr, err_cut) = self.stderr.show(limit, rest);
        Shown { stdout, stderr, truncated: out_cut || err_cut }
    }
}

impl Ends {
    fn push(&mut self, bytes: &[u8]) {
        let room = END_BYTES - self.first.len();
        let (first, later) = bytes.split_at(bytes.len().min(room));
        self.first.extend_from_slice(first);
        let skipped = later.len().saturating_sub(END_BYTES);
        self.last.extend(&later[skipped..]);
        let too_many = self.last.len().saturating_sub(END_BYTES);
        self.last.drain(..too_many);
        self.n_between += (skipped + too_many) as u64;
    }

    fn n_bytes(&self) -> u64 {
        (self.first.len() + self.last.len()) as u64 + self.n_between
    }

    /// How many characters there are, or more than any result shows.
    fn n_chars(&self) -> usize {
        if self.last.is_empty() { String::from_utf8_lossy(&self.first).chars().count() } else { END_BYTES }
    }

    fn show(mut self, limit: usize, rest: &str) -> (String, bool) {
        if self.n_between == 0 {
            self.first.extend(self.last);
            let text = String::from_utf8_lossy(&self.first).into_owned();
            let is_cut = text.chars().count() > limit;
            return (cut(text, limit, rest), is_cut);
        }
        let n_bytes = self.n_bytes();
        let (first, last) =
            (String::from_utf8_lossy(&self.first), String::from_utf8_lossy(self.last.make_contiguous()));
        let (first, last) = (first_chars(&first, limit / 2), last_chars(&last, limit / 2));
        let left_out = n_bytes.saturating_sub((first.len() + last.len()) as u64);
        (joined(first, left_out, last, rest), true)
    }
}

/// The outputs of a command from some byte on.
#[derive(Debug)]
pub struct Piece {
    offset: u64,
    stdout: Window,
    stderr: Window,
}

/// Some bytes of an output, how many there were before them, and after them.
#[derive(Debug, Default)]
struct Window {
    bytes: Vec<u8>,
    n_before: u64,
    n_after: u64,
}

impl Piece {
    /// From this byte on.
    pub fn at(offset: u64) -> Self {
        Self { offset, stdout: Window::default(), stderr: Window::default() }
    }

    /// Takes the next output.
    pub fn push(&mut self, channel: OutputChannel, bytes: &[u8]) {
        match channel {
            OutputChannel::Stdout => self.stdout.push(self.offset, bytes),
            OutputChannel::Stderr => self.stderr.push(self.offset, bytes),
        }
    }

    /// Both outputs. `rest` says how to get what comes after them.
    pub fn show(self, rest: &str) -> Shown {
        let truncated = self.stdout.is_part() || self.stderr.is_part();
        let offset = self.offset;
        Shown { stdout: self.stdout.show(offset, rest), stderr: self.stderr.show(offset, rest), truncated }
    }
}

impl Window {
    /// How many bytes are shown: half of what a result has, for each of the two outputs.
    const SIZE: usize = LIMIT / 2;

    fn push(&mut self, offset: u64, bytes: &[u8]) {
        let skipped = usize::try_from(offset - self.n_before).unwrap_or(usize::MAX).min(bytes.len());
        self.n_before += skipped as u64;
        let wanted = &bytes[skipped..];
        let (shown, after) = wanted.split_at(wanted.len().min(Self::SIZE - self.bytes.len()));
        self.bytes.extend_from_slice(shown);
        self.n_after += after.len() as u64;
    }

    fn is_part(&self) -> bool {
        self.n_before + self.n_after > 0
    }

    fn show(self, offset: u64, rest: &str) -> String {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        if self.n_after == 0 {
            return text;
        }
        joined_from(offset, &text, self.n_after, "", rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_goes_on_where_another_ended() {
        let mut piece = Piece::at(3);
        for bytes in [&b"ab"[..], b"cdef", &[b'x'; LIMIT]] {
            piece.push(OutputChannel::Stdout, bytes);
        }
        piece.push(OutputChannel::Stderr, b"no");
        let Shown { stdout, stderr, truncated } = piece.show("ask");
        assert!(truncated && stderr.is_empty());
        let (shown, told) = stdout.split_once('\n').unwrap();
        assert_eq!((shown.len(), &shown[..4]), (LIMIT / 2, "defx"));
        let (n_after, next) = (LIMIT + 3 - LIMIT / 2, LIMIT / 2 + 3);
        assert_eq!(told, format!("[... {n_after} bytes are left out here, from byte {next} on: ask ...]\n"));
    }

    #[test]
    fn short_outputs_are_shown_whole() {
        let mut printed = Printed::default();
        printed.push(OutputChannel::Stdout, b"a\xc3");
        printed.push(OutputChannel::Stderr, b"c");
        printed.push(OutputChannel::Stdout, b"\xa4b");
        assert_eq!(printed.n_bytes(), 5);
        let expected = Shown { stdout: "aäb".into(), stderr: "c".into(), truncated: false };
        assert_eq!(printed.show("ask"), expected);
    }

    #[test]
    fn of_a_long_output_both_ends_are_shown() {
        for n_lines in [10_000, 1_000_000] {
            let mut printed = Printed::default();
            let text: String = (0..n_lines).map(|line| format!("line {line}\n")).collect();
            for piece in text.as_bytes().chunks(65_536) {
                printed.push(OutputChannel::Stdout, piece);
            }
            printed.push(OutputChannel::Stderr, b"warned\n");
            let Shown { stdout, stderr, truncated } = printed.show("ask");
            assert!(truncated && stderr == "warned\n");
            assert!(stdout.starts_with("line 0\nline 1\n"));
            assert!(stdout.ends_with(&format!("line {}\n", n_lines - 1)));
            assert!(stdout.chars().count() < LIMIT + 100, "{}", stdout.len());
            let n_first = stdout.split_once("\n[... ").unwrap().0.len();
            let n_left_out = text.len() - 2 * n_first;
            let told = format!("[... {n_left_out} bytes are left out here, from byte {n_first} on: ask ...]");
            assert!(stdout.contains(&told), "{told}");
        }
    }
}
