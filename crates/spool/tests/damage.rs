//! Bits that flip and files that end early: the spool opens unattended, and what is lost is at most the frame that was hit.
//!
//! `SYNCLINE_SPOOL_SEGMENTS` says of how many segments every bit and every length is looked at; `cargo xtask verify spool` does with very many.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod support;

use std::ops::Range;

use support::chance::Chance;
use support::model::Model;
use syncline_spool::{Config, Content, Spool};

const CURSOR: &str = "store";
/// docs/spool.md
const SEGMENT_HEADER: usize = 128;
const FRAME_HEADER: usize = 48;
/// What is written at once.
const SEGMENTS: u64 = 3;

fn config() -> Config {
    Config {
        segment_bytes: 4096,
        max_bytes: 1 << 30,
        max_record_bytes: 4000,
        max_pending_bytes: 1 << 20,
        ..Config::default()
    }
}

/// What was written, and how it lies in the files.
struct Written {
    files: Vec<(String, Vec<u8>)>,
    records: Vec<Vec<u8>>,
    /// Numbers of the records in each segment.
    segments: Vec<(String, Range<usize>)>,
}

impl Written {
    /// Segments of a few records by chance; the weight of record `n` is `weight(n)`.
    fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let model = Model::new(seed);
        let (mut records, mut segments) = (Vec::new(), Vec::new());
        for _ in 0..SEGMENTS {
            let before = names(&model);
            // A segment each: each process begins a new one.
            let (mut spool, _) = Spool::open(model.clone(), config()).unwrap();
            drop(spool.reader(CURSOR).unwrap());
            let first = records.len();
            for _ in 0..=chance.below(4) {
                let payload: Vec<u8> = (0..chance.below(120)).map(|_| chance.number() as u8).collect();
                spool.append(&payload, weight(records.len())).unwrap();
                records.push(payload);
            }
            spool.commit().unwrap();
            drop(spool);
            // What a next process would make of it: cut to its length.
            drop(Spool::open(model.clone(), config()).unwrap());
            let new = names(&model).into_iter().find(|name| is_segment(name) && !before.contains(name)).unwrap();
            segments.push((new, first..records.len()));
        }
        let files = names(&model).into_iter().map(|name| (name.clone(), model.bytes(&name))).collect();
        Self { files, records, segments }
    }

    /// Where the frame of a record lies in its segment, without what fills it up.
    fn frame(&self, segment: &Range<usize>, record: usize) -> Range<usize> {
        let bytes = |record: usize| FRAME_HEADER + self.records[record].len();
        let begin = (segment.start..record).fold(SEGMENT_HEADER, |at, record| at + bytes(record).next_multiple_of(16));
        begin..begin + bytes(record)
    }

    /// Opens a spool in which one file is other than it was, and checks that all records are there but those that are `hit`. What is hit has to
    /// be told with its weight, unless nothing is behind it that could.
    fn check(&self, name: &str, bytes: &[u8], hit: &Range<usize>, what: &str) {
        let model = Model::new(1);
        for (other, unharmed) in &self.files {
            model.put(other, if other == name { bytes } else { unharmed });
        }
        let (mut spool, recovery) = Spool::open(model.clone(), config()).unwrap();
        assert!(recovery.set_aside.is_empty(), "{what}: {recovery:?}");
        let end = spool.durable().0 as usize;
        let all = self.records.len();
        assert!(end == all || hit.end == all && hit.contains(&end), "{what}: {end}");
        let mut reader = spool.reader(CURSOR).unwrap();
        let mut next = 0;
        while let Some(item) = reader.next().unwrap() {
            assert_eq!(item.first.0 as usize, next, "{what}");
            match &item.content {
                Content::Record(payload) => {
                    assert_eq!((payload, item.weight), (&self.records[next], weight(next)), "{what}");
                }
                Content::Damaged { .. } => {
                    let numbers = next..item.next.0 as usize;
                    assert!(hit.start <= next && numbers.end <= hit.end, "{what}: lost {numbers:?} of {hit:?}");
                    assert_eq!(item.weight, numbers.map(weight).sum::<u64>(), "{what}");
                }
                Content::Dropped => panic!("{what}: {item:?}"),
            }
            next = item.next.0 as usize;
        }
        assert_eq!(next, end, "{what}");
        // It goes on.
        assert_eq!(spool.append(b"more", 1).unwrap().0 as usize, end, "{what}");
        spool.commit().unwrap();
        assert_eq!(reader.next().unwrap().unwrap().content, Content::Record(b"more".to_vec()), "{what}");
    }

    /// Every bit and every length of every segment.
    fn check_segments(&self, seed: u64) -> u64 {
        let mut cases = 0;
        for (name, numbers) in &self.segments {
            let bytes = &self.files.iter().find(|(other, _)| other == name).unwrap().1;
            for bit in 0..bytes.len() * 8 {
                let mut hit = bytes.clone();
                hit[bit / 8] ^= 1 << (bit % 8);
                let record = numbers.clone().find(|record| self.frame(numbers, *record).contains(&(bit / 8)));
                let lost = record.map_or(0..0, |record| record..record + 1);
                self.check(name, &hit, &lost, &format!("seed {seed}, {name}, bit {bit}"));
            }
            for length in 0..bytes.len() {
                let whole = numbers.clone().take_while(|record| self.frame(numbers, *record).end <= length).count();
                let lost = numbers.start + whole..numbers.end;
                self.check(name, &bytes[..length], &lost, &format!("seed {seed}, {name}, length {length}"));
            }
            cases += bytes.len() as u64 * 9;
        }
        cases
    }
}

fn weight(record: usize) -> u64 {
    1000 + record as u64
}

fn names(model: &Model) -> Vec<String> {
    syncline_spool::Storage::list(model).unwrap()
}

fn is_segment(name: &str) -> bool {
    name.ends_with(".segment")
}

#[test]
fn a_flipped_bit_or_a_lost_end_costs_the_frame_that_it_hits() {
    let histories = support::size("SYNCLINE_SPOOL_SEGMENTS", 12).div_ceil(SEGMENTS);
    let cases: u64 = (0..histories).map(|seed| Written::new(seed).check_segments(seed)).sum();
    println!("spool: segments={} cases={cases}", histories * SEGMENTS);
}

#[test]
fn damage_to_other_files_costs_no_record() {
    let written = Written::new(7);
    for (name, bytes) in written.files.iter().filter(|(name, _)| !is_segment(name)) {
        for bit in 0..bytes.len().min(200) * 8 {
            let mut hit = bytes.clone();
            hit[bit / 8] ^= 1 << (bit % 8);
            written.check(name, &hit, &(0..0), &format!("{name}, bit {bit}"));
        }
        for length in (0..bytes.len()).step_by(1 + bytes.len() / 100) {
            written.check(name, &bytes[..length], &(0..0), &format!("{name}, length {length}"));
        }
    }
}

#[test]
fn a_cursor_whose_newest_slot_is_damaged_is_where_it_was_before() {
    let model = Model::new(3);
    let (mut spool, _) = Spool::open(model.clone(), config()).unwrap();
    for _ in 0..3 {
        spool.append(b"record", 1).unwrap();
    }
    spool.commit().unwrap();
    let mut reader = spool.reader(CURSOR).unwrap();
    for next in 1..=3 {
        reader.next().unwrap().unwrap();
        reader.acknowledge_below(syncline_spool::RecordNo(next));
        reader.save(&[next as u8]).unwrap();
    }
    drop((spool, reader));
    let name = format!("{CURSOR}.cursor");
    let mut positions = Vec::new();
    for slot in [0, 8192] {
        let mut bytes = model.bytes(&name);
        bytes[slot + 64] ^= 1;
        model.put(&name, &bytes);
        let (spool, recovery) = Spool::open(model.clone(), config()).unwrap();
        positions.push((recovery.cursors[CURSOR].0, spool.reader(CURSOR).unwrap().note().to_vec()));
        bytes[slot + 64] ^= 1;
        model.put(&name, &bytes);
    }
    positions.sort();
    assert_eq!(positions, [(2, vec![2]), (3, vec![3])]);
    // Of both nothing is left: it begins at the oldest record, and that is told.
    model.put(&name, &[0; 100]);
    let (spool, recovery) = Spool::open(model, config()).unwrap();
    assert_eq!(recovery.damaged_cursors, [CURSOR]);
    assert_eq!(spool.reader(CURSOR).unwrap().saved().0, 0);
}

#[test]
fn nothing_is_removed_that_a_damaged_cursor_may_not_have_read() {
    let model = Model::new(3);
    let (mut spool, _) = Spool::open(model.clone(), config()).unwrap();
    drop(spool.reader("other").unwrap());
    let mut reader = spool.reader(CURSOR).unwrap();
    for _ in 0..4 {
        spool.append(&[0; 3000], 1).unwrap();
    }
    spool.commit().unwrap();
    model.put("other.cursor", &[0; 100]);
    while reader.next().unwrap().is_some() {}
    reader.acknowledge_below(spool.durable());
    reader.save(b"").unwrap();
    drop((spool, reader));
    let (spool, recovery) = Spool::open(model, config()).unwrap();
    assert_eq!((recovery.damaged_cursors, recovery.oldest.0), (vec!["other".to_owned()], 0));
    let mut reader = spool.reader("other").unwrap();
    assert_eq!(reader.next().unwrap().unwrap().content, Content::Record(vec![0; 3000]));
}

#[test]
fn what_lies_in_a_payload_is_not_taken_for_a_record() {
    let inner = Written::new(9);
    let payload = inner.files.iter().find(|(name, _)| is_segment(name)).unwrap().1.clone();
    let model = Model::new(10);
    let (mut spool, _) = Spool::open(model.clone(), config()).unwrap();
    drop(spool.reader(CURSOR).unwrap());
    for payload in [b"before".to_vec(), payload, b"after".to_vec()] {
        spool.append(&payload, 10).unwrap();
    }
    spool.commit().unwrap();
    drop(spool);
    let name = names(&model).into_iter().find(|name| is_segment(name)).unwrap();
    let mut bytes = model.bytes(&name);
    // In the header of the second frame.
    bytes[SEGMENT_HEADER + 64 + 20] ^= 1;
    model.put(&name, &bytes);
    let (spool, _) = Spool::open(model, config()).unwrap();
    let mut reader = spool.reader(CURSOR).unwrap();
    let mut next = || reader.next().unwrap().map(|item| (item.first.0, item.weight, item.content));
    assert_eq!(next(), Some((0, 10, Content::Record(b"before".to_vec()))));
    assert_eq!(next(), Some((1, 10, Content::Damaged { was_durable: false })));
    assert_eq!(next(), Some((2, 10, Content::Record(b"after".to_vec()))));
    assert_eq!(next(), None);
}

#[test]
fn files_of_another_spool_are_set_aside() {
    let (ours, theirs) = (Written::new(20), Written::new(21));
    let model = Model::new(1);
    for (name, bytes) in &ours.files {
        model.put(name, bytes);
    }
    let (foreign, _) = &theirs.segments[1];
    model.put(foreign, &theirs.files.iter().find(|(name, _)| name == foreign).unwrap().1);
    let (spool, recovery) = Spool::open(model.clone(), config()).unwrap();
    assert_eq!(&recovery.set_aside, std::slice::from_ref(foreign));
    assert!(names(&model).contains(&format!("{foreign}.aside")));
    let mut reader = spool.reader(CURSOR).unwrap();
    for (number, record) in ours.records.iter().enumerate() {
        let item = reader.next().unwrap().unwrap();
        assert_eq!((item.first.0 as usize, item.content), (number, Content::Record(record.clone())));
    }
    assert_eq!(reader.next().unwrap(), None);
}

#[test]
fn a_segment_that_is_missing_is_told() {
    let written = Written::new(30);
    let model = Model::new(1);
    let (missing, numbers) = &written.segments[1];
    for (name, bytes) in written.files.iter().filter(|(name, _)| name != missing) {
        model.put(name, bytes);
    }
    let (spool, _) = Spool::open(model, config()).unwrap();
    let mut reader = spool.reader(CURSOR).unwrap();
    let mut lost = None;
    while let Some(item) = reader.next().unwrap() {
        if !matches!(item.content, Content::Record(_)) {
            assert!(lost.is_none() && matches!(item.content, Content::Damaged { .. }), "{item:?}");
            lost = Some((item.first.0 as usize..item.next.0 as usize, item.weight));
        }
    }
    assert_eq!(lost, Some((numbers.clone(), numbers.clone().map(weight).sum())));
}

#[test]
fn a_later_format_is_refused_in_words() {
    let written = Written::new(40);
    for (name, bytes) in &written.files {
        let model = Model::new(1);
        for (name, bytes) in &written.files {
            model.put(name, bytes);
        }
        let mut bytes = bytes.clone();
        // The version follows on eight bytes of magic everywhere; the code is where docs/spool.md says.
        let (begin, coded) = match name.as_str() {
            "spool" => (0, 32),
            name if is_segment(name) => (0, 124),
            // Of a new cursor the second slot is in use.
            _ => (8192, 60),
        };
        bytes[begin + 8] = 2;
        let crc = crc32c::crc32c(&bytes[begin..begin + coded]);
        bytes[begin + coded..][..4].copy_from_slice(&crc.to_le_bytes());
        model.put(name, &bytes);
        let Err(error) = Spool::open(model, config()) else { panic!("{name} is taken") };
        let error = error.to_string();
        assert!(error.contains("format 2") && error.contains(name.as_str()), "{name}: {error}");
    }
}
