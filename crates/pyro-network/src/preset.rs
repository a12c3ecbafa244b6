//! Lists of rules that have a name: what a package manager needs in order to work. One file each, in `presets/`.

use crate::rule::Rule;
use std::fmt;

/// A list of rules. Displayed as it is typed: `@pypi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    name: &'static str,
    text: &'static str,
}

/// All there are.
pub const PRESETS: &[Preset] = &[
    Preset { name: "crates", text: include_str!("presets/crates.txt") },
    Preset { name: "debian", text: include_str!("presets/debian.txt") },
    Preset { name: "github", text: include_str!("presets/github.txt") },
    Preset { name: "npm", text: include_str!("presets/npm.txt") },
    Preset { name: "pypi", text: include_str!("presets/pypi.txt") },
];

impl Preset {
    /// The one with a name, which is given without its `@`.
    pub(crate) fn find(name: &str) -> Option<Self> {
        PRESETS.iter().find(|preset| preset.name.eq_ignore_ascii_case(name)).copied()
    }

    /// Its rules, as they stand in its file: one a line, behind `#` is a comment.
    pub fn lines(&self) -> impl Iterator<Item = &'static str> + use<> {
        let without_comment = |line: &'static str| line.split('#').next().unwrap_or_default().trim();
        self.text.lines().map(without_comment).filter(|line| !line.is_empty())
    }

    /// Its rules. A line that is none would be left out: a test reads all of them.
    pub(crate) fn rules(&self) -> Vec<Rule> {
        self.lines().filter_map(|line| line.parse().ok()).collect()
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", self.name)
    }
}

/// The names of all, for a sentence.
pub(crate) fn names() -> String {
    PRESETS.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::Target;

    #[test]
    fn every_line_of_every_preset_is_a_rule_for_a_name_and_a_port() {
        for preset in PRESETS {
            assert!(preset.lines().count() > 0, "{preset} is empty");
            assert_eq!(preset.rules().len(), preset.lines().count());
            for line in preset.lines() {
                let rule: Rule = line.parse().unwrap();
                assert!(matches!(rule.target(), Target::Name(_) | Target::Below(_)), "{line}");
                assert!(rule.port().is_some(), "{line} is for all ports");
                assert_eq!(rule.to_string(), line);
            }
        }
    }
}
