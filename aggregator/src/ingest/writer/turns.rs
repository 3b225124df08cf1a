//! Whose turn it is to store a group, and storing it as long as it is ours.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use syncline_store::{ClaimWriter, LedgerKey, StoreError};
use tokio::time::timeout;

use super::super::contest::{CLAIMS_LAST, Turn, Way};
use super::reading::Taken;
use super::{PAUSE, Stopped, Writing};
use crate::pipeline::{Ended, Pipeline, Storing};

/// A question to the store that takes longer is asked again.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// First pause before others are asked about again, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How batches of a group go in, by their places.
pub(super) type Ways = BTreeMap<usize, Way>;

/// The same, where what may have gone in by ourselves is looked for, too: ClickHouse forgets tokens.
pub(super) fn all_looked_for(ways: Ways) -> Ways {
    ways.into_iter().map(|(place, way)| (place, if way == Way::Clear { Way::Doubtful } else { way })).collect()
}

impl Writing {
    /// Claims the batches of a group, and waits until no one else is about to store any of them.
    pub(super) fn our_turn(&self, group: &[Taken]) -> Result<Ways, Stopped> {
        let batches = group.iter().filter_map(|taken| {
            let (batch, _) = taken.batch.as_ref()?;
            Some((self.place(taken.number)?, Pipeline::ledger_key(batch)))
        });
        let (places, keys): (Vec<usize>, Vec<LedgerKey>) = batches.unzip();
        if keys.is_empty() {
            return Ok(Ways::new());
        }
        let mut pause = FIRST_PAUSE;
        let (mut begun, mut told_after) = (Instant::now(), CLAIMS_LAST);
        loop {
            let (turn, rivals) = self.answered(async || self.claims.contend(&keys).await)?;
            if let Turn::Ours(ways) = turn {
                return Ok(places.into_iter().zip(ways).collect());
            }
            tracing::debug!(
                ?turn,
                batches = keys.len(),
                "another aggregator is about to store some of the same batches"
            );
            if begun.elapsed() >= told_after {
                tracing::warn!(
                    batches = keys.len(),
                    rivals = rivals.iter().map(ClaimWriter::to_string).collect::<Vec<_>>().join(", "),
                    "other aggregators claim some of the batches that are next here, and have not stored them yet: what came after waits for that; \
                     their logs say which name is whose, and why they do not store"
                );
                (begun, told_after) = (Instant::now(), 2 * CLAIMS_LAST);
            }
            self.rest(pause)?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Stores a group that is ours. Where the claims have lapsed meanwhile, as after standing still, all is asked anew before anything more goes in.
    pub(super) fn store_in_turn(
        &self,
        mut storing: Storing,
        group: &[Taken],
        mut ways: Ways,
    ) -> Result<Storing, Stopped> {
        loop {
            self.leave_out(&mut storing, &ways)?;
            let stored = self.pipeline.go_on(&mut storing, self.stopping.clone().wanted(), || self.claims.hold());
            let ended = self.runtime.block_on(self.claims.kept(stored));
            match ended {
                Ended::Done => return Ok(storing),
                Ended::Abandoned => return Err(Stopped),
                Ended::Lapsed => ways = all_looked_for(self.our_turn(group)?),
            }
        }
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
