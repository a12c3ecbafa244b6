//! The Landlock ruleset: which files may be opened, and that nothing may be reached over TCP or through abstract
//! sockets (`landlock(7)`).
//!
//! It is made here, with all its descriptors, and put in force by the new process (`child.rs`).

use super::system_calls::landlock_version;
use super::view::{Access, Entry};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, AddRuleError, AddRulesError, BitFlags, CompatLevel, Compatible,
    PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

/// The newest version whose rights are asked for. Whatever of them the kernel does not know is left out.
const NEWEST: ABI = ABI::V7;
/// From this one on, no file can be emptied that cannot be written to.
const COMPLETE: i32 = 3;

/// A ruleset, and the kernel's version of Landlock.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) ruleset: OwnedFd,
    pub(super) abi: i32,
}

impl Rules {
    /// Whether the kernel knows all the rights that matter for files.
    pub(super) fn is_complete(&self) -> bool {
        self.abi >= COMPLETE
    }
}

/// Makes the ruleset. `handed_over` are open files that are opened once more through `/proc/self/fd`, with whether they
/// are to be written to.
///
/// # Errors
/// Why this kernel has no Landlock, as a sentence.
pub(super) fn rules(view: &[Entry], handed_over: &[(BorrowedFd<'_>, bool)]) -> Result<Rules, String> {
    let abi = version()?;
    let ruleset = make(view, handed_over).map_err(|error| format!("Landlock refused a rule: {error}"))?;
    let ruleset: Option<OwnedFd> = ruleset.into();
    ruleset.map(|ruleset| Rules { ruleset, abi }).ok_or_else(|| "this kernel has no Landlock".to_owned())
}

fn version() -> Result<i32, String> {
    landlock_version().map_err(|error| match error {
        libc::EOPNOTSUPP => "Landlock is switched off: add `landlock` to the kernel's `lsm=` list".to_owned(),
        libc::ENOSYS => "this kernel has no Landlock, which is in Linux 5.13 and newer".to_owned(),
        error => format!("Landlock is refused: {}", io::Error::from_raw_os_error(error)),
    })
}

fn make(view: &[Entry], handed_over: &[(BorrowedFd<'_>, bool)]) -> Result<RulesetCreated, RulesetError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)?
        .create()?;
    for entry in view {
        // What has gone since it was looked at is not needed either.
        let Ok(path) = PathFd::new(&entry.target) else { continue };
        (&mut ruleset).add_rule(PathBeneath::new(path, rights(entry)))?;
    }
    for (file, writable) in handed_over {
        let rights = match writable {
            true => AccessFs::ReadFile | AccessFs::WriteFile,
            false => AccessFs::ReadFile.into(),
        };
        match (&mut ruleset).add_rule(PathBeneath::new(file, rights)) {
            Err(error) if !is_beyond_landlock(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(ruleset)
}

/// A file that is in no file system, such as a memfd, takes no rule and can always be opened (`landlock_add_rule(2)`).
fn is_beyond_landlock(error: &RulesetError) -> bool {
    let RulesetError::AddRules(AddRulesError::Fs(AddRuleError::AddRuleCall { source, .. })) = error else {
        return false;
    };
    source.raw_os_error() == Some(libc::EBADFD)
}

fn rights(entry: &Entry) -> BitFlags<AccessFs> {
    let read = match entry.is_folder {
        true => AccessFs::ReadFile | AccessFs::ReadDir,
        false => AccessFs::ReadFile.into(),
    };
    match entry.access {
        Access::Read => read,
        Access::Execute => read | AccessFs::Execute,
        Access::Device => AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev,
    }
}
