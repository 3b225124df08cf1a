//! From which age on a process's waits are told of before they end, also when that is changed.

use std::time::Duration;

use super::due;
use crate::choice::Settings;

/// What holds for a process, and what of its past still matters. Ages in ns, 0 = none is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    after_ns: u64,
    /// What held when its waits were looked at last, if that was something else.
    former_ns: Option<u64>,
    /// The least that has ever held: none that was younger has been told of.
    least_ns: u64,
}

impl Told {
    pub(super) fn new(settings: &Settings) -> Self {
        let after_ns = after_ns(settings);
        Self { after_ns, former_ns: None, least_ns: after_ns }
    }

    pub(super) fn change(&mut self, settings: &Settings) {
        let now_ns = after_ns(settings);
        if now_ns != self.after_ns {
            self.former_ns.get_or_insert(self.after_ns);
            self.after_ns = now_ns;
            self.least_ns =
                if self.least_ns == 0 || now_ns == 0 { self.least_ns.max(now_ns) } else { self.least_ns.min(now_ns) };
        }
    }

    pub(super) fn looked_at(&mut self) {
        self.former_ns = None;
    }

    /// Whether any of its waits are told of.
    pub(super) fn is_any(&self) -> bool {
        self.after_ns != 0
    }

    /// Whether a wait that began at `began_ns` is to be told of at `now_ns`, if all were looked at last at `last_ns`.
    pub(super) fn is_due(&self, began_ns: u64, last_ns: u64, now_ns: u64) -> bool {
        match self.former_ns {
            // It would have been told of, had this held before.
            Some(former_ns) if !due::was_told(began_ns, last_ns, former_ns) => {
                due::was_told(began_ns, now_ns, self.after_ns)
            }
            _ => due::is_due(began_ns, last_ns, now_ns, self.after_ns),
        }
    }

    /// Whether it may have been told of by then.
    pub(super) fn was_told(&self, began_ns: u64, last_ns: u64) -> bool {
        due::was_told(began_ns, last_ns, self.least_ns)
    }
}

/// Those that end before the threshold are no events: whoever was told of one would not be told of its end.
fn after_ns(settings: &Settings) -> u64 {
    let after =
        if settings.open_after.is_zero() { Duration::ZERO } else { settings.open_after.max(settings.threshold) };
    u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Kinds;
    use crate::governor::Budget;

    fn settings(open_after_s: u64, threshold_s: u64) -> Settings {
        let (open_after, threshold) = (Duration::from_secs(open_after_s), Duration::from_secs(threshold_s));
        Settings { observe: true, threshold, open_after, kinds: Kinds::USUAL, budget: Budget::OFF }
    }

    #[test]
    fn no_wait_is_told_of_that_might_end_as_a_short_one() {
        let of = |open_after, threshold| after_ns(&settings(open_after, threshold)) / 1_000_000_000;
        assert_eq!([of(5, 1), of(5, 10), of(0, 10)], [5, 10, 0]);
    }

    #[test]
    fn one_that_is_old_enough_by_what_holds_now_is_told_of_at_the_next_look() {
        const S: u64 = 1_000_000_000;
        let mut told = Told::new(&settings(60, 1));
        assert!(!told.is_due(0, 19 * S, 20 * S));
        told.change(&settings(5, 1));
        assert!(told.is_due(0, 19 * S, 20 * S), "it is older than 5 s, and has not been told of");
        assert!(!told.is_due(16 * S, 19 * S, 20 * S), "that one is younger");
        told.looked_at();
        assert!(!told.is_due(0, 20 * S, 21 * S), "once");
        told.change(&settings(0, 1));
        assert!(!told.is_any() && !told.is_due(0, 20 * S, 9_000 * S));
        assert!(told.was_told(0, 6 * S) && !told.was_told(0, 4 * S), "it has been, by what held before");
        told.change(&settings(7, 1));
        assert!(!told.is_due(0, 20 * S, 21 * S), "it had been told of while 5 s held");
    }
}
