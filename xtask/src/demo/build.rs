//! Builds what the demo runs: Syncline itself and one Go service per region.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::plan::{REGIONS, Region};
use crate::{fetch, place, process};

/// The programs of the demo.
pub(crate) struct Programs {
    pub(crate) agent: PathBuf,
    pub(crate) aggregator: PathBuf,
    pub(crate) cli: PathBuf,
    pub(crate) wan: PathBuf,
    /// In the order of the regions.
    pub(crate) services: Vec<PathBuf>,
}

/// # Errors
/// When something does not build.
pub(crate) fn build(bin: &Path) -> Result<Programs> {
    cargo_build()?;
    let services = REGIONS.iter().map(|region| service(region, bin)).collect::<Result<_>>()?;
    let wan = bin.join("wan");
    process::run(go_build(fetch::NEWEST_GO, &wan).arg("./wan"))?;
    let ours = place::target().join("debug");
    Ok(Programs {
        agent: ours.join("syncline-agent"),
        aggregator: ours.join("syncline-aggregator"),
        cli: ours.join("syncline"),
        wan,
        services,
    })
}

/// The three programs, and the nodes of `cargo xtask chaos`. What tests alone need decides over the features of what others need, too: so the whole
/// workspace is named, and an example of it, and what `cargo test --workspace` has compiled serves here and the other way round.
pub(crate) const OURS: [&str; 9] = [
    "--workspace",
    "--bin",
    "syncline",
    "--bin",
    "syncline-agent",
    "--bin",
    "syncline-aggregator",
    "--example",
    "modelled_nodes",
];

fn cargo_build() -> Result<()> {
    let mut command = process::cargo();
    command.arg("build").args(OURS);
    // The clocks of the three nodes are made wrong in the agent, before anything else sees a stamp.
    command.args(["--features", "syncline-agent/inject-clock"]);
    process::run(&mut command)
}

fn service(region: &Region, bin: &Path) -> Result<PathBuf> {
    let program = bin.join(format!("service-{}", region.name));
    let mut command = go_build(region.go, &program);
    if region.stripped {
        command.arg("-ldflags=-s -w");
    }
    process::run(command.arg("./service")).with_context(|| format!("the service of {}", region.name))?;
    Ok(program)
}

fn go_build(version: &str, program: &Path) -> Command {
    let mut command = Command::new("go");
    command.current_dir(place::workspace().join("demo")).env("GOTOOLCHAIN", version);
    command.args(["build", "-trimpath", "-o"]).arg(program);
    command
}
