//! Where libchdb is.

use std::env;
use std::path::{Path, PathBuf};

use crate::StoreError;

/// The directory below the cache that `cargo xtask fetch libchdb` fills.
const CACHE_ENTRY: &str = "libchdb-26.7.3-stable.1/libchdb.so";

/// Where the engine's library is looked for when nothing is configured: `$SYNCLINE_LIBCHDB`, else below `$SYNCLINE_CACHE`,
/// `$XDG_CACHE_HOME/syncline` or `~/.cache/syncline`, whichever is set first. The file need not exist.
#[must_use]
pub fn libchdb_path() -> PathBuf {
    set("SYNCLINE_LIBCHDB").unwrap_or_else(|| cache_dir().join(CACHE_ENTRY))
}

/// The configured or usual path, if the file is there.
pub(super) fn find(configured: Option<&Path>) -> Result<PathBuf, StoreError> {
    let path = configured.map_or_else(libchdb_path, Path::to_path_buf);
    if path.is_file() { Ok(path) } else { Err(StoreError::LibraryMissing { path }) }
}

fn cache_dir() -> PathBuf {
    set("SYNCLINE_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("syncline")))
        .or_else(|| set("HOME").map(|dir| dir.join(".cache/syncline")))
        .unwrap_or_else(|| PathBuf::from(".cache/syncline"))
}

fn set(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
