//! Why something is not a rule, and what to type instead.

/// Why something is not a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RuleError {
    message: String,
    hint: String,
}

impl RuleError {
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }

    /// What is wrong, in lower case, with what was given.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to type, with an example.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}
