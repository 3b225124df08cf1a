//! Batches as earlier versions wrote them, and as this one does: whatever lies in a spool or in Kafka is read by the next version.
//!
//! A file `golden/N.batch` is a batch of generation N: of each set of fields that was ever released there is one. This is not the `format` of a batch,
//! which grows only where older readers would misunderstand it. Files of earlier generations are never written again. `SYNCLINE_WRITE_GOLDEN=1 cargo test -p syncline-proto --test golden` writes that of the present one; a change of it is a
//! change of what agents in the field have on their disks.
//!
//! - 1: what agents wrote before there were accounts, dropped batches, observations and weights: the first batch of the demo's recording of `us`.
//! - 2: with these, and before agents told of disruptions of their clocks.
//! - 3: with these.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use std::path::PathBuf;

use prost::Message;
use syncline_event::{
    Account, Batch, BlockedTime, ClaimSource, ClockClaim, ClockDisruption, Container, Direction, DisruptionSign,
    DroppedBatch, Flow, GoroutineFate, GoroutineState, GoroutineStates, Kind, Loss, LossCause, Messages, ONCE_MILLI,
    Observation, ObservationReason, ObservationStage, Opener, Origin, ProbePath, Process, ProcessStates, SessionEnd,
    ShortWaits, Stack, StackId, StateTimes, Symbol, Target, TcpLoss, TcpLossCause, TcpSession, TraceContext, WaitFlags,
    Waits,
};
use syncline_proto::{decode, encode, v1};
use syncline_timebase::{BootId, Instant, Knot, Offset, Probe, Span};

fn path(generation: u32) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{generation}.batch"))
}

fn read(generation: u32) -> Vec<u8> {
    let path = path(generation);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The message in a batch's bytes.
fn message(batch: &[u8]) -> Vec<u8> {
    zstd::stream::decode_all(batch).unwrap()
}

/// The figures were taken from the file by other means than this crate.
#[test]
fn generation_1_is_read_as_it_was_meant() {
    let batch = decode(&read(1)).unwrap();
    let origin = &batch.origin;
    assert_eq!((origin.node.as_str(), &*origin.region, &*origin.agent_version), ("us-1", "us", "0.1.0"));
    assert_eq!((origin.boot, origin.run_first_seq), (BootId(17_069_523_879_880_771_494), 46_736_331_615_796));
    assert_eq!((batch.number, batch.first_seq), (46_736_331_615_796, 46_736_331_615_796));
    assert_eq!(batch.sealed_at, Instant::from_ns(46_736_836_696_495));
    assert_eq!(batch.coarse_reference, Offset::from_ns(1_795_404_520_267_167_983));
    assert_eq!(batch.wall_offset, Offset::from_ns(1_795_404_520_279_606_228));
    assert_eq!(batch.reasons, ["chan receive", "sleep", "IO wait"]);
    assert_eq!((batch.waits.len(), batch.stacks.len(), batch.symbols.len()), (206, 3, 22));
    assert_eq!(batch.waits.duration_ns.iter().sum::<u64>(), 2_740_405_072);
    assert_eq!(batch.waits.duration_ns[..4], [1_173_338, 5_427_757, 4_538_830, 4_618_596]);
    assert_eq!(batch.waits.run_delay_ns.iter().sum::<u64>(), 6_513_955);
    // What that version did not tell.
    assert_eq!((batch.account, batch.dropped.len(), batch.observations.len()), (None, 0, 0));
    assert!(batch.waits.weight_milli.iter().all(|weight| *weight == ONCE_MILLI), "each stands for itself");
    assert!(batch.short_waits.iter().all(|row| row.weight_milli == ONCE_MILLI && !row.is_parts));
}

#[test]
fn generation_2_is_read_as_it_was_meant() {
    assert_eq!(decode(&read(2)).unwrap(), Batch { disruptions: Vec::new(), ..everything() });
}

#[test]
fn generation_3_is_read_as_it_was_meant_and_written_as_it_was() {
    let meant = everything();
    if std::env::var_os("SYNCLINE_WRITE_GOLDEN").is_some_and(|value| value == "1") {
        // At once: another test reads it meanwhile.
        let new = path(3).with_extension("new");
        std::fs::write(&new, encode(&meant).unwrap()).unwrap();
        std::fs::rename(new, path(3)).unwrap();
    }
    let golden = read(3);
    assert_eq!(decode(&golden).unwrap(), meant);
    // An older version has to read what this one writes: what was there before keeps its numbers. zstd may compress otherwise one day.
    assert_eq!(
        message(&encode(&meant).unwrap()),
        message(&golden),
        "begin another generation instead of changing this one"
    );
}

/// What an older version makes of the present generation is what it would have made of it without the fields that it does not know.
#[test]
fn what_only_a_later_version_knows_does_not_disturb() {
    for generation in [1, 2, 3] {
        let golden = read(generation);
        let mut later = message(&golden);
        later.extend(unknown_fields());
        let mut inside = v1::Batch::decode(&*message(&golden)).unwrap();
        let origin = [inside.origin.take().unwrap().encode_to_vec(), unknown_fields()].concat();
        let mut wrapped = inside.encode_to_vec();
        prost::encoding::encode_key(1, prost::encoding::WireType::LengthDelimited, &mut wrapped);
        prost::encoding::encode_varint(origin.len() as u64, &mut wrapped);
        wrapped.extend(origin);
        for changed in [later, wrapped] {
            let bytes = zstd::bulk::compress(&changed, 1).unwrap();
            assert_eq!(decode(&bytes).unwrap(), decode(&golden).unwrap(), "generation {generation}");
        }
    }
}

/// A field of each kind, by numbers that nobody uses.
fn unknown_fields() -> Vec<u8> {
    use prost::encoding::{WireType, encode_key, encode_varint};
    let mut bytes = Vec::new();
    encode_key(2_001, WireType::Varint, &mut bytes);
    encode_varint(u64::MAX, &mut bytes);
    encode_key(2_002, WireType::LengthDelimited, &mut bytes);
    encode_varint(5, &mut bytes);
    bytes.extend(b"later");
    encode_key(2_003, WireType::SixtyFourBit, &mut bytes);
    bytes.extend([7; 8]);
    encode_key(2_004, WireType::ThirtyTwoBit, &mut bytes);
    bytes.extend([7; 4]);
    bytes
}

/// Something in every field.
fn everything() -> Batch {
    let stack = Stack::new(0x1234, vec![0x40_1000, 0x40_2000]);
    Batch {
        origin: Origin {
            node: "eu-1".parse().unwrap(),
            region: "eu".into(),
            boot: BootId(0xb3b2_1dd5_01f9_4a5c),
            run_first_seq: 77,
            agent_version: "0.1.0".into(),
            kernel: "6.18.0".into(),
        },
        number: 79,
        first_seq: 80,
        sealed_at: Instant::from_ns(5_000_000_000),
        coarse_reference: Offset::from_ns(1_790_000_000_000_000_000),
        wall_offset: Offset::from_ns(-3),
        reasons: ["chan receive", "IO wait"].map(String::from).to_vec(),
        file_types: vec!["tcp".into()],
        processes: vec![process()],
        waits: waits(stack.id),
        open_waits: waits(stack.id),
        short_waits: vec![ShortWaits {
            process: 0,
            kind: Kind::Syscall,
            reason: 1,
            count: 5,
            total_ns: 900,
            histogram: vec![0, 2, 3],
            weight_milli: 48_500,
            is_parts: true,
        }],
        process_states: vec![process_states()],
        goroutine_states: vec![goroutine_states()],
        observations: vec![observation()],
        symbols: vec![Symbol {
            build_id: 0x1234,
            pc: 0x40_1000,
            depth: 1,
            function: "main.work".into(),
            file: "/srv/main.go".into(),
            line: 42,
        }],
        stacks: vec![stack],
        losses: vec![Loss { cause: LossCause::ProbeMissed, count: 3 }],
        knots: vec![Knot {
            mono: Instant::from_ns(4),
            raw: Instant::from_ns(-5),
            wall: Instant::from_ns(1_790_000_000_000_000_000),
            bracket: Span::from_ns(90),
        }],
        probes: vec![Probe {
            sent: Instant::from_ns(10),
            received: Instant::from_ns(1_000),
            replied: Instant::from_ns(1_005),
            returned: Instant::from_ns(25),
        }],
        probe_paths: vec![ProbePath::Udp],
        claims: vec![
            ClockClaim { source: ClaimSource::Kernel, at: Instant::from_ns(5), utc_minus_wall_ns: None },
            ClockClaim { source: ClaimSource::Chrony, at: Instant::from_ns(6), utc_minus_wall_ns: Some((-7, 8)) },
        ],
        disruptions: vec![ClockDisruption {
            since: Instant::from_ns(14),
            until: Instant::from_ns(17),
            sign: DisruptionSign::Hypervisor,
        }],
        reference_run: 0xfeed,
        flows: vec![Flow {
            local: "10.0.0.1:80".parse().unwrap(),
            remote: "10.0.0.2:40000".parse().unwrap(),
            netns: 7,
        }],
        messages: messages(),
        tcp_sessions: vec![session()],
        tcp_losses: vec![TcpLoss { cause: TcpLossCause::ALL[0], count: 2 }],
        account: Some(Account { captured: 9, left_out: 3, waiting: -1, open: Some(0) }),
        dropped: vec![DroppedBatch {
            boot: BootId(0xb007),
            number: 78,
            run_first_seq: 77,
            cause: LossCause::SpoolDamaged,
            events: 5,
            summed: 6,
            losses: vec![Loss { cause: LossCause::QueueFull, count: 1 }],
        }],
    }
}

fn process() -> Process {
    Process {
        pid: 1,
        service: "checkout".into(),
        executable: "/srv/checkout".into(),
        go_version: "go1.27.3".into(),
        build_id: 0x1234,
        since_mono_ns: 3,
        container: Container {
            runtime: "containerd".into(),
            id: "3f".repeat(32),
            name: "app".into(),
            pod_name: "checkout-0".into(),
            pod_uid: "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0".into(),
            namespace: "shop".into(),
        },
    }
}

fn waits(stack: StackId) -> Waits {
    Waits {
        kind: vec![Kind::Goroutine, Kind::Syscall],
        reason: vec![0, 1],
        process: vec![0, 0],
        tid: vec![1, 2],
        goid: vec![18, 7],
        start: vec![Instant::from_ns(1_000), Instant::from_ns(900)],
        wall_offset: vec![Offset::from_ns(-3), Offset::from_ns(4)],
        duration_ns: vec![7_000, 1_000_000],
        run_delay_ns: vec![7, 0],
        stack: vec![stack, StackId::NONE],
        waker_goid: vec![9, 0],
        flags: vec![WaitFlags::READY_SEEN, WaitFlags::READY_SEEN.with(WaitFlags::BY_NETPOLL)],
        target: vec![
            Target::default(),
            Target { address: 0xc000_1000, result: -11, fd: Some(3), file_type: 1, flow: 1 },
        ],
        waker_stack: vec![StackId::NONE, stack],
        trace: vec![TraceContext { trace_id: u128::MAX - 5, span_id: 7 }, TraceContext::NONE],
        weight_milli: vec![ONCE_MILLI, 2_500],
    }
}

fn process_states() -> ProcessStates {
    ProcessStates {
        process: 0,
        from: Instant::from_ns(11),
        duration_ns: 1_000_000,
        times: times(),
        goroutines: 1,
        started: 2,
        ended: 3,
        runs: 4,
        handoffs: 5,
    }
}

fn goroutine_states() -> GoroutineStates {
    GoroutineStates {
        process: 0,
        goid: 18,
        first: Instant::from_ns(12),
        wall_offset: Offset::from_ns(-4),
        duration_ns: times().sum_ns(),
        start_seen: true,
        fate: GoroutineFate::Alive,
        state: GoroutineState::Blocked,
        reason: Some(1),
        state_ns: 10,
        times: times(),
        runs: 6,
        handoffs: 1,
    }
}

fn times() -> StateTimes {
    let blocked = vec![BlockedTime { reason: Some(0), count: 2, total_ns: 300 }];
    StateTimes { running_ns: 400, runnable_ns: 200, syscall_ns: 100, cgo_ns: 50, blocked }
}

fn observation() -> Observation {
    Observation {
        process: 0,
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
    }
}

fn messages() -> Messages {
    Messages {
        mark_shift: 12,
        direction: vec![Direction::Send],
        process: vec![0],
        flow: vec![0],
        tid: vec![1],
        goid: vec![18],
        at: vec![Instant::from_ns(77)],
        wall_offset: vec![Offset::from_ns(-3)],
        mark: vec![5 << 12],
        marks: vec![2],
    }
}

fn session() -> TcpSession {
    TcpSession {
        process: 0,
        flow: 0,
        tid: 1,
        goid: 18,
        stack: StackId(9),
        socket: 0xffff_8880,
        opener: Opener::Local,
        first: Instant::from_ns(13),
        wall_offset: Offset::from_ns(1),
        handshake_ns: Some(8),
        updated: Instant::from_ns(20),
        bytes_sent: 21,
        bytes_received: 22,
        retransmits: 23,
        srtt_us: 24,
        min_rtt_us: Some(25),
        end: Some(SessionEnd { last_state: 4, error: 104 }),
        sends: None,
    }
}
