//! theta = REF - RAW of one node in one boot: the bounds and the point inside them, each helping the other.
//!
//! The bounds know for certain that theta has jumped where a probe contradicts them; the point filter sees jumps that
//! contradict nothing hard, by their size against the noise.

use serde::{Deserialize, Serialize};
use syncline_timebase::{Instant, Raw};

use crate::hull::{BadExchange, Exchange, Hull, Known, Verdict};
use crate::point::{PointEstimate, PointFilter, PointHistory, Seen};
use crate::{DisruptionCause, Tolerance};

/// What is known of theta.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Theta {
    hull: Hull,
    point: PointFilter,
    history: PointHistory,
    /// The clocks jumped: what the point filter knew does not lead beyond the last probe.
    broken: bool,
}

impl Theta {
    pub(crate) fn new(tolerance: Tolerance) -> Self {
        Self::keeping(Hull::new(tolerance), PointFilter::new(), PointHistory::recent())
    }

    /// Keeps everything, for a pass over a whole stream.
    pub(crate) fn whole(tolerance: Tolerance) -> Self {
        Self::keeping(Hull::keeping(usize::MAX, tolerance), PointFilter::with_journal(), PointHistory::whole())
    }

    /// One that keeps as much and knows nothing yet.
    pub(crate) fn afresh(&self, tolerance: Tolerance) -> Self {
        if self.history.is_whole() { Self::whole(tolerance) } else { Self::new(tolerance) }
    }

    /// Against another reference, which `link` knows of by this one; `None` where nothing leads there. The point begins anew: it
    /// rests on what the paths are like.
    pub(crate) fn handed_over(&self, link: &Self) -> Option<Self> {
        let hull = self.hull.handed_over(&link.hull).filter(|_| !self.broken)?;
        Some(Self::keeping(hull, PointFilter::new(), PointHistory::recent()))
    }

    fn keeping(hull: Hull, point: PointFilter, history: PointHistory) -> Self {
        Self { hull, point, history, broken: false }
    }

    /// No exchange comes any more: where everything is kept, the point before now is what all of it says.
    pub(crate) fn look_back(&mut self) {
        self.history.look_back(&mut self.point);
    }

    /// The clocks jumped after `since`, or, where that is not known, after the last probe began: what was known does not lead beyond it.
    pub(crate) fn disrupt(&mut self, since: Option<Instant<Raw>>) {
        self.hull.disrupt(since);
        self.broken = true;
    }

    /// Takes an exchange; says whether it shows that theta has jumped.
    pub(crate) fn observe(&mut self, exchange: &Exchange) -> Result<Option<DisruptionCause>, BadExchange> {
        let checked = self.hull.check(exchange)?;
        let jumped = std::mem::take(&mut self.broken) || checked.contradicts();
        let seen = self.point.observe(exchange, jumped);
        let verdict = match seen {
            Seen::Consistent => Verdict::Consistent,
            Seen::Doubtful => Verdict::Doubtful,
            Seen::Jumped => Verdict::Broken,
        };
        let cause = self.hull.observe(&checked, verdict);
        self.history.follow(&self.point, exchange, seen);
        // What only might be a jump is in the bounds, and not said: a path can do it too.
        Ok(cause.filter(|cause| *cause != DisruptionCause::OffsetJumped || seen == Seen::Jumped))
    }

    #[cfg(test)]
    pub(crate) fn history(&self) -> &PointHistory {
        &self.history
    }

    /// The bounds at `raw`; `None` while nothing is known.
    pub(crate) fn bounds_at(&self, raw: Instant<Raw>) -> Option<Known> {
        self.hull.at(raw)
    }

    /// The point at `raw`; `None` while nothing is known, or not any more.
    pub(crate) fn point_at(&self, raw: Instant<Raw>) -> Option<PointEstimate> {
        self.history.at(raw).or_else(|| self.point.at(raw).filter(|_| !self.history.is_past(raw)))
    }

    /// How often the budgeted and the tight bounds contradicted themselves.
    pub(crate) fn violations(&self) -> (u32, u32) {
        let violations = self.hull.violations();
        (violations.budgeted, violations.tight)
    }
}
