//! Something to show, for tests.

use std::sync::Arc;
use std::time::Duration;

use syncline_event::{LossCause, StackId};
use syncline_insight::{Build, Call, CallStack, Frame, Order, StateTimes, Wait, Waker};

use super::Look;
use super::gather::{Process, Seen};

const MS: u64 = 1_000_000;

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

/// Three waits for a lock, one sleep, and one of the collector.
pub(super) fn seen() -> Seen {
    let mut seen =
        Seen { threshold: Duration::from_millis(1), elapsed: Duration::from_millis(3_000), ..Seen::default() };
    let mut wait = |id, functions: &[&str], reason: &'static str, ms: u64, run_delay, waker| {
        let times = StateTimes::of_wait(ms * MS, run_delay);
        seen.sites.add(&Wait { pid: 42, reason: reason.into(), stack: stack(id, functions), times, waker });
    };
    let lock = ["runtime.gopark", "sync.(*Mutex).lockSlow", "main.transfer", "main.main"];
    let goroutine = Waker::Goroutine { pid: 42, goid: 1 };
    for ms in [30, 10, 20] {
        wait(1, &lock, "sync.Mutex.Lock", ms, Some(MS), goroutine);
    }
    wait(2, &["runtime.gopark", "time.Sleep", "main.\u{1b}[2Jaudit"], "sleep", 40, None, Waker::Timer);
    wait(3, &["runtime.gopark", "runtime.bgsweep"], "GC sweep wait", 900, Some(0), Waker::Unseen);
    seen.processes.insert(42, Process { name: "bank".to_owned(), has_ended: false });
    seen.lost.add(LossCause::RingBufferFull, 2);
    seen
}
