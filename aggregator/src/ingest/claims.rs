//! This aggregator's claims on batches: said in the store before it is asked who else has said so, and renewed while their rows go in.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use syncline_store::rows::BatchClaim;
use syncline_store::{ClaimWriter, LedgerKey, Store, StoreError};
use thiserror::Error;
use tokio::time::timeout;

use super::contest::{Told, Turn, turn};
use super::watch::Watch;
use crate::state_file;

/// Holds the name that the claims are by.
const FILE: &str = "writer";
/// A claim is renewed after this share of what it lasts.
const RENEWAL_SHARE: u32 = 6;
/// What could not be renewed is tried again after this share of it.
const AGAIN_SHARE: u32 = 30;
/// Inserts begin in this share of what a claim lasts: the rest is theirs to end in.
const BEGIN_SHARE: u32 = 2;
/// Versions of one run.
const RUN_BITS: u32 = 32;

/// The name cannot be read, or kept.
#[derive(Debug, Error)]
pub(crate) enum NoName {
    /// It is there, and is none.
    #[error("{} holds no name of a writer: remove it, and what this aggregator began to store before is taken over after 30 s", .0.display())]
    Damaged(PathBuf),
    /// The disk, or the system's random bytes.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Who claims: the same as long as there is the spool, whatever process has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name {
    writer: ClaimWriter,
    /// Which of its processes this is.
    run: u32,
}

impl Name {
    /// That of the next process on the spool in `dir`, durably.
    fn next(dir: &Path) -> Result<Self, NoName> {
        let path = dir.join(FILE);
        let failed = |error| NoName::Io { path: path.clone(), error };
        let name = match fs::read_to_string(&path) {
            Ok(text) => {
                let last = Self::parse(&text).ok_or_else(|| NoName::Damaged(path.clone()))?;
                Self { run: last.run + 1, ..last }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Self { writer: ClaimWriter(random().map_err(failed)?), run: 1 }
            }
            Err(error) => return Err(failed(error)),
        };
        state_file::save(dir, FILE, format!("{} {}\n", name.writer, name.run).as_bytes()).map_err(failed)?;
        Ok(name)
    }

    fn parse(text: &str) -> Option<Self> {
        let (writer, run) = text.trim_end().split_once(' ')?;
        let writer = ClaimWriter(u128::from_str_radix(writer, 16).ok()?);
        Some(Self { writer, run: run.parse().ok().filter(|run| *run < u32::MAX)? })
    }
}

fn random() -> io::Result<u128> {
    let mut bytes = [0; 16];
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    if got < bytes.len() {
        return Err(io::Error::other("the system gives no random bytes"));
    }
    Ok(u128::from_le_bytes(bytes))
}

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
        let Name { writer, run } = Name::next(dir)?;
        let version = AtomicU64::new(u64::from(run) << RUN_BITS);
        tracing::info!(%writer, "claims on batches are made by this name");
        let (held, watch) = (Mutex::default(), Mutex::default());
        Ok(Self { store, region: region.to_owned(), writer, last, held, watch, version })
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

    /// Says that nothing of what is claimed is stored from here any more.
    ///
    /// # Errors
    /// The store does not answer; others wait until the claims are old.
    pub(crate) async fn withdraw(&self) -> Result<(), StoreError> {
        let mut keys = Vec::new();
        let version = self.next(|held| keys = std::mem::take(held).keys);
        self.say(&keys, version, BatchClaim::Withdrawn).await
    }

    /// What is claimed is stored: the ledger tells.
    pub(crate) fn done(&self) {
        *self.held() = Held::default();
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_with_its_directory_and_each_run_is_a_later_one() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (Name::next(dir.path()).unwrap(), Name::next(dir.path()).unwrap());
        assert_eq!((first.writer, first.run, second.run), (second.writer, 1, 2));
        let elsewhere = tempfile::tempdir().unwrap();
        assert_ne!(Name::next(elsewhere.path()).unwrap().writer, first.writer);
        for damaged in ["", "7", "x 1", "7 x", "7 4294967295"] {
            fs::write(dir.path().join(FILE), damaged).unwrap();
            assert!(Name::next(dir.path()).unwrap_err().to_string().contains("remove it"), "{damaged:?}");
        }
    }
}
