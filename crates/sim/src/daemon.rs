//! A daemon that disciplines a node's wall clock as time goes on, and says what it believes of it.
//!
//! [`crate::profile`] draws such a discipline for a whole run at once; this one reacts, so that it can be stopped, misled, or meet what
//! others do to the clock.

use syncline_timebase::Span;

use crate::{Random, SimulatedNode};

/// What a daemon is like.
#[derive(Clone, Copy, Debug)]
pub struct DaemonSettings {
    /// From poll to poll, s.
    pub poll_s: f64,
    /// Scale of the Laplace noise of one measurement, ns.
    pub noise_ns: f64,
    /// What it says its measurement is good to: half the root delay and the dispersion at a poll, ns.
    pub bound_ns: u64,
}

impl Default for DaemonSettings {
    /// A client of servers in the same data centre or the next.
    fn default() -> Self {
        Self { poll_s: 64.0, noise_ns: 100_000.0, bound_ns: 1_500_000 }
    }
}

/// What a daemon says of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// UTC - WALL, ns.
    pub utc_minus_wall_ns: i64,
    /// The truth is no further away, it says, ns.
    pub bound_ns: u64,
}

/// It steers by so much at most, ppb: the kernel's MAXFREQ.
const FASTEST_PPB: f64 = 500_000.0;
/// An offset beyond this is stepped, once it has lasted (ntpd's step threshold and stepout), ns.
const STEPS_FROM_NS: i64 = 128_000_000;
const STEPS_AFTER_NS: i64 = 300_000_000_000;
/// An offset beyond this says nothing of the frequency, ns.
const LEARNS_BELOW_NS: i64 = 5_000_000;
/// What of an offset is worked off until the next poll, and learned as frequency.
const SLEWED_SHARE: f64 = 0.5;
const LEARNED_SHARE: f64 = 0.1;
/// Its claim's bound grows by so much, ppb (RFC 5905's PHI).
const DISPERSION_PPB: i64 = 15_000;

/// A running daemon.
pub struct Daemon {
    settings: DaemonSettings,
    random: Random,
    next_ns: i64,
    frequency_ppb: f64,
    /// The newest measurement: when, WALL - source, and how fast that is worked off, ppb.
    measured: Option<(i64, i64, f64)>,
    far_since_ns: Option<i64>,
}

impl Daemon {
    /// One that begins to poll soon after true time zero, and knows the frequency error of its node, ppb.
    pub fn new(settings: DaemonSettings, oscillator_ppb: f64, seed: u64) -> Self {
        let mut random = Random::seeded(seed);
        let next_ns = (random.uniform() * settings.poll_s * 1e9) as i64;
        Self { settings, random, next_ns, frequency_ppb: -oscillator_ppb, measured: None, far_since_ns: None }
    }

    /// When it polls next, true ns.
    pub fn next_ns(&self) -> i64 {
        self.next_ns
    }

    /// Polls its source, which is `source_ns` ahead of UTC, and steers `node`.
    pub fn poll(&mut self, node: &mut SimulatedNode, source_ns: i64) {
        let at_ns = node.awake_ns(self.next_ns);
        self.next_ns = at_ns + (self.settings.poll_s * 1e9) as i64;
        let error_ns = wall_error(node, at_ns).ns() - source_ns;
        let seen_ns = error_ns + self.random.laplace(self.settings.noise_ns) as i64;
        if self.is_stepped(at_ns, seen_ns) {
            node.set_wall(at_ns, -seen_ns);
            self.measured = Some((at_ns, 0, 0.0));
            return node.steer(at_ns, self.frequency_ppb);
        }
        let per_poll_ppb = seen_ns as f64 / self.settings.poll_s;
        if seen_ns.abs() < LEARNS_BELOW_NS {
            let learned = self.frequency_ppb - LEARNED_SHARE * per_poll_ppb;
            self.frequency_ppb = learned.clamp(-FASTEST_PPB, FASTEST_PPB);
        }
        let steered = (self.frequency_ppb - SLEWED_SHARE * per_poll_ppb).clamp(-FASTEST_PPB, FASTEST_PPB);
        node.steer(at_ns, steered);
        self.measured = Some((at_ns, seen_ns, self.frequency_ppb - steered));
    }

    fn is_stepped(&mut self, at_ns: i64, seen_ns: i64) -> bool {
        if seen_ns.abs() < STEPS_FROM_NS {
            self.far_since_ns = None;
            return false;
        }
        let since_ns = *self.far_since_ns.get_or_insert(at_ns);
        let is_due = at_ns - since_ns >= STEPS_AFTER_NS;
        if is_due {
            self.far_since_ns = None;
        }
        is_due
    }

    /// What it says at `true_ns`: what it measured last, less what it has worked off since. `None` before the first poll.
    pub fn says(&self, true_ns: i64) -> Option<Said> {
        let (at_ns, seen_ns, slew_ppb) = self.measured?;
        let age_ns = (true_ns - at_ns).max(0);
        let left_ns = seen_ns as f64 - slew_ppb * age_ns as f64 * 1e-9;
        let left_ns = if left_ns.signum() == (seen_ns as f64).signum() { left_ns as i64 } else { 0 };
        let grown_ns = (age_ns / 1_000 * DISPERSION_PPB / 1_000_000).unsigned_abs();
        Some(Said { utc_minus_wall_ns: -left_ns, bound_ns: self.settings.bound_ns + grown_ns })
    }
}

/// WALL - UTC of a node in truth; UTC is what its reference would show that never left it.
fn wall_error(node: &mut SimulatedNode, true_ns: i64) -> Span {
    Span::from_ns(node.wall(true_ns).ns() - SimulatedNode::reference(true_ns).ns())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeSettings;

    const SECOND: i64 = 1_000_000_000;

    /// The error of the wall clock at each poll over `hours`, with a source that is wrong by so much.
    fn errors(hours: i64, source_ns: impl Fn(i64) -> i64, at_poll: impl Fn(usize, &mut SimulatedNode)) -> Vec<i64> {
        let mut node = SimulatedNode::new(NodeSettings::default(), 3);
        let mut daemon = Daemon::new(DaemonSettings::default(), 20_000.0, 4);
        let mut errors = Vec::new();
        while daemon.next_ns() < hours * 3_600 * SECOND {
            at_poll(errors.len(), &mut node);
            let at_ns = daemon.next_ns();
            let error_ns = wall_error(&mut node, at_ns).ns();
            daemon.poll(&mut node, source_ns(at_ns));
            let said = daemon.says(at_ns).unwrap();
            let false_by_ns = (said.utc_minus_wall_ns + wall_error(&mut node, at_ns).ns() - source_ns(at_ns)).abs();
            assert!(false_by_ns < 1_500_000, "its claim holds of its source: {said:?} at {error_ns}");
            errors.push(error_ns);
        }
        errors
    }

    #[test]
    fn a_clock_stays_within_a_millisecond_of_its_source() {
        let errors = errors(12, |_| 0, |_, _| ());
        assert!(errors.iter().all(|error| error.abs() < 1_000_000), "{:?}", errors.iter().map(|e| e.abs()).max());
    }

    #[test]
    fn it_follows_a_source_that_is_smeared() {
        let smeared = |at_ns: i64| ((at_ns - 3_600 * SECOND).max(0) as f64 * 11.574e-6) as i64;
        let errors = errors(4, smeared, |_, _| ());
        let late = errors.last().unwrap() - smeared(4 * 3_600 * SECOND);
        assert!(late.abs() < 2_000_000, "{late}");
    }

    #[test]
    fn a_small_error_is_slewed_and_a_large_one_stepped_after_five_minutes() {
        let set = |size_ns: i64| {
            move |poll: usize, node: &mut SimulatedNode| {
                if poll == 10 {
                    node.set_wall(600 * SECOND, size_ns);
                }
            }
        };
        let small = errors(1, |_| 0, set(60_000_000));
        assert!(small[10] > 59_000_000 && small[11] < 35_000_000 && small[16].abs() < 3_000_000, "{small:?}");
        let large = errors(1, |_| 0, set(900_000_000));
        assert!(large[14] > 700_000_000 && large[17].abs() < 1_500_000, "{large:?}");
    }
}
