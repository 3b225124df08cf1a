//! Knots at 10 Hz.

use std::time::Duration;

use syncline_timebase::Knot;
use tokio::sync::watch;

use super::Clocks;

/// 10 Hz: the map MONO to RAW then errs by 0.1 us at the 99th percentile under the fastest slew that NTP allows.
const INTERVAL: Duration = Duration::from_millis(100);

/// Reads a knot ten times a second and gives it to `sink`, until `stop` says so. Blocks: wants a thread of its own.
pub fn sample_knots(clocks: Clocks, stop: &watch::Receiver<bool>, mut sink: impl FnMut(Knot)) {
    while !*stop.borrow() {
        sink(clocks.knot());
        std::thread::sleep(INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knots_come_in_order_until_told_to_stop() {
        let (stop, stopped) = watch::channel(false);
        let mut knots = Vec::new();
        sample_knots(Clocks::default(), &stopped, |knot| {
            knots.push(knot);
            stop.send_replace(knots.len() == 3);
        });
        assert_eq!(knots.len(), 3);
        assert!(knots.is_sorted_by_key(|knot| knot.mono) && knots.is_sorted_by_key(|knot| knot.raw));
    }
}
