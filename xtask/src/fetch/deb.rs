//! Programs of Debian packages that tests need, unpacked beside the other things that they need and not installed: an installed daemon would
//! start.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// Fetches packages and unpacks them into `dir`. apt checks them against their archive's signature.
///
/// # Errors
/// They cannot be had; the error says how to mend that.
pub(super) fn unpack(packages: &[&str], dir: &Path) -> Result<()> {
    let names = packages.join(" ");
    if !process::is_installed("apt-get") || !process::is_installed("dpkg-deb") {
        bail!("install {names} with this system's package manager");
    }
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    println!("fetching {names} (`apt-get download {names}`, unpacked into {})", dir.display());
    process::capture(Command::new("apt-get").args(["download", "-q"]).args(packages).current_dir(dir))
        .context("check the network, then `apt-get update`")?;
    let is_package = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deb");
    let files: Vec<PathBuf> =
        std::fs::read_dir(dir)?.filter_map(|entry| Some(entry.ok()?.path())).filter(is_package).collect();
    if files.is_empty() {
        bail!("apt-get download gave no package");
    }
    files
        .iter()
        .try_for_each(|package| process::capture(Command::new("dpkg-deb").arg("-x").arg(package).arg(dir)).map(drop))
}
