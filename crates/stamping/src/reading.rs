//! The kernel's clocks, read through the vDSO.

use rustix::time::{ClockId, clock_gettime};

/// MONO, RAW, WALL, MONO, read in this order; ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// MONO before the others.
    pub mono_before_ns: i64,
    /// RAW.
    pub raw_ns: i64,
    /// WALL.
    pub wall_ns: i64,
    /// MONO after the others.
    pub mono_after_ns: i64,
}

/// Readings of which the tightest is taken.
const ATTEMPTS: usize = 3;

impl Reading {
    /// The tightest of three, now.
    pub fn take() -> Self {
        (1..ATTEMPTS).fold(Self::once(), |best, _| best.tighter(Self::once()))
    }

    /// Half-way between its two readings of MONO, ns.
    pub fn mono_middle_ns(self) -> i64 {
        self.mono_before_ns.saturating_add(self.width_ns() / 2)
    }

    /// From its first reading of MONO to its second, ns.
    pub fn width_ns(self) -> i64 {
        self.mono_after_ns.saturating_sub(self.mono_before_ns)
    }

    fn once() -> Self {
        let mono_before_ns = mono_ns();
        let raw_ns = raw_ns();
        let wall_ns = read_ns(ClockId::Realtime);
        Self { mono_before_ns, raw_ns, wall_ns, mono_after_ns: mono_ns() }
    }

    fn tighter(self, other: Self) -> Self {
        if other.width_ns() < self.width_ns() { other } else { self }
    }
}

/// `CLOCK_MONOTONIC` now, ns.
pub fn mono_ns() -> i64 {
    read_ns(ClockId::Monotonic)
}

/// `CLOCK_MONOTONIC_RAW` now, ns.
pub fn raw_ns() -> i64 {
    read_ns(ClockId::MonotonicRaw)
}

fn read_ns(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tighter_reading_wins() {
        let reading = |after| Reading { mono_before_ns: 0, raw_ns: after, wall_ns: 0, mono_after_ns: after };
        assert_eq!(reading(5).tighter(reading(3)).raw_ns, 3);
        assert_eq!(reading(3).tighter(reading(5)).raw_ns, 3);
        let (before, taken, after) = (mono_ns(), Reading::take(), mono_ns());
        assert!(before <= taken.mono_before_ns && taken.mono_middle_ns() <= taken.mono_after_ns);
        assert!(taken.mono_after_ns <= after);
    }
}
