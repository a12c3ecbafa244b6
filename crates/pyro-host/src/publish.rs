//! A port of a guest that is to be reachable from the host.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// `[HOST_PORT:]GUEST_PORT`: connections to a port of the host's loopback address go to a port of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PublishSpec {
    /// The port of 127.0.0.1 on the host; 0 for any that is free.
    pub host_port: u16,
    /// The port in the guest. Whoever listens there has to do so on all addresses, or on that of its network.
    pub guest_port: u16,
}

impl FromStr for PublishSpec {
    type Err = Error;

    /// Reads `8080` (the same port on both sides), `9000:8080`, or `0:8080` (any free port).
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            let shown: String = text.chars().take(80).collect();
            // The example is in the message: command lines show no hint of a value that cannot be read.
            Error::invalid(format!("{shown:?} is no port to publish, such as 8080, 9000:8080 or 0:8080"))
                .with_hint(
                    "give GUEST_PORT or HOST_PORT:GUEST_PORT; 0 as HOST_PORT stands for any that is free",
                )
        };
        let port = |text: &str| -> Result<u16> {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| text.parse().ok()).flatten().ok_or_else(wrong)
        };
        let (host, guest) = text.split_once(':').unwrap_or((text, text));
        let spec = Self { host_port: port(host)?, guest_port: port(guest)? };
        spec.checked().map_err(|_| wrong())
    }
}

impl PublishSpec {
    /// The same, if it can be.
    ///
    /// # Errors
    /// `invalid_argument` for port 0 of the guest.
    pub fn checked(self) -> Result<Self> {
        if self.guest_port != 0 {
            return Ok(self);
        }
        Err(Error::invalid("port 0 of a guest cannot be published").with_hint(
            "name the port that the service listens on; 0 stands for any free port of the host only",
        ))
    }
}

impl fmt::Display for PublishSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "127.0.0.1:{}->{}", self.host_port, self.guest_port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_people_write_them() {
        let read = |text: &str| text.parse::<PublishSpec>().map(|spec| (spec.host_port, spec.guest_port));
        assert_eq!(read("8080").unwrap(), (8080, 8080));
        assert_eq!(read("9000:80").unwrap(), (9000, 80));
        assert_eq!(read("0:80").unwrap(), (0, 80));
        for wrong in
            ["", ":", "80:", ":80", "80:0", "0", "x", "-1", "+80", "65536", "1:2:3", "127.0.0.1:80:80", " 80"]
        {
            let error = read(wrong).unwrap_err();
            assert!(error.message().contains("9000:8080") && error.hint().is_some(), "{wrong}");
        }
    }
}
