//! The kernel's clocks, read through the vDSO.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// MONO, RAW, WALL, MONO, read in this order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) mono_before_ns: i64,
    pub(super) raw_ns: i64,
    pub(super) wall_ns: i64,
    pub(super) mono_after_ns: i64,
}

pub(super) fn read() -> Reading {
    let mono_before_ns = mono_ns();
    let raw_ns = nanoseconds(clock_gettime(ClockId::MonotonicRaw));
    let wall_ns = nanoseconds(clock_gettime(ClockId::Realtime));
    Reading { mono_before_ns, raw_ns, wall_ns, mono_after_ns: mono_ns() }
}

pub(super) fn mono_ns() -> i64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

fn nanoseconds(time: Timespec) -> i64 {
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

impl Reading {
    pub(super) fn tighter(self, other: Self) -> Self {
        if other.width_ns() < self.width_ns() { other } else { self }
    }

    pub(super) fn mono_middle_ns(self) -> i64 {
        self.mono_before_ns.saturating_add(self.width_ns() / 2)
    }

    fn width_ns(self) -> i64 {
        self.mono_after_ns.saturating_sub(self.mono_before_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tighter_reading_wins() {
        let reading = |after| Reading { mono_before_ns: 0, raw_ns: after, wall_ns: 0, mono_after_ns: after };
        assert_eq!(reading(5).tighter(reading(3)).raw_ns, 3);
        assert_eq!(reading(3).tighter(reading(5)).raw_ns, 3);
    }
}
