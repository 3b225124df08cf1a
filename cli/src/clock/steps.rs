//! When a step was declared, on the reference's clock.

use std::collections::VecDeque;

use syncline_clock::{Disruption, DisruptionCause};
use syncline_timebase::{Instant, Knot, Mono, Offset, Probe, Raw, Reference};

/// Probes remembered: far more than may wait for a knot in the estimator.
const REMEMBERED: usize = 128;

/// The probes that may declare a step, and where the estimator has them on RAW.
#[derive(Debug, Default)]
pub(crate) struct Declarations {
    probes: VecDeque<Probe>,
    newest_knot: Option<Knot>,
    /// The RAW that the estimator counts on, which does not jump, minus that of the knots; ns.
    counted_on: i64,
    /// Where knots declared a step that no probe has come after.
    frozen: Option<Frozen>,
}

/// Clocks that stood still, or jumped against each other.
#[derive(Clone, Copy, Debug)]
struct Frozen {
    at: Instant<Mono>,
    /// The reference's time as the node's clocks have it, by as much early as they stood still.
    carried: Instant<Reference>,
}

impl Declarations {
    /// This knot is given next, or was.
    pub(crate) fn knot(&mut self, knot: Knot) {
        self.newest_knot = Some(knot);
    }

    /// This probe is given next.
    pub(crate) fn probe(&mut self, probe: Probe) {
        if self.probes.len() == REMEMBERED {
            self.probes.pop_front();
        }
        self.probes.push_back(probe);
    }

    /// That one was not used.
    pub(crate) fn drop_last_probe(&mut self) {
        self.probes.pop_back();
    }

    /// `probe` was used: the reference's time of the step before it that knots declared. Nobody else knows for how long the
    /// clocks stood still.
    pub(crate) fn told_by(&mut self, probe: &Probe) -> Option<Instant<Reference>> {
        self.frozen.take().map(|frozen| probe.received - (probe.sent - frozen.at))
    }

    /// No probe comes any more: the time of the step that knots declared last, as well as it is known.
    pub(crate) fn end(&mut self) -> Option<Instant<Reference>> {
        self.frozen.take().map(|frozen| frozen.carried)
    }

    /// The reference's time when a step was declared. The probe that declares it brings its time along; where knots do, the
    /// next probe will tell. Before any probe there is no time to give, and nothing that a step could make wrong.
    pub(crate) fn declared_at(&mut self, disruption: &Disruption) -> Option<Instant<Reference>> {
        match (disruption.cause, self.newest_knot) {
            (DisruptionCause::ClocksDisagree, Some(knot)) => {
                self.counted_on = knot.raw.offset_to(disruption.noticed_at).ns();
                self.frozen_at(knot.mono)
            }
            // Its record says when, see [`Self::frozen_at`].
            (DisruptionCause::Told, _) => None,
            // Any of several that waited for one knot may have declared it.
            (_, knot) => {
                let off = |probe: &&Probe| (self.on_raw(probe.returned, knot) - disruption.noticed_at).abs();
                self.probes.iter().min_by_key(off).map(|probe| probe.replied)
            }
        }
    }

    /// The clocks were disrupted before `at`; only the next probe tells for how long. Gives the time of one that none came after.
    pub(crate) fn frozen_at(&mut self, at: Instant<Mono>) -> Option<Instant<Reference>> {
        let before = self.probes.iter().filter(|probe| probe.returned <= at);
        let last = before.max_by_key(|probe| probe.returned)?;
        let carried = last.replied + (at - last.returned);
        let earlier = self.frozen.replace(Frozen { at, carried });
        earlier.map(|frozen| frozen.carried)
    }

    /// Roughly, which is enough to tell probes apart.
    fn on_raw(&self, mono: Instant<Mono>, knot: Option<Knot>) -> Instant<Raw> {
        let ahead = knot.map_or(0, |knot| knot.mono.offset_to(knot.raw).ns());
        mono + Offset::from_ns(ahead.saturating_add(self.counted_on))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_timebase::Span;

    const MS: i64 = 1_000_000;

    fn knot(ms: i64, raw_ms: i64) -> Knot {
        let (mono, raw) = (Instant::from_ns(ms * MS), Instant::from_ns(raw_ms * MS));
        Knot { mono, raw, wall: Instant::from_ns(0), bracket: Span::ZERO }
    }

    fn probe(ms: i64) -> Probe {
        let (node, reference) = (Instant::from_ns(ms * MS), Instant::from_ns((ms + 1_000_000) * MS));
        Probe { sent: node, received: reference, replied: reference, returned: node }
    }

    fn disruption(cause: DisruptionCause, raw_ms: i64) -> Disruption {
        Disruption { noticed_at: Instant::from_ns(raw_ms * MS), cause }
    }

    #[test]
    fn of_probes_that_waited_together_the_one_that_declared_it_counts() {
        let mut declarations = Declarations::default();
        declarations.knot(knot(0, 7_000));
        (1..=9).for_each(|tick| declarations.probe(probe(tick * 10)));
        declarations.probe(probe(50_000));
        declarations.drop_last_probe();
        declarations.knot(knot(100, 7_100));
        let at = declarations.declared_at(&disruption(DisruptionCause::OffsetJumped, 7_030));
        assert_eq!(at, Some(probe(30).replied));
        // RAW of the knots goes back 3 s, and is counted on.
        declarations.knot(knot(200, 4_200));
        assert_eq!(declarations.declared_at(&disruption(DisruptionCause::ClocksDisagree, 7_200)), None);
        declarations.probe(probe(250));
        assert_eq!(declarations.told_by(&probe(250)), Some(probe(250).received - Span::from_ms(50)));
        assert_eq!(declarations.told_by(&probe(250)), None);
        let at = declarations.declared_at(&disruption(DisruptionCause::ProbeContradicts, 7_250));
        assert_eq!(at, Some(probe(250).replied));
    }

    #[test]
    fn where_no_probe_follows_the_last_one_is_carried_on() {
        let mut declarations = Declarations::default();
        declarations.probe(probe(90));
        declarations.knot(knot(200, 0));
        assert_eq!(declarations.declared_at(&disruption(DisruptionCause::ClocksDisagree, 0)), None);
        declarations.knot(knot(900, 0));
        let first = declarations.declared_at(&disruption(DisruptionCause::ClocksDisagree, 0));
        assert_eq!(first, Some(probe(90).replied + Span::from_ms(110)));
        assert_eq!(declarations.end(), Some(probe(90).replied + Span::from_ms(810)));
        assert_eq!(declarations.end(), None);
    }

    #[test]
    fn without_a_probe_there_is_no_time() {
        let mut declarations = Declarations::default();
        declarations.knot(knot(0, 0));
        assert_eq!(declarations.declared_at(&disruption(DisruptionCause::ClocksDisagree, 0)), None);
        assert_eq!(declarations.end(), None);
    }
}
