//! The workspace in which all of this is measured.

use crate::Result;
use crate::executable::Executable;
use crate::host::Host;
use crate::lot::Lot;
use pyro_host::command::Command;
use pyro_host::workspace::{ExecSpec, Workspaces};
use std::time::Duration;

const PROGRAM: &str = include_str!("in_guest.py");

/// Longer than the supervisor waits with its flush after a command, which else would meet what is measured.
const REST: Duration = Duration::from_millis(1500);

/// A workspace without files.
pub struct Guest<'a> {
    pub workspaces: Workspaces,
    pub executable: &'a Executable,
    pub id: String,
    /// Dropped, it deletes the workspace, whatever fails.
    _lot: Lot<'a>,
}

impl<'a> Guest<'a> {
    /// Creates it.
    pub async fn create(host: &Host, executable: &'a Executable) -> Result<Self> {
        let mut lot = Lot::new(host, executable);
        let (id, _) = lot.create(None).await?;
        Ok(Self { workspaces: lot.workspaces.clone(), executable, id, _lot: lot })
    }

    /// What `in_guest.py` prints, as numbers.
    pub async fn program(&self, words: &[&str]) -> Result<Vec<f64>> {
        let words = ["python3", "-c", PROGRAM].iter().chain(words).map(|&word| word.to_owned());
        let printed = self.exec(Command::Argv(words.collect())).await?;
        printed.split_whitespace().map(|number| Ok(number.parse()?)).collect()
    }

    /// What a command prints.
    pub async fn exec(&self, command: Command) -> Result<String> {
        let ended = self.workspaces.exec(&self.id, &ExecSpec::new(command), None, None).await?;
        if ended.exit_code == 0 {
            Ok(ended.stdout)
        } else {
            Err(format!("{:?} ended with {}: {}", ended.command, ended.exit_code, ended.stderr).into())
        }
    }

    /// Waits until nothing follows any more on what was done.
    pub async fn rest(&self) {
        tokio::time::sleep(REST).await;
    }
}
