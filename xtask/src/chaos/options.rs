//! What `cargo xtask chaos` can be told, and whether this machine can do it.

use std::path::Path;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

use super::plan::Scenario;
use crate::bench::Built;
use crate::place;

/// What `cargo xtask chaos` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// How long faults go on; what is left then takes as long as it needs, within bounds
    #[arg(long, default_value_t = 2.0, value_parser = minutes)]
    pub(crate) minutes: f64,
    /// What happens
    #[arg(long, value_enum, default_value = "everything")]
    pub(crate) scenario: Scenario,
    /// How batches travel
    #[arg(long, value_enum, default_value = "grpc")]
    pub(crate) uplink: Uplink,
    /// Events a second of all modelled nodes together
    #[arg(long, default_value_t = RATE, value_parser = clap::value_parser!(u32).range(100..=200_000))]
    pub(crate) rate: u32,
    /// Modelled nodes; each makes a batch a second
    #[arg(long, default_value_t = NODES, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) nodes: u32,
    /// Of what happens when; without it another one each time
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) built: Built,
}

impl Options {
    /// In each batch of a modelled node.
    pub(super) fn waits(&self) -> u32 {
        self.rate / self.nodes
    }

    /// With the build that the tests have.
    pub(crate) fn short(minutes: f64, uplink: Uplink) -> Self {
        let scenario = Scenario::Everything;
        Self { minutes, scenario, uplink, rate: RATE, nodes: NODES, seed: None, built: Built::dev() }
    }

    /// # Errors
    /// When the numbers do not fit together, or `dir` has no room for all events.
    pub(super) fn check(&self, dir: &Path) -> Result<()> {
        let events = f64::from(self.rate) * self.minutes * 60.0;
        let (free, needed) = (place::free_bytes(dir)?, events as u64 * DISK_BYTES_PER_EVENT + DISK_BYTES_BESIDE);
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        ensure!(
            free >= needed,
            "{events:.0} events may take {:.1} GiB, and {} has {:.1} GiB: make room, or choose fewer --minutes or a lower --rate",
            gib(needed),
            dir.display(),
            gib(free)
        );
        ensure!(
            (1..=MOST_WAITS).contains(&self.waits()),
            "{} events a second of {} nodes are batches of {}: a batch may have 1 to {MOST_WAITS}, so choose another --rate or other --nodes",
            self.rate,
            self.nodes,
            self.waits()
        );
        Ok(())
    }
}

/// How batches travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Uplink {
    Grpc,
    Kafka,
}

impl Uplink {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Kafka => "kafka",
        }
    }
}

/// Modelled nodes.
const NODES: u32 = 8;
/// Waits that a batch may have.
const MOST_WAITS: u32 = 65_536;
/// Events a second.
const RATE: u32 = 20_000;

/// Below that hardly anything happens.
const LEAST_MINUTES: f64 = 0.25;
/// What an event takes of the disk at most: in a spool, in Kafka, in the store and while that is merged; and what the rest takes.
const DISK_BYTES_PER_EVENT: u64 = 400;
const DISK_BYTES_BESIDE: u64 = 3 << 30;

fn minutes(text: &str) -> Result<f64, String> {
    let parsed = text.parse::<f64>().ok().filter(|minutes| (LEAST_MINUTES..=240.0).contains(minutes));
    parsed.ok_or_else(|| format!("use {LEAST_MINUTES} to 240"))
}

/// Of both ways together.
pub(crate) fn short_minutes(text: &str) -> Result<f64, String> {
    let parsed = text.parse::<f64>().ok().filter(|minutes| (2.0 * LEAST_MINUTES..=60.0).contains(minutes));
    parsed.ok_or_else(|| format!("use {} to 60", 2.0 * LEAST_MINUTES))
}
