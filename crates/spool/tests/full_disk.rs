//! A real file system that is full, and one that may only be read.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use syncline_spool::{Config, Content, Disk, Error, GroupCommit, RecordNo, Spool};

/// In which it has to recover after there is room.
const RECOVERED: Duration = Duration::from_secs(5);
const RECORD_BYTES: usize = 16 << 10;

fn config() -> Config {
    Config {
        segment_bytes: 64 << 10,
        max_record_bytes: RECORD_BYTES as u32,
        max_pending_bytes: 1 << 20,
        ..Config::default()
    }
}

/// A mounted file system of a few MiB.
struct Mounted {
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Mounted {
    /// None, in words, where that is not possible.
    fn new(kind: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root may mount a small disk");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let (path, image) = (directory.path().join("mounted"), directory.path().join("image"));
        std::fs::create_dir(&path).unwrap();
        File::create(&image).unwrap().set_len(16 << 20).unwrap();
        let is_there = match kind {
            "tmpfs" => run("mount", &["-t", "tmpfs", "-o", "size=4m", "none"], &[&path]),
            _ => run(&format!("mkfs.{kind}"), &["-q"], &[&image]) && run("mount", &["-o", "loop"], &[&image, &path]),
        };
        if !is_there {
            println!("skipped: a small {kind} cannot be made and mounted here");
            return None;
        }
        Some(Self { path, _directory: directory })
    }

    fn remount(&self, how: &str) -> bool {
        run("mount", &["-o", &format!("remount,{how}")], &[&self.path])
    }

    /// Leaves no room for anything.
    fn fill(&self) -> PathBuf {
        let path = self.path.join("filler");
        let mut file = File::create(&path).unwrap();
        for bytes in [64 << 10, 4 << 10, 1] {
            while file.write_all(&vec![1; bytes]).and_then(|()| file.sync_all()).is_ok() {}
        }
        path
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &[], &[&self.path]);
    }
}

fn run(program: &str, options: &[&str], paths: &[&Path]) -> bool {
    Command::new(program).args(options).args(paths).output().is_ok_and(|output| output.status.success())
}

fn open(path: &Path) -> Result<Spool<Disk>, Error> {
    Ok(Spool::open(
        Disk::open(&path.join("spool")).map_err(|source| Error::Io {
            action: "open",
            name: "the directory".to_owned(),
            source,
        })?,
        config(),
    )?
    .0)
}

fn record(number: u64) -> Vec<u8> {
    vec![number as u8; RECORD_BYTES]
}

fn look_at(kind: &str) {
    let Some(disk) = Mounted::new(kind) else { return };
    let spool = open(&disk.path).unwrap();
    let mut reader = spool.reader("uplink").unwrap();
    let group = GroupCommit::start(spool, 512 << 10).unwrap();
    let appender = group.appender();
    let (sender, told) = channel();
    let append = |number: u64| {
        let sender = sender.clone();
        appender.append(record(number), 1, Box::new(move |result| sender.send(result).unwrap())).unwrap();
    };
    append(0);
    assert_eq!(told.recv().unwrap(), Ok(RecordNo(0)));
    let filler = disk.fill();
    // More than the segment has room for.
    (1..8).for_each(append);
    while appender.trouble().is_none() {
        std::thread::yield_now();
    }
    let trouble = appender.trouble().unwrap().message;
    assert!(trouble.contains("No space left"), "{trouble}");
    // What is durable is read, and its cursor moves.
    assert_eq!(reader.next().unwrap().unwrap().content, Content::Record(record(0)));
    assert!(reader.acknowledge(RecordNo(0)));
    reader.save(b"full").unwrap();
    let durable = group.status().end;
    std::fs::remove_file(filler).unwrap();
    let cleared = Instant::now();
    while group.status().end < RecordNo(8) {
        assert!(cleared.elapsed() < RECOVERED, "{:?}", appender.trouble());
        std::thread::yield_now();
    }
    println!("{kind}: {durable} durable while it was full, all {:?} after", cleared.elapsed());
    drop((group.close().unwrap(), reader));
    assert!(told.try_iter().all(|result| result.is_ok()));
    // A spool that may only be read is refused, and taken when it may be written again.
    assert!(disk.remount("ro"));
    let error = open(&disk.path).unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("Read-only"), "{error}");
    assert!(disk.remount("rw"));
    let spool = open(&disk.path).unwrap();
    let mut reader = spool.reader("uplink").unwrap();
    assert_eq!(reader.note(), b"full");
    for number in 1..8 {
        assert_eq!(reader.next().unwrap().unwrap().content, Content::Record(record(number)));
    }
    assert_eq!(reader.next().unwrap(), None);
}

#[test]
fn a_full_tmpfs() {
    look_at("tmpfs");
}

#[test]
fn a_full_ext4() {
    look_at("ext4");
}
