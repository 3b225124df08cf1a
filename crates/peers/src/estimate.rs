//! What an estimator holds between two exchanges, and the answer made of it.

use crate::exchange::TwiceOffset;

/// Where on the reference a local instant lies, ns. Times beyond i64 are given as its edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The estimate.
    pub reference_ns: i64,
    /// Not before this, says the method; `None` where it says nothing of its error.
    pub earliest_ns: Option<i64>,
    /// Not after this, says the method; `None` where it says nothing of its error.
    pub latest_ns: Option<i64>,
}

/// The offset (reference - local) as a line in local time, and a margin around it.
///
/// Offsets reach 2^65 ns, where an f64 knows steps of 8 us only: hence a whole base, and a small remainder above it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Estimate {
    /// The local instant that the rest is given at.
    pub(crate) at_ns: i64,
    pub(crate) base_ns: i128,
    pub(crate) remainder_ns: f64,
    /// d offset / d local, s/s.
    pub(crate) frequency: f64,
    pub(crate) margin: Option<Margin>,
}

/// How far an estimate may be off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Margin {
    pub(crate) half_width_ns: f64,
    /// Added with every second away from the estimate's instant, s/s.
    pub(crate) growth: f64,
}

impl Estimate {
    /// An offset that stays as it is, of which no error is known.
    pub(crate) fn constant(at_ns: i64, offset: TwiceOffset) -> Self {
        let base_ns = offset.whole_ns();
        Self { at_ns, base_ns, remainder_ns: offset.above_ns(base_ns), frequency: 0.0, margin: None }
    }

    pub(crate) fn within(self, margin: Margin) -> Self {
        Self { margin: Some(margin), ..self }
    }

    pub(crate) fn answer(&self, local_ns: i64) -> Answer {
        let elapsed_ns = difference_ns(local_ns, self.at_ns);
        let on_base = i128::from(local_ns) + self.base_ns;
        let centre_ns = self.remainder_ns + self.frequency * elapsed_ns;
        let half_width_ns = self.margin.map(|margin| margin.after(elapsed_ns));
        Answer {
            reference_ns: saturating(on_base, centre_ns.round()),
            earliest_ns: half_width_ns.map(|half| saturating(on_base, (centre_ns - half).floor())),
            latest_ns: half_width_ns.map(|half| saturating(on_base, (centre_ns + half).ceil())),
        }
    }
}

impl Margin {
    fn after(&self, elapsed_ns: f64) -> f64 {
        (self.half_width_ns + self.growth * elapsed_ns.abs()).max(0.0)
    }
}

/// `later - earlier`, ns.
pub(crate) fn difference_ns(later: i64, earlier: i64) -> f64 {
    (i128::from(later) - i128::from(earlier)) as f64
}

fn saturating(whole_ns: i128, more_ns: f64) -> i64 {
    // A cast from f64 saturates, and takes NaN to 0.
    let sum = whole_ns.saturating_add(more_ns as i128);
    sum.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const ESTIMATE: Estimate = Estimate {
        at_ns: 1_000_000_000,
        base_ns: 1_800_000_000_000_000_000,
        remainder_ns: 0.75,
        frequency: 1e-6,
        margin: Some(Margin { half_width_ns: 10.0, growth: 1e-8 }),
    };

    #[test]
    fn nanoseconds_survive_an_offset_of_decades() {
        let answer = ESTIMATE.answer(1_000_000_000);
        assert_eq!(answer.reference_ns, 1_800_000_001_000_000_001);
        assert_eq!(answer.earliest_ns, Some(1_800_000_000_999_999_990));
        assert_eq!(answer.latest_ns, Some(1_800_000_001_000_000_011));
    }

    #[test]
    fn the_line_is_followed_and_the_margin_grows_both_ways() {
        let (before, after) = (ESTIMATE.answer(0), ESTIMATE.answer(2_000_000_000));
        assert_eq!(before.reference_ns, 1_800_000_000_000_000_000 - 999);
        assert_eq!(after.reference_ns, 1_800_000_002_000_000_000 + 1_001);
        let width = |answer: Answer| answer.latest_ns.unwrap() - answer.earliest_ns.unwrap();
        assert_eq!((width(before), width(after)), (41, 41));
    }

    #[test]
    fn answers_beyond_i64_are_its_edges() {
        let far = Estimate { base_ns: i128::from(u64::MAX), ..ESTIMATE };
        assert_eq!(far.answer(0).reference_ns, i64::MAX);
        let endless = |frequency| Estimate { frequency, ..ESTIMATE }.answer(2_000_000_000).reference_ns;
        assert_eq!((endless(f64::NEG_INFINITY), endless(f64::INFINITY)), (i64::MIN, i64::MAX));
    }
}
