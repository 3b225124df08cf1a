//! A spool that lives through many crashes, and somebody who keeps account of what it has promised.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::ops::Range;

use syncline_spool::{Config, Content, Item, Overflow, Reader, RecordNo, Spool};

use super::chance::Chance;
use super::model::{Fault, Model, Step};

const CURSORS: [&str; 2] = ["one", "two"];
const WRITES: [Step; 7] =
    [Step::Create, Step::Write, Step::Allocate, Step::SetLen, Step::Sync, Step::Remove, Step::SyncDirectory];

#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    weight: u64,
    payload: Vec<u8>,
}

/// What may be saved for a cursor: one thing, or, after a save that failed, several.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Saved {
    next: u64,
    note: Vec<u8>,
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) crashes: u64,
    pub(crate) acknowledged: u64,
    pub(crate) read: u64,
    pub(crate) dropped: u64,
    pub(crate) unconfirmed: u64,
    pub(crate) failed_commits: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.crashes += other.crashes;
        self.acknowledged += other.acknowledged;
        self.read += other.read;
        self.dropped += other.dropped;
        self.unconfirmed += other.unconfirmed;
        self.failed_commits += other.failed_commits;
    }
}

pub(crate) struct History {
    seed: u64,
    chance: Chance,
    model: Model,
    config: Config,
    may_drop: bool,
    /// Durable for sure: committed, or given to a reader.
    promised: BTreeMap<u64, Record>,
    /// Appended under these numbers, and perhaps there.
    attempts: BTreeMap<u64, Vec<Record>>,
    /// By segment and number, for ever.
    identities: HashMap<(u64, u64), Vec<u8>>,
    cursors: BTreeMap<&'static str, Vec<Saved>>,
    pub(crate) counts: Counts,
}

struct Life {
    spool: Spool<Model>,
    readers: BTreeMap<&'static str, Reader<Model>>,
    given: BTreeMap<&'static str, Vec<u64>>,
    /// What was acknowledged in this life, which is not told of again in it.
    acknowledged: BTreeMap<&'static str, BTreeSet<u64>>,
    /// Numbers that were appended and not committed.
    pending: Range<u64>,
}

impl History {
    pub(crate) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let may_drop = chance.one_in(2);
        let segment_bytes = *chance.pick(&[4096, 8192, 16384]);
        let max_bytes = if may_drop { segment_bytes.max(8 << 10) * (2 + chance.below(4)) } else { 1 << 40 };
        let config = Config {
            segment_bytes,
            max_bytes,
            overflow: Overflow::DropOldest,
            max_record_bytes: 6000,
            max_pending_bytes: 1 << 20,
        };
        Self {
            seed,
            model: Model::new(chance.number()),
            chance,
            config,
            may_drop,
            promised: BTreeMap::new(),
            attempts: BTreeMap::new(),
            identities: HashMap::new(),
            cursors: CURSORS.into_iter().map(|name| (name, vec![Saved { next: 0, note: Vec::new() }])).collect(),
            counts: Counts::default(),
        }
    }

    /// So many lives, each of which ends by a loss of power or of the process.
    pub(crate) fn run(&mut self, lives: u64) {
        // The cursors are made in peace: one that is not there yet begins at the oldest record, whichever that is then.
        let mut life = self.open().unwrap();
        for _ in 0..lives {
            let steps = if self.chance.one_in(3) { self.chance.below(8) } else { self.chance.below(80) };
            self.model.set_power(Some(steps));
            while let Some(current) = life.as_mut() {
                if self.model.is_off() || self.chance.one_in(60) {
                    break;
                }
                self.act(current);
            }
            self.end(life.take());
            // The power may go again while it opens.
            while life.is_none() {
                let steps = if self.chance.one_in(3) { Some(self.chance.below(6)) } else { None };
                self.model.set_power(steps);
                life = self.open().unwrap_or_default();
                if life.is_none() {
                    self.end(None);
                }
            }
        }
    }

    fn end(&mut self, life: Option<Life>) {
        self.counts.crashes += 1;
        if self.chance.one_in(4) {
            self.model.kill();
        } else {
            self.model.crash();
        }
        drop(life);
    }

    /// None while there is no power; anything else that fails is a failure.
    fn open(&mut self) -> Result<Option<Life>, ()> {
        let opened = Spool::open(self.model.clone(), self.config.clone());
        let is_off = self.model.is_off();
        let (spool, recovery) = match opened {
            Ok(opened) => opened,
            Err(_) if is_off => return Err(()),
            Err(error) => panic!("seed {}: cannot open: {error}", self.seed),
        };
        self.model.set_power(None);
        assert!(recovery.set_aside.is_empty(), "seed {}: {recovery:?}", self.seed);
        assert!(recovery.damaged_cursors.is_empty(), "seed {}: {recovery:?}", self.seed);
        let mut life = Life {
            spool,
            readers: BTreeMap::new(),
            given: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            pending: 0..0,
        };
        for name in CURSORS {
            let mut reader = life.spool.reader(name).unwrap();
            self.check(name, &mut reader, recovery.end.0);
            life.readers.insert(name, reader);
        }
        // What was not promised and is not there will never be.
        let end = recovery.end.0;
        assert!(self.promised.keys().next_back().is_none_or(|last| *last < end), "seed {}: the end is lost", self.seed);
        self.attempts.clear();
        life.pending = end..end;
        Ok(Some(life))
    }

    /// Everything from the cursor to the end, and that it is what was promised.
    fn check(&mut self, name: &'static str, reader: &mut Reader<Model>, end: u64) {
        let seed = self.seed;
        let saved = Saved { next: reader.saved().0, note: reader.note().to_vec() };
        let possible = &self.cursors[name];
        assert!(possible.contains(&saved), "seed {seed}: {name} is at {saved:?}, and may be at {possible:?}");
        let mut next = saved.next;
        self.cursors.insert(name, vec![saved]);
        while let Some(item) = reader.next().unwrap() {
            assert_eq!(item.first.0, next, "seed {seed}: a gap");
            next = item.next.0;
            self.check_item(&item);
        }
        assert_eq!(next, end, "seed {seed}: not read to the end");
        reader.rewind();
    }

    fn check_item(&mut self, item: &Item) {
        let seed = self.seed;
        let numbers = item.first.0..item.next.0;
        match &item.content {
            Content::Record(payload) => {
                self.counts.read += 1;
                let number = item.first.0;
                let record = Record { weight: item.weight, payload: payload.clone() };
                match self.promised.get(&number) {
                    Some(promised) => assert_eq!(promised, &record, "seed {seed}: record {number} has changed"),
                    None => {
                        let attempts = self.attempts.get(&number);
                        assert!(
                            attempts.is_some_and(|attempts| attempts.contains(&record)),
                            "seed {seed}: nobody appended record {number}"
                        );
                        self.promised.insert(number, record);
                    }
                }
                let before = self.identities.entry((item.segment, number)).or_insert_with(|| payload.clone());
                assert_eq!(before, payload, "seed {seed}: two records {number} in one segment");
            }
            Content::Dropped => {
                self.counts.dropped += item.records();
                assert!(self.may_drop, "seed {seed}: {numbers:?} were dropped for nothing");
                if let Some(weight) = self.weight_of(numbers.clone()) {
                    assert_eq!(item.weight, weight, "seed {seed}: weight of {numbers:?}");
                }
            }
            Content::Damaged { was_durable } => {
                self.counts.unconfirmed += item.records();
                assert!(!was_durable, "seed {seed}: {numbers:?} were durable");
                let lost = self.promised.range(numbers.clone()).next();
                assert_eq!(lost, None, "seed {seed}: lost, of {numbers:?}");
            }
        }
    }

    /// None where one of them was never promised.
    fn weight_of(&self, mut numbers: Range<u64>) -> Option<u64> {
        numbers.try_fold(0, |sum, number| Some(sum + self.promised.get(&number)?.weight))
    }

    fn act(&mut self, life: &mut Life) {
        match self.chance.below(20) {
            0..=7 => self.append(life),
            8..=12 => self.commit(life),
            13..=15 => self.read(life),
            16..=18 => self.save(life),
            _ => self.fail(life),
        }
    }

    fn append(&mut self, life: &mut Life) {
        for _ in 0..=self.chance.below(4) {
            let length = match self.chance.below(10) {
                0 => 4000 + self.chance.below(2000),
                1 => 0,
                _ => self.chance.below(500),
            };
            let payload: Vec<u8> = (0..length).map(|_| self.chance.number() as u8).collect();
            let record = Record { weight: self.chance.below(1000), payload };
            let number = life.spool.append(&record.payload, record.weight).unwrap().0;
            assert_eq!(number, life.pending.end, "seed {}", self.seed);
            life.pending.end += 1;
            self.attempts.entry(number).or_default().push(record);
        }
    }

    fn commit(&mut self, life: &mut Life) {
        let result = life.spool.commit();
        self.counts.failed_commits += u64::from(result.is_err());
        let durable = life.spool.durable().0;
        assert!((life.pending.start..=life.pending.end).contains(&durable), "seed {}", self.seed);
        assert!(result.is_err() || durable == life.pending.end, "seed {}", self.seed);
        for number in life.pending.start..durable {
            self.counts.acknowledged += 1;
            let record = self.attempts[&number].last().unwrap().clone();
            self.promised.insert(number, record);
        }
        life.pending.start = durable;
    }

    fn read(&mut self, life: &mut Life) {
        let name = *self.chance.pick(&CURSORS);
        let reader = life.readers.get_mut(name).unwrap();
        if self.chance.one_in(8) {
            reader.rewind();
            life.given.remove(name);
        }
        for _ in 0..self.chance.below(12) {
            // It may fail only where there is a fault.
            let Ok(Some(item)) = reader.next() else { break };
            life.given.entry(name).or_default().push(item.first.0);
            let again = life.acknowledged.entry(name).or_default().range(item.first.0..item.next.0).next();
            assert_eq!(again, None, "seed {}: told again, of {:?}", self.seed, item.first);
            self.check_item(&item);
        }
    }

    /// Acknowledges some of what was given, in any order, and saves.
    fn save(&mut self, life: &mut Life) {
        let name = *self.chance.pick(&CURSORS);
        let reader = life.readers.get_mut(name).unwrap();
        for first in life.given.entry(name).or_default().extract_if(.., |_| self.chance.percent(80)) {
            assert!(reader.acknowledge(RecordNo(first)), "seed {}: {first}", self.seed);
            life.acknowledged.entry(name).or_default().insert(first);
        }
        let note: Vec<u8> = (0..self.chance.below(40)).map(|_| self.chance.number() as u8).collect();
        let next = reader.acknowledged().0;
        let saved = Saved { next, note: note.clone() };
        let is_saved = reader.save(&note).is_ok();
        let possible = self.cursors.get_mut(name).unwrap();
        if is_saved {
            possible.clear();
        }
        possible.push(saved);
    }

    /// Lets something fail from now on, or nothing any more: then what waits becomes durable at the first attempt.
    fn fail(&mut self, life: &mut Life) {
        if self.chance.percent(40) {
            self.model.set_fault(None);
            self.commit(life);
            let is_durable = life.pending.is_empty() || self.model.is_off();
            assert!(is_durable, "seed {}: not durable though nothing fails", self.seed);
            return;
        }
        let kinds = [io::ErrorKind::Other, io::ErrorKind::StorageFull, io::ErrorKind::ReadOnlyFilesystem];
        let steps = match self.chance.below(3) {
            0 => WRITES.to_vec(),
            1 => vec![*self.chance.pick(&WRITES)],
            _ => vec![Step::Sync, Step::SyncDirectory],
        };
        let (kind, one_in) = (*self.chance.pick(&kinds), 1 + self.chance.below(3));
        self.model.set_fault(Some(Fault { steps, kind, one_in }));
    }
}
