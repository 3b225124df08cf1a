//! A store that is asked, by `store/examples/asked.rs`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::ingest::parse;
use super::programs::Programs;
use crate::bench::child::Child;
use crate::bench::usage;
use crate::fetch;
use crate::process;

/// An embedded store that is open.
pub(super) struct Asked {
    child: Child,
}

impl Asked {
    /// Makes up a store of so many waits, so many of them a second, of so many nodes.
    pub(super) fn fill(programs: &Programs, dir: &Path, waits: u64, per_s: u64, nodes: u64) -> Result<Self> {
        let store = dir.join("store");
        let mut fill = Command::new(&programs.fill);
        fill.env(fetch::libchdb::OVERRIDE, fetch::libchdb::path()?).arg(&store);
        process::capture(fill.args([waits, per_s, nodes].map(|number| number.to_string())))?;
        let mut command = Command::new(&programs.asked);
        command.env(fetch::libchdb::OVERRIDE, fetch::libchdb::path()?).arg(&store);
        let child = Child::start("asked", command, dir)?;
        child.line("ready")?;
        Ok(Self { child })
    }

    /// Milliseconds that the answer took, so many times.
    pub(super) fn ask(&mut self, times: u32, sql: &str) -> Result<Vec<f64>> {
        #[derive(Deserialize)]
        struct Took {
            ms: Vec<f64>,
        }
        Ok(self.obey::<Took>(&format!("ask {times} {sql}"))?.ms)
    }

    /// Seconds that it took.
    pub(super) fn run(&mut self, sql: &str) -> Result<f64> {
        #[derive(Deserialize)]
        struct Took {
            seconds: f64,
        }
        Ok(self.obey::<Took>(&format!("do {sql}"))?.seconds)
    }

    /// One number.
    pub(super) fn number(&mut self, sql: &str) -> Result<f64> {
        #[derive(Deserialize)]
        struct Told {
            answer: String,
        }
        let Told { answer } = self.obey(&format!("tell {sql}"))?;
        answer.parse().with_context(|| format!("{sql}: {answer:?} is no number"))
    }

    /// Places waits of the last hour of so many nodes anew, together or with a statement for each; gives the seconds.
    pub(super) fn settle(&mut self, revision: u32, nodes: u32, is_together: bool) -> Result<f64> {
        #[derive(Deserialize)]
        struct Took {
            seconds: f64,
        }
        let order = if is_together { "settle" } else { "settle-singly" };
        Ok(self.obey::<Took>(&format!("{order} {revision} {nodes}"))?.seconds)
    }

    /// The engine's process.
    pub(super) fn engine(&self) -> Result<u32> {
        usage::children(self.child.id())?.first().copied().context("the store has no engine")
    }

    fn obey<T: for<'t> Deserialize<'t>>(&mut self, order: &str) -> Result<T> {
        self.child.order(order)?;
        parse(&self.child.line("{")?)
    }
}
