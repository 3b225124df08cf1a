//! Packages of npm, each of a pinned version and checked.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha512};

use super::apt;
use crate::process;

/// A package as it was published.
pub(super) struct Package {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    /// Its integrity as npm publishes it.
    pub(super) sha512: &'static str,
}

impl Package {
    /// The package's file, in this directory.
    ///
    /// # Errors
    /// When it cannot be fetched, or is not what was published.
    pub(super) fn fetch(&self, scratch: &Path) -> Result<PathBuf> {
        let package = self.pack(scratch)?;
        self.check_integrity(&package)?;
        Ok(package)
    }

    fn pack(&self, scratch: &Path) -> Result<PathBuf> {
        if !process::is_installed("npm") {
            apt::install("npm", &["npm"])?;
        }
        let mut command = Command::new("npm");
        command.args(["pack", "--loglevel=error", &format!("{}@{}", self.name, self.version)]).current_dir(scratch);
        let output = process::capture(&mut command).context("check the network and npm's registry setting")?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let name = printed.lines().last().map(str::trim).filter(|name| name.ends_with(".tgz"));
        let name = name.with_context(|| format!("npm pack printed no file name, but `{}`", printed.trim()))?;
        Ok(scratch.join(name))
    }

    fn check_integrity(&self, package: &Path) -> Result<()> {
        let found = digest(package)?;
        if found != self.sha512 {
            bail!(
                "{}@{} is not what was published: sha512 {found}, expected {}; \
                 nothing was kept, check npm's registry setting",
                self.name,
                self.version,
                self.sha512
            );
        }
        Ok(())
    }
}

/// Writes one file of a package. It is on the disk afterwards: the next run may trust it by its name.
///
/// # Errors
/// When the package has no such file, or it cannot be written.
pub(super) fn unpack(package: &Path, member: &str, to: &Path) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.arg("-xzOf").arg(package).arg(member).stdout(Stdio::piped());
    let mut child = tar.spawn().context("cannot start tar: install it")?;
    let mut output = File::create(to)?;
    if let Some(mut bytes) = child.stdout.take() {
        io::copy(&mut bytes, &mut output).with_context(|| format!("cannot write {}", to.display()))?;
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{} failed ({status})", process::shown(&tar));
    }
    Ok(output.sync_all()?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_the_published_package_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("package.tgz");
        std::fs::write(&file, b"abc").unwrap();
        // FIPS 180-2, appendix C.1: SHA-512 of "abc".
        let known = "3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==";
        assert_eq!(digest(&file).unwrap(), known);
        let package = Package { name: "left", version: "1", sha512: "another" };
        let error = package.check_integrity(&file).unwrap_err().to_string();
        assert!(error.contains("not what was published"), "{error}");
        assert!(Package { sha512: known, ..package }.check_integrity(&file).is_ok());
    }
}
