//! What the process's environment says of machines. For front ends that have no flags: those that have some let the
//! flags win.

use crate::error::{Error, Result};
use crate::vm::accelerator::AcceleratorChoice;

/// Names the accelerator: `kvm` or `tcg`, instead of a measurement.
pub const ACCELERATOR_VARIABLE: &str = "PYRO_ACCEL";

/// Names the Debian mirror that environments are pulled from.
pub const MIRROR_VARIABLE: &str = "PYRO_DEBIAN_MIRROR";

/// The settings of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// What runs the guests.
    pub accelerator: AcceleratorChoice,
    /// Where environments are pulled from, if not from where the host's apt takes its packages.
    pub mirror: Option<String>,
}

impl Settings {
    /// Reads them. What is empty counts as not there.
    ///
    /// # Errors
    /// `invalid_argument` for an accelerator that there is not, and for what is no text.
    pub fn from_environment() -> Result<Self> {
        let accelerator = variable(ACCELERATOR_VARIABLE)?.map(|text| text.parse()).transpose()?;
        Ok(Self { accelerator: accelerator.unwrap_or_default(), mirror: variable(MIRROR_VARIABLE)? })
    }
}

fn variable(name: &str) -> Result<Option<String>> {
    let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    let no_text = |_| Error::invalid(format!("{name} is not valid UTF-8")).with_hint(format!("unset {name}"));
    value.into_string().map(Some).map_err(no_text)
}
