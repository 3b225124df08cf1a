//! Waiting for the ring.
//!
//! The kernel side wakes us when a quarter of the ring is full, not for each record, which would cost the observed program
//! more than the record itself. So the ring is watched for wake-ups (edge-triggered), and not for data: data alone would
//! wake us at once, again and again.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

/// The ring's wake-ups.
#[derive(Debug)]
pub(super) struct Wakeups(OwnedFd);

impl Wakeups {
    pub(super) fn of(ring: impl AsFd) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, ring, EventData::new_u64(0), EventFlags::IN | EventFlags::ET)?;
        Ok(Self(epoll))
    }

    /// Until the ring wakes us, or `timeout` is over.
    pub(super) fn wait(&self, timeout: Duration) -> io::Result<()> {
        let timeout = Timespec::try_from(timeout).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
        let mut events = [Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }];
        match epoll::wait(&self.0, &mut events, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
