//! The terminal emulator, with a bound on its work.

use avt::parser::{AnsiMode, DecMode, Function, State};
use avt::{Line, Observation, Observer, Parser, Screen, ScreenKind, Terminal};
use pyro_protocol::exec::WindowSize;

/// How many cells of the screen may be touched: in any case, and for each byte of text. Ordinary text takes 2 to 20 for
/// each byte; a hundred million take a second at most.
const MIN_WORK: u64 = 50_000_000;
const WORK_PER_BYTE: u64 = 60;

/// How many bytes what has scrolled off may have, likewise.
const MIN_TEXT: usize = 1024 * 1024;
const TEXT_PER_BYTE: usize = 4;

/// A terminal that is being fed.
pub(super) struct Emulator {
    parser: Parser,
    terminal: Terminal,
    scrolled: Scrolled,
    cols: u64,
    rows: u64,
    /// Cells that may still be touched.
    work: u64,
    max_text: usize,
    is_inserting: bool,
    is_exhausted: bool,
}

/// What has scrolled off, as lines with newlines.
#[derive(Default)]
struct Scrolled {
    text: String,
    /// The beginning of a line that was wrapped.
    begun: String,
}

impl Emulator {
    /// `n_bytes` is the length of the text that it will be fed.
    pub fn new(size: WindowSize, n_bytes: usize) -> Self {
        let (cols, rows) = (size.cols.max(2), size.rows.max(1));
        // Without scrollback: what scrolls off is taken at once.
        let terminal = Terminal::new(cols.into(), rows.into()).expect("neither is zero");
        Self {
            parser: Parser::new(),
            terminal,
            scrolled: Scrolled::default(),
            cols: cols.into(),
            rows: rows.into(),
            work: MIN_WORK + WORK_PER_BYTE * n_bytes as u64,
            max_text: MIN_TEXT + TEXT_PER_BYTE * n_bytes,
            is_inserting: false,
            is_exhausted: false,
        }
    }

    /// Reads text for the escape sequence that it may end in.
    pub fn parse_only(&mut self, text: &str) {
        for char in text.chars() {
            self.parser.feed(char);
        }
    }

    /// Shows text. Gives the escape sequence at its end that is not complete.
    pub fn feed<'a>(&mut self, text: &'a str) -> &'a str {
        let mut unfinished = None;
        for (index, char) in text.char_indices() {
            match self.parser.feed(char) {
                // Terminals do not show DEL.
                None | Some(Function::Print('\x7f')) => {}
                Some(function) if self.is_exhausted => self.scrolled.put(&function),
                Some(function) => self.execute(function),
            }
            if self.parser.state == State::Ground {
                unfinished = None;
            } else {
                unfinished.get_or_insert(index);
            }
        }
        unfinished.map_or("", |index| &text[index..])
    }

    fn execute(&mut self, function: Function) {
        let n_cells = self.n_cells(&function);
        if n_cells > self.work || self.scrolled.len() > self.max_text {
            self.is_exhausted = true;
            self.take_screens();
            return self.scrolled.put(&function);
        }
        self.work -= n_cells;
        match &function {
            Function::Sm(modes) => self.is_inserting |= modes.as_slice().contains(&AnsiMode::Insert),
            Function::Rm(_) | Function::Ris | Function::Decstr => self.is_inserting = false,
            _ => {}
        }
        self.terminal.execute_with(function, &mut self.scrolled);
    }

    /// About how many cells are touched.
    fn n_cells(&self, function: &Function) -> u64 {
        let line = self.cols + self.rows;
        let lines = |n_lines: u16| line * u64::from(n_lines).clamp(1, self.rows);
        let print = if self.is_inserting { self.cols } else { 1 };
        match function {
            Function::Print(_) => print,
            Function::Rep(n_chars) => print * 2 * u64::from(*n_chars).max(1),
            Function::Lf | Function::Nel | Function::Ri => line,
            Function::El(_) | Function::Ech(_) | Function::Ich(_) | Function::Dch(_) => self.cols,
            Function::Su(n) | Function::Sd(n) | Function::Il(n) | Function::Dl(n) => lines(*n),
            Function::Ed(_) | Function::Ris | Function::Decaln => line * self.rows,
            Function::Decset(modes) | Function::Decrst(modes) if changes_screen(modes.as_slice()) => {
                line * self.rows
            }
            _ => 1,
        }
    }

    /// Whether it had to do more than it may: then it has not done what came after that.
    pub fn is_exhausted(&self) -> bool {
        self.is_exhausted
    }

    /// Everything that was shown, as far as nothing has overwritten it.
    pub fn into_text(mut self) -> String {
        let ends_line = self.is_below_all();
        if self.is_exhausted {
            self.scrolled.end_line();
        } else {
            self.take_screens();
        }
        let mut text = self.scrolled.text;
        text.truncate(text.trim_end_matches('\n').len());
        if ends_line {
            text.push('\n');
        }
        text
    }

    /// Whether the cursor is below everything that was shown.
    fn is_below_all(&self) -> bool {
        if self.is_exhausted {
            return self.scrolled.begun.is_empty();
        }
        let row = self.terminal.cursor().row;
        let is_first = row == 0 && self.scrolled.len() == 0;
        !is_first && self.terminal.screen().visible_lines().skip(row).all(is_blank)
    }

    fn take_screens(&mut self) {
        self.scrolled.take(self.terminal.primary_screen());
        if self.terminal.active_screen_kind() == ScreenKind::Alternate {
            self.scrolled.take(self.terminal.screen());
        }
    }

    /// What brings another terminal to the same screen.
    pub fn screen(&self) -> String {
        self.terminal.dump()
    }
}

impl Scrolled {
    fn len(&self) -> usize {
        self.text.len() + self.begun.len()
    }

    /// Takes what is on a screen, without its blank end.
    fn take(&mut self, screen: Screen<'_>) {
        for line in screen.all_lines() {
            self.push(line);
        }
        let n_bytes = self.text.trim_end_matches('\n').len();
        self.text.truncate(n_bytes);
        if n_bytes > 0 {
            self.text.push('\n');
        }
    }

    fn push(&mut self, line: &Line) {
        if line.is_wrapped() || !is_blank(line) {
            self.begun.extend(line.chars());
        }
        if !line.is_wrapped() {
            self.end_line();
        }
    }

    fn end_line(&mut self) {
        self.text.push_str(self.begun.trim_end_matches(' '));
        self.text.push('\n');
        self.begun.clear();
    }

    /// Takes what a terminal would be told if it could do nothing but print line after line.
    fn put(&mut self, function: &Function) {
        match function {
            Function::Print(char) => self.begun.push(*char),
            Function::Lf | Function::Nel => self.end_line(),
            _ => {}
        }
    }
}

impl Observer for Scrolled {
    type Output = ();

    fn before(&mut self, context: &mut Observation<'_>, operation: &avt::Operation) {
        if matches!(operation, avt::Operation::Function(Function::Ris)) {
            self.take(context.terminal().primary_screen());
        }
    }

    fn evicted(&mut self, _: &mut Observation<'_>, line: &Line) {
        self.push(line);
    }

    fn end(&mut self, _: &mut Observation<'_>) {}
}

fn is_blank(line: &Line) -> bool {
    line.cells().iter().all(|cell| cell.char() == ' ')
}

fn changes_screen(modes: &[DecMode]) -> bool {
    modes.iter().any(|mode| matches!(mode, DecMode::AltScreenBuffer | DecMode::SaveCursorAltScreenBuffer))
}
