//! Each step of each piece of work fails once, in each way; and for a while. Nothing is acknowledged that is not durable, and it recovers by itself.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod support;

use std::io::ErrorKind;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use support::model::{Fault, Model, Step};
use syncline_spool::{Config, Content, Error, GroupCommit, Reader, RecordNo, Spool};

const CHANGES: [Step; 7] =
    [Step::Create, Step::Write, Step::Allocate, Step::SetLen, Step::Sync, Step::Remove, Step::SyncDirectory];
const KINDS: [ErrorKind; 3] = [ErrorKind::Other, ErrorKind::StorageFull, ErrorKind::ReadOnlyFilesystem];
/// In which it has to recover after a fault.
const RECOVERED: Duration = Duration::from_secs(5);

fn config() -> Config {
    Config {
        segment_bytes: 4096,
        max_bytes: 16 << 10,
        max_record_bytes: 4000,
        max_pending_bytes: 64 << 10,
        ..Config::default()
    }
}

fn record(number: u64) -> Vec<u8> {
    vec![number as u8; 700]
}

fn open(model: &Model) -> Result<(Spool<Model>, Reader<Model>), Error> {
    let (spool, found) = Spool::open(model.clone(), config())?;
    // What a crash alone does is no damage.
    assert!(found.is_undamaged(), "{found:?}");
    let reader = spool.reader("uplink")?;
    Ok((spool, reader))
}

/// Everything from the cursor on; dropped and all. Fails where a record is not what it was, or below `durable` and not there.
fn read_all(reader: &mut Reader<Model>, durable: u64, what: &str) {
    let mut next = reader.saved().0;
    while let Some(item) = reader.next().unwrap() {
        assert_eq!(item.first.0, next, "{what}");
        match item.content {
            Content::Record(payload) => assert_eq!(payload, record(next), "{what}"),
            Content::Dropped => {}
            Content::Damaged { .. } => assert!(item.first.0 >= durable, "{what}: {item:?}"),
        }
        next = item.next.0;
    }
    assert!(next >= durable, "{what}: {next} of {durable}");
    reader.rewind();
}

/// Opens, commits 30 records over several segments, reads, saves; stops at the first failure, and gives what was durable then.
fn work(model: &Model, durable: &mut u64) -> Result<(), Error> {
    let (mut spool, mut reader) = open(model)?;
    for number in spool.durable().0..30 {
        spool.append(&record(number), 1)?;
        let committed = spool.commit();
        *durable = spool.durable().0;
        assert!(committed.is_err() || *durable == number + 1);
        committed?;
        if number % 7 == 6 {
            let item = reader.next()?.unwrap();
            assert!(reader.acknowledge(item.first));
            reader.save(b"note")?;
        }
    }
    Ok(())
}

#[test]
fn any_one_step_may_fail() {
    let mut failures = 0;
    for kind in KINDS {
        for at in 0.. {
            let model = Model::new(at);
            let (what, mut durable) = (format!("{kind:?} at step {at}"), 0);
            model.fail_at(at, kind);
            let failed = match work(&model, &mut durable) {
                Ok(()) if !model.has_failed() => break,
                result => result,
            };
            // Only what may fail for now: nothing that makes a caller give up.
            assert!(failed.as_ref().err().is_none_or(Error::is_transient), "{what}: {failed:?}");
            failures += 1;
            // The same process goes on, or the power goes as well.
            if at % 2 == 0 {
                model.kill();
            } else {
                model.crash();
            }
            let (spool, mut reader) = open(&model).unwrap();
            assert!(spool.durable().0 >= durable, "{what}");
            read_all(&mut reader, durable, &what);
            drop((spool, reader));
            work(&model, &mut durable).unwrap();
            read_all(&mut open(&model).unwrap().1, 30, &what);
        }
    }
    assert!(failures > 100, "{failures}");
}

#[test]
fn the_power_may_go_while_it_is_made() {
    for seed in 0..1_000 {
        let model = Model::new(seed);
        model.set_power(Some(seed % 12));
        drop(open(&model));
        model.crash();
        // `open` says that this is no damage.
        drop(open(&model).unwrap());
        let names = syncline_spool::Storage::list(&model).unwrap();
        assert!(!names.iter().any(|name| name.ends_with(".new")), "seed {seed}: {names:?}");
    }
}

#[test]
fn a_failed_sync_is_never_asked_again() {
    let model = Model::new(1);
    let (mut spool, mut reader) = open(&model).unwrap();
    spool.append(&record(0), 1).unwrap();
    spool.commit().unwrap();
    let segments = spool.status().segments;
    spool.append(&record(1), 1).unwrap();
    model.set_fault(Some(Fault { steps: vec![Step::Sync], kind: ErrorKind::Other, one_in: 1 }));
    assert!(matches!(spool.commit(), Err(Error::Io { .. })));
    assert_eq!(spool.durable(), RecordNo(1));
    model.set_fault(None);
    assert_eq!(spool.commit().unwrap(), RecordNo(2));
    assert_eq!(spool.status().segments, segments + 1, "another segment");
    read_all(&mut reader, 2, "in the same process");
}

#[test]
fn a_full_disk_is_opened_and_read_and_its_cursors_move() {
    for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
        let model = Model::new(1);
        work(&model, &mut 0).unwrap();
        model.crash();
        // Nothing new finds room; what is there can be written again.
        let steps = vec![Step::Create, Step::Allocate];
        model.set_fault(Some(Fault { steps, kind, one_in: 1 }));
        let (mut spool, mut reader) = open(&model).unwrap();
        read_all(&mut reader, 30, "full");
        while reader.next().unwrap().is_some() {}
        reader.acknowledge_below(RecordNo(30));
        reader.save(b"").unwrap();
        assert_eq!(reader.saved(), RecordNo(30));
        spool.append(&record(30), 1).unwrap();
        assert!(matches!(spool.commit(), Err(Error::Io { .. })));
        model.set_fault(None);
        spool.commit().unwrap();
        read_all(&mut reader, 31, "room again");
    }
}

#[test]
fn a_place_that_cannot_be_read_is_told_and_passed() {
    let model = Model::new(1);
    work(&model, &mut 0).unwrap();
    let (_spool, mut reader) = open(&model).unwrap();
    model.set_fault(Some(Fault { steps: vec![Step::Read], kind: ErrorKind::Other, one_in: 1 }));
    // What was dropped is known without reading.
    assert_eq!(reader.next().unwrap().unwrap().content, Content::Dropped);
    for _ in 0..4 {
        assert!(matches!(reader.next(), Err(Error::Io { .. })));
    }
    let given_up = reader.next().unwrap().unwrap();
    assert_eq!(given_up.content, Content::Damaged { was_durable: false });
    assert_eq!(given_up.weight, given_up.records());
    model.set_fault(None);
    let after = reader.next().unwrap().unwrap();
    assert_eq!((after.first, after.content), (given_up.next, Content::Record(record(given_up.next.0))));
    reader.rewind();
    read_all(&mut reader, 30, "rewound");
    // While it fails for a moment nothing is lost.
    assert_eq!(reader.next().unwrap().unwrap().content, Content::Dropped);
    model.set_fault(Some(Fault { steps: vec![Step::Read], kind: ErrorKind::Other, one_in: 1 }));
    assert!(reader.next().is_err());
    model.set_fault(None);
    assert_eq!(reader.next().unwrap().unwrap().content, Content::Record(record(given_up.first.0)));
}

#[test]
fn what_cannot_be_removed_counts() {
    let model = Model::new(1);
    let (mut spool, _) = open(&model).unwrap();
    spool.append(&record(0), 1).unwrap();
    spool.commit().unwrap();
    spool.append(&record(1), 1).unwrap();
    let steps = vec![Step::Remove, Step::Sync];
    model.set_fault(Some(Fault { steps, kind: ErrorKind::Other, one_in: 1 }));
    for _ in 0..10 {
        assert!(spool.commit().is_err());
        let names = syncline_spool::Storage::list(&model).unwrap().into_iter();
        let held: usize = names.filter(|name| name.ends_with(".segment")).map(|name| model.bytes(&name).len()).sum();
        assert!(held as u64 <= config().max_bytes, "{held}");
        assert!(held as u64 <= spool.status().bytes);
    }
    model.set_fault(None);
    spool.commit().unwrap();
}

#[test]
fn a_cursor_that_could_not_be_removed_is_removed_the_next_time() {
    for step in [Step::Remove, Step::SyncDirectory] {
        let model = Model::new(1);
        let (spool, reader) = open(&model).unwrap();
        drop(reader);
        model.set_fault(Some(Fault { steps: vec![step], kind: ErrorKind::Other, one_in: 1 }));
        assert!(matches!(spool.remove_cursor("uplink"), Err(Error::Io { .. })));
        model.set_fault(None);
        spool.remove_cursor("uplink").unwrap();
        drop(spool);
        model.crash();
        let (_, found) = Spool::open(model.clone(), config()).unwrap();
        assert!(found.cursors.is_empty() && found.is_undamaged(), "{step:?}: {found:?}");
    }
}

#[test]
fn a_group_commit_recovers_by_itself() {
    for kind in KINDS {
        for steps in CHANGES.iter().map(|step| vec![*step]).chain([CHANGES.to_vec()]) {
            let what = format!("{kind:?} of {steps:?}");
            let model = Model::new(7);
            let (spool, mut reader) = open(&model).unwrap();
            let group = GroupCommit::start(spool, 32 << 10).unwrap();
            let appender = group.appender();
            let (sender, told) = channel();
            model.set_fault(Some(Fault { steps, kind, one_in: 1 }));
            for number in 0..20 {
                let sender = sender.clone();
                let done = Box::new(move |result| sender.send(result).unwrap());
                appender.append(record(number), 1, done).unwrap();
            }
            // Removing and cutting off is not needed for that, or not always.
            while appender.trouble().is_none() && group.status().end < RecordNo(20) {
                std::thread::yield_now();
            }
            model.set_fault(None);
            let cleared = Instant::now();
            while group.status().end < RecordNo(20) {
                assert!(cleared.elapsed() < RECOVERED, "{what}: {:?}", appender.trouble());
                std::thread::yield_now();
            }
            group.close().unwrap();
            assert!(told.try_iter().all(|result| result.is_ok()), "{what}");
            model.crash();
            drop(reader);
            reader = open(&model).unwrap().1;
            read_all(&mut reader, 20, &what);
        }
    }
}
