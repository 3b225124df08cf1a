//! The check of the clocks by what nodes sent one another: a send is before its receipt, whatever the clocks say.
//!
//! Done at the root, whose reference is the fleet's clock, a minute of sends at a time: soon, for a live figure, and again until
//! the clock models of that minute are settled. A check that is done again replaces what it found before, so a restart, or
//! another aggregator of the root's region that does the same, changes nothing
//! ([ADR 13](../../docs/adr/0013-causal-pairs.md)).

use std::collections::BTreeSet;
use std::time::Duration;

use syncline_store::{Store, StoreError, ViolatedPair};

use crate::reference::Reference;
use crate::stopping::Stopping;

const EVERY: Duration = Duration::from_secs(20);
const MINUTE_S: u32 = 60;
/// After the end of a minute its messages have come, as a rule.
const FIRST_AFTER_S: u32 = 20;
/// After the end of a minute its clock models are settled: the revision comes a minute later, and messages may come late.
const SETTLED_AFTER_S: u32 = 180;
/// Where a fleet was never checked, or not for longer than that.
const FURTHEST_BACK_S: u32 = 3_600;

/// Checks until `stopping`.
pub(crate) async fn check(reference: Reference, store: Store, stopping: Stopping) {
    let mut checking = Checking::default();
    let mut is_failing = false;
    let ticking = async {
        loop {
            let now_s = u32::try_from(reference.now().ns() / 1_000_000_000).unwrap_or(0);
            let outcome = checking.go_on(&store, now_s).await;
            if let Err(error) = &outcome
                && !is_failing
            {
                tracing::warn!(%error, "pairs of messages are not checked; it is tried again every {} s", EVERY.as_secs());
            }
            is_failing = outcome.is_err();
            tokio::time::sleep(EVERY).await;
        }
    };
    tokio::select! {
        () = ticking => (),
        () = stopping.wanted() => (),
    }
}

#[derive(Debug, Default)]
struct Checking {
    /// Start of the newest minute that needs no check any more, s; none while the store has no messages.
    settled: Option<u32>,
    /// Start of the newest minute that was checked at all, s.
    checked: u32,
    /// Pairs of nodes of which it was said that they contradict the clocks.
    named: BTreeSet<(String, String)>,
}

impl Checking {
    async fn go_on(&mut self, store: &Store, now_s: u32) -> Result<(), StoreError> {
        let settled = match self.settled {
            Some(settled) => settled,
            None => match store.pairs_settled_until().await? {
                Some(settled) => settled,
                None => return Ok(()),
            },
        };
        for (minute_s, is_settled) in due(settled, self.checked, now_s) {
            store.check_pairs(minute_s, is_settled).await?;
            self.warn(&store.violated_pairs(minute_s).await?);
            self.checked = self.checked.max(minute_s);
            if is_settled {
                self.settled = Some(minute_s);
            }
        }
        Ok(())
    }

    /// Of each pair of nodes once.
    fn warn(&mut self, violated: &[ViolatedPair]) {
        for ViolatedPair { src, dst, violated, pairs, slack_ns } in violated {
            if self.named.insert((src.clone(), dst.clone())) {
                tracing::warn!(
                    from = src,
                    to = dst,
                    violated,
                    pairs,
                    slack_ns,
                    "messages are proved to be received before they were sent: a clock is wrong beyond its bound (`syncline skew --pairs`)"
                );
            }
        }
    }
}

/// Minutes to be checked at `now_s`, by their starts, and whether that is for good: once when its messages have come, and once more when
/// its clock models are settled.
fn due(settled_s: u32, checked_s: u32, now_s: u32) -> Vec<(u32, bool)> {
    let furthest = now_s.saturating_sub(FURTHEST_BACK_S) / MINUTE_S * MINUTE_S;
    let first = settled_s.saturating_add(MINUTE_S).max(furthest);
    let minutes = (0..).map(|n: u32| first.saturating_add(n * MINUTE_S));
    let has_ended = |start: &u32| start.checked_add(MINUTE_S + FIRST_AFTER_S).is_some_and(|ended| ended <= now_s);
    let minutes = minutes.take_while(has_ended).take((FURTHEST_BACK_S / MINUTE_S) as usize + 1);
    let minutes = minutes.map(|start| (start, start.saturating_add(MINUTE_S + SETTLED_AFTER_S) <= now_s));
    minutes.filter(|(start, is_settled)| *is_settled || *start > checked_s).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u32 = 1_790_000_040; // a full minute

    #[test]
    fn a_minute_is_checked_soon_and_once_more_when_it_is_settled() {
        assert_eq!(due(NOON - 60, 0, NOON + 79), []);
        assert_eq!(due(NOON - 60, 0, NOON + 80), [(NOON, false)]);
        assert_eq!(due(NOON - 60, NOON, NOON + 100), []);
        assert_eq!(due(NOON - 60, NOON, NOON + 239), [(NOON + 60, false), (NOON + 120, false)]);
        assert_eq!(due(NOON - 60, NOON + 120, NOON + 240), [(NOON, true)]);
        assert_eq!(due(NOON, NOON + 120, NOON + 240), []);
    }

    #[test]
    fn after_an_outage_it_goes_on_where_it_was_but_not_for_ever() {
        assert_eq!(due(0, 0, NOON)[0], (NOON - FURTHEST_BACK_S, true));
        assert_eq!(due(NOON - 600, NOON - 600, NOON)[0], (NOON - 540, true));
        assert_eq!(due(0, 0, 30), []);
        assert_eq!(due(u32::MAX, u32::MAX, u32::MAX), []);
    }
}
