//! What an event of the kernel is about, as the number that it carries.

use pyro_protocol::frame::Channel;

/// The token of the port's events.
pub(crate) const PORT: u64 = 0;

/// The token of the events that say that a child has died.
pub(crate) const CHILDREN: u64 = 1;

/// Which pipe of which command an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) stream: u32,
    /// Tells a command from others on the same stream: an event of a command that has gone must not reach its successor.
    pub(crate) serial: u32,
    pub(crate) channel: Channel,
}

const PIPE: u64 = 1 << 63;
const SERIAL_BITS: u32 = 24;

/// The serial number of a command, by how many were started before it: enough of that to tell it from others.
pub(crate) fn serial(n_started: u64) -> u32 {
    (n_started & ((1 << SERIAL_BITS) - 1)) as u32
}

impl Token {
    /// As the kernel keeps it.
    pub(crate) fn to_u64(self) -> u64 {
        let channel = match self.channel {
            Channel::Stdin => 0,
            Channel::Stdout => 1,
            Channel::Stderr => 2,
        };
        PIPE | u64::from(self.stream) << (SERIAL_BITS + 2) | u64::from(self.serial) << 2 | channel
    }

    /// The inverse of [`Token::to_u64`]; `None` for tokens of other things.
    pub(crate) fn from_u64(token: u64) -> Option<Self> {
        let channel = match token & 3 {
            0 => Channel::Stdin,
            1 => Channel::Stdout,
            _ => Channel::Stderr,
        };
        let serial = (token >> 2) as u32 & ((1 << SERIAL_BITS) - 1);
        let stream = ((token & !PIPE) >> (SERIAL_BITS + 2)) as u32;
        (token & PIPE != 0).then_some(Self { stream, serial, channel })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_kernel() {
        for stream in [0, 1, 77, u32::MAX] {
            for serial in [0, 1, (1 << SERIAL_BITS) - 1] {
                for channel in [Channel::Stdin, Channel::Stdout, Channel::Stderr] {
                    let token = Token { stream, serial, channel };
                    assert_eq!(Token::from_u64(token.to_u64()), Some(token));
                }
            }
        }
        assert_eq!(Token::from_u64(PORT), None);
        assert_eq!(Token::from_u64(CHILDREN), None);
    }
}
