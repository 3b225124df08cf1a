//! A spool on the real file system, as its users meet it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use std::path::Path;
use std::time::Duration;

use syncline_spool::{Config, Content, Disk, Error, Overflow, Reader, RecordNo, Recovery, Spool};

fn config() -> Config {
    Config { segment_bytes: 16 << 10, max_bytes: 64 << 10, max_record_bytes: 8 << 10, ..Config::default() }
}

fn open(path: &Path, config: Config) -> (Spool<Disk>, Recovery) {
    Spool::open(Disk::open(path).unwrap(), config).unwrap()
}

fn record(number: u64, bytes: usize) -> Vec<u8> {
    number.to_le_bytes().into_iter().cycle().take(bytes).collect()
}

/// Appends and commits records of these numbers, each as heavy as its number.
fn commit(spool: &mut Spool<Disk>, numbers: std::ops::Range<u64>, bytes: usize) {
    for number in numbers {
        assert_eq!(spool.append(&record(number, bytes), number).unwrap(), RecordNo(number));
    }
    spool.commit().unwrap();
}

/// Reads everything, and gives the numbers; each record has to be what was appended.
fn read_all(reader: &mut Reader<Disk>, bytes: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Some(item) = reader.next().unwrap() {
        assert_eq!((item.content, item.weight), (Content::Record(record(item.first.0, bytes)), item.first.0));
        numbers.push(item.first.0);
    }
    numbers
}

#[test]
fn what_is_committed_is_read_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/spool");
    let (mut spool, recovery) = open(&path, config());
    assert_eq!(recovery, Recovery::default());
    let mut reader = spool.reader("uplink").unwrap();
    assert!(spool.append(&record(0, 100), 0).is_ok());
    assert_eq!(reader.next().unwrap(), None, "it is not durable yet");
    assert!(!reader.wait(Duration::ZERO));
    spool.commit().unwrap();
    assert!(reader.wait(Duration::MAX));
    commit(&mut spool, 1..100, 100);
    assert_eq!(read_all(&mut reader, 100), (0..100).collect::<Vec<_>>());
    reader.acknowledge_below(RecordNo(40));
    reader.save(b"note").unwrap();
    drop((spool, reader));

    let (mut spool, recovery) = open(&path, config());
    assert_eq!((recovery.end, recovery.torn_bytes, recovery.is_undamaged()), (RecordNo(100), 0, true));
    assert_eq!(recovery.cursors["uplink"], RecordNo(40));
    let mut reader = spool.reader("uplink").unwrap();
    assert_eq!(reader.note(), b"note");
    commit(&mut spool, 100..120, 100);
    assert_eq!(read_all(&mut reader, 100), (40..120).collect::<Vec<_>>());
}

#[test]
fn a_second_process_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path(), config());
    let error = Spool::open(Disk::open(dir.path()).unwrap(), config()).unwrap_err();
    assert!(error.to_string().contains("in use by another process"), "{error}");
    drop(spool);
    open(dir.path(), config());
}

#[test]
fn acknowledgements_may_come_in_any_order() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(dir.path(), config());
    commit(&mut spool, 0..6, 10);
    let mut reader = spool.reader("uplink").unwrap();
    read_all(&mut reader, 10);
    assert!(reader.acknowledge(RecordNo(0)) && reader.acknowledge(RecordNo(3)) && reader.acknowledge(RecordNo(4)));
    assert!(!reader.acknowledge(RecordNo(3)) && !reader.acknowledge(RecordNo(0)) && !reader.acknowledge(RecordNo(77)));
    reader.save(b"").unwrap();
    assert_eq!(reader.saved(), RecordNo(1));
    reader.rewind();
    assert_eq!(read_all(&mut reader, 10), [1, 2, 5]);
    assert_eq!(reader.outstanding(), 5);
    assert!(reader.acknowledge(RecordNo(1)) && reader.acknowledge(RecordNo(2)));
    reader.save(b"").unwrap();
    assert_eq!((reader.saved(), reader.outstanding()), (RecordNo(5), 1));
}

#[test]
fn segments_that_every_cursor_has_behind_it_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(dir.path(), config());
    let mut uplink = spool.reader("uplink").unwrap();
    let mut other = spool.reader("other").unwrap();
    commit(&mut spool, 0..40, 1000);
    assert_eq!(spool.status().segments, 3);
    read_all(&mut uplink, 1000);
    uplink.acknowledge_below(RecordNo(40));
    uplink.save(b"").unwrap();
    assert_eq!(spool.status().segments, 3);
    read_all(&mut other, 1000);
    other.acknowledge_below(RecordNo(20));
    other.save(b"").unwrap();
    assert_eq!(spool.status().segments, 2);
    assert!(matches!(spool.remove_cursor("other"), Err(Error::CursorInUse(_))));
    drop(other);
    spool.remove_cursor("other").unwrap();
    assert_eq!(spool.status().segments, 1);
    let segments = || {
        std::fs::read_dir(dir.path())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().ends_with(".segment"))
    };
    assert_eq!(segments().count(), 1);
}

#[test]
fn the_oldest_are_dropped_and_that_is_told_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(dir.path(), config());
    let mut reader = spool.reader("uplink").unwrap();
    let mut told = 0;
    for number in 0..200 {
        commit(&mut spool, number..number + 1, 1000);
        assert!(spool.status().bytes <= config().max_bytes);
    }
    drop((spool, reader));
    let (spool, _) = open(dir.path(), config());
    reader = spool.reader("uplink").unwrap();
    let dropped = reader.next().unwrap().unwrap();
    assert_eq!((dropped.first, &dropped.content), (RecordNo(0), &Content::Dropped));
    assert_eq!(dropped.weight, (0..dropped.next.0).sum::<u64>());
    told += dropped.records();
    let read = read_all(&mut reader, 1000);
    assert_eq!(read, (told..200).collect::<Vec<_>>());
    // It is told again until it is acknowledged, and never after that.
    reader.rewind();
    assert_eq!(reader.next().unwrap().unwrap(), dropped);
    assert!(reader.acknowledge(RecordNo(0)));
    reader.save(b"").unwrap();
    drop(reader);
    assert_eq!(read_all(&mut spool.reader("uplink").unwrap(), 1000), (told..200).collect::<Vec<_>>());
}

#[test]
fn what_may_not_be_dropped_makes_the_writer_wait() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(dir.path(), Config { overflow: Overflow::Refuse, ..config() });
    let mut reader = spool.reader("store").unwrap();
    let mut appended = 0;
    let error = loop {
        spool.append(&record(appended, 1000), appended).unwrap();
        appended += 1;
        if let Err(error) = spool.commit() {
            break error;
        }
    };
    assert!(matches!(error, Error::Full { .. }) && error.is_transient(), "{error}");
    assert_eq!(read_all(&mut reader, 1000), (0..appended - 1).collect::<Vec<_>>());
    reader.acknowledge_below(RecordNo(30));
    reader.save(b"").unwrap();
    assert_eq!(spool.commit().unwrap(), RecordNo(appended));
    assert_eq!(read_all(&mut reader, 1000), [appended - 1]);
}

#[test]
fn a_limit_may_be_lowered() {
    for overflow in [Overflow::DropOldest, Overflow::Refuse] {
        let dir = tempfile::tempdir().unwrap();
        let large = Config { max_record_bytes: 1 << 20, max_bytes: 8 << 20, ..config() };
        let (mut spool, _) = open(dir.path(), large);
        drop(spool.reader("uplink").unwrap());
        commit(&mut spool, 0..1, 1 << 20);
        drop(spool);
        let lowered = Config { overflow, ..config() };
        let (mut spool, _) = open(dir.path(), lowered.clone());
        let mut reader = spool.reader("uplink").unwrap();
        // The one segment holds the numbers, so it may not go before there is another one.
        commit(&mut spool, 1..2, 8 << 10);
        assert!(spool.status().bytes > lowered.max_bytes);
        for number in 2..4 {
            spool.append(&record(number, 8 << 10), number).unwrap();
        }
        match overflow {
            Overflow::DropOldest => {
                spool.commit().unwrap();
                let item = reader.next().unwrap().unwrap();
                assert_eq!((item.records(), item.content), (1, Content::Dropped));
            }
            Overflow::Refuse => {
                assert!(matches!(spool.commit(), Err(Error::Full { .. })));
                assert_eq!(reader.next().unwrap().unwrap().content, Content::Record(record(0, 1 << 20)));
                reader.acknowledge(RecordNo(0));
                reader.save(b"").unwrap();
                spool.commit().unwrap();
            }
        }
        assert!(spool.status().bytes <= lowered.max_bytes);
        assert_eq!(read_all(&mut reader, 8 << 10), [1, 2, 3]);
    }
}

#[test]
fn large_records_have_segments_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let large = Config { max_record_bytes: 1 << 20, max_bytes: 8 << 20, ..config() };
    let (mut spool, _) = open(dir.path(), large.clone());
    for (number, bytes) in [10, 1 << 20, 20, 0, 300_000].into_iter().enumerate() {
        spool.append(&record(number as u64, bytes), 1).unwrap();
    }
    let error = spool.append(&vec![0; (1 << 20) + 1], 1).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    spool.commit().unwrap();
    drop(spool);
    let (spool, _) = open(dir.path(), large);
    let mut reader = spool.reader("uplink").unwrap();
    let mut lengths = Vec::new();
    while let Some(item) = reader.next().unwrap() {
        let Content::Record(payload) = item.content else { panic!("{item:?}") };
        assert_eq!(payload, record(item.first.0, payload.len()));
        lengths.push(payload.len());
    }
    assert_eq!(lengths, [10, 1 << 20, 20, 0, 300_000]);
}

#[test]
fn wrong_use_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |config| Spool::open(Disk::open(dir.path()).unwrap(), config).unwrap_err().to_string();
    assert!(refused(Config { segment_bytes: 10, ..config() }).contains("segment_bytes"));
    assert!(refused(Config { max_bytes: 1 << 10, ..config() }).contains("max_bytes"));
    assert!(refused(Config { max_pending_bytes: 1 << 10, ..config() }).contains("max_pending_bytes"));
    let (mut spool, _) = open(dir.path(), Config { max_pending_bytes: 9 << 10, ..config() });
    assert!(matches!(spool.reader("Up/Link"), Err(Error::CursorName(_))));
    let mut reader = spool.reader("uplink").unwrap();
    assert!(matches!(spool.reader("uplink"), Err(Error::CursorInUse(_))));
    assert!(matches!(reader.save(&[0; 4097]), Err(Error::Note { .. })));
    spool.append(&[0; 8 << 10], 1).unwrap();
    assert!(matches!(spool.append(&[0; 8 << 10], 1), Err(Error::Pending { .. })));
    spool.commit().unwrap();
    spool.append(&[0; 8 << 10], 1).unwrap();
    spool.discard_pending();
    assert_eq!(spool.append(&[0; 8 << 10], 1).unwrap(), RecordNo(1));
}
