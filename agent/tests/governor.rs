//! The governor on real programs: what observing costs stays inside the budget, and sums are right whatever is not seen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly, also in its helpers

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::go_program::{ANY, Build, GoProgram, STRIPPED};
use support::settings::{altered_bytes, linked_uprobes, observe, rules, threshold, without};
use syncline_agent::capture::{Capture, CaptureConfig, CaptureKind, Kinds, Observation, Target};
use syncline_agent::choice::{Change, Rules, Selector};
use syncline_agent::governor::{Budget, Stage};

/// How long waits are summed up.
const LENGTH: Duration = Duration::from_secs(40);

const TURN: Duration = Duration::from_millis(50);
/// Goroutines that may run just then.
const FEW: usize = 3;
/// Changes while probes come and go.
const ROUNDS: u64 = 80;

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
        Self::of(Target::Pid(pid), pid, budget)
    }

    fn of(target: Target, pid: u32, budget: Budget) -> Self {
        // Goroutines' waits are what the program keeps account of.
        let kinds = Kinds::without(&[CaptureKind::Syscall, CaptureKind::OffCpu, CaptureKind::Tcp, CaptureKind::Cgo]);
        Self::with(CaptureConfig { budget, kinds, ..CaptureConfig::new(target) }, pid)
    }

    fn with(config: CaptureConfig, pid: u32) -> Self {
        Self { capture: Capture::start(config).unwrap(), pid, waits: Waits::new(), observations: Vec::new() }
    }

    /// Waits up to so long for something; whether a window has ended in it.
    fn turn(&mut self, timeout: Duration) -> bool {
        let waits = &mut self.waits;
        let mut add = |reason: &str, seconds: f64, count: f64| {
            let sum = waits.entry(reason.to_owned()).or_default();
            *sum = (sum.0 + seconds, sum.1 + count);
        };
        let mut events = Vec::new();
        self.capture.poll(timeout, &mut |wait| events.push(wait)).unwrap();
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

    fn turn_for(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.turn(TURN);
        }
    }

    /// How long that took.
    fn turn_until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) -> Duration {
        let began = Instant::now();
        while !is_so(self) {
            self.turn(TURN);
            let governed = self.capture.governed(self.pid);
            assert!(began.elapsed() < Duration::from_secs(60), "waited in vain until {what}: {governed:?}");
        }
        began.elapsed()
    }

    fn turn_until_it_is(&mut self, stage: Stage) -> Duration {
        let is_so = |watching: &Self| watching.capture.governed(watching.pid).is_some_and(|(now, _)| now == stage);
        self.turn_until(&format!("it is observed as {}", stage.name()), is_so)
    }

    /// Of what its observations tell, the share of its CPU time that observing took.
    fn share(&self) -> f64 {
        let sum = |of: fn(&Observation) -> u64| self.observations.iter().map(of).sum::<u64>() as f64;
        sum(|one| one.cost_ns) / sum(|one| one.cpu_ns)
    }
}

fn turn_both_for_turns(turns: u32, one: &mut Watching, other: &mut Watching) {
    for _ in 0..turns {
        one.turn(TURN);
        other.turn(TURN);
    }
}

/// Both, for at least so long and until a window of the first has ended.
fn turn_both_for(time: Duration, governed: &mut Watching, full: &mut Watching) {
    let began = Instant::now();
    loop {
        let has_ended = governed.turn(TURN);
        full.turn(Duration::ZERO);
        if has_ended && began.elapsed() >= time {
            return;
        }
        assert!(began.elapsed() < time + Duration::from_secs(60), "no window");
    }
}

fn told(program: &mut GoProgram) -> Waits {
    program.go();
    let event = program.next_event();
    let number = |value: &Value| value.as_f64().unwrap();
    let of = |(reason, sum): (&String, &Value)| (reason.clone(), (number(&sum[0]) / 1e9, number(&sum[1])));
    event["waits"].as_object().unwrap().iter().map(of).collect()
}

fn assert_estimated(what: &str, estimated: &Waits, truth: &Waits, seconds: f64) {
    for (reason, (blocked_s, _)) in truth {
        let share = estimated.get(reason).map_or(0.0, |sum| sum.0) / blocked_s;
        println!(
            "{reason}: {blocked_s:.2} s blocked in {seconds:.1} s by {what}, estimated {:.1} % of it",
            100.0 * share
        );
        assert!((0.95..=1.05).contains(&share), "{reason}, {what}: {share} of {blocked_s} s; {estimated:?}");
    }
}

/// Those reasons of which the program keeps account: the runtime's own goroutines wait, too.
fn only(waits: &Waits, accounted: &Waits) -> Waits {
    waits
        .iter()
        .filter(|(reason, _)| accounted.contains_key(*reason))
        .map(|(reason, sum)| (reason.clone(), *sum))
        .collect()
}

fn since(now: Waits, before: &Waits) -> Waits {
    let minus = |(reason, sum): (String, (f64, f64))| {
        let then = before.get(&reason).copied().unwrap_or_default();
        (reason, (sum.0 - then.0, sum.1 - then.1))
    };
    now.into_iter().map(minus).collect()
}

#[test]
fn blocked_time_in_windows_is_that_of_a_full_capture_and_of_the_program_and_the_budget_is_kept() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut program = GoProgram::start(&ANY.program("governed"), &[]);
    let mut governed = Watching::start(program.pid(), "3%".parse().unwrap());
    program.go();
    governed.turn_until_it_is(Stage::Windows);
    let mut full = Watching::start(program.pid(), Budget::OFF);
    // From the end of a window to the end of another: a window stands for the gap before it.
    turn_both_for(Duration::from_secs(3), &mut governed, &mut full);
    let (before, began) = (told(&mut program), Instant::now());
    for watching in [&mut governed, &mut full] {
        watching.waits.clear();
        watching.observations.clear();
    }
    turn_both_for(LENGTH, &mut governed, &mut full);
    let (truth, seconds) = (since(told(&mut program), &before), began.elapsed().as_secs_f64());
    governed.capture.tell_observations();
    governed.observations.extend(governed.capture.take_observations());
    assert!(full.observations.is_empty(), "one without a budget: {:?}", full.observations);
    assert_estimated("a full capture", &governed.waits, &only(&full.waits, &truth), seconds);
    assert_estimated("the program's own account", &governed.waits, &truth, seconds);
    let observed: u64 = governed.observations.iter().map(|one| one.observed_ns).sum();
    println!("observed {:.2} s; cost {:.2} % of its CPU time", observed as f64 / 1e9, 100.0 * governed.share());
    assert!(observed as f64 / 1e9 < 0.3 * seconds, "{observed} ns");
    assert!(governed.share() < 0.033, "{}", governed.share());
    drop((governed, full));
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

#[test]
fn calls_that_cost_more_than_the_budget_are_left_out_and_windows_go_on() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut program = GoProgram::start(&ANY.program("governed"), &["calls"]);
    let config = CaptureConfig { budget: Budget::DEFAULT, ..CaptureConfig::new(Target::Pid(program.pid())) };
    let mut watching = Watching::with(config, program.pid());
    program.go();
    watching.turn_until_it_is(Stage::Windows);
    let has_calls = |one: &Observation| one.settings.kinds.has(CaptureKind::Syscall);
    watching.turn_until("its calls are left out", |watching| !watching.observations.last().is_none_or(has_calls));
    let passed_by_all = ["sys_enter", "sys_exit", "sched_switch", "sched_wakeup", "tcp_probe"];
    watching.turn_until("nothing that nobody wants slows its calls down", |watching| {
        !watching.capture.tracepoints().iter().any(|name| passed_by_all.contains(name))
    });
    watching.observations.clear();
    watching.turn_for(Duration::from_secs(15));
    watching.capture.tell_observations();
    watching.observations.extend(watching.capture.take_observations());
    let told = &watching.observations;
    assert!(told.iter().all(|one| one.stage == Stage::Windows && !has_calls(one)), "{told:?}");
    assert!(told.iter().map(|one| one.windows).sum::<u32>() > 3 && watching.share() < 0.011, "{told:?}");
    drop(watching);
    assert!(program.finish().success());
}

#[test]
fn what_is_told_of_a_process_has_no_gap_also_where_it_becomes_another_program() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    // The same program in another file: with probes of its own.
    let other = Build { variant: "stripped", flags: STRIPPED, ..ANY }.program("governed");
    let mut program = GoProgram::start(&ANY.program("governed"), &["become", other.to_str().unwrap()]);
    let mut watching = Watching::start(program.pid(), Budget::DEFAULT);
    program.go();
    watching.turn_until_it_is(Stage::Windows);
    program.go();
    assert_eq!(program.next_event()["event"], "started");
    watching.turn_until_it_is(Stage::Full);
    program.go();
    watching.turn_until_it_is(Stage::Windows);
    watching.capture.tell_observations();
    watching.observations.extend(watching.capture.take_observations());
    let mut told: Vec<_> =
        watching.observations.iter().map(|one| (one.from_mono_ns, one.to_mono_ns, one.stage)).collect();
    told.sort_by_key(|(from, to, _)| (*from, *to));
    assert!(told.windows(2).all(|two| two[0].1 == two[1].0), "{told:?}");
    let mut stages: Vec<Stage> = told.iter().map(|(_, _, stage)| *stage).collect();
    stages.dedup();
    assert_eq!(stages, [Stage::Full, Stage::Windows, Stage::Full, Stage::Windows]);
    drop(watching);
    assert!(program.finish().success());
}

#[test]
fn without_its_budget_it_is_observed_all_the_time_again() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let path = ANY.program("governed").canonicalize().unwrap();
    let mut program = GoProgram::start(&path, &[]);
    let mut watching = Watching::start(program.pid(), Budget::DEFAULT);
    let all = altered_bytes(program.pid(), &path);
    program.go();
    watching.turn_until_it_is(Stage::Windows);
    watching.turn_until("its probes are away", |_| altered_bytes(program.pid(), &path) == 0);
    let off = Change::default().with_budget(Some(Budget::OFF));
    watching.capture.set_rules(rules(&[(Selector::default(), off)]));
    watching.turn_until("all of its probes are there", |watching| {
        watching.capture.governed(program.pid()).is_none() && altered_bytes(program.pid(), &path) == all
    });
    // What waited then is known, the runtime's own goroutines that never run among it.
    let mut anew = Watching::start(program.pid(), Budget::OFF);
    turn_both_for_turns(5, &mut watching, &mut anew);
    let (parked, expected) = (watching.capture.parked_now(), anew.capture.parked_now());
    assert!(parked + FEW >= expected, "{parked} are known to be parked, and a new capture knows of {expected}");
    drop(anew);
    assert_each_counts_once(&mut program, &mut watching);
    drop(watching);
    assert!(program.finish().success());
}

#[test]
fn none_of_the_probes_is_left_or_there_twice_whatever_changes_while_they_come_and_go() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let path = ANY.program("governed").canonicalize().unwrap();
    let busy = || {
        let mut program = GoProgram::start(&path, &[]);
        program.go();
        program
    };
    let mut stays = busy();
    let pid = stays.pid();
    let mut watching = Watching::of(Target::Executable(path.clone()), pid, Budget::DEFAULT);
    let probes = || (altered_bytes(pid, &path), linked_uprobes(std::process::id()));
    let all = probes();
    assert!(all.0 > 0 && all.0 <= all.1, "{all:?}");
    watching.turn_until_it_is(Stage::Windows);
    let everybody = |change: Change| rules(&[(Selector::default(), change)]);
    let mut comes_and_goes = None;
    for round in 0..ROUNDS {
        // At any moment of windows, of gaps, and while probes are on their way off.
        watching.turn_for(Duration::from_millis(round * 37 % 151));
        match round % 8 {
            0 => comes_and_goes = Some(busy()),
            1 => watching.capture.set_rules(everybody(Change::default().with_budget(Some(Budget::OFF)))),
            2 => watching.capture.set_rules(Rules::default()),
            3 => watching.capture.set_rules(everybody(without(&[CaptureKind::Park]))),
            4 => watching.capture.set_rules(everybody(threshold(5))),
            5 => drop(comes_and_goes.take()),
            6 => watching.capture.set_rules(everybody(observe(false))),
            _ => watching.capture.set_rules(Rules::default()),
        }
        // Those that are on their way off after everybody was left out do nothing, and may meet their successors.
        let now = probes();
        assert!(now.0 <= all.0 && now.1 <= 2 * all.1, "{now:?} of {all:?} in round {round}");
    }
    watching.capture.set_rules(everybody(Change::default().with_budget(Some(Budget::OFF))));
    watching.turn_until("all of its probes are there", |_| probes() == all);
    assert_each_counts_once(&mut stays, &mut watching);
    watching.capture.set_rules(Rules::default());
    watching.turn_until_it_is(Stage::Windows);
    drop(watching);
    assert_eq!(probes(), (0, 0));
    assert!(stays.finish().success());
}

/// What a program that is observed all the time does counts once.
fn assert_each_counts_once(program: &mut GoProgram, watching: &mut Watching) {
    watching.turn(TURN);
    watching.waits.clear();
    let before = told(program);
    watching.turn_for(Duration::from_secs(3));
    let truth = since(told(program), &before);
    let (seen, counted) = (watching.waits["chan receive"].1, truth["chan receive"].1);
    assert!((0.9..=1.1).contains(&(seen / counted)), "{seen} of {counted}");
}
