//! Programs of crates.io that extend cargo, each of a pinned version.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::{place, process};

/// The program, built into the cache if it is not there. Its dev build takes a third of the release build's time, and its work
/// is the same either way: a few seconds, or done by others.
///
/// # Errors
/// When it cannot be fetched or built.
pub(crate) fn cargo_tool(name: &str, version: &str) -> Result<PathBuf> {
    let root = place::cache()?.join(format!("{name}-{version}"));
    let program = root.join("bin").join(name);
    if !program.is_file() {
        let mut command = process::cargo();
        command.args(["install", "--quiet", "--locked", "--debug", "--version", version, "--root"]);
        command.arg(&root).arg(name);
        // Not the workspace's target directory: its build lock and its profile are not meant for this.
        command.current_dir(std::env::temp_dir()).env_remove("CARGO_TARGET_DIR");
        process::run(&mut command).with_context(|| format!("{name} cannot be had; check the network"))?;
    }
    println!("have {name} {version}");
    Ok(program)
}
