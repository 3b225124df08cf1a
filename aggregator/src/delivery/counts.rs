//! What came of telling targets, counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Of all targets, by name.
#[derive(Clone, Debug, Default)]
pub struct Deliveries(BTreeMap<String, Arc<TargetCounts>>);

/// Of one target, since the start.
#[derive(Debug, Default)]
pub struct TargetCounts {
    /// Posts that were taken.
    pub delivered: AtomicU64,
    /// Posts that came to nothing and are tried again.
    pub failed: AtomicU64,
    /// Posts that the target will never take.
    pub refused: AtomicU64,
    /// Words that were too old before they could be told.
    pub expired: AtomicU64,
}

impl Deliveries {
    pub(super) fn of(&mut self, target: &str) -> Arc<TargetCounts> {
        Arc::clone(self.0.entry(target.to_owned()).or_default())
    }

    /// Each target with its counts.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TargetCounts)> {
        self.0.iter().map(|(name, counts)| (name.as_str(), counts.as_ref()))
    }
}
