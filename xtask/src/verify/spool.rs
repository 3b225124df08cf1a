//! `cargo xtask verify spool`: the tests of the spool that look at as much as they are told to, at a size that takes minutes.

use anyhow::{Context, Result};
use clap::{Args, value_parser};

use crate::process;

/// What `cargo xtask verify spool` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// Losses of power, at any step, while the storage fails in every way
    #[arg(long, default_value_t = 1_000_000, value_parser = value_parser!(u64).range(3_000..))]
    crashes: u64,
    /// Segments of which each bit flips and each length is cut
    #[arg(long, default_value_t = 1_000, value_parser = value_parser!(u64).range(1..))]
    segments: u64,
}

/// # Errors
/// When it does not hold, or the tests cannot be built.
pub(super) fn run(options: &Options) -> Result<()> {
    eprintln!("{} crashes", options.crashes);
    let crashes = test("crashes", "SYNCLINE_SPOOL_CRASHES", options.crashes)?;
    eprintln!("every bit and every length of {} segments", options.segments);
    let damage = test("damage", "SYNCLINE_SPOOL_SEGMENTS", options.segments)?;
    println!("spool: OK {crashes} {damage}");
    Ok(())
}

/// Runs one of the tests; what it counted.
fn test(name: &str, size: &str, value: u64) -> Result<String> {
    let mut command = process::cargo();
    command.args(["test", "--release", "-p", "syncline-spool", "--test", name, "--", "--nocapture"]);
    let output = process::capture(command.env(size, value.to_string()))?;
    let told = String::from_utf8_lossy(&output.stdout);
    // The harness may have begun the line.
    let counts = told.lines().find_map(|line| line.split_once("spool: ")).map(|(_, counts)| counts.trim().to_owned());
    counts.with_context(|| format!("the test {name} does not tell what it counted"))
}
