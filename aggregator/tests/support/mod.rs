//! The real program, a simulated agent, and a relay that fails on demand.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod agent;
pub(crate) mod chronyd;
pub(crate) mod hook;
pub(crate) mod kafka;
pub(crate) mod program;
pub(crate) mod prometheus;
pub(crate) mod relay;
pub(crate) mod stored;
pub(crate) mod truth;
pub(crate) mod udp_relay;

use std::time::Duration;

use tokio::time::MissedTickBehavior;

/// Longer than anything here takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(180);

/// Whether tests of the engine can run. Without libchdb they are skipped, or fail if `SYNCLINE_REQUIRE_ENGINE=1`.
pub(crate) fn engine_is_here() -> bool {
    let path = syncline_store::libchdb_path();
    if path.is_file() {
        return true;
    }
    println!("skipped: libchdb is not at {} (cargo xtask fetch libchdb)", path.display());
    let required = std::env::var("SYNCLINE_REQUIRE_ENGINE").is_ok_and(|value| value == "1");
    assert!(!required, "SYNCLINE_REQUIRE_ENGINE=1 and no engine");
    false
}

/// Asks until the answer is yes. A question that is not answered by the end is a no, too.
pub(crate) async fn eventually<F: AsyncFnMut() -> bool>(what: &str, mut holds: F) {
    let mut turns = tokio::time::interval(Duration::from_millis(50));
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let asked = async {
        while !holds().await {
            turns.tick().await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, asked).await.is_ok(), "still not: {what}");
}
