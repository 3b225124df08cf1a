//! What the store is asked after a run with faults.

use std::collections::HashMap;

use anyhow::Result;
use serde::Deserialize;

use super::plan::LIAR;
use super::steps::Found;
use crate::demo::report::{HARD_BOUNDS, Window};
use crate::demo::store::Store;
use crate::demo::truth::Row;

/// Clock probes of the honest nodes.
#[derive(Clone, Copy, Default, Deserialize)]
pub(super) struct Probes {
    pub(super) udp: usize,
    pub(super) probes: usize,
}

/// The condition of rows of honest nodes.
pub(super) fn honest() -> String {
    format!("node != '{}'", LIAR.name)
}

/// The condition of the liar's.
pub(super) fn lying() -> String {
    format!("node = '{}'", LIAR.name)
}

/// Regions' clocks differ from the root's by what is known of their anchors: with that taken off, all rows are on one clock.
pub(super) struct Anchors<'a> {
    pub(super) by_run: &'a HashMap<u64, i64>,
    pub(super) root_ns: i64,
}

impl Anchors<'_> {
    /// The rows of `table`, which is like `events`, on the clock of the root as if the regions' were known exactly.
    pub(super) async fn rows(&self, store: &Store<'_>, table: &str, condition: &str) -> Result<Vec<Row>> {
        let by = self.shift();
        let query = format!(
            "SELECT region, 0 AS goid, '' AS reason, mono_ns, mono_ns + dur_ns AS mono_end_ns, \
             toInt64(mono_ns) + al_off + {by} AS start_ns, toInt64(mono_ns + dur_ns) + al_end_off + {by} AS end_ns, \
             {HARD_BOUNDS} FROM {table} WHERE {condition}"
        );
        store.rows(&query).await
    }

    /// The root's anchor less that of a row's run. A run that nobody announced stays where it is, which is far off.
    fn shift(&self) -> String {
        let (runs, shifts): (Vec<_>, Vec<_>) = self
            .by_run
            .iter()
            .map(|(run, anchor_ns)| (format!("toUInt64({run})"), format!("toInt64({})", self.root_ns - anchor_ns)))
            .unzip();
        format!("transform(ref_run, [{}], [{}], toInt64(0))", runs.join(", "), shifts.join(", "))
    }
}

/// The view of all rows of the run as they are known by now, in their regions.
pub(super) fn live(window: &Window) -> String {
    window.of("events_live")
}

/// The steps of the honest nodes' clocks.
pub(super) async fn steps(store: &Store<'_>) -> Result<Vec<Found>> {
    let query = format!("SELECT node, mono_ns, size_ns, toString(scale) AS scale FROM clock_steps WHERE {}", honest());
    store.rows(&query).await
}

/// How often it was declared that the clock of an honest node was disrupted against a run of its reference, or one of these against another.
pub(super) async fn disruptions(store: &Store<'_>) -> Result<usize> {
    #[derive(Default, Clone, Copy, Deserialize)]
    struct Declared {
        disruptions: usize,
    }
    // The number of an epoch is that of the disruptions before it.
    let query = format!(
        "SELECT toUInt64(sum(epochs)) + (SELECT count() FROM clock_disruptions WHERE node = '') AS disruptions FROM \
         (SELECT max(epoch) AS epochs FROM clock_segments_log WHERE {} GROUP BY region, node, boot, ref_run)",
        honest()
    );
    Ok(store.rows::<Declared>(&query).await?.first().copied().unwrap_or_default().disruptions)
}

/// How the honest nodes' clocks were probed.
pub(super) async fn probes(store: &Store<'_>) -> Result<Probes> {
    let query = format!("SELECT countIf(kind = 'udp') AS udp, count() AS probes FROM clock_probes WHERE {}", honest());
    Ok(store.rows(&query).await?.first().copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_is_shifted_to_the_roots_clock() {
        let by_run = HashMap::from([(7, 100)]);
        let anchors = Anchors { by_run: &by_run, root_ns: 30 };
        assert_eq!(anchors.shift(), "transform(ref_run, [toUInt64(7)], [toInt64(-70)], toInt64(0))");
    }
}
