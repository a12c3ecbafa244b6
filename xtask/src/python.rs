//! Python for what is built and tested with it: environments below the target folder, never the system's own.

use crate::run::{run, target_dir};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A virtual environment.
pub struct Venv {
    folder: PathBuf,
}

impl Venv {
    /// The one of this name, with these requirements. It is made anew when they are others than the last time.
    pub fn with(name: &str, requirements: &str) -> Result<Self, String> {
        let venv = Self { folder: target_dir().join("python").join(name) };
        let stamp = venv.folder.join("requirements.txt");
        if fs::read_to_string(&stamp).is_ok_and(|made_of| made_of == requirements) {
            return Ok(venv);
        }
        check_version()?;
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv.folder))?;
        // Under another name until everything is installed.
        let wanted = venv.folder.join("wanted.txt");
        let failing = |error| format!("could not write `{}`: {error}", wanted.display());
        fs::write(&wanted, requirements).map_err(failing)?;
        venv.pip(&["install", "--requirement", &wanted.to_string_lossy()])?;
        fs::rename(&wanted, &stamp).map_err(failing)?;
        Ok(venv)
    }

    /// Installs a wheel in the place of any other of its name, with what it needs.
    pub fn install(&self, wheel: &Path) -> Result<(), String> {
        self.pip(&["install", "--force-reinstall", &wheel.to_string_lossy()])
    }

    /// A program in it.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    fn pip(&self, words: &[&str]) -> Result<(), String> {
        let mut python = Command::new(self.program("python"));
        run(python.args(["-m", "pip", "--disable-pip-version-check", "--quiet"]).args(words))
    }
}

fn check_version() -> Result<(), String> {
    let question = "import sys; sys.exit(sys.version_info < (3, 10))";
    let answer = Command::new("python3").args(["-c", question]).status();
    match answer {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("`python3` is older than 3.10, the oldest that the package supports".into()),
        Err(error) => Err(format!("could not run `python3`: {error}")),
    }
}
