//! Who a machine is: made afresh for every machine, never twice the same.

use crate::clock::unix_time_ns;
use crate::error::{Context, Result};
use crate::fingerprint::hex;
use pyro_protocol::message::Identity;
use rustix::rand::{GetRandomFlags, getrandom};

/// What seeds the guest kernel's generator: twice the size of its state.
const ENTROPY_BYTES: usize = 64;

/// A new identity, with the time of now.
pub fn fresh() -> Result<Identity> {
    let machine_id: [u8; 16] = random()?;
    let entropy: [u8; ENTROPY_BYTES] = random()?;
    let machine_id = hex(&machine_id);
    Ok(Identity {
        unix_time_ns: unix_time_ns(),
        entropy: entropy.into(),
        hostname: format!("pyro-{}", &machine_id[..12]),
        machine_id,
    })
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom(&mut bytes, GetRandomFlags::empty())
        .doing(|| "could not get random bytes from the host".into())?;
    Ok(bytes)
}
