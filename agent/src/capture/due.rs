//! When a wait that goes on is told of: once it is as old as the threshold, each time its age is four times what it was then, and
//! every hour. So there is no need to remember what was told; a wait of half a minute is told of twice or three times, and one that
//! has not been told of for an hour goes on no more.

const HOUR_NS: u64 = 3_600_000_000_000;

/// How often a wait of this age has been told of.
fn reports(age_ns: u64, after_ns: u64) -> u64 {
    let of_first_hour = age_ns.min(HOUR_NS.max(after_ns));
    let doublings = of_first_hour.checked_div(after_ns).and_then(u64::checked_ilog2);
    doublings.map_or(0, |doublings| 1 + u64::from(doublings / 2) + age_ns / HOUR_NS)
}

/// Whether a wait that began at `began_ns` is to be told of at `now_ns`, if all were looked at last at `last_ns`.
pub(super) fn is_due(began_ns: u64, last_ns: u64, now_ns: u64, after_ns: u64) -> bool {
    let by = |moment_ns: u64| reports(moment_ns.saturating_sub(began_ns), after_ns);
    by(now_ns) > by(last_ns)
}

/// Whether it has been told of by then.
pub(super) fn was_told(began_ns: u64, last_ns: u64, after_ns: u64) -> bool {
    reports(last_ns.saturating_sub(began_ns), after_ns) > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(looks: impl Iterator<Item = u64>, after_ns: u64) -> Vec<u64> {
        let looks: Vec<u64> = looks.collect();
        looks.windows(2).filter(|at| is_due(0, at[0], at[1], after_ns)).map(|at| at[1]).collect()
    }

    #[test]
    fn a_wait_is_told_of_whenever_its_age_has_quadrupled() {
        assert_eq!(told(0..=200, 3), [3, 12, 48, 192]);
        // Looks that are far apart tell once.
        assert!(is_due(100, 90, 500, 3) && !is_due(100, 500, 501, 3));
        // It began after the last look, and is young.
        assert!(!is_due(100, 90, 102, 3));
        assert!(!was_told(100, 102, 3) && was_told(100, 103, 3) && !was_told(100, 50, 3));
    }

    #[test]
    fn one_of_days_is_told_of_every_hour() {
        let (minute_ns, hour) = (HOUR_NS / 60, 60);
        let minutes: Vec<u64> = told((0..=3 * hour).map(|minute| minute * minute_ns), 5_000_000_000)
            .into_iter()
            .map(|at| at / minute_ns)
            .collect();
        assert_eq!(minutes, [1, 2, 6, 22, hour, 2 * hour, 3 * hour]);
    }

    #[test]
    fn no_threshold_is_none_at_all() {
        assert!(!is_due(0, 1, 100, 0) && !is_due(0, 1, u64::MAX, 0));
        assert!(!is_due(0, 1, HOUR_NS, 2 * HOUR_NS) && is_due(0, 1, 2 * HOUR_NS, 2 * HOUR_NS));
    }
}
