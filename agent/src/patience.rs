//! Reads that somebody else can make last for ever: of a container's file system, which may be a FUSE of its own, and of a
//! program's memory, whose pages it may withhold (userfaultfd).
//!
//! Each is done on a thread of its own, for which the caller waits only so long. One that does not come back keeps its thread,
//! so there may only be a few of those.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Reads that may be stuck at once, where nothing else is said.
const MOST_STUCK: usize = 4;

/// Why a read is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfinished {
    /// It takes too long.
    Stuck,
    /// Too many others do, so it was not begun; or there is no thread to be had.
    NotBegun,
}

/// Waits for reads.
#[derive(Debug)]
pub(crate) struct Patience {
    under_way: Arc<AtomicUsize>,
    most: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self::of(MOST_STUCK)
    }
}

impl Patience {
    /// For so many reads at once; while they are stuck, no other is begun.
    pub(crate) fn of(most: usize) -> Self {
        Self { under_way: Arc::default(), most }
    }

    /// Has `read` fill `found` bit by bit, and waits for that up to `limit`. What is found by then is there in any case.
    pub(crate) fn wait_for<T: Default + Send + 'static>(
        &self,
        limit: Duration,
        read: impl FnOnce(&Found<T>) + Send + 'static,
    ) -> (T, Option<Unfinished>) {
        let found = Found::<T>::default();
        let unfinished = self.begin(limit, found.clone(), read).err();
        // One that is not finished fills what nobody looks at any more.
        let taken = std::mem::take(&mut *found.lock());
        (taken, unfinished)
    }

    fn begin<T: Send + 'static>(
        &self,
        limit: Duration,
        found: Found<T>,
        read: impl FnOnce(&Found<T>) + Send + 'static,
    ) -> Result<(), Unfinished> {
        let place = Place::take(&self.under_way, self.most).ok_or(Unfinished::NotBegun)?;
        let (done, is_done) = channel();
        let work = move || {
            let place = place;
            read(&found);
            // Before whoever waits goes on, and may begin another one.
            drop(place);
            // Nobody may be waiting any more.
            let _ = done.send(());
        };
        std::thread::Builder::new().name("patient".into()).spawn(work).map_err(|_| Unfinished::NotBegun)?;
        match is_done.recv_timeout(limit) {
            Ok(()) => Ok(()),
            // It panicked: what it found until then counts, and nobody is stuck.
            Err(RecvTimeoutError::Disconnected) => Ok(()),
            Err(RecvTimeoutError::Timeout) => Err(Unfinished::Stuck),
        }
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Found<T>(Arc<Mutex<T>>);

impl<T> Clone for Found<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Found<T> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the places of reads under way, given back when it is dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(under_way: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let one_more = |count: usize| (count < most).then_some(count + 1);
        under_way.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        Some(Self(Arc::clone(under_way)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Sender;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// A read that finds 7 and then hangs until the sender is dropped.
    fn hang(patience: &Patience) -> (Sender<()>, (u8, Option<Unfinished>)) {
        let (release, released) = channel::<()>();
        let found = patience.wait_for(Duration::from_millis(10), move |found: &Found<u8>| {
            *found.lock() = 7;
            let _ = released.recv();
        });
        (release, found)
    }

    #[test]
    fn what_is_read_in_time_is_whole() {
        let found = Patience::default().wait_for(LONG, |found: &Found<u8>| *found.lock() = 3);
        assert_eq!(found, (3, None));
    }

    #[test]
    fn a_read_that_is_done_leaves_its_place_to_the_next_one() {
        let patience = Patience::of(1);
        for number in 0..2_000 {
            let found = patience.wait_for(LONG, move |found: &Found<u16>| *found.lock() = number);
            assert_eq!(found, (number, None));
        }
    }

    #[test]
    fn a_stuck_read_gives_what_it_found_and_only_a_few_may_be_stuck() {
        let patience = Patience::default();
        let stuck: Vec<_> = (0..MOST_STUCK).map(|_| hang(&patience)).collect();
        assert!(stuck.iter().all(|(_, found)| matches!(found, (_, Some(Unfinished::Stuck)))));
        let refused = patience.wait_for(LONG, |found: &Found<u8>| *found.lock() = 3);
        assert_eq!(refused, (0, Some(Unfinished::NotBegun)));
        drop(stuck);
        while patience.under_way.load(Ordering::Acquire) > 0 {
            std::thread::yield_now();
        }
        assert_eq!(patience.wait_for(LONG, |found: &Found<u8>| *found.lock() = 3), (3, None));
    }
}
