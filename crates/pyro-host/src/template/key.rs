//! What a template depends on, and the key made of it.

use crate::environment::Environment;
use crate::error::{Context, ErrorKind, Result};
use crate::fingerprint::sha256_bytes;
use crate::vm::accelerator::Accelerator;
use crate::vm::hypervisor::Hypervisor;
use crate::vm::qemu_args::{self, Start};
use crate::vm::{VmSpec, kernel_cmdline};
use serde::{Deserialize, Serialize};

/// To be raised when templates are made or read in another way.
const FORMAT: u32 = 2;

/// The digest of the guest agent that this build of pyro carries.
pub const GUEST_AGENT_DIGEST: &str = env!("PYRO_GUEST_DIGEST");

/// Everything that a template depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateFacts {
    /// The way templates are made.
    pub format: u32,
    /// The name of the environment at the time.
    pub environment: String,
    /// The environment's digest: root image, kernel and modules.
    pub environment_digest: String,
    /// The digest of the guest agent.
    pub guest_agent_digest: String,
    /// The version of QEMU, as it says it.
    pub qemu: String,
    /// The identity of the QEMU program, as a digest.
    pub qemu_digest: String,
    /// What runs the guest.
    pub accelerator: Accelerator,
    /// The digest of the host's processor and kernel.
    pub cpu_digest: String,
    /// The shape of the machine.
    #[serde(flatten)]
    pub spec: VmSpec,
    /// The disk's size and format.
    pub disk_format: String,
    /// The digest of QEMU's arguments: every device and the constant part of the kernel command line.
    pub arguments_digest: String,
}

impl TemplateFacts {
    /// Whether this build of pyro on this host, as it is now, could use such a template.
    pub fn is_of_this_host(&self, hypervisor: Option<&Hypervisor>) -> bool {
        let same_hypervisor = hypervisor.is_none_or(|hypervisor| {
            let qemu = digest(&hypervisor.qemu.fingerprint).ok();
            qemu.as_ref() == Some(&self.qemu_digest) && hypervisor.cpu_digest == self.cpu_digest
        });
        self.format == FORMAT && self.guest_agent_digest == GUEST_AGENT_DIGEST && same_hypervisor
    }
}

/// The facts with their digest.
#[derive(Debug, Clone)]
pub struct TemplateKey {
    /// What the template depends on.
    pub facts: TemplateFacts,
    /// The digest of that: 32 hexadecimal digits.
    pub digest: String,
}

impl TemplateKey {
    /// The key of the template for this machine.
    pub fn new(hypervisor: &Hypervisor, spec: &VmSpec, environment: &Environment) -> Result<Self> {
        let accelerator = hypervisor.accelerator.kind;
        let cmdline = kernel_cmdline::constant_part(accelerator);
        let start = Start::BootTemplate { cmdline: &cmdline };
        let arguments = qemu_args::build(spec, accelerator, hypervisor.qemu.version, start).join("\n");
        let facts = TemplateFacts {
            format: FORMAT,
            environment: environment.name.clone(),
            environment_digest: environment.digest.clone(),
            guest_agent_digest: GUEST_AGENT_DIGEST.into(),
            qemu: hypervisor.qemu.version_text.clone(),
            qemu_digest: digest(&hypervisor.qemu.fingerprint)?,
            accelerator,
            cpu_digest: hypervisor.cpu_digest.clone(),
            spec: spec.clone(),
            disk_format: spec.disk.format_text(),
            arguments_digest: sha256_bytes(arguments.as_bytes()),
        };
        let mut key = digest(&facts)?;
        key.truncate(32);
        Ok(Self { facts, digest: key })
    }
}

fn digest(value: &impl Serialize) -> Result<String> {
    let json = serde_json::to_vec(value)
        .failing(ErrorKind::Internal, || "could not write a template's key".into())?;
    Ok(sha256_bytes(&json))
}
