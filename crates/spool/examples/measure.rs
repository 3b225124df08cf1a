//! What a spool does in a second, in a directory of one's choice: `cargo xtask bench spool` builds it, runs it, and makes a table of what it prints,
//! one JSON object.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot be made is a panic")]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise};
use rustix::time::{ClockId, clock_gettime};
use syncline_spool::{Config, Content, Disk, GroupCommit, Overflow, Reader, RecordNo, Spool};

const SMALL_BYTES: usize = 256;
const SMALL_PER_COMMIT: usize = 64;
const LARGE_BYTES: usize = 20 << 10;
const REOPENED_BYTES: u64 = 1 << 30;

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(directory), Some(seconds)) = (arguments.next(), arguments.next()) else {
        eprintln!("measure DIRECTORY SECONDS: measures a spool in an empty directory, for so long each");
        std::process::exit(2);
    };
    let directory = PathBuf::from(directory);
    let seconds = seconds.to_str().and_then(|text| text.parse().ok()).map(Duration::from_secs_f64);
    let Some(duration) = seconds.filter(|duration| !duration.is_zero()) else {
        eprintln!("measure: the seconds are to be a number above 0");
        std::process::exit(2);
    };
    let fields = [
        ("bare_small", bare(&directory, SMALL_BYTES * SMALL_PER_COMMIT, duration).json()),
        ("bare_large", bare(&directory, LARGE_BYTES, duration).json()),
        ("commit_small", committed(&directory, SMALL_BYTES, SMALL_PER_COMMIT, duration).json()),
        ("commit_large", committed(&directory, LARGE_BYTES, 1, duration).json()),
        ("group_small", grouped(&directory, SMALL_BYTES, 4096, duration).json()),
        ("group_large", grouped(&directory, LARGE_BYTES, 64, duration).json()),
        ("reopen", reopened(&directory)),
    ];
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    println!("{{{}}}", fields.join(","));
}

/// What was made durable, and how long each acknowledgement took.
struct Outcome {
    records: u64,
    seconds: f64,
    cpu_seconds: f64,
    latencies_us: Vec<u64>,
}

impl Outcome {
    fn json(&mut self) -> String {
        self.latencies_us.sort_unstable();
        let quantile = |share: f64| {
            let rank = (share * self.latencies_us.len() as f64).ceil() as usize;
            self.latencies_us[rank.saturating_sub(1)] as f64 / 1e3
        };
        format!(
            "{{\"records_per_s\":{},\"p50_ms\":{},\"p99_ms\":{},\"cpu_us_per_record\":{}}}",
            self.records as f64 / self.seconds,
            quantile(0.5),
            quantile(0.99),
            self.cpu_seconds * 1e6 / self.records as f64
        )
    }
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// What the disk does by itself: as many bytes written and synced, one after the other, in a file that is there.
fn bare(directory: &Path, bytes: usize, duration: Duration) -> Outcome {
    let path = directory.join("bare");
    let file = File::create(&path).unwrap();
    let size = 64_u64 << 20;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, size).unwrap();
    file.sync_all().unwrap();
    let content = vec![1; bytes];
    let (mut latencies_us, mut offset) = (Vec::new(), 0);
    let (begin, cpu) = (Instant::now(), cpu_seconds());
    while begin.elapsed() < duration {
        let one = Instant::now();
        file.write_all_at(&content, offset).unwrap();
        file.sync_data().unwrap();
        latencies_us.push(microseconds(one.elapsed()));
        offset = (offset + bytes.next_multiple_of(4096) as u64) % (size - bytes as u64);
    }
    let (seconds, cpu_seconds) = (begin.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    std::fs::remove_file(path).unwrap();
    Outcome { records: latencies_us.len() as u64, seconds, cpu_seconds, latencies_us }
}

/// An aggregator's: all of it is read and acknowledged meanwhile.
fn spool(directory: &Path, overflow: Overflow) -> (tempfile::TempDir, Spool<Disk>) {
    let directory = tempfile::tempdir_in(directory).unwrap();
    let config = Config { overflow, max_record_bytes: 1 << 20, ..Config::default() };
    let (spool, _) = Spool::open(Disk::open(directory.path()).unwrap(), config).unwrap();
    (directory, spool)
}

fn records(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 31) as u8).collect()
}

/// One thread that appends so many records and commits them.
fn committed(directory: &Path, bytes: usize, per_commit: usize, duration: Duration) -> Outcome {
    let (_directory, mut spool) = spool(directory, Overflow::DropOldest);
    let record = records(bytes);
    let mut latencies_us = Vec::new();
    let (begin, cpu) = (Instant::now(), cpu_seconds());
    while begin.elapsed() < duration {
        let one = Instant::now();
        for _ in 0..per_commit {
            spool.append(&record, 1).unwrap();
        }
        spool.commit().unwrap();
        latencies_us.push(microseconds(one.elapsed()));
    }
    let (seconds, cpu_seconds) = (begin.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    Outcome { records: (latencies_us.len() * per_commit) as u64, seconds, cpu_seconds, latencies_us }
}

/// Four producers that have so many records on the way, and a consumer that reads and acknowledges all of them.
fn grouped(directory: &Path, bytes: usize, in_flight: usize, duration: Duration) -> Outcome {
    const PRODUCERS: usize = 4;
    let (_directory, spool) = spool(directory, Overflow::Refuse);
    let reader = spool.reader("store").unwrap();
    let group = GroupCommit::start(spool, 64 << 20).unwrap();
    let has_ended = AtomicBool::new(false);
    let (begin, cpu) = (Instant::now(), cpu_seconds());
    std::thread::scope(|scope| {
        // As long as anybody waits for room.
        scope.spawn(|| consume(reader, &has_ended));
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|_| {
                let appender = group.appender();
                scope.spawn(move || produce(&appender, bytes, in_flight / PRODUCERS, begin, duration))
            })
            .collect();
        let produced: Vec<_> = producers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        let (seconds, cpu_seconds) = (begin.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        has_ended.store(true, Ordering::Relaxed);
        let latencies_us: Vec<u64> = produced.into_iter().flat_map(Result::unwrap).collect();
        Outcome { records: latencies_us.len() as u64, seconds, cpu_seconds, latencies_us }
    })
}

fn produce(
    appender: &syncline_spool::Appender,
    bytes: usize,
    in_flight: usize,
    begin: Instant,
    duration: Duration,
) -> Vec<u64> {
    let record = records(bytes);
    let (sender, told) = channel();
    let append = |sender: &Sender<u64>| {
        let (sender, appended) = (sender.clone(), Instant::now());
        let done = move |result: Result<RecordNo, _>| {
            result.unwrap();
            // Nobody waits for the last ones.
            let _ = sender.send(microseconds(appended.elapsed()));
        };
        appender.append(record.clone(), 1, Box::new(done)).unwrap();
    };
    (0..in_flight).for_each(|_| append(&sender));
    let mut latencies_us = Vec::new();
    while begin.elapsed() < duration {
        latencies_us.push(told.recv().unwrap());
        append(&sender);
    }
    latencies_us
}

/// Reads in groups, and moves its cursor after each, as a store's writer does.
fn consume(mut reader: Reader<Disk>, has_ended: &AtomicBool) {
    while !has_ended.load(Ordering::Relaxed) {
        reader.wait(Duration::from_millis(100));
        let mut bytes = 0;
        while bytes < 8 << 20
            && let Some(item) = reader.next().unwrap()
        {
            if let Content::Record(record) = item.content {
                bytes += record.len();
            }
        }
        reader.acknowledge_below(reader.position());
        reader.save(b"note").unwrap();
    }
}

/// A spool of 1 GiB whose pages are not in memory: how long it takes to open, and to read.
fn reopened(directory: &Path) -> String {
    let directory = tempfile::tempdir_in(directory).unwrap();
    let config = Config { max_bytes: 2 * REOPENED_BYTES, max_record_bytes: 1 << 20, ..Config::default() };
    let open = || Spool::open(Disk::open(directory.path()).unwrap(), config.clone()).unwrap().0;
    let mut spool = open();
    drop(spool.reader("store").unwrap());
    let record = records(LARGE_BYTES);
    while spool.status().bytes < REOPENED_BYTES {
        for _ in 0..256 {
            spool.append(&record, 1).unwrap();
        }
        spool.commit().unwrap();
    }
    drop(spool);
    forget(directory.path());
    let begin = Instant::now();
    let spool = open();
    let mut reader = spool.reader("store").unwrap();
    let first = reader.next().unwrap().is_some();
    let opened = begin.elapsed();
    assert!(first);
    let begin = Instant::now();
    let mut bytes = LARGE_BYTES as u64;
    while let Some(item) = reader.next().unwrap() {
        if let Content::Record(record) = item.content {
            bytes += record.len() as u64;
        }
    }
    let read = begin.elapsed();
    format!(
        "{{\"mib\":{},\"open_s\":{},\"read_mib_per_s\":{}}}",
        spool.status().bytes >> 20,
        opened.as_secs_f64(),
        bytes as f64 / f64::from(1 << 20) / read.as_secs_f64()
    )
}

/// Takes the files out of the page cache.
fn forget(directory: &Path) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let file = File::open(entry.unwrap().path()).unwrap();
        file.sync_all().unwrap();
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    }
}
