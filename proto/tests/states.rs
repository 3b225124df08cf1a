//! What a batch says of goroutines' states survives the wire, and what contradicts itself is refused by name.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod support;

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use support::origin;
use syncline_event::{
    Batch, BatchError, BlockedTime, GoroutineFate, GoroutineState, GoroutineStates, Process, ProcessStates, StateTimes,
    limits,
};
use syncline_proto::{WireError, decode, encode, v1};
use syncline_timebase::{Instant, Offset};

fn empty() -> Batch {
    Batch {
        first_seq: 80,
        sealed_at: Instant::from_ns(5),
        reasons: ["chan receive", "select"].map(String::from).to_vec(),
        processes: vec![Process { pid: 1, service: "s".into(), build_id: 3, ..Process::default() }],
        ..Batch::empty(origin(), 9)
    }
}

prop_compose! {
    fn times()(
        running_ns in 0u64..1 << 50, runnable_ns in 0u64..1 << 50, syscall_ns in 0u64..1 << 50, cgo_ns in 0u64..1 << 50,
        blocked in vec((proptest::option::of(0u32..2), any::<u64>(), 0u64..1 << 50), 0..5),
    ) -> StateTimes {
        let blocked = blocked.into_iter().map(|(reason, count, total_ns)| BlockedTime { reason, count, total_ns });
        StateTimes { running_ns, runnable_ns, syscall_ns, cgo_ns, blocked: blocked.collect() }
    }
}

prop_compose! {
    fn process_states()(times in times(), from in 0i64..1 << 61, duration_ns in 0u64..1 << 61, numbers: [u64; 5]) -> ProcessStates {
        let [goroutines, started, ended, runs, handoffs] = numbers;
        ProcessStates { process: 0, from: Instant::from_ns(from), duration_ns, times, goroutines, started, ended, runs, handoffs }
    }
}

prop_compose! {
    fn goroutine_states()(
        times in times(), first in 0i64..1 << 61, wall: i64, goid: u64, start_seen: bool, fate in 0usize..3, state in 0usize..5,
        reason in proptest::option::of(0u32..2), share in 0u64..=100, runs: u64, handoffs: u64,
    ) -> GoroutineStates {
        use GoroutineState::{Blocked, Cgo, Runnable, Running, Syscall};
        let (duration_ns, state) = (times.sum_ns(), [Running, Runnable, Syscall, Cgo, Blocked][state]);
        GoroutineStates {
            process: 0,
            goid,
            first: Instant::from_ns(first),
            wall_offset: Offset::from_ns(wall),
            duration_ns,
            start_seen,
            fate: [GoroutineFate::Alive, GoroutineFate::Finished, GoroutineFate::ProcessEnded][fate],
            state,
            reason: reason.filter(|_| state == Blocked),
            state_ns: duration_ns / 100 * share,
            times,
            runs,
            handoffs,
        }
    }
}

proptest! {
    #[test]
    fn states_survive_the_wire(process_states in vec(process_states(), 0..10), goroutine_states in vec(goroutine_states(), 0..50)) {
        let batch = Batch { process_states, goroutine_states, ..empty() };
        prop_assert_eq!(decode(&encode(&batch).unwrap()).unwrap(), batch);
    }
}

fn with_one_of_each() -> Batch {
    let times = StateTimes {
        running_ns: 400_000,
        runnable_ns: 200_000,
        syscall_ns: 100_000,
        cgo_ns: 50_000,
        blocked: vec![
            BlockedTime { reason: Some(1), count: 3, total_ns: 3_250_000 },
            BlockedTime { reason: None, count: 1, total_ns: 6_000_000 },
        ],
    };
    let process = ProcessStates {
        process: 0,
        from: Instant::from_ns(5),
        // Two goroutines lived for longer than it took.
        duration_ns: 5_000_000,
        times: times.clone(),
        goroutines: 2,
        started: 1,
        ended: 0,
        runs: 5,
        handoffs: 1,
    };
    let goroutine = GoroutineStates {
        process: 0,
        goid: 18,
        first: Instant::from_ns(5),
        wall_offset: Offset::from_ns(-3),
        duration_ns: 10_000_000,
        start_seen: true,
        fate: GoroutineFate::Alive,
        state: GoroutineState::Blocked,
        reason: Some(1),
        state_ns: 1_000,
        times,
        runs: 4,
        handoffs: 1,
    };
    Batch { process_states: vec![process], goroutine_states: vec![goroutine], ..empty() }
}

fn refused(change: impl FnOnce(&mut Batch)) -> String {
    let mut batch = with_one_of_each();
    change(&mut batch);
    let Err(WireError::Unsound(error)) = decode(&encode(&batch).unwrap()) else { panic!("{batch:?} is taken") };
    assert_eq!(batch.check(), Err(error.clone()));
    error.to_string()
}

#[test]
fn what_contradicts_itself_is_refused_by_name() {
    assert_eq!(with_one_of_each().check(), Ok(()));
    let says = |error: String, part: &str| assert!(error.contains(part), "{error:?} does not say {part:?}");
    says(refused(|batch| batch.process_states[0].process = 1), "process_states.process[0] = 1 is outside");
    says(refused(|batch| batch.goroutine_states[0].process = 1), "goroutine_states.process[0] = 1 is outside");
    says(refused(|batch| batch.goroutine_states[0].reason = Some(2)), "goroutine_states.reason[0] = 2 is outside");
    let reason = |times: &mut StateTimes| times.blocked[0].reason = Some(2);
    says(refused(|batch| reason(&mut batch.process_states[0].times)), "process_states.times.blocked.reason[0] = 2");
    says(refused(|batch| reason(&mut batch.goroutine_states[0].times)), "goroutine_states.times.blocked.reason[0] = 2");
    says(refused(|batch| batch.process_states[0].from = Instant::from_ns(-1)), "process's states 0");
    says(refused(|batch| batch.process_states[0].duration_ns = u64::MAX), "no time that a clock shows");
    says(refused(|batch| batch.goroutine_states[0].first = Instant::from_ns(-1)), "goroutine's states 0");
    says(refused(|batch| batch.goroutine_states[0].state_ns = 10_000_001), "10000001 ns in the last state");
    says(
        refused(|batch| batch.goroutine_states[0].state = GoroutineState::Running),
        "a reason to be blocked of one that is running",
    );
    let many = vec![BlockedTime { reason: None, count: 0, total_ns: 0 }; limits::BLOCKED_REASONS + 1];
    says(refused(|batch| batch.process_states[0].times.blocked = many), "257 reasons of one blocked");
}

#[test]
fn parts_of_a_goroutine_sum_up_to_its_duration_within_a_thousandth() {
    let with = |duration_ns| {
        let mut batch = with_one_of_each();
        batch.goroutine_states[0].duration_ns = duration_ns;
        batch.check()
    };
    assert_eq!(with(10_010_000), Ok(()));
    assert_eq!(with(9_991_000), Ok(()));
    let error = BatchError::StatesUnlikeDuration { row: 0, sum_ns: 10_000_000, duration_ns: 10_011_000 };
    assert_eq!(with(10_011_000), Err(error));
    let error = BatchError::StatesUnlikeDuration { row: 0, sum_ns: 10_000_000, duration_ns: 9_989_000 };
    assert_eq!(with(9_989_000), Err(error));
    // Parts whose sum no number can hold are of no duration.
    let mut batch = with_one_of_each();
    batch.goroutine_states[0].times.running_ns = u64::MAX;
    assert!(matches!(batch.check(), Err(BatchError::StatesUnlikeDuration { sum_ns: u64::MAX, .. })));
}

#[test]
fn too_many_are_refused_before_they_take_memory() {
    let says = |message: &[u8], part: &str| {
        let error = decode(&zstd::bulk::compress(message, 1).unwrap()).unwrap_err();
        assert!(matches!(error, WireError::Unsound(BatchError::TooMany { .. })), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    };
    // Fields 19 and 20, length 0.
    says(&[0x9a, 0x01, 0x00].repeat(limits::PROCESS_STATES + 1), "4097 processes' states");
    says(&[0xa2, 0x01, 0x00].repeat(limits::GOROUTINE_STATES + 1), "65537 goroutines' states");
    let blocked = v1::StateTimes { blocked: vec![v1::BlockedTime::default(); 1 << 17], ..Default::default() };
    let goroutine = v1::GoroutineStates { times: Some(blocked.clone()), ..Default::default() };
    let process = v1::ProcessStates { times: Some(blocked), ..Default::default() };
    let batch =
        v1::Batch { process_states: vec![process; 4], goroutine_states: vec![goroutine; 5], ..v1::Batch::default() };
    says(&batch.encode_to_vec(), "1179648 times blocked");
}

#[test]
fn states_and_fates_of_later_versions_are_refused_and_an_agent_that_knows_none_is_taken() {
    let sent = |change: fn(&mut v1::GoroutineStates)| {
        let mut message = v1::Batch::from(&with_one_of_each());
        change(&mut message.goroutine_states[0]);
        decode(&zstd::bulk::compress(&message.encode_to_vec(), 1).unwrap())
    };
    assert_eq!(sent(|_| ()).unwrap(), with_one_of_each());
    let error = sent(|goroutine| goroutine.state = 6).unwrap_err().to_string();
    assert!(error.contains("goroutine_states.state: 6 is unknown to this version"), "{error}");
    let error = sent(|goroutine| goroutine.state = 0).unwrap_err().to_string();
    assert!(error.contains("goroutine_states.state: 0 is unknown to this version"), "{error}");
    let error = sent(|goroutine| goroutine.fate = 3).unwrap_err().to_string();
    assert!(error.contains("goroutine_states.fate: 3 is unknown to this version"), "{error}");
    assert_eq!(decode(&encode(&empty()).unwrap()).unwrap(), empty());
}
