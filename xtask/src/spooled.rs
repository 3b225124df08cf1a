//! Whether an aggregator has stored what it acknowledged, as it says itself in its spool.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// What is acknowledged is stored within this, or something is broken.
pub(crate) const STORED_WITHIN: Duration = Duration::from_secs(120);
/// How often it is looked.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Whether all that the aggregator of this spool had acknowledged at `moment` is stored: what it said before that may be of less.
pub(crate) fn is_stored(spool: &Path, moment: SystemTime) -> Result<bool> {
    let path = spool.join("waiting.json");
    let text = match fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let said: Value = serde_json::from_slice(&text).with_context(|| format!("{}", path.display()))?;
    let (Some(at_ms), Some(batches)) = (said["at_ms"].as_u64(), said["waiting"]["batches"].as_u64()) else {
        bail!("{} does not say when what waited: {said}", path.display());
    };
    let moment_ms = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    Ok(u128::from(at_ms) > moment_ms && batches == 0)
}
