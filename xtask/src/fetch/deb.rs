//! Programs of Debian packages that tests need, unpacked beside the other things that they need and not installed: an installed daemon would
//! start.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// A package of Debian 12 on amd64, as its archive has it now. An archive has one version of each: where it is another, this is to be changed.
pub(super) struct Pinned {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    /// Of the file, in hex.
    pub(super) sha256: &'static str,
}

/// As [`unpack`], of these versions, with these sums.
///
/// # Errors
/// As of [`unpack`]; the archive has another version, or what came is not that file. Nothing is unpacked then.
pub(super) fn unpack_pinned(packages: &[Pinned], dir: &Path) -> Result<()> {
    let wanted: Vec<String> = packages.iter().map(|Pinned { name, version, .. }| format!("{name}={version}")).collect();
    let files = download(&wanted.iter().map(String::as_str).collect::<Vec<_>>(), dir)?;
    for file in &files {
        let output = process::capture(Command::new("sha256sum").arg("-b").arg(file))?;
        let line = String::from_utf8_lossy(&output.stdout).into_owned();
        let found = line.split_whitespace().next().unwrap_or_default().trim_start_matches('\\');
        if !packages.iter().any(|package| package.sha256 == found) {
            let _ = std::fs::remove_file(file);
            bail!(
                "{} is not what was pinned: sha256 {found}; nothing was unpacked, check apt's sources",
                file.display()
            );
        }
    }
    extract(&files, dir)
}

/// Fetches packages and unpacks them into `dir`. apt checks them against their archive's signature.
///
/// # Errors
/// They cannot be had; the error says how to mend that.
pub(super) fn unpack(packages: &[&str], dir: &Path) -> Result<()> {
    extract(&download(packages, dir)?, dir)
}

fn download(packages: &[&str], dir: &Path) -> Result<Vec<PathBuf>> {
    let names = packages.join(" ");
    if !process::is_installed("apt-get") || !process::is_installed("dpkg-deb") {
        bail!("install {names} with this system's package manager");
    }
    let is_package = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deb");
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    // Of an earlier time, they may be others.
    for old in std::fs::read_dir(dir)?.filter_map(|entry| Some(entry.ok()?.path())).filter(is_package) {
        std::fs::remove_file(&old).with_context(|| format!("cannot remove {}", old.display()))?;
    }
    println!("fetching {names} (`apt-get download {names}`, unpacked into {})", dir.display());
    process::capture(Command::new("apt-get").args(["download", "-q"]).args(packages).current_dir(dir))
        .context("check the network, then `apt-get update`")?;
    let files: Vec<PathBuf> =
        std::fs::read_dir(dir)?.filter_map(|entry| Some(entry.ok()?.path())).filter(is_package).collect();
    if files.is_empty() {
        bail!("apt-get download gave no package");
    }
    Ok(files)
}

fn extract(files: &[PathBuf], dir: &Path) -> Result<()> {
    files
        .iter()
        .try_for_each(|package| process::capture(Command::new("dpkg-deb").arg("-x").arg(package).arg(dir)).map(drop))
}
