//! Many producers on the real file system.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use std::sync::mpsc::{Receiver, channel};
use std::thread;

use syncline_spool::{Config, Content, Disk, Done, GroupCommit, NotDurable, Overflow, Reason, RecordNo, Spool};

fn config() -> Config {
    Config {
        segment_bytes: 64 << 10,
        max_bytes: 256 << 10,
        max_record_bytes: 4 << 10,
        max_pending_bytes: 64 << 10,
        overflow: Overflow::Refuse,
    }
}

fn open(dir: &tempfile::TempDir) -> Spool<Disk> {
    Spool::open(Disk::open(dir.path()).unwrap(), config()).unwrap().0
}

fn told() -> (Done, Receiver<Result<RecordNo, NotDurable>>) {
    let (sender, receiver) = channel();
    (Box::new(move |result| drop(sender.send(result))), receiver)
}

#[test]
fn each_producer_is_told_of_each_record_in_its_order() {
    let dir = tempfile::tempdir().unwrap();
    let group = GroupCommit::start(open(&dir), 64 << 10).unwrap();
    let produce = |producer: u8| {
        let appender = group.appender();
        move || {
            let results: Vec<_> = (0..50_u8)
                .map(|index| {
                    let (done, result) = told();
                    appender.append(vec![producer, index], 1, done).unwrap();
                    result
                })
                .collect();
            results.into_iter().map(|result| result.recv().unwrap().unwrap()).collect::<Vec<_>>()
        }
    };
    let numbers: Vec<Vec<RecordNo>> = thread::scope(|scope| {
        let producers: Vec<_> = (0..8).map(|producer| scope.spawn(produce(producer))).collect();
        producers.into_iter().map(|producer| producer.join().unwrap()).collect()
    });
    let spool = group.close().unwrap();
    let mut reader = spool.reader("store").unwrap();
    let mut seen = 0;
    while let Some(item) = reader.next().unwrap() {
        let Content::Record(record) = item.content else { panic!("{item:?}") };
        assert_eq!(numbers[usize::from(record[0])][usize::from(record[1])], item.first);
        seen += 1;
    }
    assert_eq!(seen, 400);
    assert!(numbers.iter().all(|numbers| numbers.is_sorted()));
}

#[test]
fn the_queue_is_bounded_and_refuses_what_cannot_be() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(&dir);
    let error = GroupCommit::start(open(&tempfile::tempdir().unwrap()), 1 << 10).unwrap_err();
    assert!(error.to_string().contains("1024"), "{error}");
    let mut reader = spool.reader("store").unwrap();
    let group = GroupCommit::start(spool, 16 << 10).unwrap();
    let appender = group.appender();
    let (done, _) = told();
    assert_eq!(appender.try_append(vec![0; 5 << 10], 1, done).unwrap_err().reason, Reason::TooLarge);
    // Nobody reads: the spool becomes full, and then the queue.
    let mut results = Vec::new();
    let refused = loop {
        let (done, result) = told();
        match appender.try_append(vec![0; 4 << 10], 1, done) {
            Ok(()) => results.push(result),
            Err(_) if appender.trouble().is_none() => thread::yield_now(),
            Err(refused) => break refused,
        }
    };
    assert_eq!((refused.reason, refused.record.len()), (Reason::Busy, 4 << 10));
    assert!(appender.waiting_bytes() <= 16 << 10);
    assert!(appender.trouble().unwrap().message.contains("full"));
    // Who reads makes room.
    let (sender, room) = channel();
    appender.when_room(Box::new(move || sender.send(()).unwrap()));
    while reader.next().unwrap().is_some() {}
    reader.acknowledge_below(RecordNo(u64::MAX));
    reader.save(b"").unwrap();
    room.recv().unwrap();
    appender.append(refused.record, 1, refused.done).unwrap();
    for (index, result) in results.into_iter().enumerate() {
        assert_eq!(result.recv().unwrap().unwrap(), RecordNo(index as u64));
    }
    group.close().unwrap();
    let (done, _) = told();
    assert_eq!(appender.append(vec![0], 1, done).unwrap_err().reason, Reason::Closed);
}

#[test]
fn what_cannot_be_made_durable_before_the_end_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(&dir);
    let _reader = spool.reader("store").unwrap();
    let group = GroupCommit::start(spool, 16 << 10).unwrap();
    let appender = group.appender();
    let mut results = Vec::new();
    while appender.trouble().is_none() {
        let (done, result) = told();
        if appender.try_append(vec![0; 4 << 10], 1, done).is_ok() {
            results.push(result);
        }
    }
    let spool = group.close().unwrap();
    let told: Vec<_> = results.into_iter().map(|result| result.recv().unwrap()).collect();
    let durable = told.iter().take_while(|result| result.is_ok()).count();
    assert_eq!(spool.durable(), RecordNo(durable as u64));
    assert!(durable < told.len() && told[durable..].iter().all(Result::is_err));
}

#[test]
fn a_callback_that_panics_ends_it_and_everybody_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let group = GroupCommit::start(open(&dir), 64 << 10).unwrap();
    let appender = group.appender();
    let (first, is_there) = channel::<()>();
    let (go, may_go) = channel::<()>();
    let done: Done = Box::new(move |_| {
        first.send(()).unwrap();
        may_go.recv().unwrap();
    });
    appender.append(vec![0], 1, done).unwrap();
    is_there.recv().unwrap();
    // These are one group, and the next one is in the queue by the time that the callback of the group's first record panics.
    let (late, later) = (appender.clone(), told());
    let done: Done = Box::new(move |_| {
        late.append(vec![2], 1, later.0).unwrap();
        panic!("of the test");
    });
    appender.append(vec![1], 1, done).unwrap();
    let (same_group, told_of_it) = told();
    appender.append(vec![1], 1, same_group).unwrap();
    let again: Done = Box::new(|_| panic!("of the test, again"));
    appender.append(vec![1], 1, again).unwrap();
    let (last, told_of_last) = told();
    appender.append(vec![1], 1, last).unwrap();
    go.send(()).unwrap();
    for result in [told_of_it, told_of_last, later.1] {
        assert!(result.recv().unwrap().unwrap_err().to_string().contains("panicked"));
    }
    let (done, _) = told();
    assert_eq!(appender.append(vec![0], 1, done).unwrap_err().reason, Reason::Closed);
    assert!(group.close().unwrap_err().to_string().contains("panicked"));
}

#[test]
fn who_reads_while_the_oldest_go_misses_nothing_untold() {
    const RECORDS: u64 = 400;
    let dir = tempfile::tempdir().unwrap();
    let small = Config { segment_bytes: 16 << 10, max_bytes: 48 << 10, overflow: Overflow::DropOldest, ..config() };
    let (spool, _) = Spool::open(Disk::open(dir.path()).unwrap(), small).unwrap();
    let mut reader = spool.reader("uplink").unwrap();
    let group = GroupCommit::start(spool, 16 << 10).unwrap();
    let appender = group.appender();
    let (records, dropped) = thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..RECORDS {
                let done: Done = Box::new(|result| assert!(result.is_ok()));
                appender.append(number.to_le_bytes().repeat(200), number, done).unwrap();
            }
        });
        // It begins late, so that there is something to miss.
        while group.status().dropped_segments == 0 {
            thread::yield_now();
        }
        let (mut next, mut records, mut dropped) = (0, 0, 0);
        while next < RECORDS {
            reader.wait(std::time::Duration::from_secs(1));
            let Some(item) = reader.next().unwrap() else { continue };
            assert_eq!(item.first, RecordNo(next));
            assert_eq!(item.weight, (next..item.next.0).sum::<u64>());
            match item.content {
                Content::Record(record) => {
                    assert_eq!(record, next.to_le_bytes().repeat(200));
                    records += 1;
                    // Read again: what was in flight may be dropped, and never before it was.
                    if records % 50 == 0 {
                        reader.rewind();
                        next = reader.position().0;
                        continue;
                    }
                }
                Content::Dropped => dropped += item.records(),
                Content::Damaged { .. } => panic!("{item:?}"),
            }
            next = item.next.0;
            if next.is_multiple_of(7) {
                reader.acknowledge_below(item.next);
                reader.save(b"").unwrap();
            }
        }
        (records, dropped)
    });
    assert!(records > 0 && dropped > 0, "{records} records read, {dropped} dropped");
    assert_eq!(group.close().unwrap().status().weight, (0..RECORDS).sum::<u64>());
}
