//! Rows as they were first stored. The aggregators place them again a minute later; a copy is kept as each is inserted.

use anyhow::{Context, Result};

use crate::demo::http;

/// The copies: a table as `events`.
pub(super) const TABLE: &str = "first_placed.events";

/// A materialized view sees inserts and no updates.
const KEEP: [&str; 3] = [
    "CREATE DATABASE first_placed",
    "CREATE TABLE first_placed.events ENGINE = MergeTree ORDER BY (node, boot, seq) AS SELECT * FROM syncline.events LIMIT 0",
    "CREATE MATERIALIZED VIEW first_placed.keep TO first_placed.events AS SELECT * FROM syncline.events",
];

/// Keeps them from now on, in a database beside that of the aggregators at `store`.
pub(super) async fn keep(store: &str) -> Result<()> {
    for statement in KEEP {
        http::execute(store, statement).await.context("cannot keep rows as they are first stored")?;
    }
    Ok(())
}
