//! The spool between a queue and an aggregator: kills, disks that fail, and more batches than there is room for. No eBPF in it; whole_agent.rs
//! has the real program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod fake;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fake::{Answer, Arrival, Fake, eventually};
use support::small_disk::SmallDisk;
use syncline_agent::clock::Clocks;
use syncline_agent::queue::{BatchId, Entry, Queue, SharedQueue};
use syncline_agent::spooling::{Opened, Spooling};
use syncline_agent::uplink::Uplink;
use syncline_spool::{Config, Overflow};
use syncline_timebase::BootId;
use tokio::runtime::{Builder, Runtime};

/// Makes this test program the agent that is killed: its spool, and the aggregator.
const CHILD: &str = "SYNCLINE_AGENT_TEST_CHILD";
const KILLS: u64 = 30;
const BATCH_BYTES: usize = 6_000;
/// More than any test makes that does not say so.
const SOFT_BYTES: u64 = 60 << 20;
/// In which it has to recover after a disk has room again.
const RECOVERED: Duration = Duration::from_secs(5);

fn config() -> Config {
    Config {
        segment_bytes: 64 << 10,
        max_bytes: 64 << 20,
        overflow: Overflow::Refuse,
        max_record_bytes: 32 << 10,
        max_pending_bytes: 1 << 20,
    }
}

fn event_loop() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A run of an agent that makes batches of its own.
struct Run {
    queue: Arc<SharedQueue>,
    spooling: Spooling,
    first: u64,
    next: u64,
}

impl Run {
    fn start(directory: &Path, capacity: usize, soft_bytes: u64) -> Self {
        let opened = Opened::open(directory, config(), soft_bytes).unwrap();
        let first = u64::try_from(Clocks::default().mono().ns()).unwrap();
        let queue = Arc::new(SharedQueue::new(opened.queue(capacity)));
        let spooling = opened.start(&queue, id(first, first)).unwrap();
        Self { queue, spooling, first, next: first }
    }

    /// A batch that tells of these; its number, and what had to go for it.
    fn push(&mut self, tells: Vec<BatchId>) -> (u64, Vec<Entry>) {
        let number = self.next;
        self.next += 1;
        let bytes = content(self.first, number).into();
        let entry = Entry { tells, ..Entry::new(id(self.first, number), bytes, 10) };
        (number, self.queue.change(|queue| queue.push(entry)))
    }

    /// A batch for which there is room; its number.
    fn push_fitting(&mut self) -> u64 {
        let (number, dropped) = self.push(Vec::new());
        assert!(dropped.is_empty(), "no room for batch {number}");
        number
    }

    fn until_durable(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.queue.look(Queue::has_unwritten) {
            assert!(Instant::now() < deadline, "not durable within 20 s");
            std::thread::yield_now();
        }
    }

    fn uplink(&self, fake: &Fake) -> Uplink {
        Uplink::new(fake.aggregator().into(), Arc::clone(&self.queue))
    }

    /// Ends it once all is delivered.
    async fn deliver(self, fake: &Fake) {
        self.queue.change(Queue::close);
        let run = self.uplink(fake).run();
        tokio::time::timeout(Duration::from_secs(180), run).await.expect("the uplink did not finish");
        self.spooling.end().await;
    }

    /// The same, after a batch of its own, and one that tells what the spool has lost: until that is told it stays there.
    async fn deliver_and_tell(mut self, fake: &Fake) {
        let uplink = self.uplink(fake);
        let delivering = tokio::spawn(uplink.run());
        self.push_fitting();
        eventually("all is stored", async || self.queue.look(Queue::fate).stored_batches == 1).await;
        let lost = self.queue.change(Queue::take_lost);
        self.push(lost.iter().map(|lost| lost.id).collect());
        self.queue.change(Queue::close);
        delivering.await.unwrap();
        self.spooling.end().await;
    }
}

fn id(run_first_seq: u64, number: u64) -> BatchId {
    BatchId { boot: BootId(1), run_first_seq, number }
}

/// Not to be mistaken for another one.
fn content(run: u64, number: u64) -> Vec<u8> {
    let mut bytes = format!("run {run} batch {number}").into_bytes();
    bytes.resize(BATCH_BYTES + usize::try_from(number % 97).unwrap(), number as u8);
    bytes
}

/// Each number with what arrived under it, which is the same each time.
fn received(arrivals: &[Arrival]) -> BTreeMap<u64, Vec<u8>> {
    let mut received = BTreeMap::new();
    for Arrival { number, bytes, .. } in arrivals {
        let before = received.insert(*number, bytes.clone());
        assert!(before.is_none_or(|before| before == *bytes), "batch {number} was another one before");
    }
    received
}

/// Pushes batches, tells which are durable, and sends them until it is killed.
fn live(directory: &Path, address: &str) -> ! {
    let mut run = Run::start(directory, 64 << 10, SOFT_BYTES);
    let uplink =
        Uplink::new(address.parse::<syncline_agent::endpoint::Aggregator>().unwrap().into(), Arc::clone(&run.queue));
    std::thread::spawn(move || event_loop().block_on(uplink.run()));
    loop {
        let numbers: Vec<u64> = (0..3).map(|_| run.push_fitting()).collect();
        run.until_durable();
        let mut out = std::io::stdout().lock();
        for number in numbers {
            out.write_all(format!("durable {} {number}\n", run.first).as_bytes()).unwrap();
        }
        out.flush().unwrap();
    }
}

/// What a process that is killed when it has told so many batches to be durable has told.
fn killed_after(directory: &Path, fake: &Fake, lines: u64) -> Vec<(u64, u64)> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--nocapture", "agents_that_are_killed_lose_nothing_that_was_durable"]);
    command.env(CHILD, format!("{}={}", directory.display(), fake.url())).stdout(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let mut told = Vec::new();
    for line in BufReader::new(process.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        // The last line may be cut, where it would be another number: it is told whole, or not at all, in one write of a pipe.
        if let ["durable", run, number] = words[..] {
            told.push((run.parse().unwrap(), number.parse().unwrap()));
        }
        if told.len() as u64 == lines {
            process.kill().unwrap();
        }
    }
    process.wait().unwrap();
    assert!(told.len() as u64 >= lines, "it ended by itself");
    told
}

#[test]
fn agents_that_are_killed_lose_nothing_that_was_durable() {
    if let Some(child) = std::env::var_os(CHILD) {
        let child = child.into_string().unwrap();
        let (directory, address) = child.split_once('=').unwrap();
        live(Path::new(directory), address);
    }
    let directory = tempfile::tempdir().unwrap();
    let answers = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let is_calm = Arc::new(AtomicBool::new(false));
    let calm = Arc::clone(&is_calm);
    // Each attempt at a batch ends as chance has it.
    let policy =
        move |connection: usize, number: u64| match (connection as u64).wrapping_mul(7919).wrapping_add(number * 31)
            % 16
        {
            _ if calm.load(Ordering::SeqCst) => Answer::Store,
            0 => Answer::Cut,
            1..=5 => Answer::KeepSilent,
            _ => Answer::Store,
        };
    let fake = answers.block_on(Fake::start(policy));
    let mut durable = BTreeMap::new();
    for round in 0..KILLS {
        for (run, number) in killed_after(directory.path(), &fake, 3 + round * 17 % 60) {
            assert!(durable.insert(number, content(run, number)).is_none(), "number {number} was given twice");
        }
    }
    is_calm.store(true, Ordering::SeqCst);
    let run = Run::start(directory.path(), 64 << 10, SOFT_BYTES);
    // A kill may tear a batch that is not durable.
    answers.block_on(run.deliver_and_tell(&fake));
    let arrivals = fake.arrivals();
    let received = received(&arrivals);
    let lost: Vec<_> = durable.iter().filter(|(number, bytes)| received.get(number) != Some(bytes)).collect();
    assert!(lost.is_empty(), "{} of {} are lost", lost.len(), durable.len());
    let left = Opened::open(directory.path(), config(), SOFT_BYTES).unwrap().earlier();
    assert_eq!(left, 0, "what was stored is not sent again");
    println!("{KILLS} kills, {} batches durable, {} arrivals of {}", durable.len(), arrivals.len(), received.len());
}

#[tokio::test]
async fn what_an_agent_could_not_send_the_next_one_sends_once_in_order_and_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let mut runs = Vec::new();
    for _ in 0..2 {
        let mut run = Run::start(directory.path(), 64 << 10, SOFT_BYTES);
        for _ in 0..40 {
            run.push_fitting();
            run.until_durable();
        }
        let fate = run.queue.look(Queue::fate);
        assert_eq!((fate.waiting_waits, fate.shelved_waits), (400, 400));
        assert!(run.queue.look(Queue::bytes) <= 64 << 10);
        runs.push(run.first);
        run.queue.change(Queue::close);
        run.spooling.end().await;
    }
    let fake = Fake::start(|_, _| Answer::Store).await;
    let run = Run::start(directory.path(), 64 << 10, SOFT_BYTES);
    let queue = Arc::clone(&run.queue);
    run.deliver(&fake).await;
    assert_eq!(queue.look(Queue::fate).earlier_batches, 80);
    let expected = runs.iter().flat_map(|first| (*first..first + 40).map(|number| (number, content(*first, number))));
    let arrived: Vec<_> = fake.arrivals().into_iter().map(|arrival| (arrival.number, arrival.bytes)).collect();
    assert_eq!(arrived, expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn with_a_full_disk_batches_travel_from_memory_and_it_recovers_by_itself() {
    let Some(disk) = SmallDisk::mount() else { return };
    let is_open = Arc::new(AtomicBool::new(true));
    let policy = Arc::clone(&is_open);
    let answer = move |_, _| if policy.load(Ordering::SeqCst) { Answer::Store } else { Answer::KeepSilent };
    let fake = Fake::start(answer).await;
    let mut run = Run::start(&disk.path.join("spool"), 256 << 10, SOFT_BYTES);
    run.push_fitting();
    run.until_durable();
    let filler = disk.fill();
    let uplink = tokio::spawn(run.uplink(&fake).run());
    // More than the segment has room for that was begun.
    for _ in 0..40 {
        let number = run.push_fitting();
        eventually("it is stored", async || fake.arrivals().iter().any(|arrival| arrival.number == number)).await;
    }
    eventually("all are", async || run.queue.look(Queue::fate).stored_batches == 41).await;
    is_open.store(false, Ordering::SeqCst);
    let dropped: Vec<u64> = (0..60).flat_map(|_| run.push(Vec::new()).1).map(|entry| entry.number()).collect();
    assert!(!dropped.is_empty() && run.queue.look(Queue::bytes) <= 256 << 10);
    assert!(run.queue.look(Queue::has_unwritten));
    std::fs::remove_file(filler).unwrap();
    let mended = Instant::now();
    eventually("all is durable", async || !run.queue.look(Queue::has_unwritten)).await;
    assert!(mended.elapsed() < RECOVERED, "{:?}", mended.elapsed());
    println!("durable {:?} after there was room", mended.elapsed());
    uplink.abort();
    run.queue.change(Queue::close);
    run.spooling.end().await;
    let before = fake.arrivals().len();
    is_open.store(true, Ordering::SeqCst);
    Run::start(&disk.path.join("spool"), 256 << 10, SOFT_BYTES).deliver(&fake).await;
    let again: BTreeSet<u64> = received(&fake.arrivals()[before..]).into_keys().collect();
    let kept = (run.first + 41..run.next).filter(|number| !dropped.contains(number));
    assert_eq!(again, kept.collect());
}

#[tokio::test]
async fn over_its_size_each_batch_is_sent_or_told_exactly_once() {
    let directory = tempfile::tempdir().unwrap();
    let soft_bytes = 1 << 20;
    let mut run = Run::start(directory.path(), 64 << 10, soft_bytes);
    let (mut told, mut to_tell) = (BTreeSet::new(), Vec::new());
    for _ in 0..1_000 {
        let (number, dropped) = run.push(std::mem::take(&mut to_tell));
        run.until_durable();
        assert!(dropped.is_empty(), "there is room on the disk, for {number} too");
        let mut dropped = run.queue.change(Queue::take_dropped);
        let deadline = Instant::now() + Duration::from_secs(20);
        // What was told is freed before more comes.
        while dropped.is_empty() && files_in(directory.path()) > soft_bytes + (128 << 10) {
            assert!(Instant::now() < deadline, "{number}: nothing more goes, and nothing is freed");
            std::thread::yield_now();
            dropped = run.queue.change(Queue::take_dropped);
        }
        for entry in dropped {
            assert!(told.insert(entry.number()), "batch {} goes twice", entry.number());
            to_tell.push(entry.id);
        }
    }
    run.push(std::mem::take(&mut to_tell));
    run.until_durable();
    let all: BTreeSet<u64> = (run.first..run.next).collect();
    run.queue.change(Queue::close);
    run.spooling.end().await;
    let fake = Fake::start(|_, _| Answer::Store).await;
    Run::start(directory.path(), 64 << 10, config().max_bytes).deliver(&fake).await;
    let sent: BTreeSet<u64> = received(&fake.arrivals()).into_keys().collect();
    assert!(sent.is_disjoint(&told), "{:?}", sent.intersection(&told).collect::<Vec<_>>());
    assert_eq!(&sent | &told, all);
    let bytes = sent.len() * BATCH_BYTES;
    assert!(bytes > soft_bytes as usize / 2, "more went than had to: {} are left", sent.len());
}

fn files_in(directory: &Path) -> u64 {
    let files = std::fs::read_dir(directory).unwrap();
    files.filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).sum()
}

#[tokio::test]
async fn a_damaged_batch_is_told_by_its_number_and_the_others_are_sent() {
    let directory = tempfile::tempdir().unwrap();
    let mut run = Run::start(directory.path(), 64 << 10, SOFT_BYTES);
    for _ in 0..30 {
        run.push_fitting();
        run.until_durable();
    }
    let (first, hurt) = (run.first, run.first + 20);
    run.queue.change(Queue::close);
    run.spooling.end().await;
    harm(directory.path(), &content(first, hurt));
    let fake = Fake::start(|_, _| Answer::Store).await;
    let mut run = Run::start(directory.path(), 64 << 10, SOFT_BYTES);
    let uplink = tokio::spawn(run.uplink(&fake).run());
    let mut lost = Vec::new();
    eventually("the loss is told", async || {
        lost.extend(run.queue.change(Queue::take_lost));
        !lost.is_empty()
    })
    .await;
    assert_eq!(lost.iter().map(|lost| (lost.id, lost.weight)).collect::<Vec<_>>(), [(id(first, hurt), 10)]);
    run.push(vec![lost[0].id]);
    eventually("the others are stored", async || run.queue.look(Queue::fate).earlier_batches == 29).await;
    run.queue.change(Queue::close);
    uplink.await.unwrap();
    run.spooling.end().await;
    assert_eq!(Opened::open(directory.path(), config(), SOFT_BYTES).unwrap().earlier(), 0);
    assert!(!received(&fake.arrivals()).contains_key(&hurt));
}

/// Changes a byte of what is in one of the files.
fn harm(directory: &Path, content: &[u8]) {
    for file in std::fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(40).position(|window| window == &content[..40]) {
            bytes[at + 100] ^= 1;
            return std::fs::write(&path, bytes).unwrap();
        }
    }
    panic!("it is in no file");
}
