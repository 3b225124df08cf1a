//! `cargo xtask bench probes`: what a clock probe costs, at the end that asks and at the one that answers.
//!
//! One aggregator asks another, over many links at once and twenty times a second each: that is what agents do too, and
//! its asking end has a clock model for each link. Both are on this machine, and their stores are not counted.

use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use rustix::process::Signal;

use super::child::Child;
use super::region::Region;
use super::{Built, build, machine, scratch, table, usage};

/// What `cargo xtask bench probes` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// How long each way is measured, s
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=3_600))]
    seconds: u64,
    /// Links at once, 20 probes a second each
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    links: u32,
    #[command(flatten)]
    built: Built,
}

const INTERVAL_MS: u64 = 50;
/// After a start probes are closer together, and everything is new.
const SETTLING: Duration = Duration::from_secs(5);

/// What one way of asking came to.
struct Outcome {
    name: &'static str,
    /// CPU time for each probe.
    asking: Duration,
    answering: Duration,
    /// Beside nothing: what the answering end uses anyway, as a share of a core.
    idle: f64,
    per_second: f64,
    others: f64,
}

/// # Errors
/// When something cannot be built or started, or probes are not answered as often as they should be.
pub(crate) fn run(options: &Options) -> Result<()> {
    let programs = build::syncline(options.built)?;
    let ways: [(&str, &[&str]); 2] =
        [("over UDP, kernel stamps", &[]), ("over gRPC, user-space stamps", &["--no-udp-probes"])];
    let outcomes: Vec<Outcome> = ways
        .into_iter()
        .map(|(name, arguments)| measure(&programs.aggregator, name, arguments, options))
        .collect::<Result<_>>()?;
    let us = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e6);
    let rows: Vec<Vec<String>> = outcomes
        .iter()
        .map(|outcome| {
            vec![
                outcome.name.to_owned(),
                us(outcome.asking),
                us(outcome.answering),
                format!("{:.0}", outcome.per_second),
                format!("{:.2}", outcome.idle * 100.0),
            ]
        })
        .collect();
    let headings =
        ["a probe", "asking, us of CPU", "answering, us of CPU", "probes a second here", "idle, % of a core"];
    table::print(&headings, &rows);
    println!(
        "{}; {}. {} links, {} s each. {}",
        machine::description(),
        options.built,
        options.links,
        options.seconds,
        machine::disturbance(outcomes.iter().map(|outcome| outcome.others)),
    );
    Ok(())
}

fn measure(aggregator: &Path, name: &'static str, arguments: &[&str], options: &Options) -> Result<Outcome> {
    let window = Duration::from_secs(options.seconds);
    let others = machine::busy_share();
    let dir = scratch()?;
    let answering = Region::start(aggregator, dir.path())?;
    sleep(SETTLING);
    let [idle] = used([answering.pid()], window / 4)?;
    let begun = Instant::now();
    let asking = ask(aggregator, dir.path(), &answering, arguments, options.links)?;
    sleep(SETTLING);
    let [answered, asked] = used([answering.pid(), asking.id()], window)?;
    let ran = begun.elapsed();
    asking.end(Some(Signal::TERM))?;
    let total =
        probes_answered(&answering.end()?).context("the aggregator does not say how many probes it answered")?;
    let per_second = total as f64 / ran.as_secs_f64();
    let wanted = f64::from(options.links) * 1e3 / INTERVAL_MS as f64;
    ensure!(
        (0.8..1.2).contains(&(per_second / wanted)),
        "{per_second:.0} probes a second were answered, not {wanted:.0}"
    );
    let idle = idle.as_secs_f64() / (window / 4).as_secs_f64();
    let each = |time: Duration, idle: f64| {
        let rest = time.as_secs_f64() / window.as_secs_f64() - idle;
        Duration::from_secs_f64((rest / wanted).max(0.0))
    };
    Ok(Outcome { name, asking: each(asked, idle), answering: each(answered, idle), idle, per_second, others })
}

/// CPU time that each process uses within `window`.
fn used<const N: usize>(pids: [u32; N], window: Duration) -> Result<[Duration; N]> {
    let mut used = [Duration::ZERO; N];
    for (used, pid) in used.iter_mut().zip(pids) {
        *used = usage::cpu(pid)?;
    }
    sleep(window);
    for (used, pid) in used.iter_mut().zip(pids) {
        *used = usage::cpu(pid)?.saturating_sub(*used);
    }
    Ok(used)
}

/// An aggregator of another region that asks `root` over many links.
fn ask(aggregator: &Path, dir: &Path, root: &Region, arguments: &[&str], links: u32) -> Result<Child> {
    let url = format!("http://{}", root.address());
    let mut command = Command::new(aggregator);
    command.args([
        "--region",
        "asking",
        "--listen",
        "127.0.0.1:0",
        "--clickhouse-url",
        &root.engine_url()?,
        "--state-dir",
    ]);
    command.arg(dir.join("asking")).args(["--root", &url, "--probe-interval", &format!("{INTERVAL_MS}ms")]);
    for _ in 1..links {
        command.args(["--peer", &url]);
    }
    command.args(arguments).env("RUST_LOG", "warn");
    let asking = Child::start("asking", command, dir)?;
    asking.line("ready")?;
    Ok(asking)
}

/// From the last line of an aggregator's log.
fn probes_answered(log: &str) -> Option<u64> {
    let counter = log.rsplit_once("probes_answered=")?.1;
    counter.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_count_of_a_log_is_taken() {
        let log =
            "INFO so far counters=probes_answered=7 x=1\nINFO stopped counters=batches_stored=2 probes_answered=1200\n";
        assert_eq!(probes_answered(log), Some(1_200));
        assert_eq!(probes_answered("INFO stopped counters=nothing yet"), None);
    }
}
