//! `cargo xtask bench waits`: what is captured of a program that knows what it does: whether each wait is there, once, and how far its
//! length is off the one that the program has measured itself.
//!
//! The program's own measure begins before the goroutine parks and ends after it runs again, so it is the longer one: by its own way in
//! and out, by the probes on that way, and by what else the machine did meanwhile.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Deserialize;

use super::child::Child;
use super::statistics::quantile;
use super::{Built, build, machine, scratch, table};
use crate::{fetch, place, process};

/// What `cargo xtask bench waits` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// Waits of each way, in each build of the program
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    waits: u32,
    #[command(flatten)]
    built: Built,
}

/// Shortest wait that is looked at; those of the program are of 2 ms.
const SHORTEST: &str = "500us";

/// A way of waiting: kind and reason.
type Way = (String, String);

/// What the program says of one of its waits.
#[derive(Deserialize)]
struct Measured {
    kind: String,
    reason: String,
    goid: u64,
    took_ns: u64,
}

/// What was captured of one.
#[derive(Deserialize)]
struct Captured {
    kind: String,
    reason: String,
    goid: u64,
    start_mono_ns: u64,
    duration_ns: u64,
    open: bool,
}

/// Of one way, in all builds.
#[derive(Default)]
struct Compared {
    measured: usize,
    captured: usize,
    /// Program's length minus ours, of those builds in which each wait is there once; ns.
    off_ns: Vec<f32>,
}

/// # Errors
/// When something cannot be built, started or measured.
pub(crate) fn run(options: &Options) -> Result<()> {
    fetch::run(fetch::Part::Go)?;
    let dir = scratch()?;
    let agent = build::syncline(options.built)?.agent;
    let (mut ways, mut others) = (BTreeMap::new(), Vec::new());
    for go in fetch::GO_VERSIONS {
        for has_cgo in [false, true] {
            others.push(machine::busy_share());
            let program = observed(go, has_cgo, dir.path())?;
            compare(&mut ways, &one(&agent, &program, options.waits, dir.path())?);
        }
    }
    print(&ways);
    let versions = fetch::GO_VERSIONS.join(", ");
    let builds = format!("{versions}, each plain and with cgo; {} waits of each way", options.waits);
    println!("{}; {builds}; {}. {}", machine::description(), options.built, machine::disturbance(others));
    let all_there = ways.values().all(|way| way.measured == way.captured);
    ensure!(all_there, "not every wait was captured, and once");
    Ok(())
}

fn observed(go: &str, has_cgo: bool, dir: &Path) -> Result<PathBuf> {
    let program = dir.join(format!("waits-{go}{}", if has_cgo { "-cgo" } else { "" }));
    let mut command = Command::new("go");
    command.current_dir(place::workspace().join("xtask/bench/waits"));
    command.env("GOTOOLCHAIN", go).env("CGO_ENABLED", if has_cgo { "1" } else { "0" });
    command.args(["build", "-trimpath", "-o"]).arg(&program).arg(".");
    process::run(&mut command).context("the observed program")?;
    Ok(program)
}

/// Runs the program under observation.
fn one(agent: &Path, program: &Path, waits: u32, dir: &Path) -> Result<(Vec<Measured>, Vec<Captured>)> {
    let mut command = Command::new(program);
    command.arg(waits.to_string());
    let mut child = Child::start("waits", command, dir)?;
    child.line("ready")?;
    let events = dir.join("events.jsonl");
    let mut watch = Command::new(agent);
    watch.args(["watch", &child.id().to_string(), "--min", SHORTEST, "--interval", "100ms", "--out"]).arg(&events);
    let watch = Child::start("watch", watch, dir)?;
    watch.line("lost: ")?;
    child.order("begin")?;
    let measured = measured(&child)?;
    child.end(None)?;
    let (_, log) = watch.end(None)?;
    ensure!(log.is_empty(), "the watch says: {log}");
    let text = std::fs::read_to_string(&events).context("no events")?;
    let captured: Vec<Captured> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    Ok((measured, captured.into_iter().filter(|wait| !wait.open).collect()))
}

fn measured(child: &Child) -> Result<Vec<Measured>> {
    let mut all = Vec::new();
    loop {
        let line = child.line("")?;
        if line == "done" {
            return Ok(all);
        }
        all.push(serde_json::from_str(&line).with_context(|| format!("the program says: {line}"))?);
    }
}

/// The waits of a goroutine come in their order.
fn compare(ways: &mut BTreeMap<Way, Compared>, (measured, captured): &(Vec<Measured>, Vec<Captured>)) {
    let mut of_way: BTreeMap<(Way, u64), Vec<u64>> = BTreeMap::new();
    for wait in measured {
        of_way.entry(((wait.kind.clone(), wait.reason.clone()), wait.goid)).or_default().push(wait.took_ns);
    }
    for ((way, goid), took_ns) in of_way {
        let is_its = |wait: &&Captured| wait.goid == goid && (&wait.kind, &wait.reason) == (&way.0, &way.1);
        let mut found: Vec<&Captured> = captured.iter().filter(is_its).collect();
        found.sort_by_key(|wait| wait.start_mono_ns);
        let compared = ways.entry(way).or_default();
        compared.measured += took_ns.len();
        compared.captured += found.len();
        if found.len() == took_ns.len() {
            let off_ns = |(took_ns, wait): (&u64, &&Captured)| *took_ns as f32 - wait.duration_ns as f32;
            compared.off_ns.extend(took_ns.iter().zip(&found).map(off_ns));
        }
    }
}

fn print(ways: &BTreeMap<Way, Compared>) {
    let us = |ns: f64| format!("{:.1}", ns / 1e3);
    let row = |((_, reason), of): (&Way, &Compared)| {
        let at = |share| us(quantile(&of.off_ns, share));
        vec![reason.clone(), of.measured.to_string(), of.captured.to_string(), at(0.0), at(0.5), at(0.99), at(1.0)]
    };
    let headings = ["waits for", "waits", "captured", "least, us", "median, us", "99 %, us", "most, us"];
    table::print(&headings, &ways.iter().map(row).collect::<Vec<_>>());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(goid: u64, start_mono_ns: u64, duration_ns: u64) -> Captured {
        let (kind, reason) = ("goroutine".to_owned(), "sleep".to_owned());
        Captured { kind, reason, goid, start_mono_ns, duration_ns, open: false }
    }

    #[test]
    fn waits_are_compared_in_their_order_and_only_where_all_are_there() {
        let measured = |goid: u64, took_ns: u64| Measured {
            kind: "goroutine".to_owned(),
            reason: "sleep".to_owned(),
            goid,
            took_ns,
        };
        let program = vec![measured(1, 100), measured(1, 300), measured(2, 50)];
        let ours =
            vec![captured(1, 20, 290), captured(1, 10, 95), captured(2, 5, 50), captured(2, 6, 50), captured(9, 1, 1)];
        let mut ways = BTreeMap::new();
        compare(&mut ways, &(program, ours));
        let sleep = &ways[&("goroutine".to_owned(), "sleep".to_owned())];
        assert_eq!((sleep.measured, sleep.captured, sleep.off_ns.as_slice()), (3, 4, &[5.0, 10.0][..]));
    }
}
