//! A chronyd for the tests of clock claims. It is unpacked beside the other things that tests need, and not installed: an installed one
//! would take over this machine's clock.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{place, process};

/// What tells the tests where it is.
pub(crate) const OVERRIDE: &str = "SYNCLINE_CHRONYD";
const INSTALLED: &str = "/usr/sbin/chronyd";

/// Where it is, if it is anywhere.
pub(crate) fn path() -> Option<PathBuf> {
    let unpacked = unpacked().ok();
    [Some(PathBuf::from(INSTALLED)), unpacked].into_iter().flatten().find(|path| path.is_file())
}

/// Says so where it cannot be had: tests without it are skipped.
pub(crate) fn ensure() {
    match path().map_or_else(fetch, Ok).and_then(|path| version(&path)) {
        Ok(version) => println!("have {version}"),
        Err(error) => println!("no chronyd, so tests of its claims are skipped: {error:#}"),
    }
}

fn unpacked() -> Result<PathBuf> {
    Ok(place::cache()?.join("chrony").join("usr/sbin/chronyd"))
}

/// apt checks the package against its archive's signature.
fn fetch() -> Result<PathBuf> {
    if !process::is_installed("apt-get") || !process::is_installed("dpkg-deb") {
        bail!("install chrony with this system's package manager");
    }
    let dir = place::cache()?.join("chrony");
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    println!("fetching chronyd (`apt-get download chrony`, unpacked into {})", dir.display());
    process::capture(Command::new("apt-get").args(["download", "-q", "chrony"]).current_dir(&dir))
        .context("check the network, then `apt-get update`")?;
    let is_package = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deb");
    let mut files = std::fs::read_dir(&dir)?.filter_map(|entry| Some(entry.ok()?.path()));
    let package = files.find(is_package).context("apt-get download gave no package")?;
    process::capture(Command::new("dpkg-deb").arg("-x").arg(package).arg(&dir))?;
    unpacked()
}

/// That it runs at all: its libraries are this system's.
fn version(path: &Path) -> Result<String> {
    let output = process::capture(Command::new(path).arg("--version"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.split(" (+").next().unwrap_or("chronyd").trim().to_owned())
}
