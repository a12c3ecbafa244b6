//! A workspace for one test: deleted with the value, whatever state it is in.

use crate::home::{BASE, Home, PYRO, report, signal, wait_until};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Longer than any command of a test takes on a busy machine.
pub const LONG: [&str; 2] = ["--timeout-seconds", "900"];

impl Home {
    /// An empty workspace that outlives every test.
    pub fn workspace(&self) -> Workspace<'_> {
        self.workspace_with(&[])
    }

    /// A workspace with these options of `workspace create`.
    pub fn workspace_with(&self, options: &[&str]) -> Workspace<'_> {
        self.created(self.create(&[&["--id-only"], options].concat()))
    }

    /// An empty workspace with the tools of daily work, whose environment is pulled by the first test that asks.
    pub fn workspace_with_tools(&self) -> Workspace<'_> {
        self.workspace_with_tools_and(&[])
    }

    /// The same with these options of `workspace create`.
    pub fn workspace_with_tools_and(&self, options: &[&str]) -> Workspace<'_> {
        // Not within namespaces, from which no mirror may be reached.
        let pulled = Command::new(PYRO)
            .args(["env", "pull", "debian:12"])
            .env("PYRO_HOME", self.path())
            .output()
            .unwrap();
        assert!(pulled.status.success(), "{}", report(&pulled));
        self.created(self.create_of("debian:12", &[&["--id-only"], options].concat()))
    }

    /// `pyro workspace create` with these options, a time to live of two hours unless they say another.
    pub fn create(&self, options: &[&str]) -> Command {
        self.create_of(BASE, options)
    }

    fn create_of(&self, environment: &str, options: &[&str]) -> Command {
        let ttl: &[&str] = if options.contains(&"--ttl-seconds") { &[] } else { &["--ttl-seconds", "7200"] };
        self.pyro(&[&["workspace", "create", environment], ttl, options].concat())
    }

    fn created(&self, mut create: Command) -> Workspace<'_> {
        let created = create.output().unwrap();
        assert!(created.status.success(), "{}", report(&created));
        let id = String::from_utf8(created.stdout).unwrap().trim().to_owned();
        assert!(id.starts_with("ws-"), "{id}");
        Workspace { home: self, id }
    }

    /// The ids of all workspaces.
    pub fn workspace_ids(&self) -> Vec<String> {
        let list = self.pyro(&["workspace", "list", "--json"]).output().unwrap();
        let list: Value = serde_json::from_slice(&list.stdout).unwrap();
        let workspaces = list["workspaces"].as_array().unwrap();
        assert_eq!(list["count"], workspaces.len());
        workspaces.iter().map(|it| it["workspace_id"].as_str().unwrap().to_owned()).collect()
    }
}

pub struct Workspace<'a> {
    pub home: &'a Home,
    pub id: String,
}

impl Workspace<'_> {
    /// `pyro workspace WORDS ID MORE`.
    pub fn command(&self, words: &[&str], more: &[&str]) -> Command {
        self.home.pyro(&[&["workspace"], words, &[&self.id], more].concat())
    }

    /// The result of it as JSON, also where that is an error.
    pub fn json(&self, words: &[&str], more: &[&str]) -> Value {
        let output = self.command(words, &[&["--json"], more].concat()).output().unwrap();
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{words:?} {more:?}: {error}: {}", report(&output)))
    }

    /// The result of what must succeed.
    pub fn done(&self, words: &[&str], more: &[&str]) -> Value {
        let json = self.json(words, more);
        assert!(json.get("error").is_none(), "{words:?} {more:?}: {json:#}");
        json
    }

    /// The kind of the error of what must fail, which has a hint where a caller can do something.
    pub fn refused(&self, words: &[&str], more: &[&str]) -> Value {
        let json = self.json(words, more);
        assert!(json["error"]["kind"].is_string(), "{words:?} {more:?}: {json:#}");
        json["error"].clone()
    }

    /// A command in it, to be spawned.
    pub fn exec_command(&self, words: &[&str]) -> Command {
        let mut command = self.command(&["exec"], &[&LONG[..], &["--"], words].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A command in it, to its end.
    pub fn exec(&self, words: &[&str]) -> Output {
        self.exec_command(words).output().unwrap()
    }

    /// A script under way.
    pub fn spawn(&self, script: &str) -> Child {
        self.exec_command(&["sh", "-c", script]).spawn().unwrap()
    }

    /// What a script that must succeed prints.
    pub fn sh(&self, script: &str) -> String {
        let output = self.exec(&["sh", "-c", script]);
        assert!(output.status.success(), "{script}: {}", report(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The result of a script as JSON.
    pub fn sh_json(&self, options: &[&str], script: &str) -> Value {
        self.json(&["exec"], &[options, &["--", "sh", "-c", script]].concat())
    }

    pub fn status(&self) -> Value {
        self.done(&["status"], &[])
    }

    pub fn state(&self) -> String {
        self.status()["state"].as_str().unwrap().to_owned()
    }

    pub fn stop(&self) {
        assert_eq!(self.done(&["stop"], &[])["state"], "stopped");
    }

    pub fn start(&self) {
        assert_eq!(self.done(&["start"], &[])["state"], "started");
    }

    pub fn sync(&self, source: &Path, options: &[&str]) -> Value {
        self.done(&["sync", "push"], &[&[text(source)], options].concat())
    }

    pub fn export(&self, path: &str, to: &Path) -> Value {
        self.done(&["export"], &[path, "--output", text(to)])
    }

    pub fn diff(&self) -> Value {
        self.done(&["diff"], &[])
    }

    /// The history.
    pub fn entries(&self) -> Vec<Value> {
        let logs = self.done(&["logs"], &[]);
        let entries = logs["entries"].as_array().unwrap().clone();
        assert_eq!(logs["count"], entries.len());
        entries
    }

    pub fn folder(&self) -> PathBuf {
        self.home.path().join("data/workspaces").join(&self.id)
    }

    pub fn record(&self) -> Value {
        serde_json::from_slice(&fs::read(self.folder().join("record.json")).unwrap()).unwrap()
    }

    pub fn socket(&self) -> PathBuf {
        self.home.path().join("run").join(format!("{}.sock", self.id))
    }

    pub fn supervisor(&self) -> u32 {
        self.record()["supervisor"]["pid"].as_u64().unwrap().try_into().unwrap()
    }

    /// The process of its machine.
    pub fn qemu(&self) -> u32 {
        let supervisor = self.supervisor();
        qemu_of(supervisor).unwrap_or_else(|| panic!("no QEMU below {supervisor}"))
    }

    /// Starts a service that is a script, and gives it when it is ready.
    pub fn serve(&self, name: &str, options: &[&str], script: &str) -> Value {
        self.done(&["service", "start"], &service_words(name, options, script))
    }

    /// The error of a service that does not become ready.
    pub fn serve_refused(&self, name: &str, options: &[&str], script: &str) -> Value {
        self.refused(&["service", "start"], &service_words(name, options, script))
    }

    /// `pyro workspace service start`, to be spawned.
    pub fn serve_command(&self, name: &str, options: &[&str], script: &str) -> Command {
        let mut command = self.command(&["service", "start"], &service_words(name, options, script));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// How a service is.
    pub fn service(&self, name: &str) -> Value {
        self.done(&["service", "status"], &[name])
    }

    /// Waits until a service, which may not be there yet, is in a state, and gives it.
    pub fn service_in(&self, name: &str, state: &str) -> Value {
        let is_so = || self.json(&["service", "status"], &[name])["state"] == state;
        wait_until(&format!("`{name}` is {state}"), is_so);
        self.service(name)
    }

    pub fn stop_service(&self, name: &str) -> Value {
        self.done(&["service", "stop"], &[name])
    }

    /// The last lines of a service's standard output.
    pub fn service_log(&self, name: &str) -> String {
        self.done(&["service", "logs"], &[name])["stdout"].as_str().unwrap().to_owned()
    }

    /// Waits until this is all that a service has printed: what it printed just now may be on its way.
    pub fn wait_for_service_log(&self, name: &str, log: &str) {
        wait_until(&format!("{log:?} is printed"), || self.service_log(name) == log);
    }

    /// How many services there are, and how many run, as the workspace says it and as their list does.
    pub fn service_counts(&self) -> (u64, u64) {
        let (status, list) = (self.status(), self.done(&["service", "list"], &[]));
        let counts = |json: &Value, fields: [&str; 2]| fields.map(|field| json[field].as_u64().unwrap());
        let told = counts(&status, ["service_count", "running_service_count"]);
        assert_eq!(told, counts(&list, ["count", "running_count"]), "{status:#}\n{list:#}");
        assert_eq!(list["services"].as_array().unwrap().len() as u64, told[0], "{list:#}");
        (told[0], told[1])
    }

    /// The processes of the guest that have these words in their command line.
    pub fn processes(&self, words: &str) -> Vec<String> {
        let listing = self.sh("ps -eo pid=,args=");
        listing.lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    }

    /// Kills a process of it and waits until everybody can see that.
    pub fn kill(&self, pid: u32) {
        signal(pid, "KILL");
        wait_until("the workspace has failed", || self.state() == "failed");
    }

    /// Deletes it now. The value may be dropped afterwards.
    pub fn delete(&self) {
        assert_eq!(self.done(&["delete"], &[])["deleted"], true);
    }
}

impl Drop for Workspace<'_> {
    fn drop(&mut self) {
        let deleted = self.command(&["delete"], &["--json"]).output().unwrap();
        let is_gone = deleted.status.success() || report(&deleted).contains("not_found");
        assert!(is_gone || std::thread::panicking(), "{}", report(&deleted));
    }
}

fn service_words<'a>(name: &'a str, options: &[&'a str], script: &'a str) -> Vec<&'a str> {
    [&[name], options, &["--", "sh", "-c", script]].concat()
}

/// The QEMU that is a child of this process.
pub fn qemu_of(parent: u32) -> Option<u32> {
    let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let children = tasks.flat_map(|task| {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        children.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<u32>>()
    });
    let is_qemu = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("qemu"))
    };
    { children }.find(is_qemu)
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
