//! What one of several aggregators on one store does at a time, and another goes on with when that one is gone.
//!
//! ```text
//! wanted ──► held: renewed each 10 s ──► given back at a stop, or lost: nothing was renewed for as long as it lasts
//! ```
//!
//! Who has it goes by its own monotonic clock, and counts from before it asked; who waits counts from when it saw the last number. So the one ends
//! before the other begins, whatever wall clocks say. A process that stood still (SIGSTOP) sees that its time is over; a guest that was frozen
//! with its clocks does not, as with Kafka's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use syncline_store::{LeaseRow, Store, StoreError};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// It is renewed so often.
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// Without a renewal it lasts so long: two may fail.
const LASTS: Duration = Duration::from_secs(30);

/// A time for which it is held without a break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    term: u64,
    until: Instant,
}

/// What was last found of it.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    held: Option<Held>,
    /// When it was last seen to be somebody else's, if that was what was last seen.
    anothers: Option<Instant>,
}

/// Something that this process does alone while it holds this.
#[derive(Debug)]
pub(crate) struct Lease {
    found: watch::Receiver<Found>,
    give_back: oneshot::Sender<()>,
    keeping: JoinHandle<()>,
}

impl Lease {
    /// Wants the lease called `name` from now on. What is done under it may take `task`, which is the time that it lasts longer.
    pub(crate) fn wanted(store: &Store, name: String, holder: &Arc<str>, task: Duration) -> Self {
        Self::kept(store, name, holder, (LASTS + task, None))
    }

    /// Wants the lease called `name` while nobody has the one called `first`, and leaves it, by renewing it no more, to who has that.
    pub(crate) fn wanted_after(store: &Store, name: String, holder: &Arc<str>, first: String) -> Self {
        Self::kept(store, name, holder, (LASTS, Some(first)))
    }

    fn kept(store: &Store, name: String, holder: &Arc<str>, (lasts, first): (Duration, Option<String>)) -> Self {
        let (told, found) = watch::channel(Found::default());
        let (give_back, given_back) = oneshot::channel();
        let keeper = Keeper { store: store.clone(), name, holder: Arc::clone(holder), lasts, first, told };
        Self { found, give_back, keeping: tokio::spawn(keeper.keep(given_back)) }
    }

    /// The term for which it is held, with `task` to go at least; another one each time that it was somebody else's in between.
    pub(crate) fn term(&self, task: Duration) -> Option<u64> {
        let held = self.found.borrow().held?;
        (Instant::now() + task < held.until).then_some(held.term)
    }

    /// Whether it is known that somebody else has it, or takes it if that one is gone. While the store does not answer nobody knows.
    pub(crate) fn is_anothers(&self) -> bool {
        self.found.borrow().anothers.is_some_and(|at| at.elapsed() < LASTS)
    }

    /// Waits until something about it changes.
    pub(crate) async fn changed(&mut self) {
        if self.found.changed().await.is_err() {
            // Nobody keeps it any more, as at a stop.
            std::future::pending::<()>().await;
        }
    }

    /// Lets the next one have it at once.
    pub(crate) async fn give_back(self) {
        // It may have ended by itself.
        let _ = self.give_back.send(());
        let _ = self.keeping.await;
    }
}

/// A name for this process among the others.
pub(crate) fn holder() -> Arc<str> {
    let mut bytes = [0; 8];
    // Where the system gives no random bytes yet, the number of the process and the time have to do.
    if rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) != Ok(bytes.len()) {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        bytes = (u64::from(std::process::id()) ^ u64::from(since.subsec_nanos()) << 32).to_le_bytes();
    }
    let host = rustix::system::uname().nodename().to_string_lossy().replace(char::is_whitespace, "_");
    format!("{host}/{:016x}", u64::from_le_bytes(bytes)).into()
}

struct Keeper {
    store: Store,
    name: String,
    holder: Arc<str>,
    lasts: Duration,
    /// A lease whose holder goes before this process.
    first: Option<String>,
    told: watch::Sender<Found>,
}

/// The newest rows that a keeper saw, of its own lease and of the one that goes before.
#[derive(Debug, Default)]
struct BothSeen {
    own: Seen,
    first: Seen,
}

impl BothSeen {
    /// Until they are looked at again. The first, while somebody has it, is watched as is one's own while somebody else has that.
    fn pause(&self, holder: &str, now: Instant) -> Duration {
        let own = self.own.pause(holder, now);
        if self.first.left(now).is_zero() { own } else { own.min(self.first.pause("", now)) }
    }
}

impl Keeper {
    async fn keep(self, mut given_back: oneshot::Receiver<()>) {
        let mut seen = BothSeen::default();
        let mut term = None;
        loop {
            let looked = tokio::time::timeout(RENEW_EVERY, self.look(&mut seen, &mut term)).await;
            let is_late = looked.is_err();
            match looked {
                Ok(Ok(held)) => {
                    let anothers = held.is_none().then(Instant::now);
                    self.told.send_replace(Found { held, anothers });
                }
                Ok(Err(error)) => tracing::debug!(name = self.name, %error, "the lease cannot be looked at"),
                Err(_) => tracing::debug!(name = self.name, "the store does not say whose the lease is"),
            }
            // What did not answer in time is asked again at once.
            let pause = if is_late { Duration::ZERO } else { seen.pause(&self.holder, Instant::now()) };
            tokio::select! {
                // Who wanted it is gone, or gives it back.
                _ = &mut given_back => break,
                () = tokio::time::sleep(pause) => (),
            }
        }
        self.told.send_replace(Found::default());
        if term.is_some()
            && let Err(error) = self.end().await
        {
            tracing::debug!(name = self.name, %error, "the lease was not given back: it ends by itself");
        }
    }

    /// Takes or renews it, where that may be.
    async fn look(&self, seen: &mut BothSeen, term: &mut Option<u64>) -> Result<Option<Held>, StoreError> {
        let is_next = self.is_next(&mut seen.first).await?;
        let seen = &mut seen.own;
        // Who has it counts from before it asked, who waits from after that: the read may take long.
        let before = Instant::now();
        let row = self.store.lease(&self.name).await?;
        if *row.holder != *self.holder {
            *term = None;
        }
        let number = row.number;
        if !seen.take(row, &self.holder, Instant::now()) {
            return Ok(None);
        }
        if !is_next {
            // Until it runs out: what is done under it may be in the middle of something.
            let held = self.told.borrow().held.filter(|held| term.is_some() && Instant::now() < held.until);
            *term = held.map(|held| held.term);
            return Ok(held);
        }
        if !self.store.take_lease(&self.name, number, &self.holder, self.lasts).await? {
            *term = None;
            return Ok(None);
        }
        if term.is_none() {
            tracing::info!(name = self.name, "this aggregator does it from now on");
        }
        let term = *term.get_or_insert(number);
        seen.take(self.store.lease(&self.name).await?, &self.holder, Instant::now());
        Ok(Some(Held { term, until: before + self.lasts }))
    }

    /// Whether nobody goes before this process.
    async fn is_next(&self, seen: &mut Seen) -> Result<bool, StoreError> {
        let Some(first) = &self.first else { return Ok(true) };
        let row = self.store.lease(first).await?;
        Ok(seen.take(row, "", Instant::now()))
    }

    async fn end(&self) -> Result<(), StoreError> {
        let row = self.store.lease(&self.name).await?;
        if *row.holder == *self.holder {
            self.store.take_lease(&self.name, row.number, "", Duration::ZERO).await?;
        }
        Ok(())
    }
}

/// The newest row, and since when.
#[derive(Debug, Default)]
struct Seen {
    row: LeaseRow,
    since: Option<Instant>,
}

impl Seen {
    /// Notes what was read; whether `holder` may take it.
    fn take(&mut self, row: LeaseRow, holder: &str, now: Instant) -> bool {
        if self.since.is_none() || row != self.row {
            (self.row, self.since) = (row, Some(now));
        }
        let is_free = self.row.holder.is_empty() || self.row.holder == holder;
        is_free || self.left(now).is_zero()
    }

    /// How long it must be seen for still before somebody else may take it.
    fn left(&self, now: Instant) -> Duration {
        let seen_for = self.since.map(|since| now.saturating_duration_since(since)).unwrap_or_default();
        Duration::from_millis(self.row.lasts_ms).saturating_sub(seen_for)
    }

    /// Until it is looked at again.
    fn pause(&self, holder: &str, now: Instant) -> Duration {
        if self.row.holder == holder || self.row.holder.is_empty() {
            return RENEW_EVERY;
        }
        // Given back, it is to be found soon; its time over, at once.
        (self.left(now) + Duration::from_millis(100)).min(RENEW_EVERY / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u64, holder: &str) -> LeaseRow {
        LeaseRow { number, holder: holder.to_owned(), lasts_ms: 30_000 }
    }

    #[test]
    fn who_waits_counts_from_when_it_saw_the_last_number() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut seen = Seen::default();
        assert!(seen.take(LeaseRow::default(), "me", at(0)), "nobody had it");
        assert!(!seen.take(row(7, "other"), "me", at(0)) && !seen.take(row(7, "other"), "me", at(29)));
        assert!(!seen.take(row(8, "other"), "me", at(31)), "it was renewed");
        assert!(seen.take(row(8, "other"), "me", at(61)));
        assert!(seen.take(row(9, "me"), "me", at(62)), "one's own is renewed");
        assert!(seen.take(row(10, ""), "me", at(62)), "it was given back");
    }

    #[test]
    fn what_was_given_back_is_found_soon() {
        let start = Instant::now();
        let mut seen = Seen::default();
        seen.take(row(7, "other"), "me", start);
        assert_eq!(seen.pause("me", start), Duration::from_secs(5));
        assert_eq!(seen.pause("me", start + Duration::from_secs(29)), Duration::from_millis(1_100));
        assert_eq!(seen.pause("other", start), RENEW_EVERY);
    }

    #[test]
    fn who_goes_before_is_watched_while_it_lives() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut seen = BothSeen::default();
        assert_eq!(seen.pause("me", start), RENEW_EVERY, "nobody ever had either");
        assert!(!seen.first.take(row(3, "root"), "", start));
        assert_eq!(seen.pause("me", start), Duration::from_secs(5));
        assert_eq!(seen.pause("me", at(29)), Duration::from_millis(1_100));
        assert!(seen.first.take(row(3, "root"), "", at(30)), "it is gone");
        assert_eq!(seen.pause("me", at(30)), RENEW_EVERY, "and is no more watched for");
    }
}
