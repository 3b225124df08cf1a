//! Whose turn it is to evaluate: the root's, or another aggregator's while there is none.

use std::sync::Arc;
use std::time::Duration;

use syncline_store::Store;

use crate::lease::Lease;

/// The lease of the one that evaluates.
const EVALUATION: &str = "evaluation";
/// The lease of a root that would: others leave the evaluation to it. It alone fuses regions and holds messages against clocks, and has the file that
/// says whom alerts are told.
const BY_ROOT: &str = "evaluation/root";

/// A process's turn.
pub(super) struct Turn {
    pub(super) evaluation: Lease,
    /// At the root.
    by_root: Option<Lease>,
}

impl Turn {
    /// Of the store and not of the region: what is open, and the numbers of incidents, are the store's.
    pub(super) fn wanted(is_root: bool, store: &Store, holder: &Arc<str>) -> Self {
        if is_root {
            let lease = |name: &str| Lease::wanted(store, name.to_owned(), holder, Duration::ZERO);
            Self { evaluation: lease(EVALUATION), by_root: Some(lease(BY_ROOT)) }
        } else {
            let evaluation = Lease::wanted_after(store, EVALUATION.to_owned(), holder, BY_ROOT.to_owned());
            Self { evaluation, by_root: None }
        }
    }

    pub(super) async fn give_back(self) {
        self.evaluation.give_back().await;
        if let Some(by_root) = self.by_root {
            by_root.give_back().await;
        }
    }
}
