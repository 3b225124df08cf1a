//! What a batch says of TCP survives the wire, and what contradicts itself is refused by name.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod support;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use support::origin;
use syncline_event::{
    Batch, BatchError, Direction, Flow, Messages, Opener, Process, SendLatency, SessionEnd, StackId, TcpLoss,
    TcpLossCause, TcpSession,
};
use syncline_proto::{WireError, decode, encode};
use syncline_timebase::{Instant, Offset};

const SHIFT: u8 = 12;

fn empty() -> Batch {
    Batch {
        first_seq: 80,
        sealed_at: Instant::from_ns(5),
        processes: vec![Process {
            pid: 1,
            service: "s".into(),
            executable: "/s".into(),
            go_version: "go1.27.3".into(),
            build_id: 3,
            ..Process::default()
        }],
        flows: vec![
            Flow { local: "10.0.0.1:80".parse().unwrap(), remote: "10.0.0.2:40000".parse().unwrap(), netns: 7 },
            Flow { local: "[fd00::1]:80".parse().unwrap(), remote: "[fd00::2]:1".parse().unwrap(), netns: u32::MAX },
        ],
        messages: Messages { mark_shift: SHIFT, ..Messages::default() },
        tcp_losses: TcpLossCause::ALL.map(|cause| TcpLoss { cause, count: 2 }).to_vec(),
        ..Batch::empty(origin(), 9)
    }
}

prop_compose! {
    fn sends()(numbers: [u64; 5], histogram in vec(any::<u64>(), 0..=40)) -> SendLatency {
        let [count, total_ns, max_ns, unmeasured, unacknowledged] = numbers;
        SendLatency { count, total_ns, max_ns, histogram, unmeasured, unacknowledged }
    }
}

prop_compose! {
    fn session()(
        flow in 0u32..2, numbers: [u64; 5], small: [u32; 4], opener in 0usize..3, first in 0i64..1 << 61,
        lasted in 0i64..1 << 61, wall: i64, handshake: Option<u64>, min_rtt: Option<u32>, end: Option<(u8, u16)>,
        sends in proptest::option::of(sends()),
    ) -> TcpSession {
        TcpSession {
            process: 0,
            flow,
            tid: small[0],
            goid: numbers[0],
            stack: StackId(numbers[1]),
            socket: numbers[2],
            opener: [Opener::Unknown, Opener::Local, Opener::Remote][opener],
            first: Instant::from_ns(first),
            wall_offset: Offset::from_ns(wall),
            handshake_ns: handshake,
            updated: Instant::from_ns(first + lasted),
            bytes_sent: numbers[3],
            bytes_received: numbers[4],
            retransmits: small[1],
            srtt_us: small[2],
            min_rtt_us: min_rtt,
            end: end.map(|(last_state, error)| SessionEnd { last_state, error }),
            sends,
        }
    }
}

prop_compose! {
    fn batch()(
        rows in vec((any::<bool>(), 0u32..2, any::<u32>(), any::<u64>(), 0i64..1 << 62, any::<i64>(), 0u32..1 << 20, 1u32..=4096), 0..100),
        tcp_sessions in vec(session(), 0..20),
    ) -> Batch {
        let mut batch = Batch { tcp_sessions, ..empty() };
        for (is_sent, flow, tid, goid, at, wall, mark, marks) in rows {
            let messages = &mut batch.messages;
            messages.direction.push(if is_sent { Direction::Send } else { Direction::Receive });
            messages.process.push(0);
            messages.flow.push(flow);
            messages.tid.push(tid);
            messages.goid.push(goid);
            messages.at.push(Instant::from_ns(at));
            messages.wall_offset.push(Offset::from_ns(wall));
            messages.mark.push(mark << SHIFT);
            messages.marks.push(marks);
        }
        // A batch without messages does not speak of marks.
        if batch.messages.is_empty() {
            batch.messages.mark_shift = 0;
        }
        batch
    }
}

proptest! {
    #[test]
    fn sessions_and_messages_survive_the_wire(batch in batch()) {
        prop_assert_eq!(decode(&encode(&batch).unwrap()).unwrap(), batch);
    }
}

fn with_one_message() -> Batch {
    let mut batch = empty();
    batch.messages = Messages {
        mark_shift: SHIFT,
        direction: vec![Direction::Send],
        process: vec![0],
        flow: vec![1],
        tid: vec![1],
        goid: vec![1],
        at: vec![Instant::from_ns(5)],
        wall_offset: vec![Offset::from_ns(0)],
        mark: vec![1 << SHIFT],
        marks: vec![1],
    };
    batch
}

fn refused(change: impl FnOnce(&mut Batch)) -> BatchError {
    let mut batch = with_one_message();
    change(&mut batch);
    let Err(WireError::Unsound(error)) = decode(&encode(&batch).unwrap()) else { panic!("{batch:?} is taken") };
    assert_eq!(batch.check(), Err(error.clone()));
    error
}

#[test]
fn what_contradicts_itself_is_refused_by_name() {
    assert!(with_one_message().check().is_ok());
    let says = |error: BatchError, part: &str| assert!(error.to_string().contains(part), "{error}");
    says(refused(|batch| batch.messages.flow[0] = 2), "messages.flow[0] = 2 is outside a dictionary of 2");
    says(refused(|batch| batch.messages.process[0] = 1), "messages.process[0] = 1");
    says(refused(|batch| batch.messages.tid.clear()), "messages.tid has 0 rows");
    says(refused(|batch| batch.messages.marks[0] = 0), "none of a spacing of 2^12");
    says(refused(|batch| batch.messages.marks[0] = 4097), "marks of a message");
    says(refused(|batch| batch.messages.at[0] = Instant::from_ns(-1)), "message 0");
    let mut odd = with_one_message();
    odd.messages.mark[0] += 1;
    says(odd.check().unwrap_err(), "none of a spacing");
}

#[test]
fn a_histogram_with_too_many_buckets_is_refused() {
    let runner = &mut proptest::test_runner::TestRunner::deterministic();
    let mut session = session().new_tree(runner).unwrap().current();
    session.sends = Some(SendLatency { histogram: vec![1; 41], ..SendLatency::default() });
    let error = refused(|batch| batch.tcp_sessions.push(session));
    assert!(error.to_string().contains("histogram buckets of a TCP session"), "{error}");
}

#[test]
fn a_batch_of_an_agent_that_knows_no_tcp_is_taken() {
    let batch = Batch { flows: Vec::new(), messages: Messages::default(), tcp_losses: Vec::new(), ..empty() };
    assert_eq!(decode(&encode(&batch).unwrap()).unwrap(), batch);
}
