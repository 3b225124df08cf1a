//! Rows as they were first stored. The aggregators place them again a minute later; a copy is kept as each is inserted.

use anyhow::{Context, Result};

use crate::demo::http;

/// The copies, as rows of `events`. A batch that is inserted again, since its aggregator died before it said that it had
/// been, adds nothing to `events`; here it would, and the first one counts.
pub(super) const ROWS: &str = "(SELECT * FROM first_placed.events ORDER BY copied LIMIT 1 BY node, boot, seq)";

/// A materialized view sees inserts and no updates.
const KEEP: [&str; 3] = [
    "CREATE DATABASE first_placed",
    "CREATE TABLE first_placed.events ENGINE = MergeTree ORDER BY (node, boot, seq) \
     AS SELECT *, now64(9) AS copied FROM syncline.events LIMIT 0",
    "CREATE MATERIALIZED VIEW first_placed.keep TO first_placed.events AS SELECT *, now64(9) AS copied FROM syncline.events",
];

/// Keeps them from now on, in a database beside that of the aggregators at `store`.
pub(super) async fn keep(store: &str) -> Result<()> {
    for statement in KEEP {
        http::execute(store, statement).await.context("cannot keep rows as they are first stored")?;
    }
    Ok(())
}
