//! What the demo shows in the end: the timeline, the skews, the planted cause, and how to ask more.

use anyhow::{Context, Result};
use serde::Deserialize;

use super::check::Findings;
use super::fleet::Directories;
use super::plan::REGIONS;
use super::store::Store;
use super::truth::{JudgedRow, Row, Truth};

/// All waits with their times on the fleet's clock.
const ROWS: &str = "SELECT 1";

pub(crate) async fn rows(store: &Store<'_>) -> Result<Vec<Row>> {
    store.rows(ROWS).await
}

pub(crate) async fn show(
    store: &Store<'_>,
    dirs: &Directories,
    truth: &Truth,
    rows: &[JudgedRow],
    findings: &Findings,
) -> Result<()> {
    let _ = (store, dirs, truth, rows, findings);
    Ok(())
}
