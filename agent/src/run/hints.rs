//! What the agent's threads tell the prober.

use std::sync::Arc;

use syncline_probe::{HintReceiver, Hints};
use tokio::sync::watch;

/// Any thread's end.
#[derive(Clone, Debug, Default)]
pub(super) struct HintSender(Arc<watch::Sender<Hints>>);

impl HintSender {
    /// The prober's end.
    pub(super) fn receiver(&self) -> HintReceiver {
        self.0.subscribe()
    }

    /// Whether waits wait for a probe behind them.
    pub(super) fn busy(&self, busy: bool) {
        self.0.send_if_modified(|hints| std::mem::replace(&mut hints.busy, busy) != busy);
    }

    /// The clocks were disrupted.
    pub(super) fn disrupted(&self) {
        self.0.send_modify(|hints| hints.disruptions += 1);
    }
}
