//! Waits to encode.
#![allow(clippy::unwrap_used, clippy::panic, dead_code)] // a test may fail loudly; not every test uses all of it

pub(crate) mod perfetto;

use std::sync::Arc;

use syncline_event::StackId;
use syncline_export::{Moment, Wait, Who};
use syncline_insight::{Build, Call, CallStack, Frame};

/// 2026-11-23T14:05:00Z
pub(crate) const BASE: i64 = 1_795_442_700_000_000_000;

pub(crate) fn who(region: &'static str, goid: u64) -> Who<'static> {
    let node = if region == "eu" { "eu-1" } else { "us-1" };
    Who { region, node, boot: 1, service: "cart", pid: 4711, goid, tid: 30 }
}

/// A wait of a goroutine in `eu`, of these ns after the base.
pub(crate) fn wait(goid: u64, start: i64, end: i64, reason: &'static str) -> Wait<'static> {
    let moment = |ns| Moment { ns: BASE + ns, bound_ns: Some(120_000) };
    Wait {
        who: who("eu", goid),
        kind: "goroutine",
        reason,
        start: moment(start),
        end: Some(moment(end)),
        run_delay_ns: None,
        wake: None,
        stack: None,
        notes: Vec::new(),
    }
}

fn frame(function: &str, line: u32) -> Frame {
    Frame { function: function.to_owned(), file: "/src/cart.go".to_owned(), line }
}

/// `main.take`, inlined into `main.transfer`, calls the lock; an address above has no name.
pub(crate) fn stack() -> Arc<CallStack> {
    let calls = [
        (0x10, vec![frame("sync.(*Mutex).Lock", 46)]),
        (0x20, vec![frame("main.take", 9), frame("main.transfer", 15)]),
        (0x30, vec![]),
    ];
    let calls = calls.map(|(address, frames)| Arc::new(Call { address, frames })).to_vec();
    let build = Arc::new(Build { id: 0xabc, path: "/opt/cart".to_owned() });
    Arc::new(CallStack { id: StackId(1), build, calls, is_cut: false })
}
