//! Which process's TCP is captured, and how much of it, changed while real programs talk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly, also in its helpers

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use support::go_program::{ANY, GoProgram};
use support::settings::{linked_tracepoints, observe, rules, service, with, without};
use support::tcp::tcp_until;
use syncline_agent::capture::{Capture, CaptureConfig, CaptureKind, Kinds, Target, TcpConfig, TcpTaken};
use syncline_agent::choice::Selector;
use syncline_bpf::tcp::TcpSessionRecord;

/// Bytes of a call, each way; and of its header, one way.
const CALL: u64 = 20_000;
const HEADER: u64 = 16;
/// Writes of a call: its header, and pieces of 1500 bytes.
const WRITES: u64 = 1 + CALL.div_ceil(1500);
const OF_SESSIONS: [&str; 3] = ["inet_sock_set_state", "sock_recv_length", "sock_send_length"];
const OF_SENDS: &str = "tcp_probe";
const OF_CALLS: [&str; 2] = ["sys_enter", "sys_exit"];

struct Caller(GoProgram);

impl Caller {
    /// It has opened its connection, and makes so many calls when it is told to.
    fn start(of_service: &str, at: &str, calls: u32) -> Self {
        let mut command = Command::new(ANY.program("tcp"));
        let (calls, bytes) = (calls.to_string(), CALL.to_string());
        let mut program =
            GoProgram::start_by(command.args(["hold", at, &calls, &bytes, &bytes]).env("SYNCLINE_SERVICE", of_service));
        assert_eq!(program.next_event()["event"], "connected");
        Self(program)
    }

    fn call(&mut self) {
        self.0.go();
        assert_eq!(self.0.next_event()["event"], "called");
    }

    /// Its messages among these, and the last that is told of its one connection.
    fn of<'a>(&self, taken: &'a TcpTaken) -> (usize, Option<&'a TcpSessionRecord>) {
        let pid = self.0.pid();
        let messages = taken.messages.iter().filter(|message| message.tgid == pid).count();
        (messages, last_of(taken, pid))
    }
}

/// A server, and where it is.
fn serve() -> (GoProgram, String) {
    let serving = ["serve", "127.0.0.1:0"];
    let mut server =
        GoProgram::start_by(Command::new(ANY.program("tcp")).args(serving).env("SYNCLINE_SERVICE", "server"));
    server.go();
    let at = server.next_event()["address"].as_str().unwrap().to_owned();
    (server, at)
}

/// Everything that was said of TCP up to now.
fn all_now(capture: &mut Capture) -> TcpTaken {
    support::observe::drain(capture);
    capture.tell_open_sessions();
    capture.take_tcp()
}

/// Of TCP and of system calls.
fn linked() -> Vec<String> {
    let of_all = linked_tracepoints(std::process::id());
    of_all.into_iter().filter(|name| !name.starts_with("sched_")).collect()
}

fn sorted(parts: &[&[&str]]) -> Vec<String> {
    let mut names: Vec<String> = parts.concat().into_iter().map(str::to_owned).collect();
    names.sort();
    names
}

#[test]
fn tcp_is_captured_of_who_is_chosen_and_as_far_as_is_chosen() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let (server, at) = serve();
    let (mut a, mut b) = (Caller::start("a", &at, 20), Caller::start("b", &at, 20));
    let only_b = [(service("server"), observe(false)), (service("a"), without(&[CaptureKind::Tcp]))];
    let mut capture = Capture::start(CaptureConfig {
        tcp: TcpConfig { messages_per_s: 1_000_000, ..TcpConfig::default() },
        kinds: Kinds::without(&[CaptureKind::Syscall, CaptureKind::OffCpu]),
        rules: rules(&only_b),
        ..CaptureConfig::new(Target::Executable(ANY.program("tcp").canonicalize().unwrap()))
    })
    .unwrap();
    assert!(capture.tcp_off().is_empty(), "{:?}", capture.tcp_off());
    assert_eq!(linked(), sorted(&[&OF_SESSIONS, &[OF_SENDS], &OF_CALLS]));
    let mut calls = |capture: &mut Capture| {
        // The first one after TCP came back is not certain, those after it are.
        (0..2).for_each(|_| [&mut a, &mut b].into_iter().for_each(Caller::call));
        let taken = all_now(capture);
        let of_a = a.of(&taken);
        assert_eq!((of_a.0, of_a.1), (0, None), "{taken:?}");
        let (messages, session) = b.of(&taken);
        (messages > 0, session.cloned())
    };

    let (has_messages, session) = calls(&mut capture);
    let first = session.unwrap();
    let sends = first.sends.clone().unwrap();
    assert!(has_messages && sends.count + sends.unmeasured == 2 * WRITES && sends.count > WRITES, "{first:?}");

    let mut set = capture.rules().clone();
    set.set(Selector::default(), &without(&[CaptureKind::SendLatency]));
    capture.set_rules(set.clone());
    assert_eq!(linked(), sorted(&[&OF_SESSIONS, &OF_CALLS]));
    let (has_messages, session) = calls(&mut capture);
    let second = session.unwrap();
    assert!(has_messages && second.socket == first.socket && second.bytes_received >= first.bytes_received);
    assert_eq!(second.sends, first.sends, "nothing new of them");

    set.set(Selector::default(), &without(&[CaptureKind::TcpMessages]));
    capture.set_rules(set.clone());
    assert_eq!(linked(), sorted(&[&OF_SESSIONS]), "nobody's calls are stamped any more");
    let (has_messages, session) = calls(&mut capture);
    assert_eq!((has_messages, session.map(|session| session.socket)), (false, Some(first.socket)));

    // It is told of as it is, and then no more.
    set.set(Selector::default(), &without(&[CaptureKind::Tcp]));
    capture.set_rules(set.clone());
    assert_eq!(linked(), sorted(&[]));
    let last = capture.take_tcp();
    let session = last_of(&last, first.tgid).unwrap();
    assert_eq!((session.socket, session.end), (first.socket, None));
    assert_eq!(calls(&mut capture), (false, None));

    set.set(service("b"), &with(&[CaptureKind::Tcp, CaptureKind::TcpMessages, CaptureKind::SendLatency]));
    capture.set_rules(set);
    assert_eq!(linked(), sorted(&[&OF_SESSIONS, &[OF_SENDS], &OF_CALLS]));
    let (has_messages, session) = calls(&mut capture);
    let again = session.unwrap();
    let sends = again.sends.clone().unwrap();
    assert!(has_messages && sends.count + sends.unmeasured == 2 * WRITES && sends.count > 0, "{again:?}");
    assert_eq!(
        capture.tcp_counters().marks_uncertain,
        0,
        "what nobody wanted is no loss: {:?}",
        capture.tcp_counters()
    );

    for _ in 0..10 {
        b.call();
    }
    b.0.go();
    let closed = tcp_until(&mut capture, |taken| last_of(taken, first.tgid).is_some_and(|told| told.end.is_some()));
    let closed = last_of(&closed, first.tgid).unwrap();
    assert_eq!((closed.bytes_sent, closed.bytes_received), (20 * (CALL + HEADER), 20 * CALL), "{closed:?}");
    drop(capture);
    for program in [a.0, b.0, server] {
        assert!(program.finish().success());
    }
}

/// Nobody looks at single calls then; sessions go on all the same, and where the bytes are is found again.
#[test]
fn of_sessions_alone_the_numbers_go_on_and_messages_are_told_once_they_are_wanted() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let (server, at) = serve();
    let mut caller = Caller::start("caller", &at, 1_000_000);
    let pid = caller.0.pid();
    let mut capture = Capture::start(CaptureConfig {
        kinds: Kinds::without(&[CaptureKind::TcpMessages, CaptureKind::SendLatency]),
        ..CaptureConfig::new(Target::Pid(pid))
    })
    .unwrap();
    let mut received_until = |capture: &mut Capture, least: u64| {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            caller.call();
            let taken = all_now(capture);
            assert!(taken.messages.is_empty());
            match last_of(&taken, pid).map(|session| session.bytes_received) {
                Some(received) if received > least => return received,
                told => assert!(Instant::now() < deadline, "{told:?} bytes after {least}"),
            }
        }
    };
    let first = received_until(&mut capture, 0);
    received_until(&mut capture, first + CALL);

    let mut set = capture.rules().clone();
    set.set(Selector::default(), &with(&[CaptureKind::TcpMessages]));
    capture.set_rules(set);
    (0..2).for_each(|_| caller.call());
    let messages = all_now(&mut capture).messages;
    assert!(messages.iter().any(|message| message.tgid == pid));
    assert_eq!(capture.tcp_counters().marks_uncertain, 0, "of calls that nobody wanted to know of");
    drop((capture, caller, server));
}

fn last_of(taken: &TcpTaken, tgid: u32) -> Option<&TcpSessionRecord> {
    taken.sessions.iter().map(|(session, _)| session).rfind(|session| session.tgid == tgid)
}
