//! The processes of one executable, whose probes come and go together, and when they are observed.

use std::collections::{BTreeMap, HashSet, VecDeque};

use syncline_bpf::Window;

use super::told::Account;
use crate::choice::Settings;
use crate::governor::{Controller, ONCE_MILLI, Sampler, Stage, weight_milli};
use crate::kinds::{CaptureKind, Kinds};

/// What is observed all the time is read so often, ns, and so often where it costs next to nothing.
const READ_NS: u64 = 100_000_000;
const READ_CALM_NS: u64 = 500_000_000;
/// A window that cannot open yet is tried again after so long, ns.
const POSTPONE_NS: u64 = 20_000_000;
/// Windows that are remembered, for what began in them and ends late; an hour of the shortest.
const PAST: usize = 9_000;

/// What is dear and can be done without.
const DEAR: Kinds = Kinds::of(&[CaptureKind::States, CaptureKind::KernelStacks]);
/// What tracepoints see, which costs as much between windows as in them.
const GOES_ON: Kinds =
    Kinds::of(&[CaptureKind::Syscall, CaptureKind::OffCpu, CaptureKind::TcpMessages, CaptureKind::SendLatency]);
/// What is left where nothing can be afforded: what each connection came to.
const CHEAPEST: Kinds = Kinds::of(&[CaptureKind::Tcp]);

/// What is going on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// They are observed all the time.
    Always,
    /// Not before the next window.
    Gap {
        /// Since when not.
        since_ns: u64,
        opens_ns: u64,
        window_ns: u64,
    },
    /// In a window.
    Open { window: Past, members: HashSet<u32> },
    /// Not at all.
    Resting { until_ns: u64 },
}

/// A window, and how many times what is seen in it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Past {
    pub(super) from_ns: u64,
    pub(super) until_ns: u64,
    pub(super) weight_milli: u32,
}

#[derive(Debug)]
pub(super) struct Governed {
    pub(super) controller: Controller,
    sampler: Sampler,
    pub(super) phase: Phase,
    /// Of each of them.
    pub(super) accounts: BTreeMap<u32, Account>,
    /// When their costs were read last.
    pub(super) read_ns: u64,
    pub(super) events: u64,
    /// In the last window some probe could not be attached.
    pub(super) lacks_probes: bool,
    /// How long it took to look at whoever waited as this window opened, ns.
    pub(super) looking_ns: u64,
    past: VecDeque<Past>,
}

impl Governed {
    pub(super) fn new(now_ns: u64, seed: u64) -> Self {
        Self {
            controller: Controller::default(),
            sampler: Sampler::new(seed),
            phase: Phase::Always,
            accounts: BTreeMap::new(),
            read_ns: now_ns,
            events: 0,
            lacks_probes: false,
            looking_ns: 0,
            past: VecDeque::new(),
        }
    }

    /// When there is something to do next, CLOCK_MONOTONIC ns.
    pub(super) fn due_ns(&self) -> u64 {
        match &self.phase {
            Phase::Always if self.controller.load() < 0.1 => self.read_ns + READ_CALM_NS,
            Phase::Always => self.read_ns + READ_NS,
            Phase::Gap { opens_ns, .. } => *opens_ns,
            Phase::Open { window, .. } => window.until_ns,
            Phase::Resting { until_ns } => *until_ns,
        }
    }

    /// Their probes are to be away.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Gap { .. } | Phase::Resting { .. })
    }

    /// When the process is observed, for the kernel side.
    pub(super) fn window(&self, pid: u32) -> Window {
        match &self.phase {
            Phase::Always => Window::Always,
            Phase::Open { window, members } if members.contains(&pid) => {
                Window::Within(window.from_ns, window.until_ns)
            }
            // One that came in the middle of it waits for the next.
            Phase::Gap { .. } | Phase::Open { .. } | Phase::Resting { .. } => Window::Closed,
        }
    }

    /// What is in force for a process of which this was chosen.
    pub(super) fn in_force(&self, chosen: Settings) -> Settings {
        let threshold = chosen.threshold.saturating_mul(self.controller.threshold_factor());
        let kinds = match self.controller.stage() {
            Stage::Full | Stage::Raised => chosen.kinds,
            Stage::Windows if self.controller.leaves_out_tracepoints() => chosen.kinds.minus(DEAR).minus(GOES_ON),
            Stage::Lean | Stage::Windows => chosen.kinds.minus(DEAR),
            Stage::Off => chosen.kinds.only(CHEAPEST),
        };
        Settings { threshold, kinds, ..chosen }
    }

    /// From now on nothing is observed until the next window.
    pub(super) fn begin_gap(&mut self, since_ns: u64) {
        let plan = self.controller.next_window();
        let opens_ns = since_ns.saturating_add(self.sampler.gap_ns(plan.mean_gap_ns));
        self.phase = Phase::Gap { since_ns, opens_ns, window_ns: plan.window_ns };
    }

    /// The next window cannot open yet.
    pub(super) fn postpone(&mut self, now_ns: u64) {
        if let Phase::Gap { opens_ns, .. } = &mut self.phase {
            *opens_ns = now_ns + POSTPONE_NS;
        }
    }

    /// A window that begins then, after the gap that there was.
    pub(super) fn open(&mut self, from_ns: u64, members: HashSet<u32>) -> Past {
        let (since_ns, window_ns) = match self.phase {
            Phase::Gap { since_ns, window_ns, .. } => (since_ns, window_ns),
            _ => (from_ns, self.controller.next_window().window_ns),
        };
        let weight_milli = weight_milli(from_ns.saturating_sub(since_ns), window_ns);
        let window = Past { from_ns, until_ns: from_ns + window_ns, weight_milli };
        if self.past.len() >= PAST {
            self.past.pop_front();
        }
        self.past.push_back(window);
        self.phase = Phase::Open { window, members };
        window
    }

    /// How many times what began then counts.
    pub(super) fn weight_milli_at(&self, mono_ns: u64) -> u32 {
        let after = self.past.partition_point(|window| window.from_ns <= mono_ns);
        let last = after.checked_sub(1).and_then(|at| self.past.get(at));
        last.filter(|window| mono_ns < window.until_ns).map_or(ONCE_MILLI, |window| window.weight_milli)
    }

    /// How many times what is in sums now counts.
    pub(super) fn weight_milli_now(&self) -> u32 {
        let last = self.past.back().filter(|_| self.phase != Phase::Always);
        last.map_or(ONCE_MILLI, |window| window.weight_milli)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::governor::{Budget, Reading};

    const MS: u64 = 1_000_000;

    fn in_windows() -> Governed {
        let mut governed = Governed::new(0, 1);
        let reading = Reading {
            span_ns: 100 * MS,
            observed_ns: 100 * MS,
            cost_ns: 90 * MS,
            allowed_ns: MS,
            ..Reading::default()
        };
        governed.controller.observed(&reading);
        governed
    }

    #[test]
    fn what_begins_in_a_window_counts_for_the_gap_before_it_and_the_rest_once() {
        let mut governed = in_windows();
        governed.begin_gap(1_000 * MS);
        assert!(governed.is_closed() && governed.due_ns() > 1_250 * MS);
        assert_eq!(governed.window(7), Window::Closed);
        let window = governed.open(1_980 * MS, HashSet::from([7]));
        assert_eq!((window.until_ns, window.weight_milli), (2_000 * MS, 50 * ONCE_MILLI));
        assert_eq!((governed.window(7), governed.window(8)), (Window::Within(1_980 * MS, 2_000 * MS), Window::Closed));
        let at = [999, 1_979, 1_980, 1_999, 2_000].map(|ms| governed.weight_milli_at(ms * MS) / ONCE_MILLI);
        assert_eq!(at, [1, 1, 50, 50, 1]);
    }

    #[test]
    fn what_is_dear_goes_first_and_at_last_all_but_the_connections() {
        let chosen = Settings {
            observe: true,
            threshold: Duration::from_millis(1),
            open_after: Duration::ZERO,
            kinds: Kinds::ALL,
            budget: Budget::DEFAULT,
        };
        assert_eq!(Governed::new(0, 1).in_force(chosen), chosen);
        let mut governed = in_windows();
        let kinds = governed.in_force(chosen).kinds;
        assert!(kinds.has(CaptureKind::Park) && kinds.has(CaptureKind::SendLatency));
        assert!(!kinds.has(CaptureKind::States) && !kinds.has(CaptureKind::KernelStacks));
        let calls = Reading {
            span_ns: 9,
            observed_ns: 1,
            cost_ns: 90,
            of_tracepoints_ns: 90,
            allowed_ns: 9,
            ..Reading::default()
        };
        governed.controller.window(&calls).unwrap();
        assert_eq!(governed.in_force(chosen).kinds, kinds.minus(GOES_ON));
        assert!(governed.in_force(chosen).kinds.has(CaptureKind::Park));
        let dear = Reading { span_ns: 1, observed_ns: 1, cost_ns: u64::MAX, allowed_ns: 1, ..Reading::default() };
        governed.controller.window(&dear).unwrap();
        assert_eq!(governed.in_force(chosen).kinds, CHEAPEST);
    }
}
