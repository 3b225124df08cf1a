//! ClickHouse stood still for long: what must be so of memory meanwhile, and of the store afterwards. Pure.

use std::time::Duration;

/// How far things were as a stall began, or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Since the run began.
    pub(crate) at: Duration,
    /// Made so far by the modelled nodes.
    pub(crate) events: u64,
    /// The most that an aggregator had resident so far.
    pub(crate) aggregator_peak_bytes: u64,
}

/// A stall that is over, and all that was made is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stall {
    pub(crate) begun: Moment,
    pub(crate) ended: Moment,
    /// When the last event was seen to be stored, and how many were.
    pub(crate) stored: (Duration, u64),
    /// Events a second that are made.
    pub(crate) rate: u32,
}

/// What an aggregator may grow by while it can only take in: buffers of streams that were short of nothing before.
const GROWTH_BYTES: u64 = 128 << 20;
/// The store takes so many times what comes, once it can.
const DRAINS_AT: f64 = 2.0;

impl Stall {
    /// For people.
    pub(crate) fn line(&self) -> String {
        format!(
            "ClickHouse stood still for {:.0} s; then {} events were stored in {:.0} s, {:.1} times as fast as they are made; an aggregator took {} MiB before, \
             {} MiB at its end",
            (self.ended.at - self.begun.at).as_secs_f64(),
            self.drained(),
            self.took_s(),
            self.times_the_load(),
            self.begun.aggregator_peak_bytes >> 20,
            self.ended.aggregator_peak_bytes >> 20
        )
    }

    pub(crate) fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        let times = self.times_the_load();
        if times < DRAINS_AT {
            failures.push(format!(
                "what waited is stored {times:.1} times as fast as events are made, and not {DRAINS_AT}"
            ));
        }
        let grew = self.ended.aggregator_peak_bytes.saturating_sub(self.begun.aggregator_peak_bytes);
        if grew > GROWTH_BYTES {
            failures.push(format!("an aggregator grew by {} MiB while ClickHouse stood still", grew >> 20));
        }
        failures
    }

    /// What waited as ClickHouse went on, and what came after that.
    fn drained(&self) -> u64 {
        self.stored.1.saturating_sub(self.begun.events)
    }

    fn took_s(&self) -> f64 {
        self.stored.0.saturating_sub(self.ended.at).as_secs_f64()
    }

    fn times_the_load(&self) -> f64 {
        self.drained() as f64 / self.took_s() / f64::from(self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stall(drained_in_s: u64, grew_mib: u64) -> Stall {
        let moment = |at_s: u64, mib: u64| Moment {
            at: Duration::from_secs(at_s),
            events: at_s * 1_000,
            aggregator_peak_bytes: mib << 20,
        };
        let (begun, ended) = (moment(100, 90), moment(700, 90 + grew_mib));
        // Another 100 s of load came after it.
        Stall { begun, ended, stored: (Duration::from_secs(700 + drained_in_s), 800_000), rate: 1_000 }
    }

    #[test]
    fn what_waited_goes_in_faster_than_it_comes_and_memory_stays() {
        assert!(stall(350, 128).failures().is_empty(), "{:?}", stall(350, 128).failures());
        assert_eq!(stall(700, 0).failures(), ["what waited is stored 1.0 times as fast as events are made, and not 2"]);
        assert_eq!(stall(100, 129).failures(), ["an aggregator grew by 129 MiB while ClickHouse stood still"]);
        assert!(stall(350, 0).line().contains("for 600 s; then 700000 events were stored in 350 s, 2.0 times"));
    }
}
