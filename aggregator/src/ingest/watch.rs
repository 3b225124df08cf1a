//! Which claims of others are alive. Pure: what the store said goes in, and when.
//!
//! Nobody's wall clock is asked, not even the store's, which goes on while the store stands still and nobody can renew anything. A claim is old when its
//! version has stayed the same for as long as claims last while the store was seen to answer: then its writer could have renewed it.

use std::collections::HashMap;
use std::time::Duration;

use syncline_store::{ClaimOfOther, ClaimWriter, LedgerKey};

/// Answers further apart than this share of what claims last show nothing: the store may have stood still in between.
const BLIND_SHARE: u32 = 2;

/// A claim that was seen.
#[derive(Clone, Copy, Debug)]
struct Seen {
    version: u64,
    /// When it was seen first, on the clock of whoever watches.
    since: Duration,
}

/// What was seen of the claims on a group.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    seen: HashMap<(LedgerKey, ClaimWriter), Seen>,
    answered: Duration,
}

impl Watch {
    /// Takes an answer, with when the store was asked and when it answered; the claims of it that are alive, where claims `last` so long.
    pub(crate) fn alive(
        &mut self,
        told: &HashMap<LedgerKey, Vec<ClaimOfOther>>,
        (asked, answered): (Duration, Duration),
        last: Duration,
    ) -> HashMap<LedgerKey, Vec<ClaimWriter>> {
        let was_blind = answered.saturating_sub(self.answered) > last / BLIND_SHARE;
        let before = std::mem::take(&mut self.seen);
        self.answered = answered;
        let mut alive: HashMap<LedgerKey, Vec<ClaimWriter>> = HashMap::new();
        let claims = told.iter().flat_map(|(key, claims)| claims.iter().map(move |claim| (key, claim)));
        for (key, ClaimOfOther { writer, version, .. }) in claims.filter(|(_, claim)| claim.is_claimed) {
            let name = (key.clone(), *writer);
            let known = before.get(&name).filter(|seen| seen.version == *version && !was_blind);
            let seen = known.copied().unwrap_or(Seen { version: *version, since: answered });
            if asked.saturating_sub(seen.since) < last {
                alive.entry(key.clone()).or_default().push(*writer);
            }
            self.seen.insert(name, seen);
        }
        alive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAST: Duration = Duration::from_secs(30);

    /// Whether a claim of this version is alive, by an answer that took a tenth of a second.
    fn is_alive(watch: &mut Watch, at_s: u64, version: u64, is_claimed: bool) -> bool {
        let key = LedgerKey { bucket: 60, node: "n".into(), boot: 1, batch: 2 };
        let told = HashMap::from([(key.clone(), vec![ClaimOfOther { writer: ClaimWriter(5), version, is_claimed }])]);
        let asked = Duration::from_secs(at_s);
        let alive = watch.alive(&told, (asked, asked + Duration::from_millis(100)), LAST);
        assert!(alive.get(&key).is_none_or(|writers| *writers == [ClaimWriter(5)]));
        alive.contains_key(&key)
    }

    #[test]
    fn a_claim_is_old_once_it_was_not_renewed_for_as_long_as_claims_last() {
        let mut watch = Watch::default();
        assert!((1_000..=1_030).all(|at_s| is_alive(&mut watch, at_s, 7, true)));
        assert!(!is_alive(&mut watch, 1_031, 7, true));
        assert!(!is_alive(&mut watch, 1_040, 7, true));
        assert!(is_alive(&mut watch, 1_041, 8, true), "it was renewed");
        assert!(!is_alive(&mut watch, 1_042, 9, false), "it was withdrawn");
    }

    #[test]
    fn while_the_store_does_not_answer_no_claim_grows_old() {
        let mut watch = Watch::default();
        assert!((1_000..=1_029).all(|at_s| is_alive(&mut watch, at_s, 7, true)));
        // It stood still for 40 s; then the writer has as long again to renew.
        assert!((1_069..=1_099).all(|at_s| is_alive(&mut watch, at_s, 7, true)));
        assert!(!is_alive(&mut watch, 1_100, 7, true));
    }

    #[test]
    fn an_answer_that_takes_long_does_not_count_as_time_without_a_renewal() {
        let mut watch = Watch::default();
        let key = LedgerKey { bucket: 60, node: "n".into(), boot: 1, batch: 2 };
        let claim = ClaimOfOther { writer: ClaimWriter(5), version: 7, is_claimed: true };
        let told = HashMap::from([(key, vec![claim])]);
        let s = Duration::from_secs;
        // Each takes 14 s: what it says may be as old.
        for (asked, is_alive) in [(0, true), (14, true), (28, true), (42, true), (56, false)] {
            let alive = watch.alive(&told, (s(asked), s(asked + 14)), LAST);
            assert_eq!(!alive.is_empty(), is_alive, "asked at {asked}");
        }
    }
}
