//! A replayed run: what agents once sent goes through today's aggregators into a store.

use anyhow::{Context, Result};

use super::aggregators::{Aggregators, Comparison};
use super::fleet::Agents;
use super::recording::Recording;
use super::{Demo, Ran, http};

/// Tables whose old rows the store would drop.
const AGING: [&str; 6] = ["events", "short_waits", "losses", "clock_probes", "clock_segments_log", "region_clock"];

impl Demo {
    pub(super) async fn replay(&self, recording: &Recording) -> Result<Ran> {
        let ran = recording.ran()?;
        recording.unpack_journals(&self.dirs)?;
        let aggregators = Aggregators::start(&self.programs, &self.dirs, &self.libchdb, Comparison::None, None).await?;
        self.say("three aggregators are running, the root's with the embedded ClickHouse store");
        let store = aggregators.store();
        // The recording is older than what a store keeps.
        for table in AGING {
            http::execute(store, &format!("ALTER TABLE syncline.{table} REMOVE TTL")).await?;
        }
        // The regions' clocks of that time were compared at that time, by aggregators that are no more.
        let rows = format!("INSERT INTO syncline.region_clock FORMAT JSONEachRow\n{}", recording.region_clock()?);
        http::execute(store, &rows).await.context("the recorded map of the regions' clocks")?;
        Agents::replay(&self.programs, &self.dirs, &aggregators, recording).await?;
        self.say("what three agents once recorded has been replayed");
        aggregators.stop().await?;
        Ok(ran)
    }
}
