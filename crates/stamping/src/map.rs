//! From the kernel's wall stamps to MONO and RAW.
//!
//! Linux keeps WALL as MONO plus an offset that only a step changes (`timekeeper.wall_to_monotonic`); slews steer both alike.
//! So every reading of the two narrows the same interval, until one falls outside: then somebody stepped WALL in between, and
//! a stamp from before cannot be told from one after. RAW is read close to the stamp, and carried over the short time between.

use syncline_timebase::{Instant, Mono, Raw, Span, Wall};

use crate::reading::Reading;

/// MONO and RAW part by no more than 1 in so many: NTP steers by 500 ppm at most, the tick set aside.
const STEERED: i64 = 1_000;
/// Packets and stamps of departures are read no later than so long after, ns.
const QUEUED: i64 = 1_000_000_000;
/// The kernel rounds each clock to whole ns.
const ROUNDING: i64 = 1;

/// Where a wall stamp lies on the other clocks, and how far off that may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// MONO.
    pub mono: Instant<Mono>,
    /// Of `mono`.
    pub mono_slack: Span,
    /// RAW.
    pub raw: Instant<Raw>,
    /// Of `raw`.
    pub raw_slack: Span,
}

/// The map, as of its newest reading.
#[derive(Clone, Copy, Debug)]
pub struct StampMap {
    /// WALL - MONO is between these, ns.
    low: i64,
    high: i64,
    newest: Reading,
    /// MONO when WALL was last seen to have been stepped, ns.
    stepped: Option<i64>,
}

impl StampMap {
    /// The map after one reading.
    pub fn new(reading: Reading) -> Self {
        let [low, high] = wall_minus_mono(&reading);
        Self { low, high, newest: reading, stepped: None }
    }

    /// Takes a later reading; whether WALL was not stepped within the last second, so that stamps of that time can be placed.
    /// Packets wait in queues before they are read, and stamps of departures too.
    #[must_use]
    pub fn update(&mut self, reading: Reading) -> bool {
        let [low, high] = wall_minus_mono(&reading);
        let (low_both, high_both) = (self.low.max(low), self.high.min(high));
        let is_one = low_both <= high_both;
        (self.low, self.high) = if is_one { (low_both, high_both) } else { (low, high) };
        self.newest = reading;
        if !is_one {
            self.stepped = Some(reading.mono_before_ns);
        }
        self.stepped.is_none_or(|stepped| reading.mono_before_ns.saturating_sub(stepped) > QUEUED)
    }

    /// Where `stamp` lies, which is not long before the newest reading.
    pub fn place(&self, stamp: Instant<Wall>) -> Placed {
        let half = self.high.saturating_sub(self.low) / 2;
        let mono = stamp.ns().saturating_sub(self.low.saturating_add(half));
        let mono_slack = half.saturating_add(ROUNDING + 1);
        let since = self.newest.mono_middle_ns().saturating_sub(mono);
        let steered = since.saturating_abs() / STEERED;
        let raw_slack =
            [self.newest.width_ns() / 2, steered, ROUNDING].into_iter().fold(mono_slack, i64::saturating_add);
        Placed {
            mono: Instant::from_ns(mono),
            mono_slack: Span::from_ns(mono_slack),
            raw: Instant::from_ns(self.newest.raw_ns.saturating_sub(since)),
            raw_slack: Span::from_ns(raw_slack),
        }
    }
}

fn wall_minus_mono(reading: &Reading) -> [i64; 2] {
    let over = |mono_ns: i64| reading.wall_ns.saturating_sub(mono_ns);
    [over(reading.mono_after_ns).saturating_sub(ROUNDING), over(reading.mono_before_ns).saturating_add(ROUNDING)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WALL is 1,000,000 ahead of MONO, RAW 500 behind it; read 30 and 40 ns after the first reading of MONO.
    fn reading(mono: i64, width: i64) -> Reading {
        Reading {
            mono_before_ns: mono,
            raw_ns: mono + 30 - 500,
            wall_ns: mono + 40 + 1_000_000,
            mono_after_ns: mono + width,
        }
    }

    #[test]
    fn readings_narrow_where_a_stamp_lies() {
        let mut map = StampMap::new(reading(0, 5_000));
        assert!(map.update(reading(10_000, 60)));
        assert!(map.update(reading(20_000, 400)));
        let placed = map.place(Instant::from_ns(1_000_000 + 15_000));
        let off = (placed.mono - Instant::from_ns(15_000)).abs();
        assert!(off <= placed.mono_slack && placed.mono_slack <= Span::from_ns(33), "{placed:?}");
        let off = (placed.raw - Instant::from_ns(14_500)).abs();
        assert!(off <= placed.raw_slack && placed.raw_slack <= Span::from_ns(250), "{placed:?}");
    }

    #[test]
    fn a_step_is_seen_and_the_map_goes_on_behind_it() {
        let mut map = StampMap::new(reading(0, 60));
        let stepped = |mono| Reading { wall_ns: mono + 40 + 900_000, ..reading(mono, 60) };
        assert!(!map.update(stepped(1_000)));
        assert!(!map.update(stepped(QUEUED)), "a stamp from before may still be in a queue");
        assert!(map.update(stepped(QUEUED + 2_000)));
        assert!((map.place(Instant::from_ns(901_500)).mono - Instant::from_ns(1_500)).abs() < Span::from_ns(40));
    }

    #[test]
    fn no_stamp_can_break_it() {
        for ns in [i64::MIN, -1, 0, i64::MAX] {
            let reading = Reading { mono_before_ns: ns, raw_ns: -(ns.max(-1)), wall_ns: !ns, mono_after_ns: ns / 2 };
            let mut map = StampMap::new(reading);
            let _ = map.update(Reading::take());
            map.place(Instant::from_ns(ns));
        }
    }
}
