//! What a command prints while it runs: the two ends of each output are kept, however long it is.

use crate::cut::{LIMIT, head, joined, share, tail, width};
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

    /// Both outputs, which are no wider than [`LIMIT`] in all. `rest` says how to get what is left out.
    pub fn show(self, rest: &str) -> Shown {
        let limit = share(&[self.stdout.width(), self.stderr.width()], LIMIT);
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

    /// How wide it is, or wider than any result.
    fn width(&self) -> usize {
        if self.last.is_empty() { width(&self.first) } else { END_BYTES }
    }

    fn show(mut self, limit: usize, rest: &str) -> (String, bool) {
        let n_bytes = self.n_bytes();
        let last = if self.n_between == 0 {
            self.first.extend(std::mem::take(&mut self.last));
            if width(&self.first) <= limit {
                return (lossy(&self.first), false);
            }
            &self.first[..]
        } else {
            self.last.make_contiguous()
        };
        let (first, last) = (&self.first[..head(&self.first, limit / 2)], &last[tail(last, limit / 2)..]);
        let left_out = n_bytes - (first.len() + last.len()) as u64;
        (joined(&lossy(first), Some(first.len() as u64), left_out, &lossy(last), rest), true)
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
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
        let (stdout, out_cut) = self.stdout.show(self.offset, rest);
        let (stderr, err_cut) = self.stderr.show(self.offset, rest);
        Shown { stdout, stderr, truncated: out_cut || err_cut }
    }
}

impl Window {
    /// How wide what is shown is: half of what a result has, for each of the two outputs.
    const WIDTH: usize = LIMIT / 2;

    /// As many bytes as that can have, and those after which it is known how the last character ends.
    const MOST_BYTES: usize = 4 * Self::WIDTH + 4;

    fn push(&mut self, offset: u64, bytes: &[u8]) {
        let skipped = usize::try_from(offset - self.n_before).unwrap_or(usize::MAX).min(bytes.len());
        self.n_before += skipped as u64;
        let wanted = &bytes[skipped..];
        let (kept, after) = wanted.split_at(wanted.len().min(Self::MOST_BYTES - self.bytes.len()));
        self.bytes.extend_from_slice(kept);
        self.n_after += after.len() as u64;
    }

    /// The text from the offset on, and whether that is only a part of the output.
    fn show(self, offset: u64, rest: &str) -> (String, bool) {
        let (shown, after) = self.bytes.split_at(head(&self.bytes, Self::WIDTH));
        let n_after = after.len() as u64 + self.n_after;
        let text = lossy(shown);
        if n_after == 0 {
            return (text, self.n_before > 0);
        }
        (joined(&text, Some(offset + shown.len() as u64), n_after, "", rest), true)
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

    /// Reads an output as a model does: as far as it is shown, then from the byte that the answer names.
    fn pages(bytes: &[u8]) -> String {
        let (mut pages, mut offset) = (String::new(), 0);
        loop {
            let mut piece = Piece::at(offset);
            bytes.chunks(65_536).for_each(|bytes| piece.push(OutputChannel::Stdout, bytes));
            let shown = piece.show("ask").stdout;
            let Some((text, told)) = shown.split_once("\n[... ") else { return pages + &shown };
            pages += text;
            let next = told.split_once("from byte ").unwrap().1.split_once(' ').unwrap().0;
            offset = next.parse().unwrap();
        }
    }

    #[test]
    fn pages_lose_nothing_whatever_the_bytes_are() {
        for characters in ["äö", "日本", "😀😁", "\u{1}\0", "a\\\"\n"] {
            for begins in ["", "x", "xy", "xyz"] {
                let text = begins.to_owned() + &characters.repeat(20_000);
                assert!(pages(text.as_bytes()) == text, "{begins}{characters}");
            }
        }
        assert_eq!(pages(&[0xff; 100_000]), "\u{fffd}".repeat(100_000));
    }

    #[test]
    fn what_is_left_out_is_counted_in_the_bytes_that_were_printed() {
        let mut printed = Printed::default();
        printed.push(OutputChannel::Stdout, &[0xff; 100_000]);
        let stdout = printed.show("ask").stdout;
        assert!(stdout.contains("[... 70000 bytes are left out here, from byte 15000 on: ask ...]"));
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
            assert!(width(stdout.as_bytes()) < LIMIT + 100, "{}", stdout.len());
            let (first, rest) = stdout.split_once("\n[... ").unwrap();
            let (n_first, n_last) = (first.len(), rest.split_once(" ...]\n").unwrap().1.len());
            let n_left_out = text.len() - n_first - n_last;
            let told = format!("{n_left_out} bytes are left out here, from byte {n_first} on: ask ...]");
            assert!(rest.starts_with(&told), "{told}");
        }
    }
}
