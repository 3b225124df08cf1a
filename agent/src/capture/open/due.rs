//! When a wait that goes on is told of: once it is as old as the threshold, and each time its age has doubled since. So there is
//! no need to remember what was told, a wait of a day is told of 17 times, and what is known of it is never older than half of it.

/// How often the age has doubled since it reached `after_ns`; None before.
fn doublings(age_ns: u64, after_ns: u64) -> Option<u32> {
    age_ns.checked_div(after_ns)?.checked_ilog2()
}

/// Whether a wait that began at `began_ns` is to be told of at `now_ns`, if all were looked at last at `last_ns`.
pub(super) fn is_due(began_ns: u64, last_ns: u64, now_ns: u64, after_ns: u64) -> bool {
    let at = |moment_ns: u64| doublings(moment_ns.saturating_sub(began_ns), after_ns);
    at(now_ns) > at(last_ns)
}

/// Whether it has been told of by then.
pub(super) fn was_told(began_ns: u64, last_ns: u64, after_ns: u64) -> bool {
    doublings(last_ns.saturating_sub(began_ns), after_ns).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_of_at_every_doubling_of_its_age_once() {
        let looks: Vec<u64> = (0..=64).collect();
        let told: Vec<u64> = looks.windows(2).filter(|at| is_due(0, at[0], at[1], 3)).map(|at| at[1]).collect();
        assert_eq!(told, [3, 6, 12, 24, 48]);
        // Looks that are far apart tell once.
        assert!(is_due(100, 90, 500, 3) && !is_due(100, 500, 501, 3));
        // It began after the last look, and is young.
        assert!(!is_due(100, 90, 102, 3));
        assert!(!was_told(100, 102, 3) && was_told(100, 103, 3) && !was_told(100, 50, 3));
    }

    #[test]
    fn no_threshold_is_none_at_all() {
        assert!(!is_due(0, 1, 100, 0));
    }
}
