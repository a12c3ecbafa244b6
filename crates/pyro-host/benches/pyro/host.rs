//! What all measurements share: the host, the environment, the shape of the machines, the executable.

use crate::Result;
use pyro_host::environment::{Environment, Environments};
use pyro_host::state_dir::StateDir;
use pyro_host::template::{Template, TemplateKey, Templates};
use pyro_host::vm::VmSpec;
use pyro_host::vm::accelerator::AcceleratorChoice;
use pyro_host::vm::hypervisor::Hypervisor;
use std::fs;

/// The environment that is measured.
pub const ENVIRONMENT: &str = "debian:12";

/// Where and with what is measured.
pub struct Host {
    pub state_dir: StateDir,
    pub choice: AcceleratorChoice,
    pub hypervisor: Hypervisor,
    pub environment: Environment,
    pub spec: VmSpec,
}

impl Host {
    /// As the process's environment and pyro's own choice have it.
    pub fn find() -> Result<Self> {
        let state_dir = StateDir::from_environment()?;
        let choice =
            std::env::var("PYRO_ACCEL").ok().map_or(Ok(AcceleratorChoice::Auto), |text| text.parse())?;
        let hypervisor = Hypervisor::find(&state_dir, choice)?;
        let environment = Environments::new(state_dir.clone()).installed(ENVIRONMENT)?;
        let environment = environment.ok_or("debian:12 is not installed: `cargo xtask bench` pulls it")?;
        Ok(Self { state_dir, choice, hypervisor, environment, spec: VmSpec::default() })
    }

    /// The template that `pyro run` uses, built if it is missing.
    pub async fn template(&self) -> Result<Template> {
        let key = self.template_key()?;
        let templates = Templates::new(self.state_dir.clone());
        match templates.find(&key) {
            Some(template) => Ok(template),
            None => Ok(templates.build(&key, &self.hypervisor, &self.spec, &self.environment).await?),
        }
    }

    /// What that template depends on.
    pub fn template_key(&self) -> Result<TemplateKey> {
        Ok(TemplateKey::new(&self.hypervisor, &self.spec, &self.environment)?)
    }

    /// The conditions of the measurements, a line each.
    pub fn conditions(&self) -> Vec<(&'static str, String)> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
        let model = model.and_then(|line| line.split_once(':')).map_or("unknown", |(_, model)| model.trim());
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let accelerator = &self.hypervisor.accelerator;
        vec![
            ("processor", format!("{model}, {cores} cores")),
            ("kernel", kernel.trim().to_owned()),
            ("QEMU", self.hypervisor.qemu.version_text.clone()),
            ("accelerator", format!("{}: {}", accelerator.kind, accelerator.reason)),
            ("environment", format!("{ENVIRONMENT} {}", self.environment.digest)),
            ("machine", format!("{} vCPU, {} MiB", self.spec.vcpu_count, self.spec.mem_mib)),
        ]
    }
}

/// How many processes waited for a processor in the last 1, 5 and 15 minutes, on average.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}
