//! From the spool: what is read, what goes together, and what is no batch.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use syncline_event::Batch;
use syncline_spool::{Content, Item, RecordNo};
use syncline_timebase::{Instant as At, Reference as ReferenceScale};

use super::super::aside::Cause;
use super::super::group::{Gathering, Limits, Load};
use super::super::record;
use super::{Stopped, Writing};
use crate::counters::{add, count};
use crate::pipeline::{Refusal, bucket, unpanicked};

/// Groups begin so far apart, where they are not full before: an insert costs the same for one batch as for many.
const APART: Duration = Duration::from_millis(100);
/// How often it is looked whether to stop, and after clock models of nodes that lie still.
const IDLE: Duration = Duration::from_millis(250);

/// A batch that was read from the spool.
pub(super) struct Taken {
    pub(super) number: RecordNo,
    pub(super) received: At<ReferenceScale>,
    pub(super) batch_zstd: Vec<u8>,
    /// `None` where it is none and was set aside.
    pub(super) batch: Option<(Batch, Load)>,
}

impl Taken {
    /// What it brings into a group; one that is no batch takes memory, and its bit of the intent.
    fn load(&self) -> Load {
        let none = || Load { rows: 0, bytes: self.batch_zstd.len(), days: RangeInclusive::new(1, 0) };
        self.batch.as_ref().map_or_else(none, |(_, load)| load.clone())
    }
}

impl Writing {
    /// The next records that go together; none if nothing has come for a while.
    pub(super) fn gather(&mut self) -> Result<Vec<Taken>, Stopped> {
        let (mut gathering, mut group) = (Gathering::new(Limits::default()), Vec::new());
        let mut until = None;
        while !gathering.is_full() {
            let Some(taken) = self.next()? else {
                let left = match until {
                    None if self.stopping.is_wanted() => return Ok(group),
                    None => IDLE,
                    Some(_) if self.stopping.is_wanted() => Duration::ZERO,
                    Some(until) => Instant::saturating_duration_since(&until, Instant::now()),
                };
                if left.is_zero() || !self.reader.wait(left) {
                    break;
                }
                continue;
            };
            let begin = group.first().map_or(taken.number, |first: &Taken| first.number);
            let follows = taken.number.0 == begin.0 + group.len() as u64;
            let fits = gathering.take(&taken.load());
            if !follows || !fits {
                self.carried = Some(taken);
                break;
            }
            if group.is_empty() {
                self.progress.waits_since(taken.received);
                let now = Instant::now();
                until = Some(now.max(self.begun + APART));
                self.begun = now;
            }
            group.push(taken);
        }
        Ok(group)
    }

    /// The next batch before `bound`, if there is one: there is none where the spool has lost it. What is behind such a loss is of the next group.
    pub(super) fn next_below(&mut self, bound: RecordNo) -> Result<Option<Taken>, Stopped> {
        if self.carried.is_none() && self.reader.position() >= bound {
            return Ok(None);
        }
        match self.next()? {
            Some(taken) if taken.number >= bound => {
                self.carried = Some(taken);
                Ok(None)
            }
            next => Ok(next),
        }
    }

    /// The next batch, decoded; losses of the spool are counted and passed over.
    fn next(&mut self) -> Result<Option<Taken>, Stopped> {
        if let Some(carried) = self.carried.take() {
            return Ok(Some(carried));
        }
        loop {
            match self.reader.next() {
                Ok(Some(Item { first, content: Content::Record(record), .. })) => {
                    return self.taken(first, record).map(Some);
                }
                Ok(Some(lost)) => {
                    self.progress.lost();
                    add(&self.pipeline.counters().batches_damaged, lost.records());
                    tracing::error!(
                        batches = lost.records(),
                        events = lost.weight,
                        "the spool's disk has lost batches that were acknowledged"
                    );
                }
                Ok(None) => return Ok(None),
                Err(error) => self.pause("the spool cannot be read", &error)?,
            }
        }
    }

    fn taken(&self, number: RecordNo, record: Vec<u8>) -> Result<Taken, Stopped> {
        // What is stored, or set aside, is read for the clocks only.
        let is_stored = number < self.stored;
        let (received, batch_zstd) = match record::decode(&record) {
            Ok((received, batch_zstd)) => (received, batch_zstd.to_vec()),
            Err(error) => {
                if !is_stored {
                    self.set_aside(Cause::Undecodable, &record, &error.to_string());
                }
                return Ok(Taken { number, received: At::from_ns(0), batch_zstd: record, batch: None });
            }
        };
        let batch = match unpanicked(|| self.pipeline.decode_any(&batch_zstd)) {
            Ok((batch, bytes)) => Some((load(&batch, bytes), batch)),
            Err(refusal) => {
                // It was looked at as it came, by another version perhaps.
                if !is_stored {
                    self.keep_refused(number, &batch_zstd, &refusal)?;
                }
                None
            }
        };
        Ok(Taken { number, received, batch_zstd, batch: batch.map(|(load, batch)| (batch, load)) })
    }

    /// Sets aside what cannot be decoded. What a later version can read, as after a rollback, is kept for it by all means: where there is no room, that
    /// is waited for.
    fn keep_refused(&self, number: RecordNo, batch_zstd: &[u8], refusal: &Refusal) -> Result<(), Stopped> {
        let (cause, why) = (Cause::of(refusal), refusal.to_string());
        if cause != Cause::Later {
            self.pipeline.count_refusal(number.0, refusal);
            self.set_aside(cause, batch_zstd, &why);
            return Ok(());
        }
        loop {
            let trouble = match self.aside.keep(&cause.name_of(batch_zstd), batch_zstd, &why) {
                Ok(Some(file)) => {
                    count(&self.pipeline.counters().batches_later);
                    tracing::warn!(why, file = %file.display(), "an acknowledged batch is kept for a later version");
                    return Ok(());
                }
                Ok(None) => "there is no more room: start that version, or give more --spool-bytes".to_owned(),
                Err(error) => error.to_string(),
            };
            self.pause("an acknowledged batch is for a later version, and cannot be set aside", &trouble)?;
        }
    }

    pub(super) fn set_aside(&self, cause: Cause, batch_zstd: &[u8], why: &str) {
        let counters = self.pipeline.counters();
        match self.aside.keep(&cause.name_of(batch_zstd), batch_zstd, why) {
            Ok(Some(file)) => {
                count(&counters.batches_aside);
                tracing::error!(why, file = %file.display(), "an acknowledged batch will never be stored; it is set aside");
            }
            Ok(None) => {
                count(&counters.batches_aside_full);
                tracing::error!(
                    why,
                    "an acknowledged batch will never be stored, and there is no more room to set it aside: it is lost"
                );
            }
            Err(error) => {
                count(&counters.batches_aside_full);
                tracing::error!(why, %error, "an acknowledged batch will never be stored, and cannot be set aside: it is lost");
            }
        }
    }
}

fn load(batch: &Batch, bytes: usize) -> Load {
    let rows = batch.waits.len()
        + batch.open_waits.len()
        + batch.short_waits.len()
        + batch.messages.at.len()
        + batch.goroutine_states.len()
        + batch.process_states.len()
        + batch.tcp_sessions.len()
        + batch.stacks.len()
        + batch.symbols.len()
        + batch.probes.len();
    Load { rows, bytes, days: bucket::days(batch) }
}
