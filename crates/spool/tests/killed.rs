//! A real process on the real file system is killed again and again: whatever it told to be durable is there, and reading goes on where it was saved.
//!
//! This cannot find a missing sync, since the kernel keeps what a killed process wrote: tests/crashes.rs does that.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use syncline_spool::{Config, Content, Disk, GroupCommit, NOTE_LIMIT, RecordNo, Spool};

/// Makes this test program the process that is killed; the directory.
const DIRECTORY: &str = "SYNCLINE_SPOOL_TEST_DIRECTORY";
const CURSOR: &str = "uplink";
const ROUNDS: u64 = 40;

fn config() -> Config {
    Config { segment_bytes: 64 << 10, max_record_bytes: 16 << 10, max_pending_bytes: 1 << 20, ..Config::default() }
}

/// One line at once, or nothing of it.
fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Writes, reads and tells of it until it is killed.
fn live(directory: &Path) {
    let (spool, _) = Spool::open(Disk::open(directory).unwrap(), config()).unwrap();
    let mut reader = spool.reader(CURSOR).unwrap();
    let group = GroupCommit::start(spool, 256 << 10).unwrap();
    for producer in 0..3_u64 {
        let appender = group.appender();
        thread::spawn(move || {
            for count in 0.. {
                let length = (count * 7919 + producer * 104_729) % 9000;
                let record: Vec<u8> = (0..length).map(|at| (at * 31 + count + producer) as u8).collect();
                let code = crc32c::crc32c(&record);
                let done = move |result: Result<RecordNo, _>| tell(&format!("durable {} {code}", result.unwrap()));
                appender.append(record, 1, Box::new(done)).unwrap();
            }
        });
    }
    loop {
        while !reader.wait(Duration::from_secs(1)) {}
        let mut next = reader.position();
        for _ in 0..20 {
            let Some(item) = reader.next().unwrap() else { break };
            next = item.next;
        }
        // It stays behind, so that there is something to check.
        reader.acknowledge_below(RecordNo(next.0.saturating_sub(100)));
        let saved = reader.acknowledged();
        reader.save(&saved.0.to_le_bytes()).unwrap();
        tell(&format!("saved {saved}"));
    }
}

/// What a process told before it was killed.
#[derive(Default)]
struct Told {
    durable: BTreeMap<u64, u32>,
    saved: u64,
}

impl Told {
    fn line(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["durable", number, code] => {
                self.durable.insert(number.parse().unwrap(), code.parse().unwrap());
            }
            ["saved", next] => self.saved = next.parse().unwrap(),
            // The test program says something of its own at the begin.
            _ => {}
        }
    }

    /// Kills a process when it has told so many lines.
    fn by_one_process(&mut self, directory: &Path, lines: u64) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "--nocapture", "what_a_killed_process_told_is_true"]).env(DIRECTORY, directory);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        let mut seen = 0;
        while out.read_line(&mut line).unwrap() > 0 {
            // The last line may be cut.
            if let Some(whole) = line.strip_suffix('\n') {
                self.line(whole);
            }
            line.clear();
            seen += 1;
            if seen == lines {
                process.kill().unwrap();
            }
        }
        assert!(seen >= lines, "it ended by itself: {:?}", process.wait());
        process.wait().unwrap();
    }

    /// All of it is there, and nobody else's.
    fn check(&self, directory: &Path) -> u64 {
        let (spool, recovery) = Spool::open(Disk::open(directory).unwrap(), config()).unwrap();
        assert!(recovery.is_undamaged(), "{recovery:?}");
        let mut reader = spool.reader(CURSOR).unwrap();
        assert!(reader.saved().0 >= self.saved);
        assert!(reader.note().len() <= NOTE_LIMIT);
        assert!(reader.note().is_empty() || reader.note() == reader.saved().0.to_le_bytes());
        let (mut next, mut checked) = (reader.saved().0, 0);
        while let Some(item) = reader.next().unwrap() {
            assert_eq!(item.first.0, next);
            next = item.next.0;
            match (self.durable.get(&item.first.0), item.content) {
                (Some(code), Content::Record(record)) => {
                    assert_eq!(crc32c::crc32c(&record), *code);
                    checked += 1;
                }
                (None, Content::Record(_)) => {}
                (_, other) => panic!("{} to {}: {other:?}", item.first, item.next),
            }
        }
        assert!(self.durable.keys().next_back().is_none_or(|last| *last < next));
        checked
    }
}

#[test]
fn what_a_killed_process_told_is_true() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return live(Path::new(&directory));
    }
    let directory = tempfile::tempdir().unwrap();
    let (mut told, mut checked) = (Told::default(), 0);
    for round in 0..ROUNDS {
        told.by_one_process(directory.path(), 4 + round * 17 % 100);
        checked += told.check(directory.path());
    }
    assert!(told.durable.len() > 500 && checked > 100, "{} told, {checked} checked", told.durable.len());
    println!("{ROUNDS} kills, {} records told, {checked} of them read again", told.durable.len());
}
