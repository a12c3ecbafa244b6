//! What was decided, and by what.

use crate::host_name::HostName;

/// Whether the guest may talk to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It may.
    Allowed,
    /// It may if what it says first agrees with the names that were resolved to the address (`inspect/`).
    IfNamed,
    /// It may not.
    Denied,
}

/// A decision, with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What was decided.
    pub access: Access,
    /// The rule that decided, as it was given, or the reason for which none did, such as `private`.
    pub rule: String,
    /// What to do to have it allowed. Empty where it is.
    pub hint: String,
    /// The name by which it was decided, or that is known for the address.
    pub name: Option<HostName>,
}

impl Verdict {
    pub(super) fn open() -> Self {
        Self::allowed("everything public")
    }

    pub(super) fn allowed(rule: &str) -> Self {
        Self { access: Access::Allowed, rule: rule.to_owned(), hint: String::new(), name: None }
    }

    pub(super) fn if_named(rule: &str) -> Self {
        Self { access: Access::IfNamed, ..Self::allowed(rule) }
    }

    pub(crate) fn denied(rule: &str, hint: String) -> Self {
        Self { access: Access::Denied, rule: rule.to_owned(), hint, name: None }
    }

    pub(crate) fn about(self, name: Option<&HostName>) -> Self {
        Self { name: name.cloned(), ..self }
    }

    /// Whether it is not denied.
    pub fn is_allowed(&self) -> bool {
        self.access != Access::Denied
    }
}
