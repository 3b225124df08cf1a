//! `cargo xtask ci`: what a change must pass.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::steps::Steps;
use crate::{fetch, place, process, test};

const CARGO_DENY: &str = "0.20.2";

/// # Errors
/// When a step failed; the summary printed before says which.
pub(crate) fn run() -> Result<()> {
    let mut steps = Steps::default();
    steps.run("cargo fmt --check", |_| process::run(process::cargo().args(["fmt", "--all", "--check"])));
    steps.run("gofmt", |_| gofmt());
    // The build script of the eBPF programs needs clang, also for the lints.
    if steps.run("fetch clang", |_| fetch::run(fetch::Part::Clang)) {
        steps.run("cargo clippy", |_| clippy());
    }
    steps.run("cargo deny", |_| deny());
    test::add_to(&mut steps, &test::Options { require_bpf: true });
    steps.finish()
}

fn clippy() -> Result<()> {
    let mut command = process::cargo();
    command.args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    process::run(&mut command)
}

fn gofmt() -> Result<()> {
    let mut command = Command::new("gofmt");
    command.args(["-l", "."]).current_dir(place::workspace());
    let output = process::capture(&mut command)?;
    let files = String::from_utf8_lossy(&output.stdout).into_owned();
    if !files.is_empty() {
        bail!("not formatted, run `gofmt -w`: {}", files.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    Ok(())
}

/// The check of advisories is not part of this: it needs a database from outside, so its verdict changes with the day.
fn deny() -> Result<()> {
    let mut command = Command::new(cargo_deny()?);
    command.current_dir(place::workspace());
    command.args(["--workspace", "--all-features", "check", "bans", "licenses", "sources"]);
    process::run(&mut command)
}

/// The pinned cargo-deny, built into the cache if it is not there. Its dev build takes a third of the release build's
/// time, and its work a few seconds either way.
fn cargo_deny() -> Result<PathBuf> {
    let root = place::cache()?.join(format!("cargo-deny-{CARGO_DENY}"));
    let program = root.join("bin").join("cargo-deny");
    if !program.is_file() {
        let mut command = process::cargo();
        command.args(["install", "--quiet", "--locked", "--debug", "--version", CARGO_DENY, "--root"]);
        command.arg(&root).arg("cargo-deny");
        // Not the workspace's target directory: its build lock and its profile are not meant for this.
        command.current_dir(std::env::temp_dir()).env_remove("CARGO_TARGET_DIR");
        process::run(&mut command).context("cargo-deny cannot be had; check the network")?;
    }
    println!("have cargo-deny {CARGO_DENY}");
    Ok(program)
}
