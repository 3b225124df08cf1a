//! libchdb, the ClickHouse engine as a shared library, from its npm package.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha512};

use super::apt;
use crate::{place, process};

/// Names a libchdb.so to use instead of the fetched one.
pub(crate) const OVERRIDE: &str = "SYNCLINE_LIBCHDB";

const PACKAGE: &str = "@chdb/lib-linux-x64-gnu";
const VERSION: &str = "26.7.3-stable.1";
/// The package's integrity as npm publishes it.
const SHA512: &str = "XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==";
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
    let package = pack(scratch.path())?;
    check_integrity(&package)?;
    let unpacked = unpack(&package, scratch.path())?;
    fs::rename(&unpacked, file).with_context(|| format!("cannot put {} in place", file.display()))?;
    Ok(fs::metadata(&package)?.len() / 1_000_000)
}

fn pack(scratch: &Path) -> Result<PathBuf> {
    if !process::is_installed("npm") {
        apt::install("npm", &["npm"]).with_context(not_had)?;
    }
    let mut command = Command::new("npm");
    command.args(["pack", "--loglevel=error", &format!("{PACKAGE}@{VERSION}")]).current_dir(scratch);
    let output = process::capture(&mut command)
        .with_context(|| format!("{}; check the network and npm's registry setting", not_had()))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let name = printed.lines().last().map(str::trim).filter(|name| name.ends_with(".tgz"));
    let name = name.with_context(|| format!("npm pack printed no file name, but `{}`", printed.trim()))?;
    Ok(scratch.join(name))
}

fn not_had() -> String {
    format!("libchdb {VERSION} cannot be fetched, nor is one named by {OVERRIDE}")
}

fn check_integrity(package: &Path) -> Result<()> {
    let found = digest(package)?;
    if found != SHA512 {
        bail!(
            "{PACKAGE}@{VERSION} is not what was published: sha512 {found}, expected {SHA512}; \
             nothing was kept, check npm's registry setting"
        );
    }
    Ok(())
}

/// The base64 of the file's SHA-512.
fn digest(file: &Path) -> Result<String> {
    let mut input = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut hasher = Sha512::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = input.read(&mut buffer)?;
        if read == 0 {
            return Ok(BASE64.encode(hasher.finalize()));
        }
        hasher.update(&buffer[..read]);
    }
}

fn unpack(package: &Path, scratch: &Path) -> Result<PathBuf> {
    let unpacked = scratch.join(FILE);
    let mut tar = Command::new("tar");
    tar.arg("-xzOf").arg(package).arg(MEMBER).stdout(Stdio::piped());
    let mut child = tar.spawn().context("cannot start tar: install it")?;
    let mut output = File::create(&unpacked)?;
    if let Some(mut bytes) = child.stdout.take() {
        io::copy(&mut bytes, &mut output).with_context(|| format!("cannot write {}", unpacked.display()))?;
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{} failed ({status})", process::shown(&tar));
    }
    // The next run trusts the file by its name, so it must be on the disk before it has that name.
    output.sync_all()?;
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_the_published_package_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("package.tgz");
        fs::write(&file, b"abc").unwrap();
        // FIPS 180-2, appendix C.1: SHA-512 of "abc".
        let known = "3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==";
        assert_eq!(digest(&file).unwrap(), known);
        let error = check_integrity(&file).unwrap_err().to_string();
        assert!(error.contains("not what was published"), "{error}");
    }
}
