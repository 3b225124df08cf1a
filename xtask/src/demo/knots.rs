//! The machine's own clocks, sampled while the demo runs: the truth that the published times are compared with.
//!
//! All three regions run on this machine, so one oscillator is the truth for all of them, whatever was injected.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

const PERIOD: Duration = Duration::from_millis(100);

/// The three clocks read at one moment, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Knot {
    pub(crate) mono: i64,
    pub(crate) raw: i64,
    pub(crate) wall: i64,
}

/// Reads the clocks; of a few tries the one whose bracket is the narrowest.
pub(crate) fn now() -> Knot {
    let (_, knot) = (0..5).map(|_| bracketed()).min_by_key(|(width, _)| *width).unwrap_or_else(bracketed);
    knot
}

fn bracketed() -> (i64, Knot) {
    let before = read(ClockId::Monotonic);
    let raw = read(ClockId::MonotonicRaw);
    let wall = read(ClockId::Realtime);
    let after = read(ClockId::Monotonic);
    let width = after - before;
    (width, Knot { mono: before + width / 2, raw, wall })
}

fn read(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

/// A thread that samples until it is stopped.
pub(crate) struct Sampler {
    stop: Sender<()>,
    thread: JoinHandle<Vec<Knot>>,
}

impl Sampler {
    pub(crate) fn start() -> Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let sample = move || {
            let mut knots = vec![now()];
            while stopped.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                knots.push(now());
            }
            knots.push(now());
            knots
        };
        let thread = std::thread::Builder::new().name("knots".into()).spawn(sample)?;
        Ok(Self { stop, thread })
    }

    pub(crate) fn finish(self) -> Result<Knots> {
        drop(self.stop);
        let knots = self.thread.join().ok().context("the clock sampler panicked")?;
        Ok(Knots(knots))
    }
}

/// The samples, in order of time.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Knots(Vec<Knot>);

impl Knots {
    /// In order of time.
    #[cfg(test)]
    pub(crate) fn of(knots: Vec<Knot>) -> Self {
        Self(knots)
    }

    /// CLOCK_MONOTONIC_RAW at a CLOCK_MONOTONIC.
    pub(crate) fn raw_at(&self, mono: i64) -> Option<i64> {
        self.interpolate(mono, |knot| knot.mono, |knot| knot.raw)
    }

    /// CLOCK_REALTIME at a CLOCK_MONOTONIC.
    pub(crate) fn wall_at(&self, mono: i64) -> Option<i64> {
        self.interpolate(mono, |knot| knot.mono, |knot| knot.wall)
    }

    /// CLOCK_MONOTONIC at a CLOCK_MONOTONIC_RAW.
    pub(crate) fn mono_at_raw(&self, raw: i64) -> Option<i64> {
        self.interpolate(raw, |knot| knot.raw, |knot| knot.mono)
    }

    /// Between the knots around x, or along the nearest two outside. None with fewer than two knots.
    fn interpolate(&self, x: i64, from: impl Fn(&Knot) -> i64, to: impl Fn(&Knot) -> i64) -> Option<i64> {
        let above = self.0.partition_point(|knot| from(knot) <= x);
        let right = above.clamp(1, self.0.len().checked_sub(1)?.max(1));
        let (a, b) = (self.0.get(right - 1)?, self.0.get(right)?);
        let (run, rise) = (i128::from(from(b) - from(a)), i128::from(to(b) - to(a)));
        let along = (i128::from(x) - i128::from(from(a))).checked_mul(rise)?.checked_div(run)?;
        i64::try_from(i128::from(to(a)) + along).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_between_and_beyond_the_knots_lie_on_the_line() {
        let knots = Knots(vec![
            Knot { mono: 0, raw: 1_000, wall: 5_000 },
            Knot { mono: 100, raw: 1_200, wall: 5_100 },
            Knot { mono: 200, raw: 1_300, wall: 5_200 },
        ]);
        assert_eq!(knots.raw_at(50), Some(1_100));
        assert_eq!(knots.raw_at(100), Some(1_200));
        assert_eq!(knots.raw_at(-10), Some(980));
        assert_eq!(knots.raw_at(300), Some(1_400));
        assert_eq!(knots.wall_at(150), Some(5_150));
        assert_eq!(knots.mono_at_raw(1_250), Some(150));
        assert_eq!(Knots(vec![]).raw_at(1), None);
        assert_eq!(Knots(vec![Knot { mono: 1, raw: 1, wall: 1 }]).raw_at(1), None);
    }

    #[test]
    fn the_sampler_covers_the_time_it_ran() {
        let before = now();
        let sampler = Sampler::start().unwrap();
        let knots = sampler.finish().unwrap();
        let after = now();
        let raw = knots.raw_at(before.mono).unwrap();
        assert!((raw - before.raw).abs() < 1_000_000, "{raw} {before:?}");
        assert!(knots.0.iter().all(|knot| knot.mono >= before.mono && knot.mono <= after.mono));
    }
}
