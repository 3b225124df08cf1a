//! Many producers, one thread that commits: while one group is synced the next collects.

mod queue;

use std::collections::VecDeque;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub use queue::{Appender, Done, NotDurable, Reason, Refused, Trouble};
use queue::{Entry, Queue};

use crate::error::{Error, Result};
use crate::frame::frame_bytes;
use crate::item::RecordNo;
use crate::reader::Reader;
use crate::shared::Shared;
use crate::spool::{self, Spool, Status};
use crate::storage::Storage;

/// How long it waits to try again after a failure: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A spool on a thread of its own that commits what producers append.
///
/// Failures of the storage are not told to the producers: the records stay in memory, within the bound, and are tried again, after a second at
/// most, until they are durable. Meanwhile [`Appender::trouble`] says why.
#[derive(Debug)]
pub struct GroupCommit<S: Storage> {
    queue: Arc<Queue>,
    shared: Arc<Shared<S>>,
    thread: Option<JoinHandle<Spool<S>>>,
}

impl<S: Storage> GroupCommit<S> {
    /// Starts the thread. `capacity_bytes` bounds what waits in memory, in the queue and in the group that is being committed; it has to hold a
    /// record of the largest size.
    ///
    /// # Errors
    /// When the capacity is too small for the largest record, or larger than the spool takes between two commits; when there can be no thread.
    pub fn start(spool: Spool<S>, capacity_bytes: u64) -> Result<Self> {
        let config = spool.config();
        let largest = frame_bytes(config.max_record_bytes.into());
        if !(largest..=config.max_pending_bytes).contains(&capacity_bytes) {
            return Err(Error::Config(format!(
                "a queue of {capacity_bytes} bytes: between {largest}, for the largest record, and max_pending_bytes, {}, are possible",
                config.max_pending_bytes
            )));
        }
        let queue = Arc::new(Queue::new(capacity_bytes, config.max_record_bytes.into()));
        let committer = Committer { queue: Arc::clone(&queue), waiting: VecDeque::new() };
        let shared = Arc::clone(spool.shared());
        let run = move || committer.run(spool);
        let thread = thread::Builder::new().name("spool-commit".to_owned()).spawn(run);
        Ok(Self { queue, shared, thread: Some(thread.map_err(Error::io("start", "the thread that commits"))?) })
    }

    /// What producers append with.
    pub fn appender(&self) -> Appender {
        Appender { queue: Arc::clone(&self.queue) }
    }

    /// See [`Spool::reader`].
    ///
    /// # Errors
    /// As there.
    pub fn reader(&self, cursor: &str) -> Result<Reader<S>> {
        spool::open_reader(&self.shared, cursor)
    }

    /// See [`Spool::status`].
    pub fn status(&self) -> Status {
        self.shared.lock().status()
    }

    /// Takes no more records, commits those that wait, and gives the spool back. What cannot be committed now is told as not durable.
    ///
    /// # Errors
    /// When the thread has panicked, which a callback can make it do.
    pub fn close(mut self) -> Result<Spool<S>> {
        self.queue.close();
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(spool)) => Ok(spool),
            _ => Err(Error::io("commit on", "its thread")(io::Error::other("it has panicked"))),
        }
    }
}

impl<S: Storage> Drop for GroupCommit<S> {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            // What a panic had to say was printed.
            drop(thread.join());
        }
    }
}

/// A record that was appended and is not durable yet.
struct Appended {
    number: RecordNo,
    bytes: u64,
    done: Done,
}

/// The thread's side of the queue.
struct Committer {
    queue: Arc<Queue>,
    /// The group that is being committed.
    waiting: VecDeque<Appended>,
}

impl Drop for Committer {
    /// At the end nothing waits; after a panic nobody may wait for ever.
    fn drop(&mut self) {
        self.queue.close();
        let waiting = std::mem::take(&mut self.waiting).into_iter().map(|appended| appended.done);
        let left = self.queue.take_left().into_iter().map(|entry| entry.done);
        for done in waiting.chain(left) {
            let error = NotDurable("the spool's thread has panicked".to_owned());
            // Another panic would end the process.
            drop(panic::catch_unwind(AssertUnwindSafe(|| done(Err(error)))));
        }
    }
}

impl Committer {
    fn run<S: Storage>(mut self, mut spool: Spool<S>) -> Spool<S> {
        while let Some(group) = self.queue.take() {
            group.into_iter().for_each(|entry| self.append(&mut spool, entry));
            self.commit(&mut spool);
        }
        spool
    }

    fn append<S: Storage>(&mut self, spool: &mut Spool<S>, entry: Entry) {
        let bytes = entry.bytes();
        match spool.append(&entry.record, entry.weight) {
            Ok(number) => self.waiting.push_back(Appended { number, bytes, done: entry.done }),
            // Both bounds were looked at as it was taken; but nothing may be lost silently.
            Err(error) => {
                self.queue.release(bytes);
                (entry.done)(Err(NotDurable(error.to_string())));
            }
        }
    }

    /// Returns when all of them are durable, or the end has come and they are not.
    fn commit<S: Storage>(&mut self, spool: &mut Spool<S>) {
        let mut pause = FIRST_PAUSE;
        loop {
            // Asked before: what was there at the end is tried once more.
            let is_closed = self.queue.is_closed();
            let result = spool.commit();
            self.finish(spool.durable());
            let Err(error) = result else {
                return self.queue.tell(None);
            };
            if is_closed {
                spool.discard_pending();
                return self.give_up(&error);
            }
            self.queue.tell(Some(error.to_string()));
            match error {
                // A reader may make room.
                Error::Full { .. } => spool.wait_for_change(pause),
                _ => self.queue.pause(pause),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn finish(&mut self, durable: RecordNo) {
        let mut bytes = 0;
        while let Some(appended) = self.waiting.pop_front_if(|appended| appended.number < durable) {
            bytes += appended.bytes;
            (appended.done)(Ok(appended.number));
        }
        if bytes > 0 {
            self.queue.release(bytes);
        }
    }

    fn give_up(&mut self, error: &Error) {
        self.queue.release(self.waiting.iter().map(|appended| appended.bytes).sum());
        let error = NotDurable(error.to_string());
        while let Some(appended) = self.waiting.pop_front() {
            (appended.done)(Err(error.clone()));
        }
    }
}
