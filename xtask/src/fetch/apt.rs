//! Installs packages of a Debian-like system, where there is one and we may.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// Installs what `missing` names. Does not say so: the caller checks that it is there now.
///
/// # Errors
/// When it cannot be installed; the error says the command to type.
pub(super) fn install(missing: &str, packages: &[&str]) -> Result<()> {
    let typed = format!("apt-get install {}", packages.join(" "));
    if !process::is_installed("apt-get") {
        bail!("missing: {missing}, and apt-get: install it with this system's package manager");
    }
    if !rustix::process::geteuid().is_root() {
        bail!("missing: {missing}: run as root `{typed}`");
    }
    println!("installing {missing} (`{typed}`)");
    // The package lists of a fresh machine may be absent or old; a plain install is tried first since it is faster.
    if apt_get(packages).is_err() {
        process::capture(Command::new("apt-get").args(["update", "-q"])).with_context(|| {
            format!("missing: {missing}, and the package lists cannot be read; check the network, then `{typed}`")
        })?;
        apt_get(packages).with_context(|| format!("missing: {missing}; check the network, then `{typed}`"))?;
    }
    Ok(())
}

fn apt_get(packages: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(["install", "-y", "--no-install-recommends"]).args(packages);
    process::capture(&mut command).map(drop)
}
