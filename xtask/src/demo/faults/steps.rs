//! Steps of wall clocks: those that were injected beside those that were found. Pure.

use serde::Deserialize;
use syncline_sim::InjectedClock;

/// A row of `clock_steps`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Found {
    pub(super) node: String,
    /// The node's (injected) MONO at the first reading of its clocks after the step.
    pub(super) mono_ns: i64,
    pub(super) size_ns: i64,
    /// Which clock.
    pub(super) scale: String,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Steps {
    pub(super) injected: usize,
    pub(super) found: usize,
    /// Found where none was injected.
    pub(super) spurious: usize,
}

/// Clocks are read ten times a second; on a busy machine later.
const FOUND_WITHIN_NS: i64 = 2_000_000_000;
/// What a step may be off by: the readings on both sides of it take their time.
const SIZE_WITHIN_NS: i64 = 200_000;

impl Steps {
    /// Each step that was found is that of one injected into the clock of its node, or of none.
    pub(super) fn of(clocks: &[(&str, &InjectedClock)], found: &[Found]) -> Self {
        let mut left: Vec<&Found> = found.iter().collect();
        let mut steps = Self::default();
        for (node, clock) in clocks {
            for step in &clock.steps {
                steps.injected += 1;
                let is_it = |found: &&Found| {
                    let late_ns = clock.true_mono(found.mono_ns) - step.at_ns;
                    found.node == *node
                        && found.scale == "wall"
                        && (0..=FOUND_WITHIN_NS).contains(&late_ns)
                        && found.size_ns.abs_diff(step.size_ns) <= SIZE_WITHIN_NS.unsigned_abs()
                };
                if let Some(place) = left.iter().position(is_it) {
                    left.remove(place);
                    steps.found += 1;
                }
            }
        }
        Self { spurious: left.len(), ..steps }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_sim::InjectedStep;

    const S: i64 = 1_000_000_000;

    fn clock() -> InjectedClock {
        let step = |size_ns, second| InjectedStep { size_ns, at_ns: second * S };
        let steps = vec![step(40_000_000, 10), step(-22_000_000, 60)];
        InjectedClock { origin_shift_ns: 7 * S, drift_ppb: 200_000, steps, ..InjectedClock::default() }
    }

    fn found(node: &str, true_ms: i64, size_ns: i64) -> Found {
        let mono_ns = clock().mono(true_ms * 1_000_000);
        Found { node: node.into(), mono_ns, size_ns, scale: "wall".into() }
    }

    fn steps(found: &[Found]) -> (usize, usize, usize) {
        let clock = clock();
        let Steps { injected, found, spurious } = Steps::of(&[("us-1", &clock)], found);
        (injected, found, spurious)
    }

    #[test]
    fn a_step_is_found_at_its_time_with_its_size_once() {
        let both = [found("us-1", 10_050, 40_000_900), found("us-1", 60_099, -22_000_000)];
        assert_eq!(steps(&both), (2, 2, 0));
        assert_eq!(steps(&[both[0].clone(), both[0].clone()]), (2, 1, 1));
        assert_eq!(steps(&[]), (2, 0, 0));
    }

    #[test]
    fn another_time_size_node_or_clock_is_another_step() {
        let mut others =
            [found("us-1", 9_900, 40_000_000), found("us-1", 10_050, -40_000_000), found("eu-1", 10_050, 40_000_000)];
        assert_eq!(steps(&others), (2, 0, 3));
        others[0] = Found { scale: "mono".into(), ..found("us-1", 10_050, 40_000_000) };
        assert_eq!(steps(&others), (2, 0, 3));
    }
}
