//! Python for what is built and tested with it: environments below the target folder, never the system's own.

use crate::run::{run, target_dir};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A virtual environment.
pub struct Venv {
    folder: PathBuf,
}

impl Venv {
    /// The one of this name, with these requirements. It is made anew when they, or `python3`, are others than the last
    /// time.
    pub fn with(name: &str, requirements: &str) -> Result<Self, String> {
        let venv = Self { folder: target_dir().join("python").join(name) };
        let stamp = venv.folder.join("requirements.txt");
        let requirements = format!("# {}\n{requirements}", version()?);
        if fs::read_to_string(&stamp).is_ok_and(|made_of| made_of == requirements) {
            return Ok(venv);
        }
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

    /// The one in a folder, as it is.
    #[cfg(test)]
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
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

/// The version of `python3`, on one line, and where it is.
fn version() -> Result<String, String> {
    let question = "import sys; print(' '.join(sys.version.split()), sys.executable); \
                    sys.exit(sys.version_info < (3, 10))";
    let answer = Command::new("python3").args(["-c", question]).stderr(Stdio::inherit()).output();
    let answer = answer.map_err(|error| format!("could not run `python3`: {error}"))?;
    if answer.status.success() {
        return Ok(String::from_utf8_lossy(&answer.stdout).trim().to_owned());
    }
    Err("`python3` is older than 3.10, the oldest that the package supports".into())
}
