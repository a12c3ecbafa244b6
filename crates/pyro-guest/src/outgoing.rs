//! The queue of frames to the host. It is bounded by its users: they read from pipes only while it is short.
//!
//! The bytes of commands are read straight into it, behind the place of their header, so that they are not copied
//! once more and nothing has to be cleared.

use pyro_protocol::frame::{self, Channel, HEADER_LEN, Header, Kind};
use pyro_protocol::message::{self, ToHost};

/// Above this many waiting bytes nothing more is read from commands.
pub(crate) const SHORT_BYTES: usize = 64 * 1024;

/// Above this many waiting bytes nothing more is taken from the host, whose messages ask for answers.
pub(crate) const LONG_BYTES: usize = 256 * 1024;

/// Frames under way to the host: the bytes from `start` to `end` of a buffer that is used again and again.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Outgoing {
    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    /// The bytes that wait, first things first.
    pub(crate) fn waiting(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Forgets the first bytes, which have been sent.
    pub(crate) fn sent(&mut self, n_bytes: usize) {
        self.start = (self.start + n_bytes).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Queues a message. One too long for a frame is a defect, and is left out.
    pub(crate) fn message(&mut self, stream: u32, message: &ToHost) {
        if let Ok(payload) = message::encode(message) {
            self.frame(Kind::Message, Channel::Stdin, stream, &payload);
        }
    }

    /// Queues a grant of credit for a stream's standard input.
    pub(crate) fn credit(&mut self, stream: u32, n_bytes: u32) {
        self.frame(Kind::Credit, Channel::Stdin, stream, &n_bytes.to_le_bytes());
    }

    fn frame(&mut self, kind: Kind, channel: Channel, stream: u32, payload: &[u8]) {
        let (header, place) = self.room(payload.len()).split_at_mut(HEADER_LEN);
        header.copy_from_slice(&Header { kind, channel, stream, length: payload.len() }.to_bytes());
        place.copy_from_slice(payload);
        self.end += HEADER_LEN + payload.len();
    }

    /// Queues what `read` puts into the room for at most `most` bytes, and gives what it gave: the number of
    /// bytes read. Queues nothing when that is none or an error.
    pub(crate) fn data(
        &mut self,
        channel: Channel,
        stream: u32,
        most: usize,
        read: impl FnOnce(&mut [u8]) -> nix::Result<usize>,
    ) -> nix::Result<usize> {
        let most = most.min(frame::MAX_PAYLOAD);
        let (header, place) = self.room(most).split_at_mut(HEADER_LEN);
        let length = read(place)?.min(most);
        if length > 0 {
            header.copy_from_slice(&Header { kind: Kind::Data, channel, stream, length }.to_bytes());
            self.end += HEADER_LEN + length;
        }
        Ok(length)
    }

    /// The place for one more frame.
    fn room(&mut self, payload: usize) -> &mut [u8] {
        let needed = HEADER_LEN + payload;
        if self.end + needed > self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            let shortage = (self.end + needed).saturating_sub(self.buffer.len());
            self.buffer.resize(self.buffer.len() + shortage, 0);
        }
        &mut self.buffer[self.end..self.end + needed]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pyro_protocol::frame::Decoder;

    #[test]
    fn frames_come_out_as_they_went_in_whatever_is_sent_between() {
        let (mut outgoing, mut decoder, mut seen) = (Outgoing::default(), Decoder::default(), Vec::new());
        for round in 0..200_u32 {
            outgoing.credit(round, round);
            let read = |place: &mut [u8]| {
                place[..3].copy_from_slice(b"abc");
                Ok(3)
            };
            assert_eq!(outgoing.data(Channel::Stdout, round, 100, read), Ok(3));
            let n_bytes = outgoing.len().min(round as usize % 40);
            decoder.push(&outgoing.waiting()[..n_bytes]);
            outgoing.sent(n_bytes);
            while let Some(frame) = decoder.next().unwrap() {
                seen.push((frame.kind, frame.stream));
            }
        }
        decoder.push(outgoing.waiting());
        while let Some(frame) = decoder.next().unwrap() {
            seen.push((frame.kind, frame.stream));
        }
        let expected: Vec<_> = (0..200).flat_map(|n| [(Kind::Credit, n), (Kind::Data, n)]).collect();
        assert_eq!(seen, expected);
    }
}
