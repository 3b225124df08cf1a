//! How alerts stand, for Prometheus.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use syncline_alerts::{Alert, Engine, Key, Rule, State};

/// How alerts stand.
#[derive(Debug, Default)]
pub(crate) struct AlertGauges {
    pub(crate) pending: AtomicU64,
    pub(crate) firing: AtomicU64,
    /// Those that fire and were not silenced as they began to, in the order of [`Rule::ALL`].
    by_rule: [AtomicU64; Rule::ALL.len()],
    /// Incidents that are open.
    pub(crate) incidents: AtomicU64,
    /// End of the newest round, ms since 1970; before the first one, the start, so that one that never comes is seen.
    pub(crate) evaluated_ms: AtomicU64,
    /// 1 where it is this one of several aggregators that evaluates.
    pub(crate) evaluates: AtomicU64,
    /// Evaluations that came to nothing.
    pub(crate) failures: AtomicU64,
    /// Times that the clock of the database was set back.
    pub(crate) set_back: AtomicU64,
    /// What there was to tell.
    pub(crate) notifications: AtomicU64,
}

impl AlertGauges {
    pub(super) fn begun() -> Self {
        Self { evaluated_ms: AtomicU64::new(now_ms()), ..Self::default() }
    }

    /// Another aggregator evaluates, and has alerts to tell of.
    pub(super) fn stand_by(&self) {
        self.evaluated_ms.store(now_ms(), Ordering::Relaxed);
        for gauge in [&self.pending, &self.firing, &self.incidents, &self.evaluates] {
            gauge.store(0, Ordering::Relaxed);
        }
        self.by_rule.iter().for_each(|gauge| gauge.store(0, Ordering::Relaxed));
    }

    /// Each rule, and how many of its alerts fire that were not silenced as they began to.
    pub(crate) fn firing_by_rule(&self) -> impl Iterator<Item = (Rule, u64)> {
        Rule::ALL.into_iter().zip(&self.by_rule).map(|(rule, gauge)| (rule, gauge.load(Ordering::Relaxed)))
    }

    pub(super) fn take(&self, engine: &Engine, at_ms: i64) {
        self.evaluates.store(1, Ordering::Relaxed);
        let in_state = |state| engine.alerts().filter(|(_, alert)| alert.state == state).count() as u64;
        self.pending.store(in_state(State::Pending), Ordering::Relaxed);
        self.firing.store(in_state(State::Firing), Ordering::Relaxed);
        for (rule, gauge) in Rule::ALL.into_iter().zip(&self.by_rule) {
            let is_told =
                |key: &Key, alert: &Alert| key.rule == rule && alert.state == State::Firing && !alert.was_silenced;
            gauge.store(engine.alerts().filter(|(key, alert)| is_told(key, alert)).count() as u64, Ordering::Relaxed);
        }
        self.incidents.store(engine.incidents().count() as u64, Ordering::Relaxed);
        self.evaluated_ms.store(at_ms.unsigned_abs(), Ordering::Relaxed);
    }
}

fn now_ms() -> u64 {
    let now: Duration = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
