//! Reads from dpkg's database which packages are in a root file system.

use super::manifest::PackageRecord;
use crate::error::{Context, Result};
use std::path::Path;

/// The packages that are installed below this root.
pub(super) fn installed_packages(root: &Path) -> Result<Vec<PackageRecord>> {
    let path = root.join("var/lib/dpkg/status");
    let text = std::fs::read_to_string(&path).doing(|| format!("could not read `{}`", path.display()))?;
    Ok(parse_status(&text))
}

fn parse_status(text: &str) -> Vec<PackageRecord> {
    text.split("\n\n").filter_map(parse_stanza).collect()
}

fn parse_stanza(stanza: &str) -> Option<PackageRecord> {
    let field = |name: &str| {
        let mut values = stanza.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        values.next().map(|value| value.trim().to_owned())
    };
    (field("Status")? == "install ok installed").then_some(())?;
    Some(PackageRecord {
        name: field("Package")?,
        version: field("Version")?,
        architecture: field("Architecture")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_installed_packages_count() {
        let text = "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2.15-2+b13\n\
                    Description: a shell\n Version: not this\n\n\
                    Package: gone\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n\n\nnonsense\n";
        let bash = PackageRecord {
            name: "bash".into(),
            version: "5.2.15-2+b13".into(),
            architecture: "amd64".into(),
        };
        assert_eq!(parse_status(text), [bash]);
    }
}
