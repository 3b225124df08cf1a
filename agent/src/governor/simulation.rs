//! The controller and the sampler on simulated processes.

use super::{Budget, Controller, Reading, Sampler, Stage, weight_milli};

const MS: u64 = 1_000_000;
const S: u64 = 1_000 * MS;
const STEP: u64 = 10 * MS;
const TICK: u64 = 100 * MS;

/// A process whose operations take that much CPU time, and cost as much more where they are observed; two CPUs are all that it gets.
#[derive(Clone, Copy)]
struct Process {
    op_ns: f64,
    probes_ns: f64,
    /// What its system calls cost it as long as they are seen, in windows and between them.
    calls_ns: f64,
    most_cpus: f64,
}

const BUSY: Process = Process { op_ns: 20_000.0, probes_ns: 20_000.0, calls_ns: 0.0, most_cpus: 2.0 };

/// What came of a run.
#[derive(Default)]
struct Run {
    /// Cost and CPU time by second.
    seconds: Vec<(f64, f64)>,
    changes: Vec<(u64, Stage)>,
    observed_ns: u64,
    /// How much CPU time the process used, and how much its windows say.
    cpu_without_probes: f64,
    estimated: f64,
}

impl Run {
    /// Cost by CPU time from that second on.
    fn share_from(&self, second: usize) -> f64 {
        let (cost, cpu) = self.seconds[second..].iter().fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        cost / cpu
    }
}

/// Time since a reading, and what it came to.
#[derive(Default, Clone, Copy)]
struct Since {
    span: u64,
    observed: u64,
    cost: f64,
    of_tracepoints: f64,
    cpu: f64,
}

impl Since {
    fn reading(self) -> Reading {
        let allowed_ns = Budget::DEFAULT.allowed_ns(self.cpu as u64, self.span).unwrap();
        let (span_ns, observed_ns, cost_ns) = (self.span, self.observed, self.cost as u64);
        let of_tracepoints_ns = self.of_tracepoints as u64;
        Reading { span_ns, observed_ns, cost_ns, of_tracepoints_ns, allowed_ns, events: 0, hits: 100 }
    }
}

/// Of a window: from, until, and its weight.
type Planned = (u64, u64, u32);

/// Runs it for so long; `ops_per_s` are wanted at each moment.
fn run(process: Process, seconds: u64, seed: u64, ops_per_s: impl Fn(u64) -> f64) -> Run {
    let (mut controller, mut sampler) = (Controller::default(), Sampler::new(seed));
    let (mut run, mut since) = (Run::default(), Since::default());
    let mut window: Option<Planned> = None;
    let mut rest_until = 0;
    for now in (0..seconds * S).step_by(STEP as usize) {
        let is_open = window.is_some_and(|(from, until, _)| now >= from && now < until);
        let is_observed = controller.stage() < Stage::Windows || is_open;
        let is_seen = controller.stage() < Stage::Off && !controller.leaves_out_tracepoints();
        let calls_ns = if is_seen { process.calls_ns } else { 0.0 };
        let probes_ns = if is_observed { process.probes_ns } else { 0.0 };
        let each = process.op_ns + probes_ns + calls_ns;
        let step_s = STEP as f64 / 1e9;
        let ops = (ops_per_s(now) * step_s).min(process.most_cpus * STEP as f64 / each);
        let cost = ops * (probes_ns + calls_ns);
        if now % S == 0 {
            run.seconds.push((0.0, 0.0));
        }
        let second = run.seconds.last_mut().unwrap();
        *second = (second.0 + cost, second.1 + ops * each);
        run.cpu_without_probes += ops * process.op_ns;
        let weight = window.filter(|_| is_open).map_or(1.0, |(_, _, weight)| f64::from(weight) / 1e3);
        run.estimated += if is_observed { weight * ops * process.op_ns } else { 0.0 };
        since.span += STEP;
        since.observed += if is_observed { STEP } else { 0 };
        run.observed_ns += if is_observed { STEP } else { 0 };
        since.cost += cost;
        since.of_tracepoints += ops * calls_ns;
        since.cpu += ops * each;
        let end = now + STEP;
        let change = match (controller.stage(), window) {
            (Stage::Windows, Some((_, until, _))) => {
                if end < until {
                    continue;
                }
                let change = controller.window(&std::mem::take(&mut since).reading());
                window = planned(&controller, &mut sampler, end);
                change
            }
            (Stage::Off, _) if end >= rest_until => {
                let change = controller.rested();
                window = planned(&controller, &mut sampler, end);
                Some(change)
            }
            (Stage::Off, _) => None,
            _ if since.span >= TICK => {
                let change = controller.observed(&std::mem::take(&mut since).reading());
                window = planned(&controller, &mut sampler, end);
                change
            }
            _ => None,
        };
        if let Some(change) = change {
            run.changes.push((end, change.to));
            since = Since::default();
            if change.to == Stage::Off {
                rest_until = end + controller.rest_ns();
            }
        }
    }
    run
}

/// The next window, if there is to be one, to the steps of the simulation.
fn planned(controller: &Controller, sampler: &mut Sampler, now: u64) -> Option<Planned> {
    let plan = controller.next_window();
    let gap = sampler.gap_ns(plan.mean_gap_ns).next_multiple_of(STEP);
    let window_ns = plan.window_ns.next_multiple_of(STEP);
    let weight = weight_milli(gap, window_ns);
    (controller.stage() == Stage::Windows).then_some((now + gap, now + gap + window_ns, weight))
}

#[test]
fn a_hundredfold_jump_is_answered_within_a_second_and_the_budget_is_kept_after_it() {
    let run = run(BUSY, 120, 1, |now| if now < 60 * S { 50.0 } else { 5_000.0 });
    assert!(run.seconds[..60].iter().all(|(cost, _)| *cost <= 1.1e6), "the little that it did was observed in full");
    let (at, stage) = *run.changes.iter().find(|(at, _)| *at > 60 * S).unwrap();
    assert!(at <= 61 * S && stage == Stage::Windows, "{stage:?} after {} ms", (at - 60 * S) / MS);
    assert!(run.share_from(62) <= 0.0105, "{}", run.share_from(62));
    assert!(run.share_from(62) >= 0.005, "it is observed as much as may be: {}", run.share_from(62));
}

#[test]
fn a_program_that_only_blocks_is_kept_inside_the_budget() {
    let process = Process { op_ns: 500.0, probes_ns: 13_000.0, ..BUSY };
    let run = run(process, 300, 2, |_| f64::INFINITY);
    assert!(run.share_from(5) <= 0.0105, "{}", run.share_from(5));
    assert_eq!(run.changes.len(), 1, "{:?}", run.changes);
}

#[test]
fn a_load_that_comes_and_goes_does_not_have_it_hunting() {
    for period in [2 * S, 10 * S, 60 * S] {
        let run = run(BUSY, 1_200, 3, |now| if now % period < period / 2 { 50.0 } else { 50_000.0 });
        assert!(run.changes.len() <= 40, "period {} s: {} changes in 20 minutes", period / S, run.changes.len());
        assert!(run.share_from(5) <= 0.013, "period {} s: {}", period / S, run.share_from(5));
    }
}

#[test]
fn once_it_does_little_it_is_observed_all_the_time_again() {
    // In windows, and so much that not even those can be afforded.
    for (busy, stage) in [(BUSY, Stage::Windows), (Process { probes_ns: 2e6, most_cpus: 200.0, ..BUSY }, Stage::Off)] {
        let run = run(busy, 1_800, 5, |now| if now < 60 * S { 1e6 } else { 0.1 });
        let stages: Vec<Stage> = run.changes.iter().map(|(_, stage)| *stage).collect();
        assert!(stages.contains(&stage), "{stages:?}");
        assert_eq!(stages.last(), Some(&Stage::Full), "{:?}", run.changes);
    }
}

#[test]
fn calls_that_cost_as_much_between_windows_as_in_them_are_no_end_of_windows() {
    // A thirtieth of its budget, and ten of them.
    for (calls_ns, is_left_out) in [(6.0, false), (2_000.0, true)] {
        let run = run(Process { calls_ns, ..BUSY }, 300, 6, |_| 5_000.0);
        let stages: Vec<Stage> = run.changes.iter().map(|(_, stage)| *stage).collect();
        let expected = if is_left_out { &[Stage::Windows, Stage::Windows][..] } else { &[Stage::Windows] };
        assert_eq!(stages, expected, "{calls_ns}");
        assert!((0.005..=0.0105).contains(&run.share_from(60)), "{calls_ns}: {}", run.share_from(60));
        assert!((run.estimated / run.cpu_without_probes - 1.0).abs() < 0.05, "{calls_ns}");
    }
}

#[test]
fn one_that_does_next_to_nothing_is_observed_all_the_time() {
    let run = run(BUSY, 60, 4, |_| 40.0);
    assert!(run.changes.is_empty());
    assert_eq!(run.observed_ns, 60 * S);
}

#[test]
fn sums_are_right_whatever_the_load_does() {
    let calm = |_| 5_000.0;
    let minutes = |now: u64| if now % (60 * S) < 30 * S { 2_000.0 } else { 8_000.0 };
    let seconds = |now: u64| if now % S < S / 10 { 20_000.0 } else { 1_000.0 };
    for (name, load) in [("calm", &calm as &dyn Fn(u64) -> f64), ("minutes", &minutes), ("seconds", &seconds)] {
        let runs: Vec<Run> = (0..20).map(|seed| run(BUSY, 1_200, seed, load)).collect();
        let (estimated, truth) =
            runs.iter().fold((0.0, 0.0), |sum, run| (sum.0 + run.estimated, sum.1 + run.cpu_without_probes));
        assert!((estimated / truth - 1.0_f64).abs() < 0.05, "{name}: {}", estimated / truth);
    }
}

/// How long waits are, ns, one after the other.
type Lengths = fn(&mut fastrand::Rng) -> f64;

fn exponential(random: &mut fastrand::Rng, mean: f64) -> f64 {
    -(1.0 - random.f64()).ln() * mean
}

/// Waits of a goroutine that runs for a while in between: what there was, and what windows make of it.
#[derive(Default)]
struct Estimate {
    blocked: f64,
    count: f64,
    estimated_blocked: f64,
    estimated_count: f64,
    /// From those that began and ended in a window alone.
    whole_only: f64,
}

fn estimate(lengths: Lengths, run_ns: f64, seconds: u64, seed: u64) -> Estimate {
    let (mut random, mut sampler) = (fastrand::Rng::with_seed(seed), Sampler::new(seed ^ 0x5eed));
    let (window_ns, mean_gap) = (30 * MS, 270 * MS);
    let mut sum = Estimate::default();
    let mut last_until = 0.0;
    let mut next_window = |after: f64| {
        let gap = sampler.gap_ns(mean_gap);
        let from = after + gap as f64;
        (from, from + window_ns as f64, f64::from(weight_milli(gap, window_ns)) / 1e3)
    };
    let mut windows = Vec::new();
    let mut now = 0.0;
    let end = (seconds * S) as f64;
    while now < end {
        now += exponential(&mut random, run_ns);
        let (began, ended) = (now, now + lengths(&mut random));
        now = ended;
        sum.blocked += ended - began;
        sum.count += 1.0;
        while last_until < ended {
            let window = next_window(last_until);
            last_until = window.1;
            windows.push(window);
        }
        windows.retain(|(_, until, _): &(f64, f64, f64)| *until >= began);
        for (from, until, weight) in &windows {
            sum.estimated_blocked += weight * (ended.min(*until) - began.max(*from)).max(0.0);
            sum.estimated_count += if began >= *from && began < *until { *weight } else { 0.0 };
            sum.whole_only += if began >= *from && ended < *until { weight * (ended - began) } else { 0.0 };
        }
    }
    sum
}

#[test]
fn blocked_time_and_counts_are_right_for_waits_of_any_length() {
    let all: [(&str, Lengths, u64); 6] = [
        ("10 us", |_| 10_000.0, 200),
        ("exponential, 1 ms", |random| exponential(random, 1e6), 1_000),
        ("exponential, 100 ms", |random| exponential(random, 1e8), 20_000),
        ("2 s, longer than windows and gaps", |_| 2e9, 40_000),
        ("as long as a period of windows", |_| 300e6, 20_000),
        ("heavy-tailed", |random| 1e5 / (1.0 - random.f64()).powf(0.6), 20_000),
    ];
    for (name, lengths, seconds) in all {
        let sum = estimate(lengths, 50_000.0, seconds, 7);
        let (blocked, count) = (sum.estimated_blocked / sum.blocked, sum.estimated_count / sum.count);
        assert!((blocked - 1.0).abs() < 0.02, "{name}: {blocked} of the blocked time");
        assert!((count - 1.0).abs() < 0.05, "{name}: {count} of the waits");
    }
}

#[test]
fn waits_seen_whole_alone_would_leave_the_long_ones_out() {
    let sum = estimate(|random| exponential(random, 1e8), 50_000.0, 5_000, 8);
    assert!(sum.whole_only / sum.blocked < 0.3, "{}", sum.whole_only / sum.blocked);
}
