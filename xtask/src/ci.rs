//! `cargo xtask ci`: what a change must pass.

use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;

use crate::chaos::{self, Uplink};
use crate::steps::Steps;
use crate::{fetch, place, process, test};

/// What `cargo xtask ci` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// How long everything is killed, stopped and cut off, half of it over gRPC and half over Kafka; see `cargo xtask chaos`
    #[arg(long, default_value_t = 2.0, value_parser = chaos::short_minutes)]
    chaos_minutes: f64,
}

const CARGO_DENY: &str = "0.20.2";

/// # Errors
/// When a step failed; the summary printed before says which.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut steps = Steps::default();
    steps.run("cargo fmt --check", |_| process::run(process::cargo().args(["fmt", "--all", "--check"])));
    steps.run("gofmt", |_| gofmt());
    // The build script of the eBPF programs needs clang, also for the lints.
    if steps.run("fetch clang", |_| fetch::run(fetch::Part::Clang)) {
        steps.run("cargo clippy", |_| clippy());
    }
    steps.run("cargo deny", |_| deny());
    test::add_to(&mut steps, &test::Options { require_bpf: true, packages: Vec::new() });
    for uplink in [Uplink::Grpc, Uplink::Kafka] {
        let chaos = chaos::Options::short(options.chaos_minutes / 2.0, uplink);
        steps.run(&format!("cargo xtask chaos --uplink {}", uplink.name()), |_| chaos::run(&chaos));
    }
    steps.finish()
}

/// Of the workspace, of what is built for a measurement only, and whether the fuzz targets still fit what they fuzz.
fn clippy() -> Result<()> {
    let lints: [&[&str]; 3] = [
        &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
        &["clippy", "-p", "syncline-symbols-measure", "--features", "blazesym", "--", "-D", "warnings"],
        &["check", "--manifest-path", "fuzz/Cargo.toml"],
    ];
    lints.iter().try_for_each(|arguments| process::run(process::cargo().args(*arguments)))
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
    let mut command = Command::new(fetch::cargo_tool("cargo-deny", CARGO_DENY)?);
    command.current_dir(place::workspace());
    command.args(["--workspace", "--all-features", "check", "bans", "licenses", "sources"]);
    process::run(&mut command)
}
