//! Other tools beside which, and under whose load, `bench overhead` measures. apt checks the packages against its archive's signature;
//! which version it was stands beside the figures.

use std::process::Command;

use anyhow::{Context, Result};

use super::apt;
use crate::process;

/// Makes sure of bpftrace; says which, as `bpftrace v0.17.0`.
///
/// # Errors
/// When it cannot be had; the error says the command to type.
pub(crate) fn bpftrace() -> Result<String> {
    installed("bpftrace")
}

/// Makes sure of wrk; says which, as `wrk 4.1.0`.
///
/// # Errors
/// When it cannot be had; the error says the command to type.
pub(crate) fn wrk() -> Result<String> {
    installed("wrk")
}

fn installed(program: &'static str) -> Result<String> {
    if !process::is_installed(program) {
        apt::install(program, &[program])?;
    }
    // wrk does so with an exit code of 1.
    let output = Command::new(program).arg("--version").output().with_context(|| format!("cannot start {program}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().with_context(|| format!("{program} does not say its version"))?;
    Ok(line.split(['[', '(']).next().unwrap_or_default().trim().to_owned())
}
