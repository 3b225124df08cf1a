//! clang and libbpf's headers, which the eBPF programs are built with.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

const PACKAGES: [&str; 2] = ["clang", "libbpf-dev"];
/// One header of libbpf-dev stands for all.
const HEADER: &str = "/usr/include/bpf/bpf_helpers.h";

/// # Errors
/// When they are missing and cannot be installed; the error says the command to type.
pub(crate) fn ensure() -> Result<()> {
    if !is_here() {
        install()?;
        println!("installed {}", PACKAGES.join(", "));
    }
    println!("have {}, libbpf headers", version()?);
    Ok(())
}

fn is_here() -> bool {
    process::is_installed("clang") && Path::new(HEADER).is_file()
}

fn install() -> Result<()> {
    let typed = format!("apt-get install {}", PACKAGES.join(" "));
    if !process::is_installed("apt-get") {
        bail!(
            "clang or libbpf's headers are missing, and so is apt-get: install both with this system's package manager"
        );
    }
    if !rustix::process::geteuid().is_root() {
        bail!("clang or libbpf's headers are missing: run as root `{typed}`");
    }
    // The package lists of a fresh machine may be absent or old; a plain install is tried first since it is faster.
    if apt_get(&["install", "-y", "--no-install-recommends"]).is_err() {
        process::capture(Command::new("apt-get").args(["update", "-q"]))
            .with_context(|| format!("clang or libbpf's headers are missing and the package lists cannot be read; check the network, then `{typed}`"))?;
        apt_get(&["install", "-y", "--no-install-recommends"])
            .with_context(|| format!("clang or libbpf's headers are missing; check the network, then `{typed}`"))?;
    }
    if !is_here() {
        bail!("`{typed}` succeeded, yet clang is not on PATH or {HEADER} is missing");
    }
    Ok(())
}

fn apt_get(words: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(words).args(PACKAGES);
    process::capture(&mut command).map(drop)
}

fn version() -> Result<String> {
    let output = process::capture(Command::new("clang").arg("--version"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let number = text.split_once("version ").and_then(|(_, rest)| rest.split_whitespace().next());
    Ok(format!("clang {}", number.unwrap_or("of unknown version")))
}
