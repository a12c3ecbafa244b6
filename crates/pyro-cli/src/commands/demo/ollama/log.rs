//! The lines that are printed while the conversation goes on.

use crate::commands::demo::shortened;
use crate::commands::printer::Show;
use crate::output;
use pyro_host::error::{Error, ErrorKind, Result};
use tokio::sync::mpsc;

/// The longest line, in characters.
const MOST_CHARS: usize = 400;

/// The most lines of what somebody says.
const MOST_LINES: usize = 40;

/// How much of a request or an answer is told, in characters.
const MOST_TOLD_CHARS: usize = 2000;

/// A line: what is said, or how far something is.
#[derive(Debug)]
pub enum Line {
    /// For standard output.
    Said(String),
    /// For standard error.
    Note(String),
}

/// Where lines go.
#[derive(Debug)]
pub struct Log {
    lines: mpsc::Sender<Line>,
    verbose: bool,
}

impl Log {
    pub fn new(lines: mpsc::Sender<Line>, verbose: bool) -> Self {
        Self { lines, verbose }
    }

    /// Says something of whoever it is: each line of the text is one.
    pub async fn say(&self, who: &str, text: &str) -> Result<()> {
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        for line in lines.by_ref().take(MOST_LINES) {
            self.send(Line::Said(format!("[{who}] {}", shortened::line(line, MOST_CHARS)))).await?;
        }
        let left_out = lines.count();
        if left_out > 0 {
            self.send(Line::Said(format!("[{who}] [... {left_out} more lines]"))).await?;
        }
        Ok(())
    }

    /// Says what goes over the wire, to those who want to know.
    pub async fn wire(&self, which: &str, body: &str) -> Result<()> {
        if !self.verbose {
            return Ok(());
        }
        let shown = shortened::line(body.trim(), MOST_TOLD_CHARS);
        self.send(Line::Said(format!("[{which}] {} bytes: {shown}", body.len()))).await
    }

    /// Says how far something is.
    pub async fn note(&self, line: String) {
        let _ = self.send(Line::Note(line)).await; // the next line that matters tells that nobody listens
    }

    async fn send(&self, line: Line) -> Result<()> {
        let unheard = |_| Error::new(ErrorKind::OutputClosed, "nobody listens to the conversation any more");
        self.lines.send(line).await.map_err(unheard)
    }
}

/// Prints lines. As JSON nothing but notes.
#[derive(Debug)]
pub struct Lines {
    pub json: bool,
}

impl Show<Line> for Lines {
    fn show(&mut self, line: Line) -> Result<()> {
        match line {
            Line::Said(line) if !self.json => output::text(&format!("{line}\n")),
            Line::Said(_) => Ok(()),
            Line::Note(line) => {
                output::note(&line);
                Ok(())
            }
        }
    }
}
