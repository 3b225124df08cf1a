//! Any bytes as a Go binary: everything that can be asked of it, with a few addresses spread over its code.
#![no_main]

#[path = "../../crates/gosym/tests/support/exercise.rs"]
mod exercise;

use libfuzzer_sys::fuzz_target;

/// Few, so that most of the time goes to reading different files.
const ADDRESSES: u64 = 16;

fuzz_target!(|bytes: &[u8]| {
    // A refusal is as good as an answer: what counts is that there is one.
    let _ = exercise::exercise(bytes, ADDRESSES);
});
