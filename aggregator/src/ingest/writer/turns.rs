//! Whose turn it is to store a group, and storing it as long as it is ours.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, Instant};

use syncline_store::{ClaimWriter, LedgerKey, StoreError};
use tokio::time::timeout;

use super::super::contest::{CLAIMS_LAST, Turn, Way};
use super::reading::Taken;
use super::{PAUSE, Stopped, Writing};
use crate::counters::{add, count};
use crate::pipeline::{Ended, Pipeline, Storing};

/// A question to the store that takes longer is asked again.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// First pause before others are asked about again, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Of what claims last: so long nothing may go in before the group is left to others that have the same batches, and so long it is left.
const LEFT_AFTER: u32 = 4;
const LEFT_FOR: u32 = 2;
/// Claims that lapse so often in a row, and nothing goes in, are told of.
const LAPSES_TOLD: u32 = 6;

/// How batches of a group go in, by their places.
pub(super) type Ways = BTreeMap<usize, Way>;

/// The same, where what may have gone in by ourselves is looked for, too: ClickHouse forgets tokens.
pub(super) fn all_looked_for(ways: Ways) -> Ways {
    ways.into_iter().map(|(place, way)| (place, if way == Way::Clear { Way::Doubtful } else { way })).collect()
}

/// Before claims are made again that lapsed so often in a row: a store that is too slow for them is not made slower by asking it at once.
fn pause_after(lapses: u32) -> Duration {
    const LONGEST_DOUBLINGS: u32 = 8;
    FIRST_PAUSE * 2_u32.pow(lapses.min(LONGEST_DOUBLINGS))
}

impl Writing {
    /// Claims the batches of a group, and waits until no one else is about to store any of them.
    pub(super) fn our_turn(&self, group: &[Taken]) -> Result<Ways, Stopped> {
        let (places, keys) = self.keys(group);
        if keys.is_empty() {
            return Ok(Ways::new());
        }
        let counters = self.pipeline.counters();
        let (mut pause, mut waits) = (FIRST_PAUSE, false);
        let (mut begun, mut told_after) = (Instant::now(), CLAIMS_LAST);
        loop {
            let (turn, rivals) = self.answered(async || self.claims.contend(&keys).await)?;
            if let Turn::Ours(ways) = turn {
                add(&counters.batches_taken_over, ways.iter().filter(|way| **way == Way::Doubtful).count() as u64);
                return Ok(places.into_iter().zip(ways).collect());
            }
            tracing::debug!(
                ?turn,
                batches = keys.len(),
                "another aggregator is about to store some of the same batches"
            );
            if !std::mem::replace(&mut waits, true) {
                count(&counters.groups_waited);
            }
            if begun.elapsed() >= told_after {
                tracing::warn!(
                    batches = keys.len(),
                    rivals = told(&rivals),
                    "other aggregators claim some of the batches that are next here, and have not stored them yet: what came after waits for that; \
                     their logs say which name is whose, and why they do not store"
                );
                (begun, told_after) = (Instant::now(), 2 * CLAIMS_LAST);
            }
            self.rest(pause)?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The batches of a group, by their places and as the store knows them.
    fn keys(&self, group: &[Taken]) -> (Vec<usize>, Vec<LedgerKey>) {
        let batches = group.iter().filter_map(|taken| {
            let (batch, _) = taken.batch.as_ref()?;
            Some((self.place(taken.number)?, Pipeline::ledger_key(batch)))
        });
        batches.unzip()
    }

    /// Stores a group that is ours. Where the claims have lapsed meanwhile, as after standing still, all is asked anew before anything more goes in;
    /// where nothing goes in for long, another one that has the same batches may try.
    pub(super) fn store_in_turn(&self, mut storing: Storing, group: &[Taken], ways: &Ways) -> Result<Storing, Stopped> {
        let mut lapses = 0;
        // Since when nothing of it has gone in.
        let mut idle_since = Instant::now();
        self.leave_out(&mut storing, ways)?;
        loop {
            let inserted = storing.inserted();
            let a_while = tokio::time::sleep(self.claims.last());
            let of_no_use = async {
                tokio::select! {
                    () = self.stopping.clone().wanted() => (),
                    () = a_while => (),
                }
            };
            let stored = self.pipeline.go_on(&mut storing, of_no_use, || self.claims.hold());
            let ended = self.runtime.block_on(self.claims.kept(stored));
            if storing.may_be_under_way() {
                self.claims.doubt();
            }
            if storing.inserted() > inserted {
                (lapses, idle_since) = (0, Instant::now());
            }
            let is_idle = idle_since.elapsed() >= self.claims.last() * LEFT_AFTER;
            match ended {
                Ended::Done => return Ok(storing),
                Ended::Abandoned if self.stopping.is_wanted() => return Err(Stopped),
                Ended::Abandoned if !is_idle || !self.leave_to_others(group)? => continue,
                Ended::Abandoned => {}
                Ended::Lapsed => {
                    lapses += 1;
                    self.has_lapsed(lapses)?;
                }
            }
            let ways = all_looked_for(self.our_turn(group)?);
            self.leave_out(&mut storing, &ways)?;
            idle_since = Instant::now();
        }
    }

    /// The claims were not renewed in time, so often in a row.
    fn has_lapsed(&self, lapses: u32) -> Result<(), Stopped> {
        count(&self.pipeline.counters().claims_lapsed);
        if lapses == LAPSES_TOLD {
            tracing::warn!(
                lapses,
                "the store takes so long for each small insert and question that claims on batches are old before anything goes in; what is next \
                 waits until it is faster"
            );
        }
        self.rest(pause_after(lapses))
    }

    /// Nothing of a group has gone in for long, though the store takes claims. Where others have some of the batches, too, these may go first: the claims
    /// grow old meanwhile. Whether that was so.
    fn leave_to_others(&self, group: &[Taken]) -> Result<bool, Stopped> {
        let (_, keys) = self.keys(group);
        let others = self.answered(async || self.claims.others(&keys).await)?;
        if others.is_empty() {
            return Ok(false);
        }
        count(&self.pipeline.counters().groups_left);
        tracing::warn!(
            batches = keys.len(),
            others = told(&others),
            "nothing of what is next goes into the store from here, though it takes claims: other aggregators that have the same batches may store \
             them first; see above why ClickHouse does not take them"
        );
        self.claims.let_go();
        self.rest(self.claims.last() * LEFT_FOR)?;
        Ok(true)
    }

    /// Leaves out what is in the store by somebody else.
    fn leave_out(&self, storing: &mut Storing, ways: &Ways) -> Result<(), Stopped> {
        let are = |wanted: Way| -> HashSet<usize> {
            ways.iter().filter(|(_, way)| **way == wanted).map(|(place, _)| *place).collect()
        };
        storing.leave_out(&are(Way::Known));
        let doubtful = are(Way::Doubtful);
        if doubtful.is_empty() {
            return Ok(());
        }
        tracing::info!(
            batches = doubtful.len(),
            "batches that may be in the store in part are looked for in each table"
        );
        loop {
            let looked = self.claims.kept(self.pipeline.leave_out_what_is_there(storing, &doubtful));
            let looked = timeout(ANSWER_WITHIN, looked);
            let looked = self.runtime.block_on(self.unless_stopped(looked))?;
            if self.heard(looked)?.is_some() {
                return Ok(());
            }
        }
    }

    /// Nobody needs to wait for this one any more.
    pub(super) fn withdraw(&self) {
        let withdrawn = self.runtime.block_on(timeout(PAUSE, self.claims.withdraw()));
        if !matches!(withdrawn, Ok(Ok(()))) {
            tracing::debug!("claims on batches were not withdrawn: others wait until these are old");
        }
    }

    /// What the store answers, which is waited for.
    fn answered<T>(&self, ask: impl AsyncFn() -> Result<T, StoreError>) -> Result<T, Stopped> {
        loop {
            let answer = self.runtime.block_on(self.unless_stopped(timeout(ANSWER_WITHIN, ask())))?;
            if let Some(answer) = self.heard(answer)? {
                return Ok(answer);
            }
        }
    }

    /// Tells whoever looks how the store does; where it did not answer it is to be asked again, after a pause.
    fn heard<T>(
        &self,
        answer: Result<Result<T, StoreError>, tokio::time::error::Elapsed>,
    ) -> Result<Option<T>, Stopped> {
        let why = match answer {
            Ok(Ok(answer)) => {
                self.pipeline.heard_of_the_store(Ok(()));
                return Ok(Some(answer));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", ANSWER_WITHIN.as_secs()),
        };
        tracing::debug!(why, "the store does not tell which batches it has");
        self.pipeline.heard_of_the_store(Err(&why));
        self.rest(PAUSE)?;
        Ok(None)
    }
}

fn told(writers: &BTreeSet<ClaimWriter>) -> String {
    writers.iter().map(ClaimWriter::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_after_lapses_grows_and_is_bounded() {
        assert_eq!(pause_after(0), FIRST_PAUSE);
        assert!(pause_after(3) > pause_after(2));
        assert_eq!(pause_after(u32::MAX), Duration::from_millis(12_800));
    }
}
