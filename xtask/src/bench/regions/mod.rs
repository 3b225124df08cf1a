//! `bench regions`: how far the references of regions are known against each other, and whether a false claim is named.

mod trial;

use anyhow::Result;
use clap::Args;
use syncline_sim::regions::RegionSettings;

use super::clock::again_in_release;
use super::page::Page;
use super::statistics::{quantile, whole};
use super::table;
use trial::{Trial, trial};

const PAGE: Page = Page { name: "accuracy.md", mark: "bench regions" };
/// Claims are collected for so long before the estimate is scored, s.
const SIX_HOURS: f64 = 6.0 * 3_600.0;

/// How to run it.
#[derive(Args)]
pub(crate) struct Options {
    /// First seed
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Draws of each kind
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    draws: u64,
    /// Write the tables into docs/accuracy.md
    #[arg(long)]
    write: bool,
}

/// # Errors
/// When the page cannot be written.
pub(crate) fn run(options: &Options) -> Result<()> {
    if cfg!(debug_assertions) {
        return again_in_release();
    }
    let seeds = options.first..options.first + options.draws;
    let still = RegionSettings::cloud_at_a_standstill();
    let lying = |settings| RegionSettings { lie_ns: Some((20e6, 80e6)), ..settings };
    let kinds = [
        ("claims wander, after six hours", RegionSettings::cloud(), SIX_HOURS),
        ("the same, at the first moment", RegionSettings::cloud(), 0.0),
        ("claims stand still", still, 0.0),
        ("one false claim, after six hours", lying(RegionSettings::cloud()), SIX_HOURS),
        ("one false claim, at the first moment", lying(RegionSettings::cloud()), 0.0),
    ];
    let mut rows = Vec::new();
    for (name, settings, learned_s) in kinds {
        let trials: Vec<Trial> = seeds.clone().map(|seed| trial(settings, seed, learned_s)).collect::<Result<_>>()?;
        rows.push(row(name, &trials));
    }
    let headings = [
        "six regions",
        "direct link, us",
        "claims alone, us",
        "fused, us",
        "half width of a link, us",
        "of the claims, us",
        "fused, us",
        "inside",
        "false claim named / another / none",
    ];
    let text = format!(
        "Seeds {} to {}; 50th / 99th percentile of the error of all pairs, median half width of the bounds.\n\n{}",
        options.first,
        seeds.end - 1,
        table::text(&headings, &rows)
    );
    if options.write {
        return PAGE.write(&text);
    }
    print!("{text}");
    Ok(())
}

fn row(name: &str, trials: &[Trial]) -> Vec<String> {
    let pairs = || trials.iter().flat_map(|trial| &trial.pairs);
    let us = |number: &dyn Fn(&trial::Pair) -> f64, part: f64| {
        let numbers: Vec<f32> = pairs().map(|pair| number(pair) as f32).collect();
        whole(quantile(&numbers, part) * 1e-3)
    };
    let error = |number: &dyn Fn(&trial::Pair) -> f64| format!("{} / {}", us(number, 0.5), us(number, 0.99));
    let width = |number: &dyn Fn(&trial::Pair) -> f64| us(number, 0.5);
    let inside = pairs().filter(|pair| pair.is_inside).count() as f64 / pairs().count() as f64;
    let named = |right: Option<bool>| trials.iter().filter(|trial| trial.named_right == right).count();
    let is_lying = trials.iter().any(|trial| trial.lies);
    let naming = || format!("{} / {} / {}", named(Some(true)), named(Some(false)), named(None));
    vec![
        name.to_owned(),
        error(&|pair| pair.direct_ns),
        error(&|pair| pair.claims_ns),
        error(&|pair| pair.fused_ns),
        width(&|pair| pair.direct_half_ns),
        width(&|pair| pair.claims_half_ns),
        width(&|pair| pair.fused_half_ns),
        format!("{:.3} %", inside * 100.0),
        if is_lying { naming() } else { String::new() },
    ]
}
