//! What to do about a host that refuses something, as far as it says why.

use std::fs;

/// Why namespaces are refused, and what to do.
pub(super) fn namespaces(error: i32) -> String {
    let reason = std::io::Error::from_raw_os_error(error);
    let is = |file: &str, value: &str| fs::read_to_string(file).is_ok_and(|text| text.trim() == value);
    let is_root = rustix::process::geteuid().is_root();
    let what = if is_root { "namespaces" } else { "user namespaces" };
    let advice = if !is_root && is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        "an AppArmor profile with the rule `userns,` for pyro, or `sysctl kernel.apparmor_restrict_unprivileged_userns=0`, allows them"
    } else if !is_root && is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        "`sysctl kernel.unprivileged_userns_clone=1` allows them"
    } else if is("/proc/sys/user/max_user_namespaces", "0") {
        "`sysctl user.max_user_namespaces=15000` allows them"
    } else {
        "in a container, its seccomp profile or its capabilities (CAP_SYS_ADMIN) decide on them"
    };
    format!("{what} are refused ({reason}): {advice}")
}

/// What to do for limits by control groups.
pub(super) fn cgroups() -> &'static str {
    match rustix::process::geteuid().is_root() {
        true => {
            "make the control groups of this process writable, with these controllers given to their children"
        }
        false => {
            "`systemd-run --user --scope -p CPUWeight=100 -p MemoryMax=infinity -p TasksMax=infinity pyro …` starts pyro where it may have them"
        }
    }
}
