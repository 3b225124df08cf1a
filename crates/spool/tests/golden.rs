//! A spool as version 1 of the format leaves it on the disk: whoever is updated opens what the version before has left.
//!
//! `SYNCLINE_WRITE_GOLDEN=1 cargo test -p syncline-spool --test golden` writes `golden/1` again, with other nonces. There is one version so far; the
//! next one gets a directory of its own, and this one stays as it is.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use std::fs;
use std::path::{Path, PathBuf};

use syncline_spool::{Config, Content, Disk, RecordNo, Spool};

const NOTE: &[u8] = b"read so far";

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/1")
}

/// Small, so that the records are in several segments.
fn config() -> Config {
    Config { segment_bytes: 4 << 10, max_bytes: 64 << 10, max_record_bytes: 2 << 10, ..Config::default() }
}

/// The records, each with its weight.
fn records() -> Vec<(Vec<u8>, u64)> {
    [0_usize, 1, 16, 1_000, 2_000, 1_500, 7]
        .iter()
        .zip(3..)
        .map(|(length, weight)| (vec![0xa5; *length], weight))
        .collect()
}

fn write(directory: &Path) {
    let _ = fs::remove_dir_all(directory);
    let (mut spool, _) = Spool::open(Disk::open(directory).unwrap(), config()).unwrap();
    let mut reader = spool.reader("uplink").unwrap();
    for (record, weight) in records() {
        spool.append(&record, weight).unwrap();
        spool.commit().unwrap();
    }
    for _ in 0..2 {
        let item = reader.next().unwrap().unwrap();
        reader.acknowledge(item.first);
    }
    reader.save(NOTE).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn a_spool_of_version_1_is_opened_read_and_written() {
    if std::env::var_os("SYNCLINE_WRITE_GOLDEN").is_some_and(|value| value == "1") {
        write(&golden());
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool");
    copy(&golden(), &path);
    let (mut spool, found) = Spool::open(Disk::open(&path).unwrap(), config()).unwrap();
    assert!(found.is_undamaged(), "{found:?}");
    assert_eq!((found.end, found.cursors["uplink"]), (RecordNo(7), RecordNo(2)));
    let mut reader = spool.reader("uplink").unwrap();
    assert_eq!(reader.note(), NOTE);
    for (number, (record, weight)) in (2..).zip(&records()[2..]) {
        let item = reader.next().unwrap().unwrap();
        assert_eq!((item.first, item.weight), (RecordNo(number), *weight));
        assert_eq!(item.content, Content::Record(record.clone()));
    }
    assert_eq!(reader.next().unwrap(), None);
    assert_eq!(spool.append(b"of this version", 1).unwrap(), RecordNo(7));
    spool.commit().unwrap();
    assert_eq!(reader.next().unwrap().unwrap().content, Content::Record(b"of this version".to_vec()));
}
