//! Text that a terminal was sent, as its user would have seen it.
//!
//! It comes from the guest, so it may be anything: the work that it makes is bounded, and so is what comes out of it.

mod emulator;

#[cfg(test)]
mod tests;

use emulator::Emulator;
use pyro_protocol::exec::WindowSize;

/// How much of the end of text is shown where all of it would be too much work.
const END_BYTES: usize = 64 * 1024;

/// Makes a terminal that shows anything an empty one: leaves the alternate screen, and resets modes, colours, margins.
pub const CLEAR: &str = "\x1b[?1049l\x1b[!p\x1b[0m\x1b(B\x1b[r\x1b[H\x1b[2J";

/// What somebody in front of the terminal could have read: all lines, those that have scrolled off included. Carriage
/// returns, backspaces and movements of the cursor are applied, escape sequences are gone. Lines that were wrapped are
/// one again. Blanks at the end of lines, and blank lines at the end, are left out; there is a newline at the end if the
/// cursor is below the last line. If the alternate screen is shown at the end (by an editor or a pager), it follows the
/// lines; otherwise there is nothing of it.
///
/// `before` is what came just before the text: of an escape sequence that begins there, the rest is no text.
///
/// Text that makes far more work than any program's does, as by filling the screen with every few bytes, is printed line
/// after line from there on, as a terminal would that knows nothing else.
pub fn plain(before: &str, text: &str, size: WindowSize) -> String {
    let mut emulator = Emulator::new(size, text.len());
    emulator.parse_only(before);
    emulator.feed(text);
    emulator.into_text()
}

/// Escape sequences that bring an empty terminal of the same size to what the text has made of one: its screen, the
/// cursor, colours and modes, without what has scrolled off. What comes after the text can follow it at once. Of text that
/// makes far too much work, only the end is shown.
pub fn screen(text: &str, size: WindowSize) -> String {
    let mut emulator = Emulator::new(size, text.len());
    let mut unfinished = emulator.feed(text);
    if emulator.is_exhausted() {
        emulator = Emulator::new(size, END_BYTES);
        unfinished = emulator.feed(end_of(text));
    }
    emulator.screen() + bracketed_paste(text) + unfinished
}

/// Turns bracketed paste on where the text has left it on, of which the emulator knows nothing.
fn bracketed_paste(text: &str) -> &'static str {
    const ON: &str = "\x1b[?2004h";
    if text.rfind(ON) > text.rfind("\x1b[?2004l") { ON } else { "" }
}

fn end_of(text: &str) -> &str {
    let mut start = text.len().saturating_sub(END_BYTES);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}
