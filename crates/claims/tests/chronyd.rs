//! A real chronyd that touches no clock (`-x`).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

#[path = "support/chronyd.rs"]
mod chronyd;

use std::time::{Duration, Instant};

use syncline_claims::{Chrony, ChronyError};

fn answer(chrony: Chrony) -> Result<Option<syncline_claims::UtcClaim>, ChronyError> {
    let begun = Instant::now();
    loop {
        match chrony.ask(Duration::from_millis(200)) {
            Err(ChronyError::Silent { .. }) if begun.elapsed() < Duration::from_secs(20) => {
                std::thread::sleep(Duration::from_millis(50));
            }
            said => return said,
        }
    }
}

#[test]
fn a_real_chronyd_says_what_it_claims_and_when_it_has_nothing_to_claim() {
    if !chronyd::is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (daemon, address) = chronyd::start(dir.path(), "local stratum 10");
    // Its own clock is its source: it claims no error.
    let claim = answer(Chrony::at(address)).unwrap().unwrap();
    assert!(claim.utc_minus_wall_ns.abs() < 1_000_000 && claim.bound_ns < 1_000_000_000, "{claim:?}");
    drop(daemon);
    assert!(matches!(Chrony::at(address).ask(Duration::from_millis(200)), Err(ChronyError::Silent { .. })));
    let (_daemon, address) = chronyd::start(dir.path(), "server 127.0.0.1 port 9");
    assert_eq!(answer(Chrony::at(address)).unwrap(), None, "it has no source that answers");
}
