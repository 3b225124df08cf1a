//! clang and libbpf's headers, which the eBPF programs are built with.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::apt;
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
    apt::install("clang or libbpf's headers", &PACKAGES)?;
    if !is_here() {
        bail!("`apt-get install {}` succeeded, yet clang is not on PATH or {HEADER} is missing", PACKAGES.join(" "));
    }
    Ok(())
}

fn version() -> Result<String> {
    let output = process::capture(Command::new("clang").arg("--version"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let number = text.split_once("version ").and_then(|(_, rest)| rest.split_whitespace().next());
    Ok(format!("clang {}", number.unwrap_or("of unknown version")))
}
