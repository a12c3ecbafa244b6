//! Paths in a workspace, as callers give them: absolute below `/workspace`, or relative to it.

use crate::command::WORKSPACE_PATH;
use crate::error::{Error, ErrorKind, Result};

/// The path relative to the workspace: empty for the workspace itself.
///
/// # Errors
/// `unsafe_path` for a path outside of it, `invalid_argument` for one that no file can have.
pub(super) fn in_workspace(path: &str) -> Result<String> {
    let outside = || {
        Error::new(ErrorKind::UnsafePath, format!("`{path}` is not below {WORKSPACE_PATH}"))
            .with_hint(format!("give a path such as {WORKSPACE_PATH}/src, or src"))
    };
    if path.is_empty() || path.contains('\0') {
        return Err(Error::invalid(format!("{path:?} is not a path in the workspace")));
    }
    let below = match path.strip_prefix(WORKSPACE_PATH) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ if path.starts_with('/') => return Err(outside()),
        _ => path,
    };
    let mut names = Vec::new();
    for name in below.split('/') {
        match name {
            "" | "." => {}
            ".." => return Err(outside()),
            name => names.push(name),
        }
    }
    let relative = names.join("/");
    if !relative.is_empty() {
        pyro_protocol::tree::check_path(relative.as_bytes()).map_err(|fault| {
            Error::invalid(format!("`{path}` is not a path in the workspace")).with_source(fault.to_string())
        })?;
    }
    Ok(relative)
}

/// The path in the guest.
pub(super) fn in_guest(relative: &str) -> String {
    if relative.is_empty() { WORKSPACE_PATH.into() } else { format!("{WORKSPACE_PATH}/{relative}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_below_the_workspace() {
        for (path, relative) in [
            ("/workspace", ""),
            ("/workspace/", ""),
            (".", ""),
            ("/workspace/a//b/", "a/b"),
            ("a/./b", "a/b"),
            ("workspace", "workspace"),
        ] {
            assert_eq!(in_workspace(path).unwrap(), relative, "{path}");
        }
        for path in ["/", "/etc", "/workspaces", "/workspace/../etc", "..", "a/../..", "/workspace/a/.."] {
            assert_eq!(in_workspace(path).unwrap_err().kind(), ErrorKind::UnsafePath, "{path}");
        }
        for path in ["", "a\0", &"a".repeat(256)] {
            assert_eq!(in_workspace(path).unwrap_err().kind(), ErrorKind::InvalidArgument, "{path}");
        }
        assert_eq!(in_guest("a/b"), "/workspace/a/b");
    }
}
