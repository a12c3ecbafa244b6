//! Frames in and out of a byte stream: each is preceded by its length, 4 bytes, big-endian.
//!
//! That is how QEMU's `-netdev stream` sends Ethernet frames over a stream. Nothing here reads or writes a socket:
//! that is `thread.rs`. Many frames are taken with one read and given with one write.

use super::shared::{Shared, count};
use crate::plan;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};

/// Bytes of an Ethernet header.
pub(super) const ETHERNET_LEN: usize = 14;

/// The longest frame that is looked at: the longest IP packet, an Ethernet header and a VLAN tag.
const MAX_FRAME: usize = 65535 + 18;

/// The longest that QEMU has a buffer for. A longer one shows that the stream is out of step, or the other end hostile.
const MAX_POSSIBLE: usize = 4096 + 65536;

const LENGTH_LEN: usize = 4;

/// As much is read at once.
const READ_BYTES: usize = 256 * 1024;

/// Takes frames from a stream of bytes.
#[derive(Debug)]
pub(super) struct FrameReader {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

/// The stream says that a frame is longer than any can be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {0} bytes was announced, and none can be longer than {MAX_POSSIBLE}")]
pub(super) struct Impossible(usize);

impl FrameReader {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; READ_BYTES + LENGTH_LEN + MAX_POSSIBLE], start: 0, end: 0 }
    }

    /// Where to read to. Never empty once [`FrameReader::next`] has given all.
    pub(super) fn space(&mut self) -> &mut [u8] {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let until = (self.end + READ_BYTES).min(self.buffer.len());
        &mut self.buffer[self.end..until]
    }

    /// As many bytes were read there.
    pub(super) fn filled(&mut self, bytes: usize) {
        self.end = (self.end + bytes).min(self.buffer.len());
    }

    /// The next whole frame. Those of no possible use are passed over, and counted.
    pub(super) fn next(&mut self, shared: &Shared) -> Result<Option<&[u8]>, Impossible> {
        loop {
            let ready = &self.buffer[self.start..self.end];
            let Some((length, rest)) = ready.split_first_chunk::<LENGTH_LEN>() else { return Ok(None) };
            let length = u32::from_be_bytes(*length) as usize;
            if length > MAX_POSSIBLE {
                return Err(Impossible(length));
            }
            if rest.len() < length {
                return Ok(None);
            }
            let at = self.start + LENGTH_LEN;
            self.start = at + length;
            count(&shared.tally.frames_in);
            shared.tally.bytes_in.fetch_add(length as u64, Relaxed);
            if (ETHERNET_LEN..=MAX_FRAME).contains(&length) {
                return Ok(Some(&self.buffer[at..at + length]));
            }
            count(&shared.tally.dropped_frames);
        }
    }
}

/// What kind of packet is in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EtherType {
    Ipv4,
    Ipv6,
    Arp,
}

impl EtherType {
    fn bytes(self) -> [u8; 2] {
        match self {
            Self::Ipv4 => [0x08, 0x00],
            Self::Ipv6 => [0x86, 0xdd],
            Self::Arp => [0x08, 0x06],
        }
    }
}

/// While as much waits for the guest, connections wait, and answers to datagrams are dropped.
const FULL_BYTES: usize = 512 * 1024;

/// Beyond that nothing is added, not even an acknowledgement. A packet more may be over it.
const BRIM_BYTES: usize = FULL_BYTES + 256 * 1024;

/// Frames on their way to the guest. At most [`BRIM_BYTES`] and one frame wait, besides as much that is being written.
#[derive(Debug)]
pub(super) struct Outbox {
    shared: Arc<Shared>,
    /// What is added to.
    filling: Vec<u8>,
    /// What is written from, and how much of it has been.
    writing: Vec<u8>,
    written: usize,
    /// Who writes.
    writer: Option<Waker>,
    /// The connections that wait for room, by their number.
    waiting: HashMap<u64, Waker>,
}

impl Outbox {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            filling: Vec::new(),
            writing: Vec::new(),
            written: 0,
            writer: None,
            waiting: HashMap::new(),
        }
    }

    /// Whether those who can wait should.
    pub(super) fn is_full(&self) -> bool {
        self.filling.len() >= FULL_BYTES
    }

    /// Adds a frame with a packet of so many bytes, which `fill` writes.
    pub(super) fn packet<R>(&mut self, kind: EtherType, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        if self.filling.len() >= BRIM_BYTES || len > usize::from(plan::MTU) {
            count(&self.shared.tally.dropped_frames);
            return fill(&mut vec![0; len]);
        }
        let frame_len = ETHERNET_LEN + len;
        self.filling.extend_from_slice(&(frame_len as u32).to_be_bytes());
        self.filling.extend_from_slice(&plan::GUEST_MAC);
        self.filling.extend_from_slice(&plan::GATEWAY_MAC);
        self.filling.extend_from_slice(&kind.bytes());
        let at = self.filling.len();
        self.filling.resize(at + len, 0);
        count(&self.shared.tally.frames_out);
        self.shared.tally.bytes_out.fetch_add(frame_len as u64, Relaxed);
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
        fill(&mut self.filling[at..])
    }

    /// Counts a packet that was not added.
    pub(super) fn drop_one(&self) {
        count(&self.shared.tally.dropped_frames);
    }

    /// Wakes a connection once there is room.
    pub(super) fn wait(&mut self, connection: u64, waker: &Waker) {
        self.waiting.insert(connection, waker.clone());
    }

    /// A connection waits no more.
    pub(super) fn forget(&mut self, connection: u64) {
        self.waiting.remove(&connection);
    }

    /// Waits until there is something to write.
    pub(super) fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.bytes().is_empty() {
            self.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// What is to be written next.
    pub(super) fn bytes(&mut self) -> &[u8] {
        if self.written == self.writing.len() {
            self.writing.clear();
            self.written = 0;
            std::mem::swap(&mut self.writing, &mut self.filling);
            for (_, waiting) in self.waiting.drain() {
                waiting.wake();
            }
        }
        &self.writing[self.written..]
    }

    /// As many of them have been written.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written = (self.written + bytes).min(self.writing.len());
    }
}
