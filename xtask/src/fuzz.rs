//! `cargo xtask fuzz`: a fuzz target for so many runs, from its corpus on.

use std::process::Command;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::{fetch, place, process};

const CARGO_FUZZ: &str = "0.13.2";
/// Bytes of an input. The tiny programs that it starts from have some 6,000, the spools 1,000; what is larger is slower, and no different.
const MAX_LENGTH: u64 = 8192;
/// What one input may take, and all of them.
const TIMEOUT_S: u64 = 5;
const MEMORY_MIB: u64 = 1024;

/// What can be fuzzed.
#[derive(Clone, Copy, ValueEnum)]
enum Target {
    /// The reader of Go binaries
    Gosym,
    /// Opening a spool, reading it, and going on
    Spool,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::Gosym => "gosym",
            Self::Spool => "spool",
        }
    }
}

/// What `cargo xtask fuzz` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// What to fuzz
    #[arg(value_enum)]
    target: Target,
    /// How many inputs to try
    #[arg(long, value_name = "N", default_value_t = 10_000_000)]
    runs: u64,
}

/// What finds something new is kept below the target directory, to start from the next time; what fails, in `fuzz/artifacts`.
///
/// # Errors
/// When an input fails, with the last lines saying which; when something that is needed cannot be had.
pub(crate) fn run(options: &Options) -> Result<()> {
    let name = options.target.name();
    let found = place::target().join("fuzz").join(name);
    std::fs::create_dir_all(&found).with_context(|| format!("cannot create {}", found.display()))?;
    let mut command = Command::new(fetch::cargo_tool("cargo-fuzz", CARGO_FUZZ)?);
    // There is no unsafe code in what is fuzzed, so a sanitizer would find nothing; overflows panic, as cargo-fuzz asks for.
    command.current_dir(place::workspace()).args(["run", "--sanitizer", "none", name]);
    command.arg(found).arg(format!("fuzz/corpus/{name}")).arg("--");
    let limits =
        [("runs", options.runs), ("max_len", MAX_LENGTH), ("timeout", TIMEOUT_S), ("rss_limit_mb", MEMORY_MIB)];
    command.args(limits.map(|(name, value)| format!("-{name}={value}"))).arg("-print_final_stats=1");
    process::run(&mut command)
}
