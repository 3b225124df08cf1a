//! Builds what is measured.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Built, Profile};
use crate::{fetch, place, process};

/// The programs of Syncline that a measurement runs.
pub(crate) struct Programs {
    pub(crate) agent: PathBuf,
    pub(crate) aggregator: PathBuf,
    /// Sends the batches of many simulated nodes.
    pub(crate) flood: PathBuf,
}

/// Fetches and builds everything that runs.
///
/// # Errors
/// When something is missing or does not build.
pub(crate) fn syncline(built: Built) -> Result<Programs> {
    fetch::run(fetch::Part::Clang)?;
    fetch::run(fetch::Part::Libchdb)?;
    let dir =
        cargo_build(built, &["-p", "syncline-agent", "-p", "syncline-aggregator", "--bins", "--example", "flood"])?;
    Ok(Programs {
        agent: dir.join("syncline-agent"),
        aggregator: dir.join("syncline-aggregator"),
        flood: dir.join("examples").join("flood"),
    })
}

/// The agent alone.
///
/// # Errors
/// When something is missing or does not build.
pub(crate) fn agent(built: Built) -> Result<PathBuf> {
    fetch::run(fetch::Part::Clang)?;
    Ok(cargo_build(built, &["-p", "syncline-agent", "--bins"])?.join("syncline-agent"))
}

/// The command line.
///
/// # Errors
/// When it does not build.
pub(crate) fn cli(built: Built) -> Result<PathBuf> {
    Ok(cargo_build(built, &["-p", "syncline-cli", "--bins"])?.join("syncline"))
}

/// Gives the directory of what was built.
pub(crate) fn cargo_build(built: Built, what: &[&str]) -> Result<PathBuf> {
    let mut command = process::cargo();
    command.arg("build").args(what);
    let dir = match built.profile {
        Profile::Dev => "debug",
        Profile::Release => {
            command.arg("--release");
            "release"
        }
    };
    process::run(&mut command)?;
    Ok(place::target().join(dir))
}

/// Attaches empty probes to a Go program.
///
/// # Errors
/// When it does not build.
pub(super) fn empty_uprobes(built: Built) -> Result<PathBuf> {
    let dir = cargo_build(built, &["-p", "syncline-agent", "--example", "empty_uprobes"])?;
    Ok(dir.join("examples").join("empty_uprobes"))
}

/// Builds caddy, of the modules and checksums of `xtask/symbols/caddy`, into `dir`: with its debug information packed, as the go
/// command does it, or not, so that nobody's time is spent on that.
///
/// # Errors
/// When Go or a module is missing.
pub(super) fn caddy(dir: &Path, is_packed: bool) -> Result<PathBuf> {
    let path = dir.join(if is_packed { "caddy-packed" } else { "caddy" });
    let mut command = Command::new("go");
    command.current_dir(place::workspace().join("xtask/symbols/caddy"));
    // Caddy 2.10 does not find its modules where json.RawMessage is another name of a type of the new JSON package.
    command.env("GOTOOLCHAIN", fetch::NEWEST_GO).env("GOWORK", "off").env("GOEXPERIMENT", "nojsonv2");
    command.args(["build", "-trimpath", &format!("-ldflags=-compressdwarf={is_packed}"), "-o"]).arg(&path).arg(".");
    process::run(&mut command).context("caddy")?;
    Ok(path)
}

/// Builds the Go program in `source`, below the workspace, with this Go version into `dir`.
///
/// # Errors
/// When Go is missing, or the program does not build.
pub(crate) fn go_program(source: &str, go: &str, dir: &Path) -> Result<PathBuf> {
    let program = dir.join("observed");
    let mut command = Command::new("go");
    command.current_dir(place::workspace().join(source)).env("GOTOOLCHAIN", go);
    command.args(["build", "-trimpath", "-o"]).arg(&program).arg(".");
    process::run(&mut command).context("the observed program")?;
    Ok(program)
}
