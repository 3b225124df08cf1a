//! Asking now and then.

use std::time::Duration;

/// Between two questions: a daemon steers its clock hardly more often.
const INTERVAL: Duration = Duration::from_secs(16);
/// How often it looks whether to stop.
const LOOK_UP: Duration = Duration::from_millis(200);

/// Calls `ask` at once and every 16 s, until `stopped`. Blocks: wants a thread of its own.
pub fn ask_until(stopped: impl Fn() -> bool, mut ask: impl FnMut()) {
    let mut waited = INTERVAL;
    while !stopped() {
        if waited < INTERVAL {
            waited += LOOK_UP;
            std::thread::sleep(LOOK_UP);
        } else {
            waited = Duration::ZERO;
            ask();
        }
    }
}
