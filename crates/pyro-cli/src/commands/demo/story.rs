//! The story: what is done, in order, and what does the same when it is typed.

use super::StoryArgs;
use super::display::Event;
use super::project::{BASKET, PRICE, Project};
use super::report::Report;
use super::step::{Came, Teller, milliseconds};
use pyro_host::command::{Command, WORKSPACE_PATH};
use pyro_host::doctor::DoctorOptions;
use pyro_host::error::{Context, Error, ErrorKind, Result};
use pyro_host::execution_mode::ExecutionMode;
use pyro_host::network::Policy;
use pyro_host::pyro::Pyro;
use pyro_host::run::{RunEvent, RunSpec};
use pyro_host::service::{Readiness, ServiceName, ServiceSpec};
use pyro_host::shell::ShellSpec;
use pyro_host::start::StartEvent;
use pyro_host::vm::accelerator::Accelerator;
use pyro_host::workspace::{
    DEFAULT_MAX_CHARS, ExecSpec, ReadSpec, SyncProgress, WorkspaceEvent, WorkspaceSpec,
};
use std::fs;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// What the machines of the story are made of.
pub const ENVIRONMENT: &str = "debian:12";

/// How long the shell may take to show what it was asked for.
const SHELL_LIMIT: Duration = Duration::from_secs(60);

/// The milliseconds of silence after which a shell is looked at.
const SHELL_IDLE_MS: u64 = 300;

const SERVICE: &str = "web";

/// The story, as far as it has been told.
pub struct Story {
    pyro: Pyro,
    wanted: StoryArgs,
    teller: Teller,
    /// From the first step on that needs it.
    project: Option<Project>,
    begun: Instant,
    accelerator: Option<Accelerator>,
    execution_mode: Option<ExecutionMode>,
    workspace_id: Option<String>,
    is_deleted: bool,
}

impl Story {
    /// Nothing has been told yet.
    pub fn new(pyro: Pyro, wanted: StoryArgs, events: mpsc::Sender<Event>) -> Self {
        Self {
            pyro,
            wanted,
            teller: Teller::new(events),
            project: None,
            begun: Instant::now(),
            accelerator: None,
            execution_mode: None,
            workspace_id: None,
            is_deleted: false,
        }
    }

    /// The project, written when it is first needed: from then on an interrupted story deletes it.
    fn project(&mut self) -> Result<&Project> {
        let project = match self.project.take() {
            Some(project) => project,
            None => Project::write()?,
        };
        Ok(self.project.insert(project))
    }

    /// The workspace, if there is one that is not deleted.
    pub fn workspace(&self) -> Option<&str> {
        self.workspace_id.as_deref().filter(|_| !self.is_deleted)
    }

    /// What it came to. Deletes the project.
    pub fn end(self) -> Report {
        Report {
            environment: ENVIRONMENT,
            accelerator: self.accelerator,
            execution_mode: self.execution_mode,
            workspace_id: self.workspace_id,
            duration_ms: milliseconds(self.begun),
            steps: self.teller.steps(),
        }
    }

    /// Tells it.
    pub async fn tell(&mut self) -> Result<()> {
        self.doctor().await?;
        self.run().await?;
        let id = self.create().await?;
        self.test(&id, "test_fails", "Run its test: it fails", 1).await?;
        self.sync(&id).await?;
        self.test(&id, "test_passes", "Run the test again: it passes", 0).await?;
        self.service(&id).await?;
        self.fetch(&id).await?;
        self.shell(&id).await?;
        self.diff(&id).await?;
        self.export(&id).await?;
        self.delete(&id).await
    }

    async fn doctor(&mut self) -> Result<()> {
        let step = self.teller.begins("doctor", "Look what this host can do", &["doctor"]).await?;
        let options =
            DoctorOptions { environment: ENVIRONMENT.into(), boot: false, accelerator: self.wanted.accel };
        let report = self.pyro.doctor(&options).await?;
        let Some(accelerator) = report.accelerator.filter(|_| report.runtime_ok) else {
            let issues = report.issues.iter().map(|issue| issue.what.as_str()).collect::<Vec<_>>().join("; ");
            let error = Error::new(ErrorKind::UnsupportedHost, "guests cannot run on this host");
            return Err(error.with_source(issues).with_hint("pyro doctor says what to do about it"));
        };
        self.accelerator = Some(accelerator.kind);
        let line = format!("guests can run here, by {}: {}", accelerator.kind.name(), accelerator.reason);
        self.teller.ends(step, Came::well(line)).await
    }

    /// Everything public, where a network is wanted.
    fn network(&self) -> Option<Policy> {
        self.wanted.network.then(Policy::open)
    }

    async fn run(&mut self) -> Result<()> {
        let words = ["sh", "-c", "uname -srm; git --version"];
        let typed = [&["run", ENVIRONMENT, "--"], &words[..]].concat();
        let step = self
            .teller
            .begins("run", "Run a command in a machine of its own, and throw the machine away", &typed)
            .await?;
        let mut spec = RunSpec::new(ENVIRONMENT, argv(&words));
        (spec.network, spec.accelerator) = (self.network(), self.wanted.accel);
        spec.mirror = self.wanted.mirror.clone();
        let (told, heard) = mpsc::channel(1);
        let running = self.pyro.run(&spec, None, Some(told));
        let (result, ()) = tokio::join!(running, self.teller.passing_on(heard, of_run));
        let result = result?;
        let came = Came { output: result.stdout + &result.stderr, exit_code: result.exit_code };
        step.expect(&came, 0)?;
        self.teller.ends(step, came).await
    }

    async fn create(&mut self) -> Result<String> {
        let seed = self.project()?.seed();
        let path = seed.to_string_lossy();
        let typed = ["workspace", "create", ENVIRONMENT, "--seed-path", &path];
        let title = "Create a workspace, a machine that stays, with a copy of a small project";
        let step = self.teller.begins("create", title, &typed).await?;
        let mut spec = WorkspaceSpec::new(ENVIRONMENT);
        (spec.machine.network, spec.machine.accelerator) = (self.network(), self.wanted.accel);
        spec.machine.mirror = self.wanted.mirror.clone();
        spec.seed_path = Some(seed.clone());
        let (told, heard) = mpsc::channel(1);
        let (pyro, workspace_id) = (self.pyro.clone(), &mut self.workspace_id);
        let creating = async move {
            let created = pyro.create_workspace(&spec, Some(&told)).await?;
            // At once: what is there has to be deleted, whatever comes between.
            *workspace_id = Some(created.workspace_id.clone());
            Ok::<_, Error>(created)
        };
        let (created, ()) = tokio::join!(creating, self.teller.passing_on(heard, of_workspace));
        let created = created?;
        let id = created.workspace_id;
        self.execution_mode = Some(created.execution_mode);
        let entries = created.workspace_seed.entry_count;
        self.teller.ends(step, Came::well(format!("workspace {id}, with {entries} files"))).await?;
        Ok(id)
    }

    async fn test(&mut self, id: &str, name: &'static str, title: &'static str, code: i32) -> Result<()> {
        self.exec(id, name, title, &["python3", "-B", "-m", "unittest"], code).await
    }

    async fn fetch(&mut self, id: &str) -> Result<()> {
        let title = "Ask it, from inside the machine";
        self.exec(id, "fetch", title, &["curl", "-sS", BASKET], 0).await
    }

    /// Runs a command in the workspace, which must end with this code.
    async fn exec(
        &mut self,
        id: &str,
        name: &'static str,
        title: &'static str,
        words: &[&str],
        code: i32,
    ) -> Result<()> {
        let step =
            self.teller.begins(name, title, &[&["workspace", "exec", id, "--"], words].concat()).await?;
        let result = self.pyro.exec_workspace(id, &ExecSpec::new(argv(words)), None, None).await?;
        let came = Came { output: result.stdout + &result.stderr, exit_code: result.exit_code };
        step.expect(&came, code)?;
        self.teller.ends(step, came).await
    }

    async fn sync(&mut self, id: &str) -> Result<()> {
        let fix = self.project()?.fix();
        let typed = ["workspace", "sync", "push", id, &fix.to_string_lossy()];
        let step =
            self.teller.begins("sync", "Correct the file on this host, and bring it in", &typed).await?;
        let nobody = None::<fn(SyncProgress)>;
        let pushed = self.pyro.push_workspace_sync(id, &fix, WORKSPACE_PATH, nobody).await?;
        let line =
            format!("{} file, {} bytes, to {}", pushed.entry_count, pushed.bytes_written, pushed.destination);
        self.teller.ends(step, Came::well(line)).await
    }

    async fn service(&mut self, id: &str) -> Result<()> {
        let words = ["python3", "-B", "web.py"];
        let start = ["workspace", "service", "start", id, SERVICE, "--ready-http", BASKET, "--"];
        let step = self
            .teller
            .begins(
                "service",
                "Start a web service, and wait until it answers",
                &[&start, &words[..]].concat(),
            )
            .await?;
        let readiness = Some(Readiness::Http { url: BASKET.into() });
        let name = ServiceName::parse(SERVICE)?;
        let spec = ServiceSpec { readiness, ..ServiceSpec::new(name, argv(&words)) };
        let started = self.pyro.start_service(id, &spec).await?;
        let after = started.ready_at.map_or(0.0, |ready_at| ready_at - started.started_at);
        self.teller.ends(step, Came::well(format!("{SERVICE} is ready after {after:.1} s"))).await
    }

    async fn shell(&mut self, id: &str) -> Result<()> {
        let opening = self
            .teller
            .begins("shell_open", "Open a shell, a terminal that stays", &["workspace", "shell", "open", id])
            .await?;
        let opened = self.pyro.open_shell(id, &ShellSpec::default()).await?;
        let shell = opened.shell_id.as_str();
        self.teller.ends(opening, Came::well(format!("shell {shell}"))).await?;
        let first = format!("price=$(curl -sS '{BASKET}')");
        for (name, title, input) in [
            ("shell_write", "Type into it", first.as_str()),
            ("shell_write_again", "Type more: it remembers", "echo \"to pay: $price\" | tee receipt.txt"),
        ] {
            let step = self
                .teller
                .begins(name, title, &["workspace", "shell", "write", id, shell, "--input", input])
                .await?;
            self.pyro.write_shell(id, shell, input, true).await?;
            self.teller.ends(step, Came::well("")).await?;
        }
        self.read(id, shell).await
    }

    /// Reads what the shell has shown, when it has come to its answer.
    async fn read(&mut self, id: &str, shell: &str) -> Result<()> {
        let idle = SHELL_IDLE_MS.to_string();
        let typed = ["workspace", "shell", "read", id, shell, "--plain", "--wait-for-idle-ms", &idle];
        let step = self.teller.begins("shell_read", "Read what it has shown", &typed).await?;
        let spec = ReadSpec {
            cursor: 0,
            max_chars: DEFAULT_MAX_CHARS,
            plain: true,
            wait_for_idle_ms: Some(SHELL_IDLE_MS),
        };
        let wanted = format!("to pay: {PRICE}");
        let output = loop {
            let output = self.pyro.read_shell(id, shell, &spec).await?.output;
            if output.contains(&wanted) {
                break output;
            }
            if step.begun().elapsed() > SHELL_LIMIT {
                return Err(step.unexpected(&format!("the shell shows {output:?}")));
            }
        };
        self.teller.ends(step, Came::well(output)).await
    }

    async fn diff(&mut self, id: &str) -> Result<()> {
        let step = self
            .teller
            .begins(
                "diff",
                "See what has changed since it was created, as a patch",
                &["workspace", "diff", id],
            )
            .await?;
        let diff = self.pyro.diff_workspace(id).await?;
        self.teller.ends(step, Came::well(String::from_utf8_lossy(diff.patch_bytes()))).await
    }

    async fn export(&mut self, id: &str) -> Result<()> {
        let receipt = self.project()?.receipt();
        let path = receipt.to_string_lossy().into_owned();
        let typed = ["workspace", "export", id, "receipt.txt", "--output", &path];
        let step = self.teller.begins("export", "Bring a file out", &typed).await?;
        self.pyro.export_workspace(id, "receipt.txt", &receipt, false).await?;
        let failing = || format!("could not read the exported file {path}");
        let content = fs::read_to_string(&receipt).failing(ErrorKind::Io, failing)?;
        self.teller.ends(step, Came::well(format!("receipt.txt says: {content}"))).await
    }

    async fn delete(&mut self, id: &str) -> Result<()> {
        let title = "Delete the workspace with all that is in it";
        let step = self.teller.begins("delete", title, &["workspace", "delete", id]).await?;
        self.pyro.delete_workspace(id).await?;
        self.is_deleted = true;
        self.teller.ends(step, Came::well(format!("deleted workspace {id}"))).await
    }
}

fn of_run(event: RunEvent) -> Option<StartEvent> {
    if let RunEvent::Start(event) = event { Some(event) } else { None }
}

fn of_workspace(event: WorkspaceEvent) -> Option<StartEvent> {
    if let WorkspaceEvent::Start(event) = event { Some(event) } else { None }
}

fn argv(words: &[&str]) -> Command {
    Command::Argv(words.iter().map(|&word| word.to_owned()).collect())
}
