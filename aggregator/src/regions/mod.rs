//! Regions against each other: each tells what it claims of UTC, and the root makes of all links and claims what they say
//! together.
//!
//! ```text
//! every aggregator   region_clock ──► region_links      utc ──► region_claims         (each every few seconds)
//! the root's         region_links, region_claims ──► moment (crates/clock, fusion) ──► region_pairs
//! ```
//!
//! All tell at the same moments, whole multiples of `EVERY_S` of their wall clocks, so that claims need not be carried far:
//! a reference runs on an oscillator that nobody steers.

mod moment;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use syncline_stamping::Reading;
use syncline_store::rows::{RegionClaimRows, RegionPairRows};
use syncline_store::{Block, LowCardinality, Store, StoreError};
use syncline_timebase::FrequencyError;

use crate::reference::Reference;
use crate::stopping::Stopping;
use crate::utc::UtcClock;
use moment::{Clock, Moment, Pair};

/// Claims are told and fused this often, s.
const EVERY_S: i64 = 10;
/// After it is told what all said has come, as a rule.
const ARRIVED: Duration = Duration::from_secs(3);

/// What an aggregator knows of its own region.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    pub(crate) region: Arc<str>,
    pub(crate) reference: Reference,
    pub(crate) utc: UtcClock,
    /// Its reference is the fleet's clock.
    pub(crate) is_root: bool,
    /// How fast a reference may leave UTC.
    pub(crate) tolerance: FrequencyError,
}

/// Tells what this region claims, and at the root what all say together, until `stopping`.
pub(crate) async fn tell(own: Own, store: Store, stopping: Stopping) {
    let mut fusing = Fusing::default();
    let telling = async {
        loop {
            tokio::time::sleep(until_next(Reading::take().wall_ns)).await;
            let at = own.reference.now().ns();
            own.claim(&store, at).await;
            if own.is_root {
                tokio::time::sleep(ARRIVED).await;
                fusing.fuse(&own, &store, at).await;
            }
        }
    };
    tokio::select! {
        () = telling => (),
        () = stopping.wanted() => (),
    }
}

/// Until the next whole multiple of [`EVERY_S`].
fn until_next(wall_ns: i64) -> Duration {
    let every_ns = EVERY_S * 1_000_000_000;
    Duration::from_nanos((every_ns - wall_ns.rem_euclid(every_ns)).unsigned_abs())
}

impl Own {
    /// A row of what is claimed of UTC, if anything is. One that is lost is followed by the next.
    async fn claim(&self, store: &Store, at: i64) {
        let Some(utc) = self.utc.utc_of(&self.reference) else { return };
        let rows = RegionClaimRows {
            region: LowCardinality::constant(&self.region, 1),
            ref_run: vec![self.reference.run()],
            ref_at: vec![at],
            utc_off: vec![utc.offset_ns],
            bound_ns: vec![utc.bound_ns],
        };
        insert(store, rows.into_block(), &format!("{}/{:016x}/{at}", self.region, self.reference.run())).await;
    }
}

/// The root's task.
#[derive(Debug, Default)]
struct Fusing {
    learned: moment::Learned,
    /// Of which it was said that they are false.
    named: BTreeSet<(Clock, Clock)>,
}

impl Fusing {
    async fn fuse(&mut self, own: &Own, store: &Store, at: i64) {
        let (links, claims) = match store.regions_said().await {
            Ok(said) => said,
            Err(error) => return tracing::debug!(%error, "what regions said cannot be read"),
        };
        let (region, run, tolerance) = (Arc::clone(&own.region), own.reference.run(), own.tolerance);
        let token = format!("{region}/{run:016x}/{at}");
        let mut learned = std::mem::take(&mut self.learned);
        // With very many regions it takes a second, in which others are not kept.
        let fusing = tokio::task::spawn_blocking(move || {
            (Moment::of((&region, run), at, &links, &claims, tolerance, &mut learned), learned)
        });
        let fused = match fusing.await {
            Ok((fused, learned)) => {
                self.learned = learned;
                fused
            }
            Err(error) => return tracing::error!(%error, "regions cannot be fused, which is a defect"),
        };
        match fused {
            Ok(moment) => {
                self.warn(&moment);
                insert(store, rows(at, &moment.pairs).into_block(), &token).await;
            }
            Err(error) => tracing::warn!(%error, "regions cannot be fused"),
        }
    }

    /// Of each that is false once, and again only after it was not.
    fn warn(&mut self, moment: &Moment) {
        let left_out = |pair: &&Pair| pair.direct.as_ref().is_some_and(|direct| direct.left_out.is_some());
        let now: Vec<&Pair> = moment.pairs.iter().filter(left_out).collect();
        for pair in &now {
            if self.named.contains(&(pair.region.clone(), pair.peer.clone())) {
                continue;
            }
            let off_by_ns = pair.direct.as_ref().and_then(|direct| direct.left_out).map_or(0, |left| left.off_by.ns());
            let Pair { region: (region, _), peer: (peer, _), .. } = pair;
            tracing::warn!(
                region,
                peer,
                off_by_ns,
                "what it says of the other cannot be true beside what all others say: left out (`syncline skew --regions`)"
            );
        }
        self.named = now.into_iter().map(|pair| (pair.region.clone(), pair.peer.clone())).collect();
    }
}

fn rows(at: i64, pairs: &[Pair]) -> RegionPairRows {
    let direct = |number: &dyn Fn(&moment::Direct) -> i64| -> Vec<i64> {
        pairs.iter().map(|pair| pair.direct.as_ref().map_or(0, number)).collect()
    };
    let names = |name: &dyn Fn(&Pair) -> &str| {
        let mut names = LowCardinality::default();
        pairs.iter().for_each(|pair| names.push(name(pair)));
        names
    };
    RegionPairRows {
        region: names(&|pair| &pair.region.0),
        peer: names(&|pair| &pair.peer.0),
        ref_run: pairs.iter().map(|pair| pair.region.1).collect(),
        peer_run: pairs.iter().map(|pair| pair.peer.1).collect(),
        at: vec![at; pairs.len()],
        off: pairs.iter().map(|pair| pair.off.ns()).collect(),
        low: pairs.iter().map(|pair| pair.bounds.low.ns()).collect(),
        high: pairs.iter().map(|pair| pair.bounds.high.ns()).collect(),
        direct: pairs.iter().map(|pair| u8::from(pair.direct.is_some())).collect(),
        direct_low: direct(&|direct| direct.bounds.low.ns()),
        direct_high: direct(&|direct| direct.bounds.high.ns()),
        verdict: pairs.iter().map(Pair::verdict).collect(),
        off_by_ns: direct(&|direct| direct.left_out.map_or(0, |left| left.off_by.ns()))
            .into_iter()
            .map(i64::unsigned_abs)
            .collect(),
    }
}

async fn insert(store: &Store, rows: Result<Block, StoreError>, token: &str) {
    let inserted = match rows {
        Ok(block) => store.insert(block, token).await,
        Err(error) => Err(error),
    };
    if let Err(error) = inserted {
        tracing::debug!(%error, "a row about regions was not stored");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_tell_at_whole_multiples() {
        assert_eq!(until_next(0), Duration::from_secs(10));
        assert_eq!(until_next(1_790_000_003_250_000_000), Duration::from_millis(6_750));
        assert_eq!(until_next(-1), Duration::from_nanos(1));
    }
}
