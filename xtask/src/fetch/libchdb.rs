//! libchdb, the ClickHouse engine as a shared library, from its npm package.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::npm::{self, Package};
use crate::place;

/// Names a libchdb.so to use instead of the fetched one.
pub(crate) const OVERRIDE: &str = "SYNCLINE_LIBCHDB";

const VERSION: &str = "26.7.3-stable.1";
const PACKAGE: Package = Package {
    name: "@chdb/lib-linux-x64-gnu",
    version: VERSION,
    sha512: "XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==",
};
const MEMBER: &str = "package/libchdb.so";
const FILE: &str = "libchdb.so";

/// Makes sure that there is a libchdb.so, and says where.
///
/// # Errors
/// When it cannot be fetched, or is not what was published.
pub(crate) fn ensure() -> Result<()> {
    let file = path()?;
    if env::var_os(OVERRIDE).is_some() {
        if !file.is_file() {
            bail!("{OVERRIDE} names {}, which is not a file: correct it, or unset it to fetch libchdb", file.display());
        }
        println!("have libchdb by {OVERRIDE} ({})", file.display());
    } else if file.is_file() {
        println!("have libchdb {VERSION} ({})", file.display());
    } else {
        let dir = file.parent().context("a file has a directory")?;
        let megabytes = fetch(dir, &file)?;
        println!("fetched libchdb {VERSION} ({megabytes} MB) into {}", dir.display());
    }
    Ok(())
}

/// Where libchdb.so is, or will be once fetched.
///
/// # Errors
/// When there is no place for fetched files.
pub(crate) fn path() -> Result<PathBuf> {
    match env::var_os(OVERRIDE) {
        Some(file) => Ok(PathBuf::from(file)),
        None => Ok(place::cache()?.join(format!("libchdb-{VERSION}")).join(FILE)),
    }
}

/// The file appears under its name only when it is whole and checked. Returns the size of the package in MB.
fn fetch(dir: &Path, file: &Path) -> Result<u64> {
    if env::consts::ARCH != "x86_64" {
        bail!("no libchdb package is pinned for {}: build one and name it by {OVERRIDE}", env::consts::ARCH);
    }
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}: set SYNCLINE_CACHE", dir.display()))?;
    let scratch = tempfile::tempdir_in(dir).with_context(|| format!("cannot write in {}", dir.display()))?;
    let not_had = || format!("libchdb {VERSION} cannot be fetched, nor is one named by {OVERRIDE}");
    let package = PACKAGE.fetch(scratch.path()).with_context(not_had)?;
    let unpacked = scratch.path().join(FILE);
    npm::unpack(&package, MEMBER, &unpacked)?;
    fs::rename(&unpacked, file).with_context(|| format!("cannot put {} in place", file.display()))?;
    Ok(fs::metadata(&package)?.len() / 1_000_000)
}
