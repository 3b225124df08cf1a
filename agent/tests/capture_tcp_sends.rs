//! Send latency, against what Go programs measured themselves and against a cable whose times out are known.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly, also in its helpers

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use support::go_program::{ANY, GoProgram};
use support::namespaces::Namespaces;
use support::tcp::{ended, tcp_until};
use syncline_agent::capture::{
    Capture, CaptureConfig, CaptureKind, Kinds, ObservedProcess, Target, TcpConfig, TcpTaken,
};
use syncline_bpf::tcp::{SENDS_AT_ONCE, SendLatency, TcpSessionRecord};

const PATIENCE: Duration = Duration::from_secs(120);
const ROUNDS: u64 = 200;

fn capture_of(programs: &[&GoProgram], tcp: TcpConfig) -> Capture {
    capture_without(programs, tcp, &[])
}

fn capture_without(programs: &[&GoProgram], tcp: TcpConfig, left_out: &[CaptureKind]) -> Capture {
    let kinds = Kinds::without(left_out);
    let config = CaptureConfig { tcp, kinds, ..CaptureConfig::new(Target::Executable(ANY.program("sends"))) };
    let mut capture = Capture::start(config).unwrap();
    assert!(capture.tcp_off().is_empty(), "{:?}", capture.tcp_off());
    support::observe::rescan_until(&mut capture, |capture| {
        programs.iter().all(|program| capture.process(program.pid()).is_some())
    });
    capture
}

/// Started, listening there, and where.
fn listening(mut server: GoProgram) -> (GoProgram, String) {
    server.go();
    let at = server.next_event()["address"].as_str().unwrap().to_owned();
    (server, at)
}

fn of_port(taken: &TcpTaken, local_port: u16) -> TcpSessionRecord {
    let sessions = ended(taken);
    let found: Vec<_> = sessions.iter().filter(|session| session.ends.local_port == local_port).collect();
    assert_eq!(found.len(), 1, "{sessions:?}");
    (**found[0]).clone()
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap()
}

/// All that was sent was measured, and the sums agree with one another.
fn all_measured(sends: &SendLatency, count: u64) {
    assert_eq!((sends.count, sends.unmeasured, sends.unacknowledged), (count, 0, 0), "{sends:?}");
    check_sums(sends);
}

fn check_sums(sends: &SendLatency) {
    assert_eq!(sends.histogram.iter().sum::<u64>(), sends.count, "{sends:?}");
    assert!(sends.max_ns <= sends.total_ns && sends.total_ns <= sends.count * sends.max_ns, "{sends:?}");
    assert_eq!(sends.histogram.len(), sends.max_ns.ilog2() as usize + 1, "{sends:?}");
    let least: u64 = sends.histogram.iter().zip(0..).map(|(count, bucket)| count << bucket).sum();
    assert!((least..=2 * least).contains(&sends.total_ns), "{least}: {sends:?}");
}

/// None is longer than the round of which the program says that it took so long.
fn within_rounds(sends: &SendLatency, took_ns: &[u64]) {
    all_measured(sends, took_ns.len() as u64);
    let longest = *took_ns.iter().max().unwrap();
    assert!(sends.max_ns <= longest && sends.total_ns <= took_ns.iter().sum(), "{sends:?} {took_ns:?}");
}

fn took_ns(program: &mut GoProgram) -> Vec<u64> {
    let rounds = program.next_event();
    rounds["took_ns"].as_array().unwrap().iter().map(|ns| ns.as_u64().unwrap()).collect()
}

fn each_send_is_measured_and_none_is_longer_than_its_round(address: &str) {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let program = ANY.program("sends");
    let (server, at) = listening(GoProgram::start(&program, &["echo", address]));
    let mut caller = GoProgram::start(&program, &["rounds", &at, &ROUNDS.to_string(), "64"]);
    let mut capture = capture_of(&[&server, &caller], TcpConfig::default());
    caller.go();
    let local: SocketAddr = caller.next_event()["local"].as_str().unwrap().parse().unwrap();
    let took_ns = took_ns(&mut caller);
    let taken = tcp_until(&mut capture, |taken| ended(taken).len() >= 2);
    let of_caller = of_port(&taken, local.port());
    assert_eq!(of_caller.ends.local_address, local.ip());
    within_rounds(&of_caller.sends.unwrap(), &took_ns);
    // What it sent back was acknowledged by what it was sent next, or by the end.
    let at: SocketAddr = at.parse().unwrap();
    all_measured(&of_port(&taken, at.port()).sends.unwrap(), ROUNDS);
}

#[test]
fn each_send_over_ipv4_is_measured_and_none_is_longer_than_its_round() {
    each_send_is_measured_and_none_is_longer_than_its_round("127.0.0.1:0");
}

#[test]
fn each_send_over_ipv6_is_measured_and_none_is_longer_than_its_round() {
    each_send_is_measured_and_none_is_longer_than_its_round("[::1]:0");
}

#[test]
fn sequence_numbers_that_wrap_are_measured_as_others_are() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut program = GoProgram::start(&ANY.program("sends"), &["wrap"]);
    let mut capture = capture_of(&[&program], TcpConfig::default());
    program.go();
    let took_ns = took_ns(&mut program);
    let taken = tcp_until(&mut capture, |taken| ended(taken).len() >= 2);
    let sends: Vec<_> = ended(&taken).into_iter().map(|session| session.sends.clone().unwrap()).collect();
    // One of the two ends is the caller's; the numbers of both are known, and only the caller's wrap.
    sends.iter().for_each(|sends| all_measured(sends, took_ns.len() as u64));
    assert!(sends.iter().any(|sends| sends.total_ns <= took_ns.iter().sum()), "{sends:?} {took_ns:?}");
}

/// A program in a network namespace.
fn start_in(namespace: &str, arguments: &[&str]) -> GoProgram {
    let program = ANY.program("sends");
    let arguments = Namespaces::arguments(namespace, &program, arguments);
    GoProgram::start(Path::new("/usr/bin/env"), &["ip"].into_iter().chain(arguments).collect::<Vec<_>>())
}

/// Sends of the open session to that port, once they are as wanted.
fn open_sends(capture: &mut Capture, remote_port: u16, wanted: impl Fn(&SendLatency) -> bool) -> SendLatency {
    let deadline = Instant::now() + PATIENCE;
    loop {
        capture.tell_open_sessions();
        let sessions = capture.take_tcp().sessions;
        let is_its = |session: &&TcpSessionRecord| session.ends.remote_port == remote_port;
        let found = sessions.iter().map(|(session, _)| session).find(is_its).and_then(|session| session.sends.clone());
        assert!(Instant::now() < deadline, "not seen in time: {found:?}");
        if let Some(sends) = found.filter(&wanted) {
            return sends;
        }
    }
}

/// The namespace has sent segments again, so that the cable has been out for long.
fn await_retransmits(namespace: &str, before: u64) {
    let deadline = Instant::now() + PATIENCE;
    while Namespaces::retransmitted(namespace) < before + 2 {
        assert!(Instant::now() < deadline, "nothing was sent again");
    }
}

/// Sends over a cable: one as it should be, more than can be waited for at once while it is out, and some that nobody ever gets.
fn sends_over_a_pulled_cable(address: &str) {
    let at_once = SENDS_AT_ONCE as u64;
    let namespaces = Namespaces::new();
    let (mut server, at) = listening(start_in(&namespaces.b, &["serve", address]));
    server.go();
    let at: SocketAddr = at.parse().unwrap();
    let mut caller = start_in(&namespaces.a, &["steps", &at.to_string(), "1x100", "1x100", "40x100", "3x100", "reset"]);
    let mut capture = capture_of(&[&server, &caller], TcpConfig::default());
    let mut step = || {
        caller.go();
        while caller.next_event()["event"] != "stepped" {}
    };
    // It had connected before it was seen: of its first call it is not certain which bytes it sent.
    step();
    open_sends(&mut capture, at.port(), |sends| (sends.count, sends.unmeasured) == (0, 1));
    step();
    let first = open_sends(&mut capture, at.port(), |sends| sends.count == 1);

    let before = Namespaces::retransmitted(&namespaces.a);
    namespaces.set_cable(false);
    let began = Instant::now();
    step();
    let sent = Instant::now();
    await_retransmits(&namespaces.a, before);
    let least = sent.elapsed();
    namespaces.set_cable(true);
    let sends = open_sends(&mut capture, at.port(), |sends| sends.count == 1 + at_once);
    let most = began.elapsed();
    assert!(least >= Duration::from_millis(200), "{least:?}");
    let total_ns = sends.total_ns - first.total_ns;
    assert!((at_once * ns(least)..=at_once * ns(most)).contains(&total_ns), "{least:?} {most:?}: {sends:?} {first:?}");
    assert!((ns(least)..=ns(most)).contains(&sends.max_ns), "{least:?} {most:?}: {sends:?}");
    assert_eq!((sends.unmeasured, sends.unacknowledged), (1 + 40 - at_once, 0), "those that found no place: {sends:?}");

    namespaces.set_cable(false);
    step();
    step();
    let taken =
        tcp_until(&mut capture, |taken| ended(taken).iter().any(|session| session.ends.remote_port == at.port()));
    let session = ended(&taken).into_iter().find(|session| session.ends.remote_port == at.port()).unwrap();
    let end = session.sends.clone().unwrap();
    assert_eq!(end, SendLatency { unacknowledged: 3, ..sends }, "{session:?}");
    check_sums(&end);
}

#[test]
fn a_cable_that_is_out_is_in_the_latency_over_ipv4_and_what_is_not_measured_is_counted() {
    if support::bpf_usable() {
        let _alone = support::alone();
        sends_over_a_pulled_cable("10.99.0.2:0");
    }
}

#[test]
fn a_cable_that_is_out_is_in_the_latency_over_ipv6_and_what_is_not_measured_is_counted() {
    if support::bpf_usable() {
        let _alone = support::alone();
        sends_over_a_pulled_cable("[fd99::2]:0");
    }
}

#[test]
fn what_is_sent_in_pieces_is_counted_and_not_measured() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let program = ANY.program("sends");
    let (mut server, at) = listening(GoProgram::start(&program, &["serve", "127.0.0.1:0"]));
    server.go();
    let mut caller = GoProgram::start(&program, &["steps", &at, "1x100", "1x100", "file", "close"]);
    let mut capture = capture_of(&[&server, &caller], TcpConfig::default());
    for _ in 0..4 {
        caller.go();
        while caller.next_event()["event"] != "stepped" {}
    }
    let at: SocketAddr = at.parse().unwrap();
    let taken =
        tcp_until(&mut capture, |taken| ended(taken).iter().any(|session| session.ends.remote_port == at.port()));
    let session = ended(&taken).into_iter().find(|session| session.ends.remote_port == at.port()).unwrap();
    let sends = session.sends.clone().unwrap();
    assert_eq!(session.bytes_sent, (1 << 20) + 200, "{session:?}");
    assert!(sends.count == 1 && sends.unmeasured >= 2, "the second of two writes: {sends:?}");
}

#[test]
fn a_session_of_a_process_that_runs_another_program_goes_on() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let program = ANY.program("sends");
    let (mut server, at) = listening(GoProgram::start(&program, &["serve", "127.0.0.1:0"]));
    server.go();
    let steps = ["steps", &at, "1x100", "1x100", "become", "1x100", "1x100", "close"];
    let mut caller = GoProgram::start(&program, &steps);
    let mut capture = capture_of(&[&server, &caller], TcpConfig::default());
    let pid = caller.pid();
    let mut await_event = |event: &str| {
        caller.go();
        while caller.next_event()["event"] != event {}
    };
    await_event("stepped");
    await_event("stepped");
    let since = |capture: &Capture| capture.process(pid).map(ObservedProcess::program_since_mono_ns);
    let before = since(&capture).unwrap();
    await_event("started");
    let deadline = Instant::now() + PATIENCE;
    while since(&capture).is_none_or(|now| now <= before) {
        assert!(Instant::now() < deadline, "the new program was not noticed");
        capture.poll(Duration::from_millis(20), &mut |_| {}).unwrap();
        capture.rescan();
    }
    for _ in 0..3 {
        await_event("stepped");
    }
    let at: SocketAddr = at.parse().unwrap();
    let taken =
        tcp_until(&mut capture, |taken| ended(taken).iter().any(|session| session.ends.remote_port == at.port()));
    let of_caller: Vec<_> = ended(&taken).into_iter().filter(|session| session.ends.remote_port == at.port()).collect();
    assert_eq!(of_caller.len(), 1, "one session, whichever program: {of_caller:?}");
    let (session, sends) = (of_caller[0], of_caller[0].sends.clone().unwrap());
    assert_eq!((session.tgid, session.bytes_sent), (pid, 400), "{session:?}");
    // The first of all was not certain, since the connection had been there before the capture.
    assert_eq!((sends.count, sends.unmeasured, sends.unacknowledged), (3, 1, 0), "{session:?}");
}

#[test]
fn where_it_is_switched_off_nothing_is_said_of_it_and_messages_are_still_told() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let program = ANY.program("sends");
    for (sends, messages) in [(false, true), (true, false)] {
        let (server, at) = listening(GoProgram::start(&program, &["echo", "127.0.0.1:0"]));
        let mut caller = GoProgram::start(&program, &["rounds", &at, "20", "4096"]);
        let left_out = if sends { CaptureKind::TcpMessages } else { CaptureKind::SendLatency };
        let mut capture = capture_without(&[&server, &caller], TcpConfig::default(), &[left_out]);
        caller.go();
        let local: SocketAddr = caller.next_event()["local"].as_str().unwrap().parse().unwrap();
        let taken = tcp_until(&mut capture, |taken| ended(taken).len() >= 2);
        let measured = of_port(&taken, local.port()).sends;
        assert_eq!((measured.map(|sends| sends.count), taken.messages.is_empty()), (sends.then_some(20), !messages));
    }
}
