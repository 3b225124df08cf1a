//! Reading a capture of TCP, and the marks of its messages.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use syncline_agent::capture::{Capture, TcpTaken};
use syncline_bpf::tcp::{MessageDirection, TcpMessageRecord, TcpSessionRecord};

const PATIENCE: Duration = Duration::from_secs(20);

/// Sessions (each with the stack of its connect()) and messages so far.
pub fn tcp_until(capture: &mut Capture, mut enough: impl FnMut(&TcpTaken) -> bool) -> TcpTaken {
    let deadline = Instant::now() + PATIENCE;
    let mut all = TcpTaken::default();
    while !enough(&all) {
        let counters = capture.tcp_counters();
        assert!(Instant::now() < deadline, "not seen in time: {counters:?} {:?} {all:?}", capture.tcp_off());
        capture.poll(Duration::from_millis(20), &mut |_| {}).unwrap();
        capture.rescan();
        let TcpTaken { sessions, messages } = capture.take_tcp();
        all.sessions.extend(sessions);
        all.messages.extend(messages);
    }
    all
}

/// Sessions that have ended.
pub fn ended(taken: &TcpTaken) -> Vec<&TcpSessionRecord> {
    taken.sessions.iter().map(|(session, _)| session).filter(|session| session.end.is_some()).collect()
}

/// Each mark of these messages with the message that it is of.
pub fn marks<'a>(
    messages: impl Iterator<Item = &'a TcpMessageRecord>,
    shift: u32,
) -> BTreeMap<u32, &'a TcpMessageRecord> {
    let mut marks = BTreeMap::new();
    for message in messages {
        assert!(message.marks > 0 && message.mark.trailing_zeros() >= shift, "{message:?}");
        for i in 0..message.marks {
            let mark = message.mark.wrapping_add(i << shift);
            assert!(marks.insert(mark, message).is_none(), "mark {mark} twice: {message:?}");
        }
    }
    marks
}

/// Messages of one direction from a socket with this local port.
pub fn messages_of(taken: &TcpTaken, port: u16, direction: MessageDirection) -> Vec<&TcpMessageRecord> {
    let is_its = |message: &&TcpMessageRecord| message.ends.local_port == port && message.direction == direction;
    taken.messages.iter().filter(is_its).collect()
}
