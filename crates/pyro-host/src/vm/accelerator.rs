//! Which accelerator runs the guest: KVM (the processor itself) or TCG (QEMU's emulation), and why.
//!
//! The choice is a measurement, see `kvm_probe.rs`. It costs some milliseconds, so that its result is kept
//! in the host record until the next boot of the host.

use super::host_record::HostRecord;
use super::kvm_probe;
use crate::error::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::OpenOptions;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::str::FromStr;

/// Real hardware does thousands, a hypervisor that emulates does three.
const SLOWEST_USEFUL_KVM: f64 = 50.0;

const KVM_DEVICE: &str = "/dev/kvm";

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Accelerator {
    /// The processor's own virtualisation, through `/dev/kvm`.
    Kvm,
    /// QEMU's emulation, in user space, on any host.
    Tcg,
}

impl Accelerator {
    /// QEMU's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The group that a QEMU started by root needs for `/dev/kvm`: `None` if none helps, `Some(None)` if it needs none.
#[expect(clippy::option_option, reason = "no way in, a way without a group, a way with one")]
pub(super) fn kvm_group() -> Option<Option<u32>> {
    const GROUP: u32 = 0o060;
    const OTHERS: u32 = 0o006;
    let metadata = std::fs::metadata(KVM_DEVICE).ok()?;
    match metadata.mode() {
        mode if mode & OTHERS == OTHERS => Some(None),
        mode if mode & GROUP == GROUP && metadata.gid() != 0 => Some(Some(metadata.gid())),
        _ => None,
    }
}

/// What the user asked for with `--accel` or `PYRO_ACCEL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AcceleratorChoice {
    /// KVM where it was measured to run guests, else TCG.
    #[default]
    Auto,
    /// This one, whatever was measured.
    Forced(Accelerator),
}

impl FromStr for AcceleratorChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "kvm" => Ok(Self::Forced(Accelerator::Kvm)),
            "tcg" => Ok(Self::Forced(Accelerator::Tcg)),
            other => {
                Err(Error::invalid(format!("the accelerator is `{other}`, which is none of auto, kvm, tcg")))
            }
        }
    }
}

/// The accelerator that will be used, with the reason.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AcceleratorStatus {
    /// KVM or TCG.
    pub kind: Accelerator,
    /// Why, as a sentence without a full stop.
    pub reason: String,
    /// Millions of guest instructions a second that KVM was measured to run, where it ran any.
    pub measured: Option<f64>,
}

/// What there is of KVM on this host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct KvmStatus {
    /// `/dev/kvm` is there.
    pub exists: bool,
    /// This user may read it.
    pub readable: bool,
    /// This user may write it.
    pub writable: bool,
    /// A loop of ordinary guest code ran at a useful speed.
    pub runs_guests: bool,
    /// Millions of guest instructions a second.
    pub million_instructions_per_second: Option<f64>,
    /// Why guests do not run, where they do not.
    pub problem: Option<String>,
}

impl KvmStatus {
    /// Looks at `/dev/kvm` and times guest code on it. Takes up to two seconds on a bad host.
    pub fn measure() -> Self {
        let readable = OpenOptions::new().read(true).open(KVM_DEVICE);
        let writable = OpenOptions::new().read(true).write(true).open(KVM_DEVICE);
        let mut status = Self {
            exists: Path::new(KVM_DEVICE).exists(),
            readable: readable.is_ok(),
            writable: writable.is_ok(),
            runs_guests: false,
            million_instructions_per_second: None,
            problem: None,
        };
        if !status.exists {
            status.problem = Some(format!("{KVM_DEVICE} does not exist"));
        } else if let Err(error) = writable {
            status.problem = Some(format!("{KVM_DEVICE} cannot be opened by this user ({error})"));
        } else {
            status.judge(kvm_probe::measure());
            status.ask_for_another_user();
        }
        status
    }

    /// Root's QEMU runs as another user, who must be able to open the device as well.
    fn ask_for_another_user(&mut self) {
        if self.runs_guests && rustix::process::geteuid().is_root() && kvm_group().is_none() {
            self.runs_guests = false;
            self.problem =
                Some(format!("{KVM_DEVICE} works, but is open to root alone, and QEMU is not run as root"));
        }
    }

    /// Whether guest code ran fast, whoever may run it.
    pub fn is_fast(&self) -> bool {
        self.million_instructions_per_second.is_some_and(|speed| speed >= SLOWEST_USEFUL_KVM)
    }

    /// Whether the answer holds until the host boots again. A refusal may be over with the next login.
    pub(super) fn is_lasting(&self) -> bool {
        self.runs_guests || self.million_instructions_per_second.is_some()
    }

    fn judge(&mut self, measured: std::result::Result<f64, String>) {
        match measured {
            Ok(speed) => {
                self.million_instructions_per_second = Some((speed * 10.0).round() / 10.0);
                self.runs_guests = self.is_fast();
                if !self.runs_guests {
                    self.problem = Some(format!(
                        "{KVM_DEVICE} runs ordinary guest code at {speed:.1} million instructions a second \
                         (hardware does thousands): this host only emulates it"
                    ));
                }
            }
            Err(why) => self.problem = Some(format!("{KVM_DEVICE} did not run guest code: {why}")),
        }
    }
}

/// Decides which accelerator to use.
pub fn choose(choice: AcceleratorChoice, host: &mut HostRecord) -> Result<AcceleratorStatus> {
    match choice {
        AcceleratorChoice::Auto => Ok(measured(host.kvm())),
        forced => choose_measured(forced, &KvmStatus::default()),
    }
}

/// The same from a measurement that was just made.
pub fn choose_measured(choice: AcceleratorChoice, kvm: &KvmStatus) -> Result<AcceleratorStatus> {
    match choice {
        AcceleratorChoice::Auto => Ok(measured(kvm)),
        AcceleratorChoice::Forced(Accelerator::Kvm) => forced_kvm(),
        AcceleratorChoice::Forced(Accelerator::Tcg) => Ok(AcceleratorStatus {
            kind: Accelerator::Tcg,
            reason: "asked for with --accel or PYRO_ACCEL".into(),
            measured: None,
        }),
    }
}

fn forced_kvm() -> Result<AcceleratorStatus> {
    if let Err(error) = OpenOptions::new().read(true).write(true).open(KVM_DEVICE) {
        let message = format!("could not open `{KVM_DEVICE}`, and KVM was asked for");
        return Err(Error::new(ErrorKind::UnsupportedHost, message)
            .with_source(error)
            .with_hint("join the group that owns it (`sudo usermod -aG kvm $USER`, then log in again), or drop --accel kvm"));
    }
    let reason = "asked for with --accel or PYRO_ACCEL".into();
    Ok(AcceleratorStatus { kind: Accelerator::Kvm, reason, measured: None })
}

fn measured(kvm: &KvmStatus) -> AcceleratorStatus {
    let measured = kvm.million_instructions_per_second;
    if kvm.runs_guests {
        let speed = measured.unwrap_or_default();
        let reason = format!("{KVM_DEVICE} runs guest code at {speed:.0} million instructions a second");
        AcceleratorStatus { kind: Accelerator::Kvm, reason, measured }
    } else {
        let reason = kvm.problem.clone().unwrap_or_else(|| format!("{KVM_DEVICE} does not run guests"));
        AcceleratorStatus { kind: Accelerator::Tcg, reason, measured }
    }
}
