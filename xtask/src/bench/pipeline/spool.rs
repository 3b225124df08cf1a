//! The spool's group commit, as `bench spool` measures it.

use std::path::Path;

use anyhow::Result;

use super::Sizes;
use super::programs::Programs;
use super::target::{Finding, Target};
use crate::bench::spool::{Round, one};
use crate::bench::statistics::Spread;

pub(super) struct Spool<'p> {
    programs: &'p Programs,
    seconds: f64,
    rounds: Vec<Round>,
}

impl<'p> Spool<'p> {
    pub(super) fn new(programs: &'p Programs, sizes: Sizes) -> Self {
        Self { programs, seconds: sizes.spool_s, rounds: Vec::new() }
    }

    pub(super) fn round(&mut self, dir: &Path) -> Result<()> {
        let dir = tempfile::tempdir_in(dir)?;
        self.rounds.push(one(&self.programs.spool, dir.path(), self.seconds)?);
        Ok(())
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let spread = |number: fn(&Round) -> f64| Spread::of(self.rounds.iter().map(number));
        let finding = |what: &str, target, found, unit| Finding { what: what.to_owned(), target, found, unit };
        vec![
            finding(
                "spool, group commit of events of 256 B",
                Target::AtLeast(4e5),
                spread(|round| round.group_small.records_per_s),
                "events/s",
            ),
            finding("durable after, 99 %", Target::AtMost(5.0), spread(|round| round.group_small.p99_ms), "ms"),
            finding(
                "the disk alone, 16 KiB written and synced, 99 %",
                Target::None,
                spread(|round| round.bare_small.p99_ms),
                "ms",
            ),
        ]
    }
}
