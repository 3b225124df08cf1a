//! This aggregator's claims on batches: said in the store before it is asked who else has said so, and renewed while their rows go in.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use syncline_store::rows::BatchClaim;
use syncline_store::{ClaimWriter, LedgerKey, Store, StoreError};
use tokio::time::timeout;

use super::contest::{Told, Turn, turn};
use super::name::{Name, NoName};
use super::watch::Watch;

/// A claim is renewed after this share of what it lasts.
const RENEWAL_SHARE: u32 = 6;
/// What could not be renewed is tried again after this share of it.
const AGAIN_SHARE: u32 = 30;
/// Inserts begin in this share of what a claim lasts: the rest is theirs to end in.
const BEGIN_SHARE: u32 = 2;
/// Versions of one run.
const RUN_BITS: u32 = 32;

/// The time since the boot, also while the machine was suspended: others go on meanwhile.
fn now() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// What is claimed.
#[derive(Debug, Default)]
struct Held {
    keys: Vec<LedgerKey>,
    /// From before it was last said, without a break; by [`now`].
    since: Option<Duration>,
    /// Nobody else had claimed them.
    are_ours: bool,
}

impl Held {
    /// Whether what `last`s so long is renewed or asked about in time.
    fn are_fresh(&self, last: Duration) -> bool {
        self.since.is_some_and(|since| now().saturating_sub(since) < last / BEGIN_SHARE)
    }
}

/// The claims of a writer.
#[derive(Debug)]
pub(crate) struct Claims {
    store: Store,
    region: String,
    writer: ClaimWriter,
    last: Duration,
    held: Mutex<Held>,
    /// Until when something of it may still go in that got no answer; by [`now`].
    in_doubt_until: Mutex<Duration>,
    /// What was seen of others.
    watch: Mutex<Watch>,
    /// Of what is said next.
    version: AtomicU64,
}

impl Claims {
    /// Those of the writer whose spool is in `dir`, which `last` so long.
    ///
    /// # Errors
    /// Its name cannot be read, or kept.
    pub(crate) fn open(dir: &Path, store: Store, region: &str, last: Duration) -> Result<Self, NoName> {
        let Name { writer, run, .. } = Name::next(dir)?;
        let version = AtomicU64::new(u64::from(run) << RUN_BITS);
        tracing::info!(%writer, "claims on batches are made by this name");
        let (held, in_doubt_until, watch) = (Mutex::default(), Mutex::default(), Mutex::default());
        Ok(Self { store, region: region.to_owned(), writer, last, held, in_doubt_until, watch, version })
    }

    /// Claims `keys`, and asks whose turn it is, and who else claims some of them.
    ///
    /// # Errors
    /// The store does not answer; the claims may have been made.
    pub(crate) async fn contend(&self, keys: &[LedgerKey]) -> Result<(Turn, BTreeSet<ClaimWriter>), StoreError> {
        let since = now();
        let version = self.next(|held| *held = Held { keys: keys.to_vec(), ..Held::default() });
        self.say(keys, version, BatchClaim::Claimed).await?;
        self.held().since = Some(since);
        let told = self.kept(self.ask(keys)).await?;
        let turn = turn(self.writer.0, &told);
        let of_rivals = told.iter().filter(|told| !told.is_stored).flat_map(|told| &told.rivals);
        let rivals = of_rivals.map(|name| ClaimWriter(*name)).collect();
        match turn {
            Turn::Theirs => self.withdraw().await?,
            Turn::TheirsUntilTheyWithdraw => {}
            Turn::Ours(_) => self.held().are_ours = true,
        }
        Ok((turn, rivals))
    }

    /// What the store has on each. Claims come first: who stored one and whose claim has grown old since is in the ledger then.
    async fn ask(&self, keys: &[LedgerKey]) -> Result<Vec<Told>, StoreError> {
        let asked = now();
        let of_others = self.store.batch_claims(&self.region, keys, self.writer).await?;
        let alive = self.watch().alive(&of_others, (asked, now()), self.last);
        let stored = self.store.stored_batches(&self.region, keys).await?;
        let told = |key: &LedgerKey| Told {
            is_stored: stored.contains(key),
            was_claimed: of_others.contains_key(key),
            rivals: alive.get(key).into_iter().flatten().map(|writer| writer.0).collect(),
        };
        Ok(keys.iter().map(told).collect())
    }

    /// Says that nothing of what is claimed is stored from here any more; nothing is said while something may still go in, and the claims grow old.
    ///
    /// # Errors
    /// The store does not answer; others wait until the claims are old.
    pub(crate) async fn withdraw(&self) -> Result<(), StoreError> {
        let is_in_doubt = now() < *self.in_doubt_until();
        let mut keys = Vec::new();
        let version = self.next(|held| keys = std::mem::take(held).keys);
        if is_in_doubt {
            return Ok(());
        }
        self.say(&keys, version, BatchClaim::Withdrawn).await
    }

    /// An insert of what is claimed got no answer: ClickHouse may still be about it, for as long as others wait for a claim that is not renewed.
    pub(crate) fn doubt(&self) {
        *self.in_doubt_until() = now() + self.last;
    }

    /// The claims are left to grow old.
    pub(crate) fn let_go(&self) {
        *self.held() = Held::default();
    }

    /// What is claimed is stored: the ledger tells.
    pub(crate) fn done(&self) {
        self.let_go();
        *self.in_doubt_until() = Duration::ZERO;
    }

    /// How long the claims last.
    pub(crate) fn last(&self) -> Duration {
        self.last
    }

    /// Who else has claimed some of `keys`, whether or not they do now.
    ///
    /// # Errors
    /// The store does not answer.
    pub(crate) async fn others(&self, keys: &[LedgerKey]) -> Result<BTreeSet<ClaimWriter>, StoreError> {
        let of_others = self.kept(self.store.batch_claims(&self.region, keys, self.writer)).await?;
        Ok(of_others.values().flatten().map(|claim| claim.writer).collect())
    }

    /// Whether an insert may begin: nobody else can have begun one.
    pub(crate) fn hold(&self) -> bool {
        let held = self.held();
        held.are_ours && held.are_fresh(self.last)
    }

    /// Waits for this, and renews the claims meanwhile.
    pub(crate) async fn kept<T>(&self, work: impl Future<Output = T>) -> T {
        match select(pin!(work), pin!(self.renew())).await {
            Either::Left((done, _)) => done,
            Either::Right((never, _)) => match never {},
        }
    }

    /// Renews the claims for ever. Where that is late they have lapsed: somebody may have taken over meanwhile.
    async fn renew(&self) -> Infallible {
        let mut pause = self.last / RENEWAL_SHARE;
        if let Some(since) = self.held().since {
            pause = pause.saturating_sub(now().saturating_sub(since));
        }
        loop {
            tokio::time::sleep(pause).await;
            let (mut keys, since) = (Vec::new(), now());
            let version = self.next(|held| keys.clone_from(&held.keys));
            let said = timeout(self.last / BEGIN_SHARE, self.say(&keys, version, BatchClaim::Claimed)).await;
            if !matches!(said, Ok(Ok(()))) {
                tracing::debug!("claims on batches were not renewed");
                pause = self.last / AGAIN_SHARE;
                continue;
            }
            pause = self.last / RENEWAL_SHARE;
            let mut held = self.held();
            if held.are_fresh(self.last) {
                held.since = Some(since);
            }
        }
    }

    /// The next version, with this change.
    fn next(&self, change: impl FnOnce(&mut Held)) -> u64 {
        change(&mut self.held());
        self.version.fetch_add(1, Ordering::Relaxed)
    }

    async fn say(&self, keys: &[LedgerKey], version: u64, state: BatchClaim) -> Result<(), StoreError> {
        self.store.claim_batches(&self.region, keys, (self.writer, version), state).await
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn in_doubt_until(&self) -> MutexGuard<'_, Duration> {
        self.in_doubt_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
