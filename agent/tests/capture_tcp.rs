//! TCP as it is captured, against what Go programs say they did.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly, also in its helpers

mod support;

use std::net::SocketAddr;

use serde_json::Value;
use support::go_program::{ANY, Build, GoProgram, PIE_STRIPPED};
use support::tcp::{ended, marks, messages_of, tcp_until};
use syncline_agent::capture::{Capture, CaptureConfig, Target, TcpConfig, TcpTaken};
use syncline_bpf::tcp::{MessageDirection, TcpDirection, TcpSessionRecord};

const SHIFT: u8 = 12;
/// What a caller sends before what it was told to.
const HEADER: u64 = 16;
const ECONNREFUSED: i32 = 111;
const SYN_SENT: u32 = 2;

/// Marks for everything, and no limit that a test could meet.
fn config(target: Target) -> CaptureConfig {
    let tcp = TcpConfig { mark_shift: SHIFT, messages_per_s: 1_000_000, ..TcpConfig::default() };
    CaptureConfig { tcp, ..CaptureConfig::new(target) }
}

struct Called {
    taken: TcpTaken,
    /// What the caller says of each connection.
    connected: Vec<Value>,
    server: SocketAddr,
}

/// A server at `address` and a caller of it, both observed.
fn observe_calls(build: Build, address: &str, calls: u32, send: u64, reply: u64) -> (Called, Capture) {
    let program = build.program("tcp");
    let mut server = GoProgram::start(&program, &["serve", address]);
    server.go();
    let listening = server.next_event();
    let at = listening["address"].as_str().unwrap().to_owned();
    let numbers = [calls.to_string(), send.to_string(), reply.to_string()];
    let mut caller = GoProgram::start(&program, &["call", &at, &numbers[0], &numbers[1], &numbers[2]]);
    let mut capture = Capture::start(config(Target::Executable(program))).unwrap();
    assert!(capture.tcp_off().is_empty(), "{:?}", capture.tcp_off());
    support::observe::rescan_until(&mut capture, |capture| {
        capture.process(server.pid()).is_some() && capture.process(caller.pid()).is_some()
    });
    caller.go();
    let connected: Vec<_> = caller.events_until_done().into_iter().filter(|e| e["event"] == "connected").collect();
    let taken = tcp_until(&mut capture, |taken| ended(taken).len() >= 2 * calls as usize);
    assert!(caller.finish().success() && server.finish().success());
    (Called { taken, connected, server: at.parse().unwrap() }, capture)
}

fn check_calls(called: &Called, calls: u32, send: u64, reply: u64) {
    let sessions = ended(&called.taken);
    assert_eq!((sessions.len(), called.connected.len()), (2 * calls as usize, calls as usize));
    for report in &called.connected {
        let local: SocketAddr = report["local"].as_str().unwrap().parse().unwrap();
        let of_caller = with_ends(&sessions, local, called.server);
        let of_server = with_ends(&sessions, called.server, local);
        assert_eq!(of_caller.direction, TcpDirection::Active);
        assert_eq!(of_server.direction, TcpDirection::Passive);
        assert_eq!(of_caller.goid, report["goid"].as_u64());
        assert_eq!((of_caller.bytes_sent, of_caller.bytes_received), (HEADER + send, reply), "{of_caller:?}");
        assert_eq!((of_server.bytes_sent, of_server.bytes_received), (reply, HEADER + send), "{of_server:?}");
        for session in [of_caller, of_server] {
            assert!(
                session.start_ns.is_some_and(|(mono_ns, wall_ns)| mono_ns < session.updated_mono_ns && wall_ns > 0)
            );
            assert!(session.established && session.srtt_us > 0 && session.min_rtt_us.is_some(), "{session:?}");
            // A busy machine may send a segment again even over loopback: the test over a real link counts those.
            assert_eq!(session.end.unwrap().error, 0, "{session:?}");
        }
        check_messages(&called.taken, local.port(), called.server.port(), HEADER + send);
        check_messages_back(&called.taken, local.port(), called.server.port(), reply);
    }
}

fn with_ends<'a>(sessions: &[&'a TcpSessionRecord], local: SocketAddr, remote: SocketAddr) -> &'a TcpSessionRecord {
    let ends = |s: &TcpSessionRecord| {
        (
            SocketAddr::new(s.ends.local_address, s.ends.local_port),
            SocketAddr::new(s.ends.remote_address, s.ends.remote_port),
        )
    };
    let found: Vec<_> = sessions.iter().filter(|session| ends(session) == (local, remote)).collect();
    assert_eq!(found.len(), 1, "{local} to {remote}: {sessions:?}");
    found[0]
}

/// What the caller sent: the same marks at both ends, as many as there must be, each sent before it was received.
fn check_messages(taken: &TcpTaken, caller: u16, server: u16, bytes: u64) {
    let sent = taken
        .messages
        .iter()
        .filter(|m| (m.ends.local_port, m.ends.remote_port, m.direction) == (caller, server, MessageDirection::Send));
    let received = taken.messages.iter().filter(|m| {
        (m.ends.remote_port, m.ends.local_port, m.direction) == (caller, server, MessageDirection::Receive)
    });
    check_pairs(sent, received, bytes);
}

fn check_messages_back(taken: &TcpTaken, caller: u16, server: u16, bytes: u64) {
    let sent = taken
        .messages
        .iter()
        .filter(|m| (m.ends.local_port, m.ends.remote_port, m.direction) == (server, caller, MessageDirection::Send));
    let received = taken.messages.iter().filter(|m| {
        (m.ends.remote_port, m.ends.local_port, m.direction) == (server, caller, MessageDirection::Receive)
    });
    check_pairs(sent, received, bytes);
}

fn check_pairs<'a>(
    sent: impl Iterator<Item = &'a syncline_bpf::tcp::TcpMessageRecord>,
    received: impl Iterator<Item = &'a syncline_bpf::tcp::TcpMessageRecord>,
    bytes: u64,
) {
    let (sent, received) = (marks(sent, SHIFT.into()), marks(received, SHIFT.into()));
    // Every spacing of sequence numbers has one mark; where they begin is the connection's own.
    let least = (bytes >> SHIFT) as usize;
    assert!((least..=least + 1).contains(&sent.len()), "{} marks in {bytes} bytes", sent.len());
    assert!(sent.keys().eq(received.keys()), "{:?} sent, {:?} received", sent.keys(), received.keys());
    for (mark, send) in &sent {
        let receive = received[mark];
        assert!(send.mono_ns < receive.mono_ns && send.wall_ns < receive.wall_ns, "{send:?} {receive:?}");
        assert!(receive.mono_ns - send.mono_ns < 10_000_000_000, "{send:?} {receive:?}");
        assert!(send.goid.is_some() && receive.goid.is_some(), "{send:?} {receive:?}");
    }
}

fn calls_are_seen_as_the_programs_report_them(build: Build, address: &str) {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let (calls, send, reply) = (5, 100_000, 50_001);
    let (called, capture) = observe_calls(build, address, calls, send, reply);
    check_calls(&called, calls, send, reply);
    let counters = capture.tcp_counters();
    let lost = counters.sessions_ring_full + counters.sessions_map_full + counters.messages_ring_full;
    assert_eq!((lost, counters.messages_rate, counters.marks_uncertain, counters.messages_unstamped), (0, 0, 0, 0));
    assert_eq!(counters.messages as usize, called.taken.messages.len());
    check_stacks(&called, &capture);
}

/// connect() was called by `main.dial`, in every session that the caller opened.
fn check_stacks(called: &Called, capture: &Capture) {
    for (session, stack) in called.taken.sessions.iter().filter(|(s, _)| s.direction == TcpDirection::Active) {
        let process = capture.process(session.tgid).unwrap();
        let names = stack.iter().flat_map(|pc| process.binary.symbolize(pc.wrapping_sub(process.load_bias), true));
        let names: Vec<_> = names.map(|frame| frame.function.into_owned()).collect();
        assert!(names.iter().any(|name| name == "main.dial"), "{names:?}");
    }
}

#[test]
fn calls_over_ipv4_are_seen_as_the_programs_report_them() {
    calls_are_seen_as_the_programs_report_them(ANY, "127.0.0.1:0");
}

#[test]
fn calls_over_ipv6_are_seen_as_the_programs_report_them() {
    calls_are_seen_as_the_programs_report_them(ANY, "[::1]:0");
}

#[test]
fn calls_of_stripped_programs_of_the_oldest_and_newest_go_are_seen() {
    for toolchain in ["go1.21.13", "go1.27.3"] {
        let build = Build { toolchain, variant: "pie", flags: PIE_STRIPPED, cgo: false };
        calls_are_seen_as_the_programs_report_them(build, "127.0.0.1:0");
    }
}

#[test]
fn a_refused_connect_is_a_session_that_failed() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let program = ANY.program("tcp");
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut caller = GoProgram::start(&program, &["call", &unused.to_string(), "1", "1", "1"]);
    let mut capture = Capture::start(config(Target::Pid(caller.pid()))).unwrap();
    caller.go();
    let taken = tcp_until(&mut capture, |taken| !ended(taken).is_empty());
    let session = ended(&taken)[0].clone();
    let end = session.end.unwrap();
    assert_eq!((end.error, end.last_state, session.established), (ECONNREFUSED, SYN_SENT, false), "{session:?}");
    assert_eq!((session.bytes_sent, session.bytes_received, session.ends.remote_port), (0, 0, unused.port()));
}

#[test]
fn what_was_there_before_is_marked_and_told_while_it_is_open() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let program = ANY.program("tcp");
    let mut server = GoProgram::start(&program, &["serve", "127.0.0.1:0"]);
    server.go();
    let at = server.next_event()["address"].as_str().unwrap().to_owned();
    let mut caller = GoProgram::start(&program, &["hold", &at, "3", "20000", "20000"]);
    assert_eq!(caller.next_event()["event"], "connected");
    let mut config = config(Target::Pid(caller.pid()));
    config.tcp.tell_open_after = std::time::Duration::from_millis(100);
    let mut capture = Capture::start(config).unwrap();
    for _ in 0..2 {
        caller.go();
        assert_eq!(caller.next_event()["event"], "called");
    }
    let open = tcp_until(&mut capture, |taken| !taken.sessions.is_empty());
    let (session, _) = &open.sessions[0];
    assert_eq!((session.start_ns, session.direction, session.end), (None, TcpDirection::Unknown, None));
    // The first call that is seen is not certain; those after it are.
    let sent = messages_of(&open, session.ends.local_port, MessageDirection::Send);
    assert!(!marks(sent.into_iter(), SHIFT.into()).is_empty());
    caller.go();
    assert_eq!(caller.next_event()["event"], "called");
    // At the end of a capture all are told that are open, whenever they were told before.
    capture.tell_open_sessions();
    let at_the_end = capture.take_tcp().sessions;
    assert!(at_the_end.iter().any(|(told, _)| told.socket == session.socket && told.end.is_none()), "{at_the_end:?}");
    caller.go();
    let closed = tcp_until(&mut capture, |taken| !ended(taken).is_empty());
    let last = ended(&closed)[0].clone();
    assert_eq!((last.socket, last.first_mono_ns), (session.socket, session.first_mono_ns));
    // The kernel's own counts know what was before.
    assert_eq!((last.bytes_sent, last.bytes_received), (3 * (20_000 + HEADER), 60_000), "{last:?}");
}

#[test]
fn a_process_that_sends_too_often_is_held_to_its_rate_and_the_rest_is_counted() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let program = ANY.program("tcp");
    let mut server = GoProgram::start(&program, &["serve", "127.0.0.1:0"]);
    server.go();
    let at = server.next_event()["address"].as_str().unwrap().to_owned();
    let mut caller = GoProgram::start(&program, &["call", &at, "1", "4000000", "1"]);
    let mut config = config(Target::Pid(caller.pid()));
    config.tcp.messages_per_s = 10;
    let mut capture = Capture::start(config).unwrap();
    caller.go();
    let taken = tcp_until(&mut capture, |taken| !ended(taken).is_empty());
    let counters = capture.tcp_counters();
    let of_second = |second: u64| taken.messages.iter().filter(|m| m.mono_ns / 1_000_000_000 == second).count();
    assert!(taken.messages.iter().all(|m| of_second(m.mono_ns / 1_000_000_000) <= 20), "{}", taken.messages.len());
    // 976 spacings were sent, by as many calls or fewer.
    let calls_with_marks = counters.messages + counters.messages_rate;
    assert!(counters.messages_rate > 0 && (960..=978).contains(&calls_with_marks), "{counters:?}");
}

#[test]
fn where_threads_write_to_one_connection_only_what_is_certain_is_told() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let program = ANY.program("tcp");
    let mut server = GoProgram::start(&program, &["serve", "127.0.0.1:0"]);
    server.go();
    let at = server.next_event()["address"].as_str().unwrap().to_owned();
    let mut caller = GoProgram::start(&program, &["several", &at, "8", "2000000", "0"]);
    let mut capture = Capture::start(config(Target::Executable(program))).unwrap();
    support::observe::rescan_until(&mut capture, |capture| {
        capture.process(server.pid()).is_some() && capture.process(caller.pid()).is_some()
    });
    caller.go();
    let events = caller.events_until_done();
    let local: SocketAddr = events[0]["local"].as_str().unwrap().parse().unwrap();
    let taken = tcp_until(&mut capture, |taken| ended(taken).len() >= 2);
    let (sent, received) = (
        marks(messages_of(&taken, local.port(), MessageDirection::Send).into_iter(), SHIFT.into()),
        marks(
            taken
                .messages
                .iter()
                .filter(|m| m.ends.remote_port == local.port() && m.direction == MessageDirection::Receive),
            SHIFT.into(),
        ),
    );
    // 16,000,016 bytes have 3,906 marks or one more. What is not told is counted; the two directions share the count.
    let uncertain = capture.tcp_counters().marks_uncertain as usize;
    assert!(sent.len() + received.len() + uncertain >= 2 * 3_906, "{} + {} + {uncertain}", sent.len(), received.len());
    assert!(received.len() > 3_000, "one thread reads: {} marks", received.len());
    let both = || sent.iter().filter_map(|(mark, send)| Some((send, received.get(mark)?)));
    assert!(both().count() > 0 && both().all(|(send, receive)| send.mono_ns < receive.mono_ns));
}
