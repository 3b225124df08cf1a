//! The Go toolchains: the oldest and newest that we support and one between. The go command itself fetches and checks
//! them as modules.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// The newest Go that is tested.
pub(crate) const NEWEST: &str = "go1.27.3";
/// All that are tested, oldest first.
pub(crate) const VERSIONS: [&str; 3] = ["go1.21.13", "go1.24.11", NEWEST];

/// # Errors
/// When there is no go command, or a toolchain cannot be fetched.
pub(crate) fn ensure() -> Result<()> {
    if !process::is_installed("go") {
        bail!("go is missing: install Go 1.21 or newer and put its bin directory on PATH");
    }
    for version in VERSIONS {
        ensure_toolchain(version)?;
        println!("have {version}");
    }
    Ok(())
}

fn ensure_toolchain(version: &str) -> Result<()> {
    let mut command = Command::new("go");
    // Outside the demo's module: its go.mod has no say in which toolchain runs.
    command.current_dir(std::env::temp_dir()).env("GOTOOLCHAIN", version).arg("version");
    let output = process::capture(&mut command)
        .with_context(|| format!("the toolchain {version} cannot be had; check the network and GOPROXY"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !said.contains(version) {
        bail!("GOTOOLCHAIN={version} gives `{}`: this go command is older than 1.21, install a newer one", said.trim());
    }
    Ok(())
}
