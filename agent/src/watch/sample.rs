//! Something to show, for tests.

use std::sync::Arc;
use std::time::Duration;

use syncline_event::{Kind, LossCause, StackId};
use syncline_insight::{Build, Call, CallStack, Frame, Order, StateTimes, Wait, WaitId, Waker};

use super::Look;
use super::gather::{Process, Seen};

const MS: u64 = 1_000_000;
const LOCK: [&str; 4] = ["runtime.gopark", "sync.(*Mutex).lockSlow", "main.transfer", "main.main"];

pub(super) fn look() -> Look {
    Look { order: Order::Time, top: 20, runtime: false, stacks: false }
}

fn stack(id: u64, functions: &[&str]) -> Arc<CallStack> {
    let frame =
        |function: &&str| Frame { function: (*function).to_owned(), file: "/src/bank/main.go".to_owned(), line: 15 };
    let calls =
        (1..).zip(functions).map(|(address, function)| Arc::new(Call { address, frames: vec![frame(function)] }));
    let build = Arc::new(Build { id: 1, path: "/opt/bank".to_owned() });
    Arc::new(CallStack { id: StackId(id), build, calls: calls.collect(), is_cut: false })
}

fn wait_at(stack: Arc<CallStack>, reason: &'static str, times: StateTimes, waker: Waker) -> Wait {
    Wait {
        id: WaitId { pid: 42, kind: Kind::Goroutine, goid: 7, tid: 42, start_mono_ns: times.waited_ns() },
        reason: reason.into(),
        stack,
        is_inside: false,
        began_before: false,
        times,
        waker,
        waker_site: None,
    }
}

/// Two goroutines that hang on the lock since 2 s.
pub(super) fn hang(seen: &mut Seen) {
    let times = StateTimes::of_wait(2_000 * MS, None);
    let wait = wait_at(stack(1, &LOCK), "sync.Mutex.Lock", times, Waker::Unseen);
    for goid in [8, 9] {
        seen.sites.go_on(Wait { id: WaitId { goid, ..wait.id }, ..wait.clone() });
    }
}

/// A call of C of 90 ms, 80 ms of it in a system call; somebody in `main.give` woke.
pub(super) fn inside(seen: &mut Seen) {
    let stack = stack(4, &["runtime.cgocall", "main.nap"]);
    let wait = |reason, ms: u64| wait_at(Arc::clone(&stack), reason, StateTimes::of_wait(ms * MS, None), Waker::Unseen);
    let waker_site = Frame { function: "main.give".to_owned(), file: "/src/bank/main.go".to_owned(), line: 15 };
    seen.sites.add(&Wait { is_inside: true, waker_site: Some(Arc::new(waker_site)), ..wait("syscall read", 80) });
    seen.sites.add(&wait("cgo call", 90));
}

/// Three waits for a lock, one sleep, and one of the collector.
pub(super) fn seen() -> Seen {
    let mut seen =
        Seen { threshold: Duration::from_millis(1), elapsed: Duration::from_millis(3_000), ..Seen::default() };
    let mut wait = |id, functions: &[&str], reason: &'static str, ms: u64, run_delay, waker| {
        let times = StateTimes::of_wait(ms * MS, run_delay);
        seen.sites.add(&wait_at(stack(id, functions), reason, times, waker));
    };
    let goroutine = Waker::Goroutine { pid: 42, goid: 1 };
    for ms in [30, 10, 20] {
        wait(1, &LOCK, "sync.Mutex.Lock", ms, Some(MS), goroutine);
    }
    wait(2, &["runtime.gopark", "time.Sleep", "main.\u{1b}[2Jaudit"], "sleep", 40, None, Waker::Timer);
    wait(3, &["runtime.gopark", "runtime.bgsweep"], "GC sweep wait", 900, Some(0), Waker::Unseen);
    seen.processes.insert(42, Process { name: "bank".to_owned(), has_ended: false });
    seen.lost.add(LossCause::RingBufferFull, 2);
    seen
}
