//! Batches survive the wire, and nothing else does.

#![allow(clippy::unwrap_used, reason = "a test may")]

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;
use syncline_event::{
    Account, Batch, BatchError, ClaimSource, ClockClaim, ClockDisruption, Container, DisruptionSign, DroppedBatch,
    Flow, Kind, Loss, LossCause, Messages, ONCE_MILLI, Observation, ObservationReason, ObservationStage, Origin,
    ProbePath, Process, ShortWaits, Stack, StackId, Symbol, Target, TraceContext, WaitFlags, Waits, limits,
};
use syncline_proto::{WireError, decode, encode, v1};
use syncline_timebase::{BootId, Instant, Knot, Offset, Probe, Span};

prop_compose! {
    fn wait()(
        reason in 0u32..3, process in 0u32..2, tid: u32, goid: u64, start in 0i64..1 << 60, wall: i64,
        duration in 0u64..1 << 60, delay_share in 0.0..=1.0f64, stack in 0usize..4, waker: u64, flags in 0u16..8,
        trace in 0usize..3,
    ) -> ((u32, u32, u32, u64, i64, i64), (u64, u64, usize, u64, u16, usize)) {
        let run_delay = (duration as f64 * delay_share) as u64 / 2;
        ((reason, process, tid, goid, start, wall), (duration, run_delay, stack, waker, flags, trace))
    }
}

prop_compose! {
    fn target()(
        address: u64, result: i64, fd in proptest::option::of(0u32..1 << 31), file_type in 0u32..3, flow in 0u32..3,
    ) -> Target {
        Target { address, result, fd, file_type, flow }
    }
}

fn flows() -> Vec<Flow> {
    vec![
        Flow { local: "10.0.0.1:80".parse().unwrap(), remote: "10.0.0.2:40000".parse().unwrap(), netns: 7 },
        Flow { local: "[fd00::1]:53".parse().unwrap(), remote: "[::]:0".parse().unwrap(), netns: 7 },
    ]
}

fn stacks() -> Vec<Stack> {
    vec![
        Stack::new(1, vec![0x40_1000, 0x40_2000]),
        Stack::new(1, vec![]),
        Stack::new(u64::MAX, vec![u64::MAX, 0, 1 << 63]),
    ]
}

fn container() -> Container {
    Container {
        runtime: "containerd".into(),
        id: "3f".repeat(32),
        name: "app".into(),
        pod_name: "checkout-0".into(),
        pod_uid: "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0".into(),
        namespace: "shop".into(),
    }
}

fn traces() -> [TraceContext; 3] {
    let only_span = TraceContext { trace_id: 0, span_id: 7 };
    [TraceContext::NONE, TraceContext { trace_id: u128::MAX - 5, span_id: u64::MAX }, only_span]
}

fn batch_with(waits: Waits) -> Batch {
    let process = |pid| Process {
        pid,
        service: "checkout".into(),
        executable: "/srv/checkout".into(),
        go_version: "go1.27.3".into(),
        build_id: 0x1234,
        since_mono_ns: 3,
        container: if pid == 1 { Container::default() } else { container() },
    };
    Batch {
        origin: Origin {
            node: "eu-1".parse().unwrap(),
            region: "eu".into(),
            boot: BootId(0xb3b2_1dd5_01f9_4a5c),
            run_first_seq: 77,
            agent_version: "0.1.0".into(),
            kernel: "6.18.0".into(),
        },
        number: 9,
        first_seq: 80,
        sealed_at: Instant::from_ns(5_000_000_000),
        coarse_reference: Offset::from_ns(1_790_000_000_000_000_000),
        wall_offset: Offset::from_ns(-3),
        reasons: ["chan receive", "sync.Mutex.Lock", "IO wait"].map(String::from).to_vec(),
        open_waits: waits.clone(),
        file_types: ["tcp", "file"].map(String::from).to_vec(),
        processes: vec![process(1), process(2)],
        waits,
        short_waits: vec![ShortWaits {
            process: 1,
            kind: Kind::Syscall,
            reason: 2,
            count: 5,
            total_ns: 900,
            histogram: vec![0, 2, 3],
            weight_milli: 48_500,
            is_parts: true,
        }],
        observations: vec![Observation {
            process: 1,
            from: Instant::from_ns(7),
            duration_ns: 9,
            observed_ns: 3,
            windows: 2,
            stage: ObservationStage::Windows,
            reason: ObservationReason::OverBudget,
            threshold_ns: 1_000_000,
            without: "states".into(),
            budget_ppm: 10_000,
            cost_ns: 1,
            cpu_ns: 99,
        }],
        stacks: stacks(),
        symbols: vec![Symbol {
            build_id: 1,
            pc: 0x40_1000,
            depth: 1,
            function: "main.work".into(),
            file: "/srv/main.go".into(),
            line: 42,
        }],
        losses: LossCause::ALL.map(|cause| Loss { cause, count: 3 }).to_vec(),
        knots: vec![Knot {
            mono: Instant::from_ns(4),
            raw: Instant::from_ns(-5),
            wall: Instant::from_ns(1_790_000_000_000_000_000),
            bracket: Span::from_ns(90),
        }],
        probes: vec![Probe {
            sent: Instant::from_ns(10),
            received: Instant::from_ns(1_000),
            replied: Instant::from_ns(990),
            returned: Instant::from_ns(25),
        }],
        probe_paths: vec![ProbePath::Udp],
        claims: vec![
            ClockClaim { source: ClaimSource::Kernel, at: Instant::from_ns(5), utc_minus_wall_ns: None },
            ClockClaim { source: ClaimSource::Chrony, at: Instant::from_ns(6), utc_minus_wall_ns: Some((-7, 8)) },
        ],
        disruptions: [DisruptionSign::Hypervisor, DisruptionSign::Other]
            .map(|sign| ClockDisruption { since: Instant::from_ns(3), until: Instant::from_ns(9), sign })
            .to_vec(),
        reference_run: 0xfeed,
        flows: flows(),
        messages: Messages::default(),
        tcp_sessions: Vec::new(),
        tcp_losses: Vec::new(),
        account: Some(Account { captured: 9, left_out: 3, waiting: -1, open: Some(0) }),
        dropped: vec![DroppedBatch {
            boot: BootId(0xb007),
            number: 78,
            run_first_seq: 77,
            cause: LossCause::QueueFull,
            events: 5,
            summed: 6,
            losses: vec![Loss { cause: LossCause::ProbeMissed, count: 1 }],
        }],
        process_states: Vec::new(),
        goroutine_states: Vec::new(),
    }
}

prop_compose! {
    fn batch()(rows in vec((wait(), target(), 0usize..4, 0usize..4), 0..200)) -> Batch {
        let ids: Vec<StackId> = [StackId::NONE].into_iter().chain(stacks().into_iter().map(|stack| stack.id)).collect();
        let mut waits = Waits::default();
        for (((reason, process, tid, goid, start, wall), (duration, delay, stack, waker, flags, trace)), target, waker_stack, kind) in rows {
            waits.kind.push([Kind::Goroutine, Kind::Syscall, Kind::OffCpu, Kind::Cgo][kind]);
            waits.target.push(target);
            waits.waker_stack.push(ids[waker_stack]);
            waits.reason.push(reason);
            waits.process.push(process);
            waits.tid.push(tid);
            waits.goid.push(goid);
            waits.start.push(Instant::from_ns(start));
            waits.wall_offset.push(Offset::from_ns(wall));
            waits.duration_ns.push(duration);
            waits.run_delay_ns.push(delay);
            waits.stack.push(ids[stack]);
            waits.waker_goid.push(waker);
            waits.flags.push(WaitFlags::from_bits(flags));
            waits.trace.push(traces()[trace]);
            waits.weight_milli.push(ONCE_MILLI + tid % 3 * 500);
        }
        batch_with(waits)
    }
}

proptest! {
    #[test]
    fn a_batch_survives_the_wire(batch in batch()) {
        prop_assert_eq!(decode(&encode(&batch).unwrap()).unwrap(), batch);
    }

    #[test]
    fn a_damaged_batch_is_refused_or_sound(batch in batch(), at: prop::sample::Index, bit in 0u8..8, cut: prop::sample::Index) {
        let mut bytes = encode(&batch).unwrap();
        let truncated = decode(&bytes[..cut.index(bytes.len())]);
        prop_assert!(truncated.is_err());
        let place = at.index(bytes.len());
        bytes[place] ^= 1 << bit;
        if let Ok(read) = decode(&bytes) {
            prop_assert_eq!(read.check(), Ok(()));
        }
    }

    #[test]
    fn noise_is_refused(bytes: Vec<u8>) {
        prop_assert!(decode(&bytes).is_err());
    }
}

#[test]
fn a_bomb_is_refused_before_it_fills_memory() {
    let bomb = zstd::bulk::compress(&vec![0; limits::DECODED_BYTES + 1], 1).unwrap();
    assert!(bomb.len() < limits::WIRE_BYTES);
    assert!(matches!(decode(&bomb), Err(WireError::TooLongDecoded { .. })));
    assert!(matches!(decode(&vec![0; limits::WIRE_BYTES + 1]), Err(WireError::TooLong { .. })));
}

#[test]
fn empty_submessages_are_counted_before_they_take_memory() {
    // Field 12, length 0: a symbol in two bytes.
    let symbols = [0x62, 0x00].repeat(limits::SYMBOLS + 1);
    let error = decode(&zstd::bulk::compress(&symbols, 1).unwrap()).unwrap_err();
    assert!(matches!(error, WireError::Unsound(BatchError::TooMany { what: "symbols", .. })), "{error}");
}

/// What a peer may get wrong, and the words with which it is refused.
#[test]
fn contradictions_are_refused_by_name() {
    type Spoil = fn(&mut Batch);
    let cases: [(&str, Spoil); 13] = [
        ("tid has 1 rows", |batch| batch.waits.tid.push(1)),
        ("outside a dictionary of 3", |batch| batch.short_waits[0].reason = 3),
        ("outside a dictionary of 2", |batch| batch.observations[0].process = 2),
        ("observed for 10 ns of 9 ns", |batch| batch.observations[0].observed_ns = 10),
        ("not the identity", |batch| batch.stacks[0].pcs.push(1)),
        ("longer than the whole wait", |batch| {
            batch.waits = one_wait();
            batch.waits.run_delay_ns[0] = 8;
        }),
        ("no time that a clock shows", |batch| {
            batch.waits = one_wait();
            batch.waits.start[0] = Instant::from_ns(-1);
        }),
        ("overflows", |batch| {
            batch.waits = one_wait();
            batch.first_seq = u64::MAX;
        }),
        ("probe 0", |batch| batch.probes[0].sent = Instant::from_ns(-7)),
        ("disruption 0", |batch| batch.disruptions[0].since = Instant::from_ns(-7)),
        ("65 disruptions", |batch| batch.disruptions = vec![batch.disruptions[0]; limits::DISRUPTIONS + 1]),
        ("bytes of a text", |batch| batch.processes[1].container.pod_name = "x".repeat(limits::TEXT_BYTES + 1)),
        ("bytes of a text", |batch| batch.reasons[0] = "x".repeat(limits::TEXT_BYTES + 1)),
    ];
    for (words, spoil) in cases {
        let mut batch = batch_with(Waits::default());
        spoil(&mut batch);
        let error = decode(&encode(&batch).unwrap()).unwrap_err().to_string();
        assert!(error.contains(words), "{error:?} does not say {words:?}");
    }
    assert_eq!(batch_with(one_wait()).check(), Ok::<(), BatchError>(()));
}

fn one_wait() -> Waits {
    Waits {
        kind: vec![Kind::Goroutine],
        reason: vec![0],
        process: vec![0],
        tid: vec![1],
        goid: vec![1],
        start: vec![Instant::from_ns(1)],
        wall_offset: vec![Offset::from_ns(0)],
        duration_ns: vec![7],
        run_delay_ns: vec![7],
        stack: vec![StackId::NONE],
        waker_goid: vec![0],
        flags: vec![WaitFlags::READY_SEEN],
        target: vec![Target::default()],
        waker_stack: vec![StackId::NONE],
        trace: vec![TraceContext::NONE],
        weight_milli: vec![ONCE_MILLI],
    }
}

#[test]
fn a_loss_to_a_cause_that_only_a_newer_agent_knows_is_kept() {
    let mut message = v1::Batch::from(&batch_with(Waits::default()));
    message.losses = vec![v1::Loss { cause: 999, count: 7 }];
    let decoded = Batch::try_from(message).unwrap();
    assert_eq!(decoded.losses, [Loss { cause: LossCause::Unknown, count: 7 }]);
}

#[test]
fn a_disruption_that_only_a_newer_agent_knows_how_to_notice_is_kept() {
    let mut message = v1::Batch::from(&batch_with(Waits::default()));
    message.disruptions = vec![v1::ClockDisruption { sign: 999, since_mono_ns: 5, within_ns: u64::MAX }];
    let decoded = Batch::try_from(message).unwrap();
    let (since, until) = (Instant::from_ns(5), Instant::from_ns(i64::MAX));
    assert_eq!(decoded.disruptions, [ClockDisruption { since, until, sign: DisruptionSign::Other }]);
}

#[test]
fn a_batch_of_a_later_format_is_told_apart_from_one_that_is_broken() {
    let message = v1::Batch::from(&batch_with(one_wait())).encode_to_vec();
    let with = |more: &[u8]| decode(&zstd::bulk::compress(&[&message, more].concat(), 1).unwrap());
    // Field 31, a varint; then what this version could not read.
    let later = with(&[0xf8, 0x01, 0x03, 0x0a, 0x01, 0xff]).unwrap_err();
    assert!(matches!(later, WireError::Later { found: 3, known: 0 }), "{later}");
    assert!(!matches!(with(&[0x0a, 0x01, 0xff]), Ok(_) | Err(WireError::Later { .. })));
    assert!(with(&[0xf8, 0x01, 0x00]).is_ok());
}
