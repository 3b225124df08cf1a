//! TCP between two network namespaces, over a cable that can be pulled.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly, also in its helpers

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use support::go_program::{ANY, GoProgram};
use support::namespaces::Namespaces;
use support::tcp::{ended, marks, tcp_until};
use syncline_agent::capture::{Capture, CaptureConfig, Target, TcpTaken};
use syncline_bpf::tcp::{MessageDirection, TcpDirection};

const HEADER: u64 = 16;
const BYTES: u64 = 300_000;
const PATIENCE: Duration = Duration::from_secs(120);

/// One connection with two calls; between them the cable is out until segments were sent again.
fn call_over_a_pulled_cable(address: &str) -> (TcpTaken, SocketAddr, SocketAddr, u64) {
    let namespaces = Namespaces::new();
    let program = ANY.program("tcp");
    let ip = Path::new("/usr/bin/env");
    let start = |namespace, arguments: &[&str]| {
        let arguments = Namespaces::arguments(namespace, &program, arguments);
        GoProgram::start(ip, &["ip"].into_iter().chain(arguments).collect::<Vec<_>>())
    };
    let mut server = start(&namespaces.b, &["serve", address]);
    server.go();
    let at = server.next_event()["address"].as_str().unwrap().to_owned();
    let bytes = BYTES.to_string();
    let mut capture = Capture::start(CaptureConfig::new(Target::Executable(program.clone()))).unwrap();
    let mut caller = start(&namespaces.a, &["call", &at, "1", &bytes, &bytes]);
    support::observe::rescan_until(&mut capture, |capture| {
        capture.process(server.pid()).is_some() && capture.process(caller.pid()).is_some()
    });
    caller.go();
    let first = caller.events_until_done();
    assert_eq!(first[0]["event"], "connected");
    assert!(caller.finish().success());
    let mut holder = start(&namespaces.a, &["hold", &at, "1", &bytes, &bytes]);
    let connected = holder.next_event();
    support::observe::rescan_until(&mut capture, |capture| capture.process(holder.pid()).is_some());
    let before = Namespaces::retransmitted(&namespaces.a);
    namespaces.set_cable(false);
    holder.go();
    let deadline = Instant::now() + PATIENCE;
    while Namespaces::retransmitted(&namespaces.a) < before + 2 {
        assert!(Instant::now() < deadline, "nothing was sent again");
    }
    namespaces.set_cable(true);
    assert_eq!(holder.next_event()["event"], "called");
    holder.go();
    let taken = tcp_until(&mut capture, |taken| ended(taken).len() >= 4);
    let retransmitted = Namespaces::retransmitted(&namespaces.a);
    assert!(holder.finish().success() && server.finish().success());
    let local = connected["local"].as_str().unwrap().parse().unwrap();
    (taken, local, at.parse().unwrap(), retransmitted)
}

#[test]
fn what_is_sent_again_over_a_pulled_cable_is_counted_and_messages_still_pair() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let (taken, local, server, retransmitted) = call_over_a_pulled_cable("10.99.0.2:0");
    let sessions = ended(&taken);
    let of_callers: Vec<_> = sessions.iter().filter(|s| s.ends.remote_port == server.port()).collect();
    let again: u64 = of_callers.iter().map(|session| u64::from(session.retransmits)).sum();
    assert_eq!(again, retransmitted, "all that the namespace sent again: {of_callers:?}");
    let pulled = of_callers.iter().find(|session| session.ends.local_port == local.port()).unwrap();
    assert!(pulled.retransmits >= 2, "{pulled:?}");
    // It had opened its connection before it was seen.
    assert_eq!((pulled.direction, pulled.start_ns), (TcpDirection::Unknown, None));
    // Segments that the device did not take at first, and a SYN that was not seen: then, and only then, there may be one more.
    assert!((HEADER + BYTES..=HEADER + BYTES + 1).contains(&pulled.bytes_sent), "{pulled:?}");
    assert_eq!(pulled.bytes_received, BYTES, "{pulled:?}");
    let whole = of_callers.iter().find(|session| session.ends.local_port != local.port()).unwrap();
    assert_eq!((whole.bytes_sent, whole.bytes_received), (HEADER + BYTES, BYTES), "{whole:?}");
    let server_end = sessions.iter().find(|session| session.ends.remote_port == local.port()).unwrap();
    assert_ne!(server_end.ends.netns, pulled.ends.netns);
    assert_eq!(server_end.ends.local_address, server.ip());
    check_pairs(&taken, local.port());
}

/// A mark that was sent and received was sent first, however often its segment was sent.
fn check_pairs(taken: &TcpTaken, caller: u16) {
    let of = |direction| taken.messages.iter().filter(move |message| message.direction == direction);
    let sent = marks(of(MessageDirection::Send).filter(|m| m.ends.local_port == caller), 12);
    let received = marks(of(MessageDirection::Receive).filter(|m| m.ends.remote_port == caller), 12);
    let both = sent.iter().filter_map(|(mark, send)| Some((send, received.get(mark)?)));
    let both: Vec<_> = both.collect();
    assert!(both.len() > 50, "{} of {} and {}", both.len(), sent.len(), received.len());
    assert!(both.iter().all(|(send, receive)| send.mono_ns < receive.mono_ns));
    // While the cable was out, bytes waited: at least one RTO of 200 ms.
    let longest = both.iter().map(|(send, receive)| receive.mono_ns - send.mono_ns).max().unwrap();
    assert!(longest >= 200_000_000, "{longest} ns");
}
