//! The tests of the Python package, and of those who use it, against the wheel, installed as users do it.

use crate::python::Venv;
use crate::run::{project, target_dir};
use crate::tally::Tally;
use crate::wheel::{self, Profile};
use std::fs;
use std::path::Path;
use std::process::Command;

const TESTS: &str = "python/tests";

/// Tests of frameworks that need other versions of what the other tests need.
const FRAMEWORK_TESTS: &str = "python/tests/clients/frameworks";

/// Builds the wheel, installs it into clean environments, and runs the tests there.
///
/// `has_executable`: as for [`wheel::build`].
pub fn run(tally: &mut Tally, has_executable: bool) -> Result<(), String> {
    let wheel = wheel::build(Profile::Dev, has_executable)?;
    let python = venv("sdk", "requirements.txt", &wheel)?;
    tally.run(pytest(&python).arg(TESTS).arg(format!("--ignore={FRAMEWORK_TESTS}")))?;
    let python = venv("frameworks", "requirements-frameworks.txt", &wheel)?;
    tally.run(pytest(&python).arg(FRAMEWORK_TESTS))
}

fn venv(name: &str, requirements: &str, wheel: &Path) -> Result<Venv, String> {
    let path = project().join(TESTS).join(requirements);
    let requirements =
        fs::read_to_string(&path).map_err(|error| format!("could not read `{}`: {error}", path.display()))?;
    let venv = Venv::with(name, &requirements)?;
    venv.install(wheel)?;
    Ok(venv)
}

/// pytest, which names at its end what was skipped and why, without colours: they would hide its closing line.
fn pytest(python: &Venv) -> Command {
    let mut command = Command::new(python.program("python"));
    command.args(["-m", "pytest", "-rs", "--color=no"]).current_dir(project());
    command.env("PYRO_TEST_TARGET", target_dir()).env("PYTHONUNBUFFERED", "1");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_have_no_colours_whatever_the_environment_wants() {
        let command = pytest(&Venv::at(Path::new("/venv")));
        assert!(command.get_args().any(|word| word == "--color=no"));
    }
}
