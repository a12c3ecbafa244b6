//! One stream: what the guest may say of a command, in which order, and what waits to be read by the caller.
//!
//! Pure: no input or output. What is kept is bounded by the windows, however small the pieces in which it comes.

use super::session::Violation;
use pyro_protocol::exec::{ExecFailure, Exited};
use pyro_protocol::frame::Channel;
use pyro_protocol::message::ToHost;
use pyro_protocol::{WINDOW_TO_GUEST, WINDOW_TO_HOST};
use std::collections::VecDeque;
use std::task::Waker;

/// Credit is given back in pieces of at least this size, to save messages.
const CREDIT_STEP: u32 = WINDOW_TO_HOST / 4;

/// Above this many pieces, new bytes join an older piece of their channel, whatever came in between.
const PIECES: usize = 1024;

/// How a command's stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The command ran.
    Exited(Exited),
    /// It did not.
    Failed(ExecFailure, String),
}

/// What a caller reads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// The command's process id.
    Started(u32),
    /// Some of its output.
    Bytes(Channel, Vec<u8>),
    /// The end.
    Ended(Outcome),
}

/// One output channel's flow control.
#[derive(Debug, Clone, Copy)]
struct Window {
    /// What the guest may still send.
    left: u32,
    /// What has been read and the guest has got no credit for yet.
    owed: u32,
    ended: bool,
}

/// A stream from its request to the last thing read from it.
#[derive(Debug)]
pub(super) struct Stream {
    running: bool,
    started: Option<u32>,
    pieces: VecDeque<(Channel, Vec<u8>)>,
    outcome: Option<Outcome>,
    windows: [Window; 2],
    stdin_credit: u32,
    /// What the guest may have got of standard input and not given credit for.
    stdin_spent: u32,
    /// Nobody reads any more: what comes is dropped.
    pub(super) abandoned: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

impl Stream {
    /// A stream whose request is being sent.
    pub(super) fn new(stdin: bool) -> Self {
        let window = Window { left: WINDOW_TO_HOST, owed: 0, ended: false };
        Self {
            running: false,
            started: None,
            pieces: VecDeque::new(),
            outcome: None,
            windows: [window; 2],
            stdin_credit: if stdin { WINDOW_TO_GUEST } else { 0 },
            stdin_spent: 0,
            abandoned: false,
            reader: None,
            writer: None,
        }
    }

    /// Whether the guest has closed it.
    pub(super) fn is_closed(&self) -> bool {
        self.outcome.is_some()
    }

    /// A message of the guest.
    pub(super) fn message(&mut self, message: ToHost) -> Result<(), Violation> {
        match message {
            ToHost::Started { pid } if !self.running && !self.is_closed() => {
                self.running = true;
                self.started = Some(pid);
            }
            ToHost::Exited(exited) if self.running && !self.is_closed() => {
                let code = exited.code.is_some_and(|code| (0..=255).contains(&code));
                let signal = exited.signal.is_some_and(|signal| (1..=64).contains(&signal));
                if exited.code.is_some() && exited.signal.is_some() || !(code || signal) {
                    return Err(Violation::new("a command ended in no possible way"));
                }
                self.outcome = Some(Outcome::Exited(exited));
            }
            ToHost::Failed { failure, message } if !self.is_closed() => {
                self.outcome = Some(Outcome::Failed(failure, super::session::printable(&message)));
            }
            _ => return Err(Violation::new("a message on a command's stream came out of order")),
        }
        self.wake();
        Ok(())
    }

    /// Bytes of an output channel. Gives the credit that is due at once because nobody reads.
    pub(super) fn data(&mut self, channel: Channel, bytes: &[u8]) -> Result<Option<u32>, Violation> {
        if !self.running || self.is_closed() {
            return Err(Violation::new("output came on a stream without a running command"));
        }
        let abandoned = self.abandoned;
        let window = self.window(channel)?;
        let n_bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let too_much = Violation::new("more output came than there was credit for");
        window.left = window.left.checked_sub(n_bytes).filter(|_| !window.ended).ok_or(too_much)?;
        if abandoned {
            return Ok(self.taken(channel, n_bytes));
        }
        if !bytes.is_empty() {
            self.keep(channel, bytes);
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
        }
        Ok(None)
    }

    /// Keeps bytes with those of their channel that came just before. A guest that sends single bytes on both
    /// channels in turn must not make us keep a piece for each: beyond a number of pieces they join the last of
    /// their channel, which is one of the last two.
    fn keep(&mut self, channel: Channel, bytes: &[u8]) {
        let n_pieces = self.pieces.len();
        let looked_at = if n_pieces < PIECES { 1 } else { 2 };
        let mut latest = self.pieces.iter_mut().rev().take(looked_at);
        match latest.find(|(of, _)| *of == channel) {
            Some((_, piece)) => piece.extend_from_slice(bytes),
            None => self.pieces.push_back((channel, bytes.to_vec())),
        }
    }

    /// The guest has no more bytes on a channel.
    pub(super) fn end(&mut self, channel: Channel) -> Result<(), Violation> {
        if !self.running || self.is_closed() {
            return Err(Violation::new("output ended on a stream without a running command"));
        }
        let window = self.window(channel)?;
        if std::mem::replace(&mut window.ended, true) {
            return Err(Violation::new("an output channel ended twice"));
        }
        Ok(())
    }

    /// The guest grants room for standard input.
    pub(super) fn credit(&mut self, channel: Channel, n_bytes: u32) -> Result<(), Violation> {
        let too_much = Violation::new("credit came for input that was never sent");
        if channel != Channel::Stdin {
            return Err(Violation::new("credit came for an output channel"));
        }
        self.stdin_spent = self.stdin_spent.checked_sub(n_bytes).ok_or(too_much)?;
        self.stdin_credit += n_bytes;
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
        Ok(())
    }

    /// How much of `wanted` bytes of standard input may be sent now. They count as sent.
    pub(super) fn spend(&mut self, wanted: usize) -> usize {
        let granted = self.stdin_credit.min(u32::try_from(wanted).unwrap_or(u32::MAX));
        self.stdin_credit -= granted;
        self.stdin_spent += granted;
        granted as usize
    }

    /// What the caller reads next, if there is something, and the credit that is due for it.
    pub(super) fn take(&mut self) -> Option<(Item, Option<(Channel, u32)>)> {
        if let Some(pid) = self.started.take() {
            return Some((Item::Started(pid), None));
        }
        if let Some((channel, bytes)) = self.pieces.pop_front() {
            let n_bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let credit = self.taken(channel, n_bytes).map(|credit| (channel, credit));
            return Some((Item::Bytes(channel, bytes), credit));
        }
        self.outcome.clone().map(|outcome| (Item::Ended(outcome), None))
    }

    /// Nobody reads any more. Gives the credit that is due for what was not read, so that the guest can finish.
    pub(super) fn abandon(&mut self) -> [Option<(Channel, u32)>; 2] {
        self.abandoned = true;
        self.started = None;
        let mut unread = [0_u32; 2];
        for (channel, bytes) in self.pieces.drain(..) {
            unread[usize::from(channel == Channel::Stderr)] += u32::try_from(bytes.len()).unwrap_or(0);
        }
        [(Channel::Stdout, unread[0]), (Channel::Stderr, unread[1])]
            .map(|(channel, n_bytes)| self.taken(channel, n_bytes).map(|credit| (channel, credit)))
    }

    /// Wakes whoever waits for this stream.
    pub(super) fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    fn taken(&mut self, channel: Channel, n_bytes: u32) -> Option<u32> {
        let is_closed = self.is_closed();
        let window = self.window(channel).ok()?;
        window.owed += n_bytes;
        if is_closed || window.owed < CREDIT_STEP {
            return None;
        }
        window.left += window.owed;
        Some(std::mem::take(&mut window.owed))
    }

    fn window(&mut self, channel: Channel) -> Result<&mut Window, Violation> {
        match channel {
            Channel::Stdin => Err(Violation::new("the guest sent bytes of standard input")),
            Channel::Stdout => Ok(&mut self.windows[0]),
            Channel::Stderr => Ok(&mut self.windows[1]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running() -> Stream {
        let mut stream = Stream::new(true);
        stream.message(ToHost::Started { pid: 7 }).unwrap();
        stream
    }

    #[test]
    fn single_bytes_on_both_channels_in_turn_make_few_pieces() {
        let mut stream = running();
        for _ in 0..WINDOW_TO_HOST {
            stream.data(Channel::Stdout, b"o").unwrap();
            stream.data(Channel::Stderr, b"e").unwrap();
        }
        assert_eq!(stream.pieces.len(), PIECES);
        stream.data(Channel::Stdout, b"o").unwrap_err();
        let mut totals = [0, 0];
        while let Some((item, _)) = stream.take() {
            if let Item::Bytes(channel, bytes) = item {
                let expected = if channel == Channel::Stdout { b'o' } else { b'e' };
                assert!(bytes.iter().all(|byte| *byte == expected));
                totals[usize::from(channel == Channel::Stderr)] += bytes.len();
            }
        }
        assert_eq!(totals, [WINDOW_TO_HOST as usize; 2]);
    }

    #[test]
    fn credit_comes_back_for_what_was_read_and_not_before() {
        let mut stream = running();
        let half = vec![0; WINDOW_TO_HOST as usize / 2];
        assert_eq!(stream.data(Channel::Stdout, &half), Ok(None));
        assert_eq!(stream.data(Channel::Stdout, &half), Ok(None));
        stream.data(Channel::Stdout, b"x").unwrap_err();
        let mut stream = running();
        stream.data(Channel::Stdout, &half).unwrap();
        assert_eq!(stream.take().unwrap().0, Item::Started(7));
        assert_eq!(stream.take().unwrap().1, Some((Channel::Stdout, WINDOW_TO_HOST / 2)));
    }

    #[test]
    fn an_abandoned_stream_gives_credit_so_that_the_guest_can_finish() {
        let mut stream = running();
        stream.data(Channel::Stderr, &vec![0; CREDIT_STEP as usize]).unwrap();
        assert_eq!(stream.abandon(), [None, Some((Channel::Stderr, CREDIT_STEP))]);
        for _ in 0..100 {
            assert_eq!(stream.data(Channel::Stdout, &vec![0; CREDIT_STEP as usize]), Ok(Some(CREDIT_STEP)));
        }
        assert!(stream.pieces.is_empty());
    }

    #[test]
    fn credit_for_input_that_was_never_sent_is_refused() {
        let mut stream = running();
        assert_eq!(stream.spend(100), 100);
        stream.credit(Channel::Stdin, 101).unwrap_err();
        let mut stream = running();
        assert_eq!(stream.spend(usize::MAX), WINDOW_TO_GUEST as usize);
        assert_eq!(stream.spend(1), 0);
        stream.credit(Channel::Stdin, 1).unwrap();
        assert_eq!(stream.spend(5), 1);
    }
}
