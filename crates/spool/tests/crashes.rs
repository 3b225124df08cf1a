//! What was promised holds over any loss of power, of the process and of what was not synced, while the storage fails in every way.
//!
//! `SYNCLINE_SPOOL_CRASHES` says how many crashes to look at; `cargo xtask verify spool` does with very many.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod support;

use support::history::{Counts, History};

/// How often the spool of one history dies.
const LIVES: u64 = 25;

fn look_at(first_seed: u64, crashes: u64) -> Counts {
    let mut all = Counts::default();
    for seed in first_seed.. {
        let mut history = History::new(seed);
        history.run(LIVES);
        all.add(history.counts);
        if all.crashes >= crashes {
            break;
        }
    }
    all
}

#[test]
fn nothing_that_was_acknowledged_is_lost_in_a_crash() {
    // The fewest in which all that is asked for below comes up.
    let counts = look_at(1, support::size("SYNCLINE_SPOOL_CRASHES", 3_000).max(3_000));
    // Otherwise something was not looked at.
    assert!(counts.acknowledged > 1_000 && counts.read > 1_000 && counts.dropped > 100, "{counts:?}");
    assert!(counts.failed_commits > 100 && counts.unconfirmed > 10, "{counts:?}");
    println!("spool: crashes={} acknowledged={}", counts.crashes, counts.acknowledged);
}
