//! What several test programs of the agent need: a usable kernel, and Go programs to observe.
#![allow(dead_code, unreachable_pub, missing_docs)] // each test program uses its own part

pub mod agent;
pub mod altered;
pub mod container;
pub mod go_program;
pub mod namespaces;
pub mod observe;
pub mod scenarios;
pub mod settings;
pub mod small_disk;
pub mod stuck;
pub mod tcp;
pub mod terminal;
pub mod watching;

use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Whether BPF programs can be loaded here. If not, says `skipped: <reason>` (past the capture of test output), or fails the
/// test when `SYNCLINE_REQUIRE_BPF=1` demands it.
pub fn bpf_usable() -> bool {
    let Err(reason) = syncline_agent::capture::kernel_support() else { return true };
    let required = std::env::var("SYNCLINE_REQUIRE_BPF").is_ok_and(|value| value == "1");
    assert!(!required, "SYNCLINE_REQUIRE_BPF=1, but: {reason}");
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
    false
}

/// Held by a test that loads the machine, so that the tests of one program do not disturb each other's timing.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}
