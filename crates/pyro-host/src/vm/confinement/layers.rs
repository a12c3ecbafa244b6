//! From the outcome of each step to the layers that a user is told of.

use super::advice;
use super::birth::{Plan, Unborn};
use super::cgroups::{Controller, Version};
use super::child::{NOT_TRIED, Step};
use super::files::Rules;
use super::isolation::{Isolation, Layer, LayerName, LayerState};
use super::mechanisms::Mechanisms;
use crate::vm::qemu::RunAs;
use seccompiler::BpfProgram;
use std::io;

/// What was there to begin with, as far as the steps cannot tell.
pub(super) struct Means {
    mechanisms: Mechanisms,
    run_as: Option<RunAs>,
    /// The version of Landlock and whether it is complete, or why there is none.
    landlock: Result<(i32, bool), String>,
    /// Why there is no filter.
    no_filter: Option<String>,
}

impl Means {
    pub(super) fn new(
        mechanisms: &Mechanisms,
        run_as: Option<RunAs>,
        rules: &Result<Rules, String>,
        filters: &Result<Vec<BpfProgram>, String>,
    ) -> Self {
        Self {
            mechanisms: *mechanisms,
            run_as,
            landlock: rules.as_ref().map(|rules| (rules.abi, rules.is_complete())).map_err(Clone::clone),
            no_filter: filters.as_ref().err().cloned(),
        }
    }
}

/// Why root becomes nobody else.
fn no_user() -> String {
    RunAs::hindrance().unwrap_or_else(|| {
        "no unprivileged user is mapped into this user namespace: map user 65534, or start pyro as an ordinary user"
            .into()
    })
}

/// What was given to this process.
pub(super) fn isolation(means: &Means, plan: &Plan, unborn: &Unborn) -> Isolation {
    let host = Outcome { means, plan, unborn };
    let tried = &means.mechanisms;
    Isolation::of(vec![
        host.user(),
        host.privileges(),
        host.files(),
        host.namespace(LayerName::Network, "network namespace", Step::Network, tried.network_namespace),
        host.processes(),
        host.namespace(LayerName::Ipc, "IPC namespace", Step::Ipc, tried.ipc_namespace),
        host.namespace(LayerName::Hostname, "UTS namespace", Step::Hostname, tried.uts_namespace),
        host.syscalls(),
        host.limits(),
    ])
}

struct Outcome<'a> {
    means: &'a Means,
    plan: &'a Plan,
    unborn: &'a Unborn,
}

impl Outcome<'_> {
    fn is_done(&self, step: Step) -> bool {
        self.unborn.report.of(step) == 0
    }

    /// Why a step is not done.
    fn error(&self, step: Step) -> String {
        match self.unborn.report.of(step) {
            NOT_TRIED => "it was not tried".into(),
            error => io::Error::from_raw_os_error(error).to_string(),
        }
    }

    /// The same for what needs a right in the namespaces it is about, which hosts refuse also where they gave those.
    fn refused_right(&self, step: Step) -> String {
        match self.unborn.report.of(step) {
            error @ (libc::EPERM | libc::EACCES | libc::ENOSPC) => advice::namespaces(error),
            _ => self.error(step),
        }
    }

    fn has_own_user(&self) -> bool {
        self.means.run_as.is_some() && self.is_done(Step::User)
    }

    fn has_landlock(&self) -> bool {
        self.means.landlock.is_ok() && self.is_done(Step::Landlock)
    }

    /// Whether it could open what the host's own `/proc` says of all processes.
    fn sees_hosts_proc(&self) -> bool {
        self.is_done(Step::Mounts) && !self.is_done(Step::OwnProc) && !self.has_landlock()
    }

    fn user(&self) -> Layer {
        let own = rustix::process::geteuid();
        match (self.means.run_as, own.is_root()) {
            (Some(RunAs { uid, .. }), _) if self.is_done(Step::User) => {
                Layer::full(LayerName::User, format!("user {uid}"))
            }
            (Some(_), _) => Layer::missing(
                LayerName::User,
                format!("it runs as root: to become another user was refused ({})", self.error(Step::User)),
            ),
            (None, true) => Layer::missing(LayerName::User, format!("it runs as root: {}", no_user())),
            (None, false) => Layer {
                state: LayerState::Shared,
                ..Layer::full(LayerName::User, format!("user {}, who started it", own.as_raw()))
            },
        }
    }

    fn privileges(&self) -> Layer {
        let done = [Step::Capabilities, Step::NoNewPrivileges].map(|step| self.is_done(step));
        match done {
            [true, true] => Layer::full(LayerName::Privileges, "no_new_privs, no capabilities"),
            [true, false] => Layer::partial(
                LayerName::Privileges,
                "no capabilities",
                format!("no_new_privs: {}", self.error(Step::NoNewPrivileges)),
            ),
            [false, _] => Layer::missing(
                LayerName::Privileges,
                format!("capabilities could not be dropped: {}", self.error(Step::Capabilities)),
            ),
        }
    }

    fn files(&self) -> Layer {
        let landlock = match (&self.means.landlock, self.is_done(Step::Landlock)) {
            (Ok((abi, is_complete)), true) => Ok((format!("landlock ABI {abi}"), *is_complete)),
            (Ok(_), false) => Err(format!("Landlock: {}", self.error(Step::Landlock))),
            (Err(why), _) => Err(why.clone()),
        };
        let mounts = match self.is_done(Step::Mounts) {
            true => Ok("root folder of its own"),
            false => Err(self.no_mounts()),
        };
        match (landlock, mounts) {
            (Ok((landlock, _)), Ok(mounts)) => Layer::full(LayerName::Files, format!("{landlock}, {mounts}")),
            (Ok((landlock, true)), Err(_)) => Layer::full(LayerName::Files, landlock),
            (Ok((landlock, false)), Err(why)) => Layer::partial(
                LayerName::Files,
                landlock,
                format!("this version of Landlock lets files be emptied: Linux 6.2 has a newer one; {why}"),
            ),
            (Err(landlock), Ok(mounts)) => self.by_root_alone(mounts, &landlock),
            (Err(landlock), Err(mounts)) => Layer::missing(LayerName::Files, format!("{landlock}; {mounts}")),
        }
    }

    /// A root folder hides what has names. What was handed over can be opened anew through `/proc/self/fd`, by the rights
    /// of the file alone.
    fn by_root_alone(&self, mounts: &str, no_landlock: &str) -> Layer {
        let mut gaps = Vec::new();
        if !self.has_own_user() {
            gaps.push(
                "files that were handed over for reading can be opened for writing, as its user owns them",
            );
        }
        if self.sees_hosts_proc() {
            gaps.push("the host's /proc is in its root folder");
        }
        match gaps.is_empty() {
            true => Layer::full(LayerName::Files, mounts),
            false => Layer::partial(LayerName::Files, mounts, format!("{no_landlock}; {}", gaps.join("; "))),
        }
    }

    fn no_mounts(&self) -> String {
        let why = match (self.unborn.root_error, self.plan.root.is_some(), self.refusal()) {
            (Some(error), ..) => io::Error::from_raw_os_error(error).to_string(),
            (None, true, Some(refusal)) => refusal,
            (None, true, None) => self.refused_right(Step::Mounts),
            (None, false, _) => "it was not tried".into(),
        };
        format!("no mount namespace: {why}")
    }

    /// Why the host gives no namespaces, if it refused the first that was asked for.
    fn refusal(&self) -> Option<String> {
        let lacks_user =
            self.unborn.birth & libc::CLONE_NEWUSER == 0 && !rustix::process::geteuid().is_root();
        match self.unborn.refused.first() {
            Some(&(_, error)) => Some(advice::namespaces(error)),
            None if lacks_user && !self.means.mechanisms.user_namespace => {
                Some("an ordinary user has none without a user namespace, and that was not tried".into())
            }
            None => None,
        }
    }

    fn namespace(&self, name: LayerName, by: &str, step: Step, is_tried: bool) -> Layer {
        if self.is_done(step) {
            return Layer::full(name, by);
        }
        let why = self.refusal().filter(|_| is_tried).unwrap_or_else(|| self.refused_right(step));
        self.lacking(name, by, &why)
    }

    fn processes(&self) -> Layer {
        const BY: &str = "pid namespace";
        if self.unborn.birth & libc::CLONE_NEWPID != 0 {
            return match self.sees_hosts_proc() {
                false => Layer::full(LayerName::Processes, BY),
                true => Layer::partial(
                    LayerName::Processes,
                    BY,
                    format!(
                        "without Landlock it sees the host's processes in /proc, as no other can be mounted here: {}",
                        self.error(Step::OwnProc)
                    ),
                ),
            };
        }
        let why = match self.means.mechanisms.pid_namespace {
            true => self.refusal().unwrap_or_else(|| "it was refused".into()),
            false => "it was not tried".into(),
        };
        self.lacking(LayerName::Processes, BY, &why)
    }

    /// A namespace that is missing: of network and processes, the filter keeps the worst away.
    fn lacking(&self, name: LayerName, by: &str, why: &str) -> Layer {
        let kept_away = match name {
            LayerName::Network => Some("it shares the host's network, but can make no socket"),
            LayerName::Processes => Some("it sees the host's processes, but can trace none"),
            _ => None,
        };
        match kept_away.filter(|_| self.is_done(Step::Filter)) {
            Some(kept_away) => {
                Layer::partial(name, "seccomp filter", format!("no {by} ({kept_away}): {why}"))
            }
            None => Layer::missing(name, format!("no {by}: {why}")),
        }
    }

    fn syscalls(&self) -> Layer {
        if self.is_done(Step::Filter) {
            return Layer::full(LayerName::Syscalls, "seccomp: pyro's filter, then QEMU's own");
        }
        let why = self.means.no_filter.clone().unwrap_or_else(|| self.error(Step::Filter));
        Layer::partial(LayerName::Syscalls, "seccomp: QEMU's own filter", format!("pyro's filter: {why}"))
    }

    fn limits(&self) -> Layer {
        let groups = &self.plan.groups;
        let of = |version| {
            let given = groups.given.iter().filter(move |(_, by)| *by == version);
            given.map(|(controller, _)| controller.name()).collect::<Vec<_>>().join(", ")
        };
        let mut by = Vec::new();
        for (version, name) in [(Version::One, "cgroup v1"), (Version::Two, "cgroup v2")] {
            let names = of(version);
            if !names.is_empty() {
                by.push(format!("{name}: {names}"));
            }
        }
        let lacking: Vec<&str> =
            Controller::ALL.into_iter().filter(|&one| !groups.limits(one)).map(Controller::name).collect();
        if lacking.is_empty() {
            return Layer::full(LayerName::Limits, by.join("; "));
        }
        let why = match self.means.mechanisms.cgroups {
            true => {
                format!("no control group for {} can be made here: {}", lacking.join(", "), advice::cgroups())
            }
            false => format!("control groups for {}: not tried", lacking.join(", ")),
        };
        if !self.is_done(Step::Limits) && by.is_empty() {
            return Layer::missing(LayerName::Limits, why);
        }
        by.push("rlimits".into());
        Layer::partial(LayerName::Limits, by.join("; "), why)
    }
}
