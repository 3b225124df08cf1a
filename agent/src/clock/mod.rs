//! The node's clocks as the whole agent sees them.
//!
//! Every stamp (knots, probes, kernel events, the first sequence number, the sealing of a batch) passes [`Clocks`] before
//! anything else sees it. In an agent built for the demo (`inject-clock`) it may move them by a known error there; nothing
//! behind it can tell that from a real clock.

mod claims;
mod disruption;
mod injection;
mod knots;
mod vm_clock;

use syncline_stamping::{Reading, mono_ns};
use syncline_timebase::{Instant, Knot, Mono, Span, Wall};

pub use claims::ask_for_claims;
pub use disruption::DisruptionWatch;
pub use injection::Injection;
pub use knots::sample_knots;
pub use vm_clock::VmClock;
#[cfg(test)]
pub(crate) use vm_clock::page as vm_clock_page;

/// The node's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clocks {
    injection: Injection,
}

impl Clocks {
    /// The system's clocks with a known error, see [`Injection`].
    pub fn with_injection(injection: Injection) -> Self {
        Self { injection }
    }

    /// MONO now.
    pub fn mono(&self) -> Instant<Mono> {
        self.mono_of(mono_ns())
    }

    /// The three clocks at one moment: the tightest of three bracketed readings.
    pub fn knot(&self) -> Knot {
        let best = Reading::take();
        let (before, after) = (self.mono_of(best.mono_before_ns), self.mono_of(best.mono_after_ns));
        let bracket = after - before;
        Knot {
            mono: before + Span::from_ns(bracket.ns() / 2),
            raw: Instant::from_ns(self.injection.raw(best.raw_ns)),
            wall: self.wall_of(best.mono_middle_ns(), best.wall_ns),
            bracket,
        }
    }

    /// The instant of the kernel's `bpf_ktime_get_ns()` stamp.
    pub fn kernel_mono(&self, ns: u64) -> Instant<Mono> {
        self.mono_of(i64::try_from(ns).unwrap_or(i64::MAX))
    }

    /// The instant that the kernel's own MONO has as `mono`.
    pub fn true_mono(&self, mono: Instant<Mono>) -> Instant<Mono> {
        self.mono_of(mono.ns())
    }

    /// The instant of the kernel's wall stamp, taken when its mono stamp was `mono_ns`; none where the kernel gave none.
    pub fn kernel_wall(&self, mono_ns: u64, wall_ns: u64) -> Option<Instant<Wall>> {
        let (mono_ns, wall_ns) = (i64::try_from(mono_ns).ok()?, i64::try_from(wall_ns).ok()?);
        (wall_ns != 0).then(|| self.wall_of(mono_ns, wall_ns))
    }

    /// What a clock probe is stamped with at `mono`: just that, except by an agent that is made to lie.
    pub(crate) fn probe_stamp(&self, mono: Instant<Mono>) -> Instant<Mono> {
        mono + Span::from_ns(self.injection.probe_lie_ns())
    }

    fn mono_of(&self, ns: i64) -> Instant<Mono> {
        Instant::from_ns(self.injection.mono(ns))
    }

    fn wall_of(&self, mono_ns: i64, wall_ns: i64) -> Instant<Wall> {
        Instant::from_ns(self.injection.wall(mono_ns, wall_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_knot_lies_between_two_readings_and_is_tight() {
        let clocks = Clocks::default();
        let before = clocks.mono();
        let knot = clocks.knot();
        let after = clocks.mono();
        assert!(before <= knot.mono && knot.mono <= after);
        assert!(knot.bracket >= Span::ZERO && knot.bracket < Span::from_ms(10), "{:?}", knot.bracket);
    }

    #[test]
    fn knots_agree_with_one_another_about_the_wall_clock() {
        let clocks = Clocks::default();
        let (first, second) = (clocks.knot(), clocks.knot());
        let apart = first.mono.offset_to(first.wall).ns() - second.mono.offset_to(second.wall).ns();
        let room = first.bracket + second.bracket + Span::from_ns(1_000);
        assert!(apart.unsigned_abs() <= room.ns().unsigned_abs(), "{apart} ns apart, room for {room:?}");
    }

    #[test]
    fn a_kernel_without_a_wall_clock_gives_none() {
        assert_eq!(Clocks::default().kernel_wall(5, 0), None);
        assert_eq!(Clocks::default().kernel_wall(5, 7), Some(Instant::from_ns(7)));
    }

    #[cfg(feature = "inject-clock")]
    #[test]
    fn an_injected_clock_moves_every_stamp_alike() {
        let injection = "origin_shift_ns=1000000000000,offset_ns=-50000000".parse().unwrap();
        let (plain, moved) = (Clocks::default(), Clocks::with_injection(injection));
        assert_eq!(moved.kernel_mono(5) - plain.kernel_mono(5), Span::from_s(1_000));
        assert_eq!(moved.kernel_wall(5, 100_000_000).unwrap(), Instant::from_ns(50_000_000));
        let (before, knot, after) = (plain.knot(), moved.knot(), plain.knot());
        assert_eq!(moved.probe_stamp(knot.mono), knot.mono);
        let shifted = knot.mono - Span::from_s(1_000);
        assert!(before.mono <= shifted && shifted <= after.mono);
        assert!(before.wall <= knot.wall + Span::from_ms(50) && knot.wall + Span::from_ms(50) <= after.wall);
    }

    #[cfg(feature = "inject-clock")]
    #[test]
    fn a_lie_is_in_the_stamps_of_probes_alone() {
        let (plain, liar) = (Clocks::default(), Clocks::with_injection("probe_lie_ns=7".parse().unwrap()));
        assert_eq!(liar.kernel_mono(5), plain.kernel_mono(5));
        assert_eq!(liar.probe_stamp(Instant::from_ns(5)), Instant::from_ns(12));
    }
}
