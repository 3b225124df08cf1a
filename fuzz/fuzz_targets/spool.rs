//! Any bytes as the files of a spool: it opens, is read to its end, is written, and opens again after a loss of power.
#![no_main]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is what is looked for")]

#[path = "../../crates/spool/tests/support/mod.rs"]
mod support;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| support::arbitrary::exercise(bytes));
