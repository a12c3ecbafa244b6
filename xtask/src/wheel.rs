//! Builds the Python package: one wheel with the module and the executable.

use crate::packages;
use crate::python::Venv;
use crate::run::{cargo, project, run, target_dir};
use crate::setup::setup;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// What `pyproject.toml` asks for too.
const MATURIN: &str = "maturin>=1.16,<2\n";

/// How it is compiled.
#[derive(Clone, Copy)]
pub enum Profile {
    /// As users get it.
    Release,
    /// In a third of the time, for tests.
    Dev,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dev => "dev",
        }
    }

    /// Where its wheel is put, so that nobody takes the one of the tests for the other.
    fn wheels(self) -> PathBuf {
        target_dir().join(match self {
            Self::Release => "wheels",
            Self::Dev => "wheels-for-tests",
        })
    }

    /// Where cargo puts what it compiles like this.
    fn folder(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dev => "debug",
        }
    }
}

pub fn wheel() -> Result<(), String> {
    setup()?;
    packages::install_missing_for_wheel()?;
    println!("\n{}", build(Profile::Release, false)?.display());
    Ok(())
}

/// Builds it, and gives its path.
///
/// `has_executable`: that of the profile was built just now, as the tests of the workspace do.
pub fn build(profile: Profile, has_executable: bool) -> Result<PathBuf, String> {
    let venv = Venv::with("build", MATURIN)?;
    if !has_executable || !target_dir().join(profile.folder()).join("pyro").exists() {
        run(cargo().args(["build", "--profile", profile.name(), "--package", "pyro-cli"]))?;
    }
    stage_executable(profile)?;
    let wheels = profile.wheels();
    // What is found there afterwards is the one that was built.
    if wheels.exists() {
        fs::remove_dir_all(&wheels)
            .map_err(|error| format!("could not empty `{}`: {error}", wheels.display()))?;
    }
    let mut maturin = Command::new(venv.program("maturin"));
    maturin.args(["build", "--profile", profile.name(), "--interpreter"]).arg(venv.program("python"));
    run(maturin.arg("--out").arg(&wheels).current_dir(project()))?;
    let mut found = fs::read_dir(&wheels).into_iter().flatten().flatten().map(|entry| entry.path());
    found
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| format!("maturin left no wheel in `{}`", wheels.display()))
}

/// Puts the executable where `pyproject.toml` says: the wheel has it as a script of its own.
fn stage_executable(profile: Profile) -> Result<(), String> {
    let scripts = project().join("target/python/data/scripts");
    let (from, to) = (target_dir().join(profile.folder()).join("pyro"), scripts.join("pyro"));
    let failing = |error| format!("could not copy `{}` to `{}`: {error}", from.display(), to.display());
    fs::create_dir_all(&scripts).map_err(failing)?;
    fs::copy(&from, &to).map(drop).map_err(failing)
}
