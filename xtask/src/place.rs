//! Where things are, and where there is room: the workspace, its target directory, the cache outside the tree, disks and ports.

use std::env;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The directory of the workspace's Cargo.toml.
pub(crate) fn workspace() -> PathBuf {
    let manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest_dir.parent().unwrap_or(manifest_dir).to_path_buf()
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => workspace().join(dir),
        None => workspace().join("target"),
    }
}

/// Where fetched files stay between runs and between checkouts: `$SYNCLINE_CACHE`, `$XDG_CACHE_HOME/syncline` or
/// `~/.cache/syncline`.
///
/// # Errors
/// When none of the three variables is set.
pub(crate) fn cache() -> Result<PathBuf> {
    if let Some(dir) = non_empty("SYNCLINE_CACHE") {
        return Ok(dir);
    }
    if let Some(dir) = non_empty("XDG_CACHE_HOME") {
        return Ok(dir.join("syncline"));
    }
    let home = non_empty("HOME").context("no place for fetched files: set SYNCLINE_CACHE to a directory")?;
    Ok(home.join(".cache").join("syncline"))
}

/// The path as it is typed in the current directory: relative if it lies below.
pub(crate) fn from_here(path: &Path) -> &Path {
    env::current_dir().ok().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path)
}

/// What is free of the disk that has this directory, bytes.
///
/// # Errors
/// When it is not there.
pub(crate) fn free_bytes(dir: &Path) -> Result<u64> {
    let disk = rustix::fs::statvfs(dir).with_context(|| format!("cannot look at {}", dir.display()))?;
    Ok(disk.f_bavail * disk.f_frsize)
}

/// An address of this machine at whose port nobody listens.
///
/// # Errors
/// When there is none.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0").context("no free port")?.local_addr()?)
}

fn non_empty(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_below_is_shown_relative() {
        let here = env::current_dir().unwrap();
        assert_eq!(from_here(&here.join("target").join("debug")), Path::new("target/debug"));
        assert_eq!(from_here(Path::new("/elsewhere/file")), Path::new("/elsewhere/file"));
    }
}
