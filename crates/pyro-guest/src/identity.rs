//! Checks what a machine is told about who it is, before any of it reaches the kernel or a file.

use pyro_protocol::message::Identity;

/// The longest name that the kernel takes (`sethostname(2)`).
const HOSTNAME_MAX: usize = 64;

/// More entropy than this is of no use, and not taken.
const ENTROPY_MAX: usize = 1024;

/// An identity that is well formed.
#[derive(Debug)]
pub(crate) struct Checked<'a> {
    pub(crate) unix_time_ns: u64,
    pub(crate) entropy: &'a [u8],
    pub(crate) hostname: &'a str,
    pub(crate) machine_id: &'a str,
}

/// Checks every field.
///
/// # Errors
/// Which field is malformed, and how it should be, in words.
pub(crate) fn check(identity: &Identity) -> Result<Checked<'_>, String> {
    let Identity { unix_time_ns, entropy, hostname, machine_id } = identity;
    if !is_hostname(hostname) {
        return Err("the host name is not one to 64 letters, digits, `-` and `.`".into());
    }
    if machine_id.len() != 32 || !machine_id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err("the machine id is not 32 lower-case hexadecimal digits".into());
    }
    if !(1..=ENTROPY_MAX).contains(&entropy.len()) {
        return Err("the entropy is not 1 to 1024 bytes".into());
    }
    Ok(Checked { unix_time_ns: *unix_time_ns, entropy, hostname, machine_id })
}

fn is_hostname(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    name.len() <= HOSTNAME_MAX && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            unix_time_ns: 1,
            entropy: vec![0, 255, 0xa5],
            hostname: "pyro-1.local".into(),
            machine_id: "0123456789abcdef0123456789abcdef".into(),
        }
    }

    #[test]
    fn a_good_identity_passes() {
        assert_eq!(check(&identity()).unwrap().entropy, [0, 255, 0xa5]);
    }

    #[test]
    fn odd_fields_are_refused() {
        for hostname in ["", "a b", "-a", "a-", "a..b", "ä", "a/b", "a\n", &"a".repeat(65)] {
            assert!(check(&Identity { hostname: hostname.into(), ..identity() }).is_err(), "{hostname:?}");
        }
        for machine_id in ["", "0123", "0123456789ABCDEF0123456789abcdef", "g123456789abcdef0123456789abcdef"]
        {
            assert!(
                check(&Identity { machine_id: machine_id.into(), ..identity() }).is_err(),
                "{machine_id:?}"
            );
        }
        for n_bytes in [0, ENTROPY_MAX + 1] {
            assert!(check(&Identity { entropy: vec![0; n_bytes], ..identity() }).is_err(), "{n_bytes}");
        }
    }
}
