//! What the host may be asked for. Everything, unless a test plays a host that lacks something.

/// Which means of the host are tried. A type of its own, and no environment variable: nobody turns one off by accident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mechanisms {
    /// A user of the machine's own, where root starts it.
    pub own_user: bool,
    /// `no_new_privs`, and empty sets of capabilities.
    pub privileges: bool,
    /// Landlock.
    pub landlock: bool,
    /// A root folder of its own, in a mount namespace.
    pub mount_namespace: bool,
    /// User namespaces, without which an ordinary user has no other namespaces.
    pub user_namespace: bool,
    /// A network namespace.
    pub network_namespace: bool,
    /// A pid namespace.
    pub pid_namespace: bool,
    /// An IPC namespace.
    pub ipc_namespace: bool,
    /// A UTS namespace.
    pub uts_namespace: bool,
    /// The seccomp filter.
    pub seccomp: bool,
    /// Control groups.
    pub cgroups: bool,
}

impl Mechanisms {
    /// Everything.
    pub const ALL: Self = Self {
        own_user: true,
        privileges: true,
        landlock: true,
        mount_namespace: true,
        user_namespace: true,
        network_namespace: true,
        pid_namespace: true,
        ipc_namespace: true,
        uts_namespace: true,
        seccomp: true,
        cgroups: true,
    };
    /// A host that gives nothing.
    pub const NONE: Self = Self {
        own_user: false,
        privileges: false,
        landlock: false,
        mount_namespace: false,
        user_namespace: false,
        network_namespace: false,
        pid_namespace: false,
        ipc_namespace: false,
        uts_namespace: false,
        seccomp: false,
        cgroups: false,
    };
}

impl Default for Mechanisms {
    fn default() -> Self {
        Self::ALL
    }
}
