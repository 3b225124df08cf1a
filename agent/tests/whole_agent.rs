//! The real program, the real kernel, a real Go program: what arrives at the aggregator.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod fake;
mod support;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fake::{Answer, Fake, Stoppable, eventually};
use rustix::process::Signal;
use support::agent::Agent;
use support::go_program::{ANY, GoProgram};
use support::settings::{altered_bytes, has_links_for_uprobes, links};
use syncline_agent::clock::Clocks;
use syncline_agent::recording::Recording;
use syncline_agent::uplink::Ranking;
use syncline_event::{Batch, StackId, WaitFlags};
use syncline_spool::{Config, Content, Disk, Overflow, Spool};
use syncline_timebase::Span;

fn batches(fake: &Fake) -> Vec<Batch> {
    fake.arrivals().iter().map(|arrival| syncline_proto::decode(&arrival.bytes).unwrap()).collect()
}

fn waits_in(batches: &[Batch]) -> usize {
    batches.iter().map(|batch| batch.waits.len()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_go_program_waits_for_arrives_once_named_and_behind_a_probe() {
    if !support::bpf_usable() {
        return;
    }
    let fake = Fake::start(|_, _| Answer::Store).await;
    let dir = tempfile::tempdir().unwrap();
    let recording = dir.path().join("run.syncrec");
    let mut program = GoProgram::start(&ANY.program("waits"), &["scenarios"]);
    let mut agent = Agent::start(&fake.url(), program.pid(), &["--record", &recording.to_string_lossy()]);
    agent.wait_until_ready();
    program.go();
    let reported = program.events_until_done().len();
    assert!(reported > 0);
    eventually("as many waits have arrived as the program reports", async || waits_in(&batches(&fake)) >= reported)
        .await;
    let summary = agent.terminate();
    assert!(program.is_running());
    assert!(program.finish().success());

    let batches = batches(&fake);
    assert_eq!(summary["captured"], waits_in(&batches) as u64);
    assert_eq!((summary["stored"], summary["refused"], summary["undelivered"]), (summary["captured"], 0, 0));
    numbers_have_no_gaps(&batches);
    waits_are_behind_a_probe(&batches);
    everything_is_named(&batches);
    the_clock_is_told(&batches);
    the_recording_holds(&recording, &fake);
    the_last_account_adds_up(&batches);
}

/// What the kernel counted is in the batches, but for what was left out and what went on; and that is as much as there was, counted one by one.
fn the_last_account_adds_up(batches: &[Batch]) {
    let account = batches.last().unwrap().account.unwrap();
    let of = |batch: &Batch| {
        let summed: u64 = batch.short_waits.iter().map(|short| short.count).sum();
        batch.waits.len() as u64 + summed + batch.all_losses().map(|loss| loss.count).sum::<u64>()
    };
    let told: u64 = batches.iter().map(of).sum();
    assert!(told > 0 && account.waiting >= 0, "{account:?}");
    assert_eq!(account.captured, told + account.left_out + account.waiting.unsigned_abs(), "{account:?}");
    assert_eq!(account.open, u64::try_from(account.waiting).ok(), "{account:?}");
    assert!(batches.iter().rev().skip(1).all(|batch| batch.account.is_none_or(|account| account.open.is_none())));
}

/// What a restarted agent tells of another process of the same build, and its closing line. Questions are to be answered within
/// `probe_interval`.
async fn told_of_the_build(fake: &Fake, cache: &Path, probe_interval: &str) -> (HashSet<u64>, HashMap<String, u64>) {
    let before = fake.arrivals().len();
    let mut program = GoProgram::start(&ANY.program("waits"), &["scenarios"]);
    let more = ["--symbol-cache", cache.to_str().unwrap(), "--probe-interval", probe_interval];
    let mut agent = Agent::start(&fake.url(), program.pid(), &more);
    agent.wait_until_ready();
    program.go();
    let reported = program.events_until_done().len();
    eventually("its waits have arrived", async || waits_in(&batches(fake)[before..]) >= reported).await;
    let summary = agent.terminate();
    assert!(program.finish().success());
    let stacks = batches(fake).split_off(before).into_iter().flat_map(|batch| batch.stacks);
    (stacks.map(|stack| stack.id.0).collect(), summary)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_agent_tells_what_the_store_does_not_have_and_looks_nothing_up_twice() {
    if !support::bpf_usable() {
        return;
    }
    let fake = Fake::start(|_, _| Answer::Store).await;
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("symbols");
    let (told, summary) = told_of_the_build(&fake, &cache, "600ms").await;
    assert!(!told.is_empty() && summary["(cached"] == 0, "{summary:?}");
    *fake.stacks.lock().unwrap() = Ok(HashSet::new());
    let (again, summary) = told_of_the_build(&fake, &cache, "600ms").await;
    // Go's own goroutines may have been met elsewhere.
    assert!(again.intersection(&told).count() * 2 > told.len(), "{again:?} of {told:?}");
    assert!(summary["(cached"] * 2 > summary["symbols"], "{summary:?}");
    *fake.stacks.lock().unwrap() = Ok(told.union(&again).copied().collect());
    // A busy machine takes its time for an answer, and what is sealed before that is told.
    let (new, _) = told_of_the_build(&fake, &cache, "5s").await;
    let asked = fake.asked.load(Ordering::SeqCst);
    assert!(asked > 0, "nothing was asked");
    assert!(new.intersection(&told).count() * 2 < told.len(), "{new:?} of {told:?}");
}

/// Goroutines whose open waits, so flagged or not, have arrived; those that go on with a stack that has been told.
fn stuck_in(batches: &[Batch], is_abandoned: bool) -> HashSet<u64> {
    let stacks: HashSet<_> = batches.iter().flat_map(|batch| &batch.stacks).map(|stack| stack.id).collect();
    let of_batch = |batch: &Batch| {
        let waits = &batch.open_waits;
        let flagged = |row: &usize| waits.flags[*row].has(WaitFlags::ABANDONED) == is_abandoned;
        let is_whole = |row: &usize| is_abandoned || stacks.contains(&waits.stack[*row]);
        (0..waits.len()).filter(flagged).filter(is_whole).map(|row| waits.goid[row]).collect::<Vec<_>>()
    };
    batches.iter().flat_map(of_batch).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stuck_goroutines_arrive_while_they_are_stuck_and_when_their_process_ends() {
    if !support::bpf_usable() {
        return;
    }
    let fake = Fake::start(|_, _| Answer::Store).await;
    let mut program = GoProgram::start(&ANY.program("stuck"), &[]);
    let mut agent = Agent::start(&fake.url(), program.pid(), &["--open-after", "200ms"]);
    agent.wait_until_ready();
    program.go();
    // A system call ends with its process.
    let parked = program.events_until_done().into_iter().filter(|facts| facts["name"] != "call");
    let goids: HashSet<u64> = parked.map(|facts| facts["goid"].as_u64().unwrap()).collect();
    assert!(goids.len() >= 5);
    eventually("all are told of", async || goids.is_subset(&stuck_in(&batches(&fake), false))).await;
    assert!(stuck_in(&batches(&fake), true).is_empty());
    drop(program);
    eventually("their end is", async || goids.is_subset(&stuck_in(&batches(&fake), true))).await;
    let summary = agent.terminate();
    let arrived: usize = batches(&fake).iter().map(|batch| batch.open_waits.len()).sum();
    assert_eq!(summary["open"], arrived as u64);
}

fn numbers_have_no_gaps(batches: &[Batch]) {
    let run_first = batches[0].origin.run_first_seq;
    let (mut number, mut seq) = (run_first, run_first);
    for batch in batches {
        assert_eq!((batch.number, batch.first_seq), (number, seq));
        number += 1;
        seq += batch.waits.len() as u64;
    }
}

/// All but the last batch, which holds what was left at the end.
fn waits_are_behind_a_probe(batches: &[Batch]) {
    let (_, sealed) = batches.split_last().unwrap();
    assert!(waits_in(sealed) > 0);
    for batch in sealed {
        let sent = batch.probes.last().unwrap().sent;
        assert!((0..batch.waits.len()).all(|row| batch.waits.end(row) < sent));
    }
}

fn everything_is_named(batches: &[Batch]) {
    let stacks: HashMap<_, _> = batches.iter().flat_map(|batch| &batch.stacks).map(|stack| (stack.id, stack)).collect();
    let named: HashSet<_> = batches.iter().flat_map(|batch| &batch.symbols).map(|symbol| symbol.pc).collect();
    let ids: Vec<_> = batches.iter().flat_map(|batch| &batch.waits.stack).collect();
    assert!(ids.iter().any(|id| **id != StackId::NONE));
    for id in ids.into_iter().filter(|id| **id != StackId::NONE) {
        let unnamed: Vec<_> = stacks[id].pcs.iter().filter(|pc| !named.contains(pc)).collect();
        assert!(unnamed.is_empty(), "{unnamed:?} of {:?}; {} are named", stacks[id], named.len());
    }
    let told: usize = batches.iter().map(|batch| batch.stacks.len()).sum();
    assert_eq!(told, stacks.len(), "a stack is told once");
    let in_main = |batch: &Batch| batch.symbols.iter().any(|symbol| symbol.function.starts_with("main."));
    assert!(batches.iter().any(in_main));
    let services = batches.iter().flat_map(|batch| &batch.processes).map(|process| process.service.as_str());
    assert!(services.into_iter().all(|service| service.starts_with("waits-")));
}

fn the_clock_is_told(batches: &[Batch]) {
    let probes: Vec<_> = batches.iter().flat_map(|batch| &batch.probes).collect();
    assert!(probes.len() >= 2 && probes.is_sorted_by_key(|probe| probe.returned));
    let knots: Vec<_> = batches.iter().flat_map(|batch| &batch.knots).collect();
    assert!(knots.is_sorted_by_key(|knot| knot.mono) && knots.is_sorted_by_key(|knot| knot.raw));
    // The kernel's wall clock at each park agrees with the node's own knots.
    let wall_offset = Clocks::default().knot();
    let wall_offset_ns = wall_offset.mono.offset_to(wall_offset.wall).ns();
    for offset in batches.iter().flat_map(|batch| &batch.waits.wall_offset) {
        assert!(offset.ns().abs_diff(wall_offset_ns) < 1_000_000, "{} {wall_offset_ns}", offset.ns());
    }
}

fn the_recording_holds(path: &Path, fake: &Fake) {
    let mut recording = Recording::open(path).unwrap();
    for arrival in fake.arrivals() {
        assert_eq!(recording.next_batch().unwrap().unwrap().bytes, arrival.bytes);
    }
    assert!(recording.next_batch().unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_the_agent_ends_the_program_runs_on_as_it_was() {
    if !support::bpf_usable() {
        return;
    }
    let fake = Fake::start(|_, _| Answer::Store).await;
    let path = ANY.program("waits").canonicalize().unwrap();
    let perf_events = [("SYNCLINE_PERF_UPROBES", "1")];
    let ways =
        [(&[][..], Signal::TERM), (&[], Signal::KILL), (&perf_events, Signal::TERM), (&perf_events, Signal::KILL)];
    for (variables, signal) in ways {
        let mut program = GoProgram::start(&path, &["pingpong"]);
        program.go();
        let mut agent = Agent::start_where(variables, &fake.url(), program.pid(), &[]);
        agent.wait_until_ready();
        let expected = if variables.is_empty() && has_links_for_uprobes() { probes(&path) } else { 0 };
        assert_eq!(links(agent.child.id(), "uprobe_multi"), expected, "{variables:?}");
        assert_eq!(altered_bytes(program.pid(), &path), probes(&path), "one breakpoint a probe");
        agent.signal(signal);
        let ended = agent.child.wait().unwrap();
        assert_eq!(ended.success(), signal == Signal::TERM, "{ended}");
        // The kernel lets go of a killed process's probes in its own time.
        eventually("the program is as in its file", async || altered_bytes(program.pid(), &path) == 0).await;
        assert!(program.is_running());
        program.go();
        assert!(program.next_event()["count"].as_u64().unwrap() > 0);
        assert!(program.finish().success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aggregator_of_another_region_ends_the_agent_with_one_line() {
    if !support::bpf_usable() {
        return;
    }
    let fake = Fake::start(|_, _| Answer::Store).await;
    "us".clone_into(&mut fake.reference.region.lock().unwrap());
    let program = GoProgram::start(&ANY.program("waits"), &["scenarios"]);
    let mut agent = Agent::start(&fake.url(), program.pid(), &[]);
    let stderr = agent.stderr();
    assert_eq!(agent.child.wait().unwrap().code(), Some(1));
    let last = stderr.lines().last().unwrap();
    assert!(last.contains("serves region \"us\"") && last.contains("--region"), "{stderr}");
    assert!(program.finish().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_preferred_aggregator_is_of_another_region_the_next_one_is_used() {
    if !support::bpf_usable() {
        return;
    }
    let fakes = [Fake::start(|_, _| Answer::Store).await, Fake::start(|_, _| Answer::Store).await];
    let urls: Vec<String> = fakes.iter().map(Fake::url).collect();
    let ranking = Ranking::of("n1", urls.iter().map(|url| url.parse().unwrap()).collect()).unwrap();
    let is_first = |fake: &&Fake| ranking.at(0).to_string() == fake.url();
    let first = fakes.iter().find(is_first).unwrap();
    "us".clone_into(&mut first.reference.region.lock().unwrap());
    let program = GoProgram::start(&ANY.program("waits"), &["scenarios"]);
    let mut agent = Agent::start(&urls.join(","), program.pid(), &[]);
    agent.wait_until_ready();
    agent.terminate();
    assert!(first.arrivals().is_empty() && program.finish().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_an_aggregator_dies_batches_and_probes_go_on_at_the_other() {
    if !support::bpf_usable() {
        return;
    }
    let any = "127.0.0.1:0".parse().unwrap();
    let (one, two) =
        (Stoppable::start(any, |_, _| Answer::Store).await, Stoppable::start(any, |_, _| Answer::Store).await);
    two.fake.reference.run.store(2, Ordering::SeqCst);
    let mut program = GoProgram::start(&ANY.program("waits"), &["scenarios"]);
    let both = format!("{},{}", one.fake.url(), two.fake.url());
    let mut agent = Agent::start(&both, program.pid(), &[]);
    agent.wait_until_ready();
    eventually("a batch", async || !one.fake.arrivals().is_empty() || !two.fake.arrivals().is_empty()).await;
    let (dies, stays) = if two.fake.arrivals().is_empty() { (one, two) } else { (two, one) };
    let before = dies.fake.clone();
    let stopped = Instant::now();
    drop(dies);
    program.go();
    let reported = program.events_until_done().len();
    let run = stays.fake.reference.run.load(Ordering::SeqCst);
    // The last probes of the one that died may come to the other one as well.
    let is_of_run = |batch: &&Batch| !batch.probes.is_empty() && batch.reference_run == run;
    let probed = |batches: &[Batch]| batches.iter().filter(is_of_run).count();
    let all = || [batches(&before), batches(&stays.fake)].concat();
    eventually("waits and probes arrive", async || waits_in(&all()) >= reported && probed(&batches(&stays.fake)) >= 2)
        .await;
    assert!(stopped.elapsed() < Duration::from_secs(15), "{:?}", stopped.elapsed());
    let summary = agent.terminate();
    assert!(program.finish().success());

    let mut all = all();
    // One whose acknowledgement was lost came to both.
    all.sort_by_key(|batch| batch.number);
    all.dedup_by_key(|batch| batch.number);
    numbers_have_no_gaps(&all);
    assert_eq!(summary["captured"], waits_in(&all) as u64);
    let followed: Vec<u64> =
        batches(&stays.fake).iter().map(|batch| batch.reference_run).filter(|run| *run != 0).collect();
    assert!(
        followed.ends_with(&[run, run]) && followed.iter().filter(|other| **other != run).count() <= 1,
        "{followed:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_holding_waits_go_at_the_interval_though_no_probe_is_answered() {
    if !support::bpf_usable() {
        return;
    }
    let fake = Fake::start(|_, _| Answer::Store).await;
    let mut program = GoProgram::start(&ANY.program("waits"), &["scenarios"]);
    let mut agent = Agent::start(&fake.url(), program.pid(), &["--no-hold"]);
    agent.wait_until_ready();
    fake.reference.is_silent.store(true, Ordering::SeqCst);
    program.go();
    let reported = program.events_until_done().len();
    eventually("as many waits have arrived as the program reports", async || waits_in(&batches(&fake)) >= reported)
        .await;
    agent.terminate();
    assert!(program.finish().success());
    let batches = batches(&fake);
    let waited = |batch: &Batch| (0..batch.waits.len()).map(|row| batch.sealed_at - batch.waits.end(row)).max();
    let longest = batches.iter().filter_map(waited).max();
    // One that waits for a probe in vain goes after five seconds.
    assert!(longest.unwrap() < Span::from_s(3), "{longest:?}");
}

/// How many instructions of a program without C code are probed.
fn probes(path: &Path) -> usize {
    let bytes = std::fs::read(path).unwrap();
    let sites = syncline_gosym::GoBinary::parse(&bytes).unwrap().probe_sites().unwrap();
    assert!(sites.cgo.is_none());
    let states = sites.states.unwrap();
    let waits = [sites.gopark, sites.ready, sites.execute, sites.netpollready].len();
    waits + states.creates.len() + states.yields.len() + 3 + usize::from(states.coroutine_switch.is_some())
}

/// The batches that an agent left behind, as they travel.
fn spooled(directory: &Path) -> Vec<Vec<u8>> {
    let config = Config { overflow: Overflow::Refuse, ..Config::default() };
    let (spool, _) = Spool::open(Disk::open(directory).unwrap(), config).unwrap();
    let mut reader = spool.reader("uplink").unwrap();
    let mut batches = Vec::new();
    while let Some(item) = reader.next().unwrap() {
        let Content::Record(record) = item.content else { panic!("{item:?}") };
        batches.push(record[48..].to_vec());
    }
    batches
}

fn recorded(path: &Path) -> usize {
    let mut recording = Recording::open(path).unwrap();
    // The last one may be half written.
    std::iter::from_fn(|| recording.next_batch().ok().flatten()).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_agent_could_not_send_the_next_one_sends() {
    if !support::bpf_usable() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (spool, recording) = (dir.path().join("spool"), dir.path().join("run.syncrec"));
    let here = Stoppable::start("127.0.0.1:0".parse().unwrap(), |_, _| Answer::Store).await;
    let (url, address) = (here.fake.url(), here.fake.address);
    let mut program = GoProgram::start(&ANY.program("waits"), &["scenarios"]);
    let arguments = ["--spool", spool.to_str().unwrap(), "--no-hold"];
    let more = [&arguments[..], &["--record", recording.to_str().unwrap()]].concat();
    let mut agent = Agent::start(&url, program.pid(), &more);
    agent.wait_until_ready();
    eventually("a batch", async || !here.fake.arrivals().is_empty()).await;
    drop(here);
    program.go();
    assert!(!program.events_until_done().is_empty());
    let before = recorded(&recording);
    eventually("batches that nobody takes", async || recorded(&recording) >= before + 3).await;
    agent.signal(Signal::KILL);
    agent.child.wait().unwrap();
    let left = spooled(&spool);
    assert!(
        left.len() >= 2
            && waits_in(&left.iter().map(|bytes| syncline_proto::decode(bytes).unwrap()).collect::<Vec<_>>()) > 0
    );

    let back = Stoppable::start(address, |_, _| Answer::Store).await;
    let mut agent = Agent::start(&url, program.pid(), &arguments);
    agent.wait_until_ready();
    let arrived = || back.fake.arrivals().into_iter().map(|arrival| arrival.bytes).collect::<Vec<_>>();
    eventually("what was left has arrived", async || arrived().len() > left.len()).await;
    let summary = agent.terminate();
    assert_eq!(arrived()[..left.len()], left, "first, in order, once, and as it was");
    assert_eq!((summary["earlier_batches"], summary["undelivered"]), (left.len() as u64, 0));
    assert!(spooled(&spool).is_empty());
    assert!(program.finish().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_agent_cannot_deliver_by_its_end_lies_in_its_spool() {
    if !support::bpf_usable() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::start(|_, _| Answer::KeepSilent).await;
    let mut program = GoProgram::start(&ANY.program("waits"), &["scenarios"]);
    let spool = dir.path().join("spool");
    let mut agent = Agent::start(&fake.url(), program.pid(), &["--spool", spool.to_str().unwrap()]);
    agent.wait_until_ready();
    program.go();
    assert!(!program.events_until_done().is_empty());
    eventually("a batch with waits", async || waits_in(&batches(&fake)) > 0).await;
    let summary = agent.terminate();
    let left: Vec<Batch> = spooled(&spool).iter().map(|bytes| syncline_proto::decode(bytes).unwrap()).collect();
    assert_eq!((summary["undelivered"], summary["spooled"]), (waits_in(&left) as u64, waits_in(&left) as u64));
    assert_eq!(summary["captured"], summary["spooled"]);
    numbers_have_no_gaps(&left);
    assert!(program.finish().success());
}
