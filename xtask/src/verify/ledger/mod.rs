//! `cargo xtask verify ledger`: captured = stored + lost by cause, with error 0, also where the agent is overwhelmed.
//!
//! A Go program blocks as fast as it can, a real agent observes it, and a real aggregator stores what it sends, in ways that lose: the ring is too
//! small, the agent or the aggregator stops for a while, more goroutines park than are followed, the agent is killed. What comes of it
//! is asked of the store, by `syncline audit`.

mod run;
mod scenario;

use anyhow::{Result, ensure};
use clap::Args;

use crate::bench::region::Region;
use crate::bench::{Built, build, scratch, table, whole};
use crate::fetch;
use run::{Account, Programs};
use scenario::Scenario;

/// What `cargo xtask verify ledger` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// Only these scenarios; without it all
    #[arg(long, value_enum, value_delimiter = ',')]
    scenarios: Vec<Scenario>,
    /// The Go version to build the program with, such as go1.25.5
    #[arg(long, default_value = fetch::NEWEST_GO)]
    go: String,
    #[command(flatten)]
    built: Built,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let syncline = build::syncline(options.built)?;
    let dir = scratch()?;
    let programs = Programs {
        agent: syncline.agent,
        syncline: build::cli(options.built)?,
        observed: build::go_program("xtask/verify/ledger", &options.go, dir.path())?,
    };
    let region = Region::start(&syncline.aggregator, dir.path())?;
    let scenarios = if options.scenarios.is_empty() { Scenario::ALL.to_vec() } else { options.scenarios.clone() };
    let (mut rows, mut failures, mut sums) = (Vec::new(), Vec::new(), (0, 0));
    for scenario in &scenarios {
        eprintln!("{}: {}", scenario.name(), scenario.what_happens());
        let account = run::run(*scenario, &programs, &region, dir.path())?;
        failures.extend(account.failure(*scenario).map(|why| format!("{}: {why}", scenario.name())));
        sums = (sums.0 + account.captured, sums.1 + account.lost);
        rows.push(row(*scenario, &account));
    }
    region.end()?;
    table::print(
        &["", "captured", "events", "in sums", "lost", "left out", "waiting", "unexplained", "lost to"],
        &rows,
    );
    ensure!(failures.is_empty(), "ledger: FAILED {}", failures.join("; "));
    println!("ledger: OK scenarios={} captured={} lost={} unexplained=0", scenarios.len(), sums.0, sums.1);
    Ok(())
}

fn row(scenario: Scenario, account: &Account) -> Vec<String> {
    let causes = account.causes.iter().map(|(cause, count)| format!("{cause} {}", whole(*count as f64)));
    let number = |value: u64| whole(value as f64);
    vec![
        scenario.what_happens().to_owned(),
        number(account.captured),
        number(account.events),
        number(account.short_waits),
        number(account.lost),
        number(account.left_out),
        account.waiting.to_string(),
        account.unexplained.to_string(),
        causes.collect::<Vec<_>>().join(", "),
    ]
}
