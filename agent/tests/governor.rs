//! The governor on real programs: what observing costs stays inside the budget, and sums are right whatever is not seen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly, also in its helpers

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::go_program::{ANY, GoProgram};
use syncline_agent::capture::{Capture, CaptureConfig, CaptureKind, Kinds, Observation, Target};
use syncline_agent::governor::{Budget, Stage};

/// How long waits are summed up.
const LENGTH: Duration = Duration::from_secs(40);

/// Blocked time, s, and number of waits by reason.
type Waits = BTreeMap<String, (f64, f64)>;

/// A capture that is read, and what came out of it.
struct Watching {
    capture: Capture,
    pid: u32,
    waits: Waits,
    observations: Vec<Observation>,
}

impl Watching {
    fn start(pid: u32, budget: Budget) -> Self {
        let mut config = CaptureConfig::new(Target::Pid(pid));
        config.budget = budget;
        // Goroutines' waits are what the program keeps account of.
        config.kinds = Kinds::without(&[CaptureKind::Syscall, CaptureKind::OffCpu, CaptureKind::Tcp, CaptureKind::Cgo]);
        Self { capture: Capture::start(config).unwrap(), pid, waits: Waits::new(), observations: Vec::new() }
    }

    /// Whether a window has ended in it.
    fn turn(&mut self) -> bool {
        let waits = &mut self.waits;
        let mut add = |reason: &str, seconds: f64, count: f64| {
            let sum = waits.entry(reason.to_owned()).or_default();
            *sum = (sum.0 + seconds, sum.1 + count);
        };
        let mut events = Vec::new();
        self.capture.poll(Duration::from_millis(50), &mut |wait| events.push(wait)).unwrap();
        for wait in events {
            let weight = f64::from(wait.weight_milli) / 1e3;
            let count = if wait.began_before { 0.0 } else { weight };
            add(wait.reason, weight * wait.duration_ns() as f64 / 1e9, count);
        }
        let sums = self.capture.take_short_waits();
        let has_ended = sums.iter().any(|sum| sum.is_parts);
        for sum in sums {
            let weight = f64::from(sum.weight_milli) / 1e3;
            add(sum.reason, weight * sum.total_ns as f64 / 1e9, weight * sum.count as f64);
        }
        self.capture.rescan();
        self.observations.extend(self.capture.take_observations());
        has_ended
    }

    fn turn_until_a_window_ends(&mut self) {
        let began = Instant::now();
        while !self.turn() {
            assert!(began.elapsed() < Duration::from_secs(60), "no window");
        }
    }

    fn turn_for(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.turn();
        }
    }

    fn turn_until_it_is(&mut self, stage: Stage) -> Duration {
        let began = Instant::now();
        while self.capture.governed(self.pid).map(|(stage, _)| stage) != Some(stage) {
            self.turn();
            assert!(began.elapsed() < Duration::from_secs(20), "{:?}", self.capture.governed(self.pid));
        }
        began.elapsed()
    }

    /// Of what its observations tell, the share of its CPU time that observing took.
    fn share(&self) -> f64 {
        let sum = |of: fn(&Observation) -> u64| self.observations.iter().map(of).sum::<u64>() as f64;
        sum(|one| one.cost_ns) / sum(|one| one.cpu_ns)
    }
}

fn told(program: &mut GoProgram) -> Waits {
    program.go();
    let event = program.next_event();
    let number = |value: &Value| value.as_f64().unwrap();
    let of = |(reason, sum): (&String, &Value)| (reason.clone(), (number(&sum[0]) / 1e9, number(&sum[1])));
    event["waits"].as_object().unwrap().iter().map(of).collect()
}

fn since(now: Waits, before: &Waits) -> Waits {
    let minus = |(reason, sum): (String, (f64, f64))| {
        let then = before.get(&reason).copied().unwrap_or_default();
        (reason, (sum.0 - then.0, sum.1 - then.1))
    };
    now.into_iter().map(minus).collect()
}

#[test]
fn blocked_time_in_windows_is_that_of_the_program_and_the_budget_is_kept() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut program = GoProgram::start(&ANY.program("governed"), &[]);
    let mut watching = Watching::start(program.pid(), "3%".parse().unwrap());
    program.go();
    watching.turn_until_it_is(Stage::Windows);
    watching.turn_for(Duration::from_secs(3));
    // From the end of a window to the end of another: a window stands for the gap before it.
    watching.turn_until_a_window_ends();
    let (before, began) = (told(&mut program), Instant::now());
    watching.waits.clear();
    watching.observations.clear();
    watching.turn_for(LENGTH);
    watching.turn_until_a_window_ends();
    let (truth, seconds) = (since(told(&mut program), &before), began.elapsed().as_secs_f64());
    watching.capture.tell_observations();
    watching.observations.extend(watching.capture.take_observations());
    for (reason, (blocked_s, _)) in &truth {
        let estimated = watching.waits.get(reason).map_or(0.0, |sum| sum.0) / blocked_s;
        println!("{reason}: {blocked_s:.2} s blocked in {seconds:.1} s, estimated {:.1} % of it", 100.0 * estimated);
        assert!((0.95..=1.05).contains(&estimated), "{reason}: {estimated} of {blocked_s} s; {:?}", watching.waits);
    }
    let observed: u64 = watching.observations.iter().map(|one| one.observed_ns).sum();
    println!("observed {:.2} s; cost {:.2} % of its CPU time", observed as f64 / 1e9, 100.0 * watching.share());
    assert!(observed as f64 / 1e9 < 0.3 * seconds, "{observed} ns");
    assert!(watching.share() < 0.033, "{}", watching.share());
    drop(watching);
    assert!(program.finish().success());
}

#[test]
fn a_hundredfold_jump_of_the_load_is_answered_within_a_second() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut program = GoProgram::start(&ANY.program("governed"), &["calm"]);
    let mut watching = Watching::start(program.pid(), Budget::DEFAULT);
    program.go();
    watching.turn_for(Duration::from_secs(2));
    assert_eq!(watching.capture.governed(program.pid()).unwrap().0, Stage::Full, "it does next to nothing");
    program.go();
    assert_eq!(program.next_event()["event"], "jumped");
    let took = watching.turn_until_it_is(Stage::Windows);
    println!("answered after {} ms", took.as_millis());
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(watching.observations.iter().any(|one| one.stage == Stage::Full && one.tgid == program.pid()));
    drop(watching);
    assert!(program.finish().success());
}
