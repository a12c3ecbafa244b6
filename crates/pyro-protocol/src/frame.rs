//! Frames: how messages and bytes of many streams share one byte stream.
//!
//! ```text
//! byte  0      kind       message 1, data 2, credit 3, end 4
//! byte  1      channel    stdin 0, stdout 1, stderr 2; 0 for messages
//! byte  2, 3   zero
//! byte  4 - 7  stream     little endian
//! byte  8 - 11 length     little endian, of the payload, at most MAX_PAYLOAD
//! byte 12 -    payload    a message; raw bytes; a little-endian u32 of credit; nothing
//! ```

use std::fmt;

/// Bytes of a header.
pub const HEADER_LEN: usize = 12;

/// The largest payload of a frame. A longer one is a protocol error.
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One message.
    Message,
    /// Bytes of a channel.
    Data,
    /// Room for more bytes of a channel, granted to their sender.
    Credit,
    /// No more bytes follow on a channel.
    End,
}

/// Which of a stream's byte channels a frame belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// Host to guest.
    Stdin,
    /// Guest to host.
    Stdout,
    /// Guest to host.
    Stderr,
}

/// The first bytes of a frame, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the payload is.
    pub kind: Kind,
    /// Which channel it belongs to; `Stdin` for messages.
    pub channel: Channel,
    /// Which stream; 0 is the session itself.
    pub stream: u32,
    /// Bytes of payload, at most [`MAX_PAYLOAD`].
    pub length: usize,
}

/// One whole frame, its payload borrowed from the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the payload is.
    pub kind: Kind,
    /// Which channel it belongs to; `Stdin` for messages.
    pub channel: Channel,
    /// Which stream; 0 is the session itself.
    pub stream: u32,
    /// The payload. For [`Kind::Credit`] use [`Frame::credit`].
    pub payload: &'a [u8],
}

/// Why bytes are not a frame. There is no way to find the next frame after this: the session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// The kind byte is none of ours.
    UnknownKind(u8),
    /// The channel byte is none of ours.
    UnknownChannel(u8),
    /// The reserved bytes are not zero.
    Reserved,
    /// The payload is longer than a frame may carry, or has the wrong length for its kind.
    Length {
        /// What kind of frame claimed it.
        kind: Kind,
        /// The length that the header claims.
        length: u32,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKind(kind) => write!(f, "a frame has the unknown kind {kind}"),
            Self::UnknownChannel(channel) => write!(f, "a frame has the unknown channel {channel}"),
            Self::Reserved => write!(f, "the reserved bytes of a frame are not zero"),
            Self::Length { kind, length } => write!(f, "a {kind:?} frame claims {length} bytes of payload"),
        }
    }
}

impl std::error::Error for FrameError {}

impl Frame<'_> {
    /// The number of bytes that a credit frame grants. The decoder has checked its length.
    pub fn credit(&self) -> u32 {
        self.payload.try_into().map_or(0, u32::from_le_bytes)
    }
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// When a byte of it is out of range; see [`FrameError`].
    pub fn parse(bytes: &[u8; HEADER_LEN]) -> Result<Self, FrameError> {
        let [kind, channel, zero1, zero2, s0, s1, s2, s3, l0, l1, l2, l3] = *bytes;
        let kind = match kind {
            1 => Kind::Message,
            2 => Kind::Data,
            3 => Kind::Credit,
            4 => Kind::End,
            other => return Err(FrameError::UnknownKind(other)),
        };
        let channel = match channel {
            0 => Channel::Stdin,
            1 => Channel::Stdout,
            2 => Channel::Stderr,
            other => return Err(FrameError::UnknownChannel(other)),
        };
        if zero1 != 0 || zero2 != 0 {
            return Err(FrameError::Reserved);
        }
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let fits = match kind {
            Kind::Message | Kind::Data => length as usize <= MAX_PAYLOAD,
            Kind::Credit => length == 4,
            Kind::End => length == 0,
        };
        if !fits {
            return Err(FrameError::Length { kind, length });
        }
        Ok(Self { kind, channel, stream: u32::from_le_bytes([s0, s1, s2, s3]), length: length as usize })
    }

    /// The header as it is sent. For senders that have the payload in place already; others use [`encode`].
    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        let kind = match self.kind {
            Kind::Message => 1,
            Kind::Data => 2,
            Kind::Credit => 3,
            Kind::End => 4,
        };
        let channel = match self.channel {
            Channel::Stdin => 0,
            Channel::Stdout => 1,
            Channel::Stderr => 2,
        };
        let [s0, s1, s2, s3] = self.stream.to_le_bytes();
        let length = u32::try_from(self.length).unwrap_or(u32::MAX);
        let [l0, l1, l2, l3] = length.to_le_bytes();
        [kind, channel, 0, 0, s0, s1, s2, s3, l0, l1, l2, l3]
    }
}

/// Appends a frame to `out`.
///
/// # Panics
/// When the payload is longer than [`MAX_PAYLOAD`]: senders cut their data first.
pub fn encode(kind: Kind, channel: Channel, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    assert!(payload.len() <= MAX_PAYLOAD, "a sender keeps to MAX_PAYLOAD");
    out.extend_from_slice(&Header { kind, channel, stream, length: payload.len() }.to_bytes());
    out.extend_from_slice(payload);
}

/// Appends a frame that grants `bytes` more bytes on a channel.
pub fn encode_credit(channel: Channel, stream: u32, bytes: u32, out: &mut Vec<u8>) {
    encode(Kind::Credit, channel, stream, &bytes.to_le_bytes(), out);
}

/// Cuts a byte stream into frames. Holds at most one frame and what was pushed with it.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    start: usize,
}

impl Decoder {
    /// Takes bytes as they came. Call [`Decoder::next`] until it gives `None` before pushing more, so that the
    /// buffer stays bounded.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start == self.buffer.len() {
            self.buffer.clear();
        } else if self.start > 0 {
            self.buffer.drain(..self.start);
        }
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// When the bytes are not a frame; the decoder is of no further use then.
    #[expect(
        clippy::should_implement_trait,
        reason = "a frame borrows from the decoder, which Iterator cannot say"
    )]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        let waiting = &self.buffer[self.start..];
        let Some(header) = waiting.first_chunk::<HEADER_LEN>() else { return Ok(None) };
        let header = Header::parse(header)?;
        let Some(payload) = waiting[HEADER_LEN..].get(..header.length) else { return Ok(None) };
        self.start += HEADER_LEN + header.length;
        Ok(Some(Frame { kind: header.kind, channel: header.channel, stream: header.stream, payload }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_frame() -> impl Strategy<Value = (Kind, Channel, u32, Vec<u8>)> {
        let channel = prop_oneof![Just(Channel::Stdin), Just(Channel::Stdout), Just(Channel::Stderr)];
        let content = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| (Kind::Data, bytes)),
            proptest::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| (Kind::Message, bytes)),
            any::<u32>().prop_map(|credit| (Kind::Credit, credit.to_le_bytes().to_vec())),
            Just((Kind::End, Vec::new())),
        ];
        (channel, any::<u32>(), content)
            .prop_map(|(channel, stream, (kind, payload))| (kind, channel, stream, payload))
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting(
            frames in proptest::collection::vec(any_frame(), 0..20),
            cuts in proptest::collection::vec(1_usize..200, 1..50),
        ) {
            let mut bytes = Vec::new();
            for (kind, channel, stream, payload) in &frames {
                encode(*kind, *channel, *stream, payload, &mut bytes);
            }
            let (mut decoder, mut seen, mut rest, mut cuts) = (Decoder::default(), Vec::new(), &bytes[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let n_bytes = (*cuts.next().unwrap()).min(rest.len());
                decoder.push(&rest[..n_bytes]);
                rest = &rest[n_bytes..];
                while let Some(frame) = decoder.next().unwrap() {
                    seen.push((frame.kind, frame.channel, frame.stream, frame.payload.to_vec()));
                }
            }
            prop_assert_eq!(seen, frames);
        }

        #[test]
        fn hostile_bytes_never_panic_nor_grow(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let mut decoder = Decoder::default();
            for piece in bytes.chunks(97) {
                decoder.push(piece);
                loop {
                    match decoder.next() {
                        Ok(Some(frame)) => prop_assert!(frame.payload.len() <= MAX_PAYLOAD),
                        Ok(None) => break,
                        Err(_) => return Ok(()),
                    }
                }
            }
            prop_assert!(decoder.buffer.len() <= 2000);
        }
    }

    #[test]
    fn an_oversized_length_is_refused_before_its_payload_arrives() {
        let mut decoder = Decoder::default();
        decoder.push(&[2, 0, 0, 0, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(decoder.next(), Err(FrameError::Length { kind: Kind::Data, length: u32::MAX }));
    }
}
