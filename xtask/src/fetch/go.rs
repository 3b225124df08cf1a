//! The Go toolchains: the oldest and newest that we support and one between. The go command itself fetches and checks
//! them as modules.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// The newest Go that is tested.
pub(crate) const NEWEST: &str = "go1.27.3";
/// All that are tested, oldest first.
pub(crate) const VERSIONS: [&str; 3] = ["go1.21.13", "go1.24.11", NEWEST];

/// Not from the distribution: Debian 12's, for one, cannot switch toolchains.
const MEND: &str = "install Go 1.21 or newer from https://go.dev/dl and put its bin directory on PATH \
                    (a distribution's package is often older and cannot fetch the toolchains)";

/// # Errors
/// When there is no go command that can fetch toolchains, or one cannot be fetched.
pub(crate) fn ensure() -> Result<()> {
    ensure_command()?;
    for version in VERSIONS {
        ensure_toolchain(version)?;
        println!("have {version}");
    }
    Ok(())
}

fn ensure_command() -> Result<()> {
    if !process::is_installed("go") {
        bail!("missing: go: {MEND}");
    }
    let said = version_said("local")?;
    if !can_switch(&said) {
        bail!("`{said}` is too old: {MEND}");
    }
    Ok(())
}

/// Since Go 1.21 the command runs the toolchain that GOTOOLCHAIN names.
fn can_switch(said: &str) -> bool {
    let number = said.split_whitespace().find_map(|word| word.strip_prefix("go1."));
    let minor = number.map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default());
    // A development version names no release, and is new.
    minor.is_none_or(|minor| minor.parse::<u32>().is_ok_and(|minor| minor >= 21))
}

fn ensure_toolchain(version: &str) -> Result<()> {
    let said = version_said(version)
        .with_context(|| format!("the toolchain {version} cannot be had; check the network and GOPROXY"))?;
    if !said.contains(version) {
        bail!("GOTOOLCHAIN={version} gives `{said}`: {MEND}");
    }
    Ok(())
}

/// What `go version` says under this GOTOOLCHAIN.
fn version_said(toolchain: &str) -> Result<String> {
    let mut command = Command::new("go");
    // Outside the demo's module: its go.mod has no say in which toolchain runs.
    command.current_dir(std::env::temp_dir()).env("GOTOOLCHAIN", toolchain).arg("version");
    let output = process::capture(&mut command)?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_switches_toolchains_since_1_21() {
        assert!(!can_switch("go version go1.19.8 linux/amd64"));
        assert!(!can_switch("go version go1.9 linux/amd64"));
        assert!(can_switch("go version go1.21 linux/amd64"));
        assert!(can_switch("go version go1.22rc1 linux/amd64"));
        assert!(can_switch("go version go1.27.3 linux/amd64"));
        assert!(can_switch("go version devel +0123abc linux/amd64"));
    }
}
