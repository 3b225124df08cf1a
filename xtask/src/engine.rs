//! Where the embedded ClickHouse of an aggregator answers.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// The URL with user and password, as the engine leaves it beside its data for those who may read there.
///
/// # Errors
/// When it is not there yet, or cannot be read.
pub(crate) fn url(store: &Path) -> Result<String> {
    #[derive(Deserialize)]
    struct Endpoint {
        url: String,
    }
    let path = store.join("endpoint.json");
    let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let endpoint: Endpoint = serde_json::from_slice(&text).with_context(|| format!("{} has no url", path.display()))?;
    Ok(endpoint.url)
}
