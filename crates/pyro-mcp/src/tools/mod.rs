//! The tools, one file per noun, one function per tool.

mod environment;
mod service;
mod shell;
mod vm;
mod workspace;

use crate::profile::Profile;
use crate::tool::Tool;

/// The tools of a profile, always in the same order.
pub fn of(profile: Profile) -> Vec<Tool> {
    let all = [vm::tools(), environment::tools(), workspace::tools(), service::tools(), shell::tools()];
    all.into_iter().flatten().filter(|tool| profile.offers(tool.name)).collect()
}
