//! A supervisor that has nothing to do.

use crate::Result;
use crate::lot::Lot;
use crate::processes::{context_switches, memory_mib};
use crate::samples::Samples;
use std::time::Duration;

/// Before it is looked at: what follows on the last command is over then.
const REST: Duration = Duration::from_secs(4);

/// How long its wake-ups are counted.
const COUNTED: Duration = Duration::from_secs(10);

/// An idle supervisor.
pub struct Idle {
    /// Memory that is nobody else's.
    pub private_mib: Samples,
    /// Context switches of all its threads in ten seconds.
    pub wake_ups: Samples,
}

impl Idle {
    /// Looks at the supervisor of a workspace.
    pub async fn measure(lot: &Lot<'_>, id: &str) -> Result<Self> {
        let pid = lot.supervisor(id)?;
        tokio::time::sleep(REST).await;
        let before = context_switches(pid)?;
        tokio::time::sleep(COUNTED).await;
        let wake_ups = (context_switches(pid)? - before).into();
        Ok(Self { private_mib: memory_mib(pid, &["Private_Clean:", "Private_Dirty:"])?.into(), wake_ups })
    }
}
