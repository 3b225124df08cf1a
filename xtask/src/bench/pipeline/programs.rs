//! The programs of this measurement.

use std::path::PathBuf;

use anyhow::Result;

use crate::bench::{Built, build, spool};
use crate::fetch;

pub(super) struct Programs {
    /// Built where it is wanted.
    pub(super) aggregator: PathBuf,
    /// Sends batches of simulated nodes, or the same waits as logs.
    pub(super) flood: PathBuf,
    /// Takes batches in and decodes them.
    pub(super) decode: PathBuf,
    /// Fills a store.
    pub(super) fill: PathBuf,
    /// Asks a store.
    pub(super) asked: PathBuf,
    /// Measures a spool.
    pub(super) spool: PathBuf,
    /// An OpenTelemetry Collector, where it is wanted.
    pub(super) collector: Option<PathBuf>,
}

impl Programs {
    /// # Errors
    /// When something is missing or does not build.
    pub(super) fn build(built: Built, with_aggregator: bool, with_collector: bool) -> Result<Self> {
        fetch::run(fetch::Part::Libchdb)?;
        let packages = ["-p", "syncline-aggregator", "-p", "syncline-store"];
        let examples = ["flood", "decode", "fill", "asked"].map(|name| ["--example", name]);
        let mut what = [&packages, examples.as_flattened()].concat();
        if with_aggregator {
            what.extend(["--bin", "syncline-aggregator"]);
        }
        let dir = build::cargo_build(built, &what)?;
        let example = |name: &str| dir.join("examples").join(name);
        Ok(Self {
            aggregator: dir.join("syncline-aggregator"),
            flood: example("flood"),
            decode: example("decode"),
            fill: example("fill"),
            asked: example("asked"),
            spool: spool::measuring_program()?,
            collector: with_collector.then(fetch::collector::required).transpose()?,
        })
    }
}
