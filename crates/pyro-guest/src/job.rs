//! What is to be started, checked and made ready: a command of the user, or a piece of the agent's own work.

use crate::probe;
use crate::spawn::Program;
use crate::tasks;
use crate::tasks::place::Place;
use pyro_protocol::exec::{Exec, ExecFailure, WindowSize};
use pyro_protocol::probe::Probe;
use pyro_protocol::task::Task;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::time::Duration;

/// Where a program is looked for when the request's environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a command never ran.
#[derive(Debug)]
pub(crate) struct NotStarted {
    pub(crate) failure: ExecFailure,
    pub(crate) message: String,
}

/// What is to be started.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) program: Program,
    pub(crate) timeout: Option<Duration>,
    pub(crate) input: Input,
    /// Whether everything that it starts ends with it.
    pub(crate) contained: bool,
    pub(crate) view: View,
}

/// What a program reads, and where it writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// Nothing; pipes for what it writes.
    Null,
    /// A pipe, and pipes for what it writes.
    Pipe,
    /// A terminal of this size, for all of it.
    Terminal(WindowSize),
}

/// Which file systems a program sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// Those of the environment.
    OfCommands,
    /// Those of the agent itself.
    OfAgent,
}

impl Job {
    /// A command of the user.
    pub(crate) fn command(request: &Exec) -> Result<Self, NotStarted> {
        let input = match request.terminal {
            Some(size) => Input::Terminal(size),
            None if request.stdin => Input::Pipe,
            None => Input::Null,
        };
        let timeout = request.timeout_ms.map(Duration::from_millis);
        let (program, contained) = (program(request)?, request.contained);
        Ok(Self { program, timeout, input, contained, view: View::OfCommands })
    }

    /// A piece of the agent's own work, done by this same program.
    pub(crate) fn task(task: &Task, place: &Place) -> Result<Self, NotStarted> {
        let folder = match place {
            Place::Machine { .. } => None,
            Place::Folder(folder) => folder.to_str(),
        };
        let argv = tasks::arguments(task, folder).map_err(|error| bad_request(&error.to_string()))?;
        let program = own_program(argv, Vec::new())?;
        Ok(Self { program, timeout: None, input: Input::Pipe, contained: false, view: View::OfAgent })
    }

    /// Opens the workspace in a folder of the host, likewise.
    pub(crate) fn open(folder: &str) -> Result<Self, NotStarted> {
        let program = own_program(tasks::open_arguments(folder), Vec::new())?;
        Ok(Self { program, timeout: None, input: Input::Null, contained: false, view: View::OfAgent })
    }

    /// Asks whether a service is ready, likewise, but as a command would ask. What a command asked with has started
    /// ends with it.
    pub(crate) fn probe(probe: &Probe) -> Result<Self, NotStarted> {
        let argv = probe::arguments(probe).map_err(|message| bad_request(&message))?;
        let program = own_program(argv, environment(&probe.env)?)?;
        Ok(Self { program, timeout: None, input: Input::Null, contained: true, view: View::OfCommands })
    }
}

/// This same program, which the kernel finds whatever file systems are seen.
fn own_program(argv: Vec<String>, env: Vec<CString>) -> Result<Program, NotStarted> {
    let argv = argv.into_iter().map(c_string).collect::<Result<_, _>>()?;
    Ok(Program { candidates: vec![c"/proc/self/exe".into()], argv, env, cwd: c"/".into() })
}

/// Checks a request and turns it into what the kernel wants.
fn program(request: &Exec) -> Result<Program, NotStarted> {
    let name = request.argv.first().ok_or_else(|| bad_request("the command is empty"))?;
    if !request.cwd.starts_with('/') {
        return Err(bad_request("the working directory is not an absolute path"));
    }
    let env = environment(&request.env)?;
    let candidates = if name.contains('/') || name.is_empty() {
        vec![c_string(name.clone())?]
    } else {
        let path = request.env.get("PATH").map_or(DEFAULT_PATH, String::as_str);
        let folders = path.split(':').map(|folder| if folder.is_empty() { "." } else { folder });
        folders.map(|folder| c_string(format!("{folder}/{name}"))).collect::<Result<_, _>>()?
    };
    let argv = request.argv.iter().cloned().map(c_string).collect::<Result<_, _>>()?;
    Ok(Program { candidates, argv, env, cwd: c_string(request.cwd.clone())? })
}

/// The environment as the kernel wants it.
fn environment(variables: &BTreeMap<String, String>) -> Result<Vec<CString>, NotStarted> {
    let one = |(name, value): (&String, &String)| {
        if name.is_empty() || name.contains('=') {
            return Err(bad_request("the name of an environment variable is empty or contains `=`"));
        }
        c_string(format!("{name}={value}"))
    };
    variables.iter().map(one).collect()
}

fn c_string(string: String) -> Result<CString, NotStarted> {
    CString::new(string).map_err(|_| bad_request("an argument, variable or path contains a zero byte"))
}

fn bad_request(message: &str) -> NotStarted {
    NotStarted { failure: ExecFailure::BadRequest, message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(argv: &[&str]) -> Exec {
        Exec {
            argv: argv.iter().map(ToString::to_string).collect(),
            env: [("PATH".to_owned(), "/a::/b".to_owned())].into(),
            cwd: "/".into(),
            timeout_ms: None,
            ..Exec::default()
        }
    }

    #[test]
    fn a_name_without_a_slash_is_looked_for_in_the_given_path() {
        let candidates = program(&request(&["tool", "x"])).unwrap().candidates;
        assert_eq!(candidates, [c"/a/tool".to_owned(), c"./tool".to_owned(), c"/b/tool".to_owned()]);
        let candidates = program(&request(&["./tool"])).unwrap().candidates;
        assert_eq!(candidates, [c"./tool".to_owned()]);
    }

    #[test]
    fn requests_that_no_kernel_could_take_are_refused() {
        assert!(program(&request(&[])).is_err());
        assert!(program(&request(&["a\0b"])).is_err());
        assert!(program(&Exec { cwd: "relative".into(), ..request(&["a"]) }).is_err());
        let env = [("A=B".to_owned(), String::new())].into();
        assert!(program(&Exec { env, ..request(&["a"]) }).is_err());
    }
}
