//! `cargo xtask bench clock`: how far our clock model and the estimators of others are off, in simulation where the truth is
//! known.
//!
//! ```text
//! Condition ─► runs, one a seed ─┬─► ours ─► Tally ─┬─► Outcome ─► tables ─► docs/accuracy.md
//!                                └─► rivals ─► Score ┘
//! ```

mod condition;
mod cost;
mod ours;
mod outcome;
mod plot;
mod report;
mod rivals;
mod scene;
mod seeds;
mod stream;
mod svg;
mod tally;
mod verdict;

use anyhow::{Result, bail};
use clap::Args;
use syncline_sim::profile::Network;

use super::page::Page;
use crate::process;
use condition::Condition;
use outcome::{Outcome, Runs};
pub(super) use seeds::each;

const PAGE: Page = Page { name: "accuracy.md", mark: "bench clock" };

/// What `cargo xtask bench clock` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// Runs of each condition
    #[arg(long, default_value_t = 100)]
    seeds: usize,
    /// The first run's seed
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Only this network: lan, lan-user, lan10 or wan
    #[arg(long, conflicts_with = "write")]
    only: Option<Network>,
    /// Ten runs of each condition, to see that it works: a few seeds set the tails
    #[arg(long, conflicts_with = "seeds")]
    quick: bool,
    /// Write the tables into docs/accuracy.md instead of printing them, and draw docs/img/clock-error.svg
    #[arg(long)]
    write: bool,
    /// Only draw docs/img/clock-error.svg
    #[arg(long, conflicts_with_all = ["write", "only"])]
    plot: bool,
    /// Only measure and print what the clock model costs
    #[arg(long, conflicts_with_all = ["write", "only", "plot"])]
    cost: bool,
}

/// # Errors
/// When something cannot be built, or the page cannot be written.
pub(crate) fn run(options: &Options) -> Result<()> {
    if cfg!(debug_assertions) {
        return again_in_release();
    }
    if options.plot {
        return plot::write();
    }
    if options.cost {
        print!("{}", cost::text());
        return Ok(());
    }
    let runs = Runs { first: options.first, seeds: if options.quick { 10 } else { options.seeds } };
    let conditions: Vec<Condition> = Condition::all()
        .into_iter()
        .filter(|condition| options.only.is_none_or(|only| only == condition.network))
        .collect();
    if runs.seeds == 0 {
        bail!("--seeds 0: nothing to run, write 1 or more");
    }
    if let (Some(only), true) = (options.only, conditions.is_empty()) {
        bail!("--only {}: no condition has this network, write lan, lan-user, lan10 or wan", only.name());
    }
    let outcomes: Vec<Outcome> =
        conditions.into_iter().map(|condition| outcome::measure(condition, runs)).collect::<Result<_>>()?;
    let tables = report::text(&outcomes, runs) + &cost::text();
    if options.write {
        plot::write()?;
        return PAGE.write(&tables);
    }
    print!("{tables}");
    Ok(())
}

/// An unoptimized build would take hours, and its costs say nothing.
pub(super) fn again_in_release() -> Result<()> {
    let mut command = process::cargo();
    command.args(["run", "--quiet", "--release", "-p", "xtask", "--"]).args(std::env::args_os().skip(1));
    process::run(&mut command)
}
