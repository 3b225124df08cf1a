//! The queue with a shelf, played by these tests: what is on the disk, and how far it was read.

use super::tests::{entry, numbers};
use super::*;

/// The disk, and the threads before it.
#[derive(Default)]
struct Played {
    records: Vec<Entry>,
    read: usize,
    /// Records that were read and are not acknowledged.
    outstanding: VecDeque<u64>,
    acknowledged: u64,
}

impl Played {
    fn queue(&self, capacity: usize, soft_bytes: u64) -> Queue {
        let (position, end) = (RecordNo(self.acknowledged), RecordNo(self.records.len() as u64));
        Queue::new(capacity).with_shelf(position, end, soft_bytes)
    }

    fn write(&mut self, queue: &mut Queue) {
        for entry in queue.begin_writing(usize::MAX) {
            queue.durable(&entry, RecordNo(self.records.len() as u64));
            self.records.push(entry);
        }
        queue.end_writing();
    }

    /// Does what the reader does until there is no more to do.
    fn read(&mut self, queue: &mut Queue) {
        queue.drop_surplus();
        while queue.wants_read() {
            let record = RecordNo(self.read as u64);
            self.outstanding.push_back(record.0);
            let entry = self.records[self.read].clone();
            self.read += 1;
            queue.read(Entry { record: Some(record), tells: Vec::new(), ..entry });
        }
        while let Some(first) = self.outstanding.front().copied()
            && queue.take_settled(RecordNo(first), RecordNo(first + 1))
        {
            self.outstanding.pop_front();
            self.acknowledged = first + 1;
        }
        queue.saved();
    }

    /// As after a crash: what another run of the agent finds.
    fn again(&mut self, capacity: usize) -> Queue {
        (self.read, self.outstanding) = (self.acknowledged as usize, VecDeque::new());
        self.records.iter_mut().for_each(|entry| entry.is_earlier = true);
        self.queue(capacity, 1_000_000)
    }
}

fn push(queue: &mut Queue, number: u64, len: usize) {
    assert!(queue.push(entry(number, len)).is_empty());
}

/// Sends and stores all that can be, in steps, with reading between; the numbers.
fn drain(queue: &mut Queue, played: &mut Played) -> Vec<u64> {
    let mut sent = Vec::new();
    while let Some(entry) = queue.send_next(4) {
        sent.push(entry.number());
        assert!(queue.stored(entry.number()));
        played.read(queue);
    }
    sent
}

#[test]
fn what_has_no_room_in_memory_is_read_again_in_order() {
    let mut played = Played::default();
    let mut queue = played.queue(100, 1_000_000);
    for number in 1..=30 {
        push(&mut queue, number, 30);
        assert!(queue.bytes() <= 100);
        played.write(&mut queue);
        played.read(&mut queue);
    }
    assert_eq!((queue.fate().waiting_waits, queue.fate().shelved_waits), (300, 300));
    assert_eq!(drain(&mut queue, &mut played), (1..=30).collect::<Vec<_>>());
    assert_eq!((played.acknowledged, queue.fate().stored_batches, queue.fate().waiting_waits), (30, 30, 0));
    queue.close();
    assert!(queue.is_finished() && queue.bytes() == 0);
}

#[test]
fn a_later_run_sends_what_the_one_before_left_and_then_its_own() {
    let mut played = Played::default();
    let mut queue = played.queue(150, 1_000_000);
    for number in 1..=20 {
        push(&mut queue, number, 30);
        played.write(&mut queue);
    }
    for expected in 1..=2 {
        assert_eq!(queue.send_next(9).unwrap().number(), expected);
    }
    // What was acknowledged out of order is sent again: the disk is not told before the one in front of it is.
    assert!(queue.stored(2));
    played.read(&mut queue);
    assert_eq!(played.acknowledged, 0);
    let mut queue = played.again(100);
    push(&mut queue, 1_000, 30);
    played.read(&mut queue);
    assert!(!queue.is_finished());
    assert_eq!(drain(&mut queue, &mut played), (1..=20).chain([1_000]).collect::<Vec<_>>());
    assert_eq!((queue.fate().earlier_batches, queue.fate().stored_batches), (20, 1));
}

#[test]
fn a_batch_that_is_stored_before_it_is_durable_is_done_with_once_it_is() {
    let mut played = Played::default();
    let mut queue = played.queue(100, 1_000_000);
    push(&mut queue, 1, 30);
    let writing = queue.begin_writing(usize::MAX);
    assert_eq!(queue.send_next(9).unwrap().number(), 1);
    assert!(queue.stored(1));
    queue.durable(&writing[0], RecordNo(0));
    queue.end_writing();
    played.records = writing;
    played.read(&mut queue);
    assert_eq!(played.acknowledged, 1);
    push(&mut queue, 2, 30);
    assert!(queue.send_next(9).is_some() && queue.stored(2));
    assert!(queue.begin_writing(usize::MAX).is_empty(), "what is stored need not be written any more");
}

#[test]
fn with_a_disk_that_fails_the_memory_holds_what_it_can_and_what_is_durable_is_kept() {
    let mut played = Played::default();
    let mut queue = played.queue(100, 1_000_000);
    for number in 1..=5 {
        push(&mut queue, number, 30);
        played.write(&mut queue);
    }
    let mut dropped = Vec::new();
    for number in 6..=10 {
        dropped.extend(numbers(&queue.push(entry(number, 30))));
        queue.begin_writing(usize::MAX);
        queue.end_writing();
    }
    assert_eq!(dropped, [6, 7]);
    played.write(&mut queue);
    played.read(&mut queue);
    assert_eq!(drain(&mut queue, &mut played), [1, 2, 3, 4, 5, 8, 9, 10]);
}

#[test]
fn over_its_size_the_oldest_go_and_stay_on_the_disk_until_that_is_told_durably() {
    let mut played = Played::default();
    let mut queue = played.queue(100, 700);
    for number in 1..=10 {
        push(&mut queue, number, 30);
        played.write(&mut queue);
    }
    assert_eq!(queue.send_next(9).unwrap().number(), 1);
    queue.measured(700 + 5_000);
    played.read(&mut queue);
    // Two, of a page each on the disk; the second one once there is room for it in memory.
    let mut dropped = queue.take_dropped();
    assert_eq!(numbers(&dropped), [2]);
    played.read(&mut queue);
    dropped.extend(queue.take_dropped());
    assert_eq!(numbers(&dropped), [2, 3]);
    queue.measured(700 + 5_000);
    played.read(&mut queue);
    assert_eq!(queue.take_dropped(), [], "it was not yet told, so nothing could be freed");
    assert_eq!(played.acknowledged, 0);
    assert!(queue.stored(1));
    played.read(&mut queue);
    assert_eq!(played.acknowledged, 1);
    let tells = dropped.iter().map(|entry| entry.id).collect();
    assert!(queue.push(Entry { tells, ..entry(11, 30) }).is_empty());
    played.read(&mut queue);
    assert_eq!(played.acknowledged, 1, "not durably");
    played.write(&mut queue);
    played.read(&mut queue);
    assert_eq!(played.acknowledged, 3);
    assert_eq!(drain(&mut queue, &mut played), (4..=11).collect::<Vec<_>>());
    assert_eq!(played.acknowledged, 11);
}

#[test]
fn those_in_flight_leave_room_for_new_ones_until_these_are_durable() {
    let mut played = Played::default();
    let mut queue = played.queue(100, 1_000_000);
    for number in 1..=20 {
        push(&mut queue, number, 30);
        // Nobody answers.
        while queue.send_next(9).is_some() {}
        played.write(&mut queue);
        played.read(&mut queue);
    }
    assert_eq!(queue.take_dropped(), []);
    queue.disconnected();
    assert_eq!(drain(&mut queue, &mut played), (1..=20).collect::<Vec<_>>());
}

#[test]
fn those_in_flight_go_only_where_nothing_else_makes_room() {
    let mut played = Played::default();
    let mut queue = played.queue(200, 700);
    for number in 1..=3 {
        push(&mut queue, number, 30);
        played.write(&mut queue);
        assert!(queue.send_next(9).is_some());
    }
    queue.measured(701);
    played.read(&mut queue);
    assert_eq!(queue.take_dropped(), []);
    queue.set_full();
    played.read(&mut queue);
    assert_eq!(numbers(&queue.take_dropped()), [1]);
    assert!(!queue.stored(1) && queue.stored(2));
}

#[test]
fn a_refused_batch_stays_on_the_disk_until_that_is_told_durably() {
    let mut played = Played::default();
    let mut queue = played.queue(100, 1_000_000);
    push(&mut queue, 1, 30);
    played.write(&mut queue);
    assert!(queue.send_next(9).is_some() && queue.refused(1));
    played.read(&mut queue);
    assert_eq!(played.acknowledged, 0);
    let tells = queue.take_refused().iter().map(|entry| entry.id).collect();
    assert!(queue.push(Entry { tells, ..entry(2, 30) }).is_empty());
    // Also where the store has it before the disk does.
    assert!(queue.send_next(9).is_some() && queue.stored(2));
    played.read(&mut queue);
    assert_eq!(played.acknowledged, 1);
}

#[test]
fn records_that_the_disk_has_lost_are_told_unless_they_are_in_memory() {
    let mut played = Played::default();
    let mut queue = played.queue(100, 1_000_000);
    for number in 1..=6 {
        push(&mut queue, number, 30);
        played.write(&mut queue);
    }
    assert_eq!(queue.send_next(9).unwrap().number(), 1);
    // 1 and 2 are in memory, and 3 to 5 are lost with them.
    let ids: Vec<BatchId> = (1..=5).map(|number| entry(number, 0).id).collect();
    queue.read_lost(RecordNo(0), &ids, 5 * 15);
    played.read = 5;
    let lost = queue.take_lost();
    assert_eq!(lost, [(2, 45), (3, 0), (4, 0)].map(|(place, weight)| Lost { id: ids[place], weight }));
    assert!(queue.stored(1));
    assert!(!queue.take_settled(RecordNo(0), RecordNo(5)));
    played.read(&mut queue);
    assert_eq!(drain(&mut queue, &mut played), [2, 6]);
    assert!(!queue.take_settled(RecordNo(0), RecordNo(5)), "it is not told yet");
    let tells = lost.iter().map(|lost| lost.id).collect();
    assert!(queue.push(Entry { tells, ..entry(7, 30) }).is_empty());
    played.write(&mut queue);
    assert!(queue.take_settled(RecordNo(0), RecordNo(5)));
}

/// Everything that may happen, in any order.
struct Chance {
    state: u64,
    played: Played,
    queue: Queue,
    next: u64,
    writing: Option<Vec<Entry>>,
    to_tell: Vec<BatchId>,
    in_flight: Vec<Entry>,
    /// What each batch tells.
    tells: std::collections::BTreeMap<u64, Vec<BatchId>>,
    stored: std::collections::BTreeSet<u64>,
    may_crash: bool,
}

impl Chance {
    fn new(seed: u64, may_crash: bool) -> Self {
        let played = Played::default();
        let queue = played.queue(300, 100_000);
        let (tells, stored) = Default::default();
        let (writing, to_tell, in_flight) = (None, Vec::new(), Vec::new());
        Self { state: seed, played, queue, next: 1, writing, to_tell, in_flight, tells, stored, may_crash }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % limit
    }

    fn push(&mut self) {
        let number = self.next;
        self.next += 1;
        let mut of_batch = entry(number, 20 + self.below(60) as usize);
        of_batch.tells = std::mem::take(&mut self.to_tell);
        self.tells.insert(number, of_batch.tells.clone());
        let gone = self.queue.push(of_batch);
        self.take_gone(gone);
    }

    /// As the batcher: what one that goes has told is told again.
    fn take_gone(&mut self, gone: Vec<Entry>) {
        for entry in gone {
            self.to_tell.extend_from_slice(&self.tells[&entry.number()]);
            self.to_tell.push(entry.id);
        }
    }

    fn step(&mut self) {
        match self.below(16) {
            0..4 => self.push(),
            4..6 if self.writing.is_none() => self.writing = Some(self.queue.begin_writing(150)),
            4..7 => self.commit(),
            7..9 => self.played.read(&mut self.queue),
            9..11 => self.in_flight.extend(self.queue.send_next(4)),
            11..13 if !self.in_flight.is_empty() => self.reply(),
            13 => {
                self.queue.reconnected();
                self.in_flight.clear();
            }
            14 => {
                let refused = self.queue.take_refused();
                let dropped = self.queue.take_dropped();
                self.take_gone(refused);
                self.take_gone(dropped);
            }
            15 if self.may_crash && self.below(20) == 0 => self.crash(),
            _ => {}
        }
    }

    fn commit(&mut self) {
        let writing = self.writing.take().unwrap_or_default();
        let count = if self.below(3) == 0 { self.below(3) as usize } else { writing.len() };
        for entry in writing.into_iter().take(count) {
            self.queue.durable(&entry, RecordNo(self.played.records.len() as u64));
            self.played.records.push(entry);
        }
        self.queue.end_writing();
        let held = self.played.records.iter().skip(self.played.acknowledged as usize);
        let disk_bytes = held.count() as u64 * 4_096;
        self.queue.measured(disk_bytes);
        // Then what a batch in memory tells is believed, which a crash may take.
        if disk_bytes > 140_000 && !self.may_crash {
            self.queue.set_full();
        }
    }

    fn reply(&mut self) {
        let place = self.below(self.in_flight.len() as u64) as usize;
        let number = self.in_flight.remove(place).number();
        if self.below(10) == 0 {
            self.queue.refused(number);
        } else {
            // Where it was given up while it was in flight, the store has it all the same.
            self.stored.insert(number);
            self.queue.stored(number);
        }
    }

    fn crash(&mut self) {
        self.queue = self.played.again(300);
        (self.writing, self.to_tell) = (None, Vec::new());
        self.in_flight.clear();
    }

    /// Whether a batch that is stored has told that this one is given up.
    fn is_told(&self, id: BatchId) -> bool {
        self.stored.iter().any(|teller| self.tells[teller].contains(&id))
    }
}

#[test]
fn whatever_happens_what_was_durable_is_stored_or_told_and_without_crashes_everything_is() {
    for seed in 0..300 {
        let mut chance = Chance::new(seed, seed % 2 == 0);
        for _ in 0..600 {
            chance.step();
            assert!(chance.queue.bytes() <= 300 + 300 / READ_AHEAD + 80);
        }
        // All is well from here on.
        for _ in 0..400 {
            chance.commit();
            chance.writing = Some(chance.queue.begin_writing(usize::MAX));
            chance.played.read(&mut chance.queue);
            let gone = [chance.queue.take_refused(), chance.queue.take_dropped()].concat();
            chance.take_gone(gone);
            if !chance.to_tell.is_empty() {
                chance.push();
            }
            chance.in_flight.extend(chance.queue.send_next(4));
            if let Some(entry) = chance.in_flight.pop() {
                chance.stored.insert(entry.number());
                chance.queue.stored(entry.number());
            }
        }
        chance.queue.close();
        assert!(chance.queue.is_finished(), "seed {seed}: {:?}", chance.queue);
        let durable = chance.played.records.iter().map(|entry| entry.id);
        let all = (1..chance.next).map(|number| entry(number, 0).id);
        let owed: Vec<BatchId> = if chance.may_crash { durable.collect() } else { all.collect() };
        for id in owed {
            assert!(chance.stored.contains(&id.number) || chance.is_told(id), "seed {seed}: {id:?} is nowhere");
        }
        assert_eq!(chance.played.acknowledged, chance.played.records.len() as u64, "seed {seed}: the disk is free");
    }
}
