//! A small batch for unit tests.

use syncline_event::{
    Batch, Container, Kind, Loss, LossCause, ONCE_MILLI, Observation, ObservationReason, ObservationStage, Origin,
    ProbePath, Process, ShortWaits, Stack, StackId, Symbol, Target, TraceContext, WaitFlags, Waits,
};
use syncline_timebase::{BootId, Instant, Knot, Offset, Probe, Span};

pub(crate) const SECOND: i64 = 1_000_000_000;
/// REF - MONO of the node in [`batch`], which runs true.
pub(crate) const OFFSET: i64 = 1_790_000_000 * SECOND;

/// Batch `number` of `node`: knots at 10 Hz and a probe over the second before `number` seconds of MONO, and a wait
/// inside it.
pub(crate) fn batch(node: &str, number: u64) -> Batch {
    let sealed = number.cast_signed() * SECOND + SECOND;
    let stack = Stack::new(7, vec![0x40_1000, 0x40_2000]);
    Batch {
        first_seq: 1_000 + number,
        sealed_at: Instant::from_ns(sealed),
        coarse_reference: Offset::from_ns(OFFSET + 777),
        wall_offset: Offset::from_ns(OFFSET + 5),
        reasons: vec!["chan receive".into(), "select".into()],
        file_types: vec!["tcp".into()],
        processes: vec![Process {
            pid: 42,
            service: "orders".into(),
            executable: "/srv/orders".into(),
            go_version: "go1.27.3".into(),
            build_id: 7,
            since_mono_ns: 1_000_000,
            container: Container {
                runtime: "containerd".into(),
                id: "3f".repeat(32),
                name: "app".into(),
                pod_name: "orders-0".into(),
                pod_uid: "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0".into(),
                namespace: "shop".into(),
            },
        }],
        waits: waits(sealed - SECOND / 2, stack.id),
        short_waits: vec![ShortWaits {
            process: 0,
            kind: Kind::Goroutine,
            reason: 1,
            count: 3,
            total_ns: 300,
            histogram: vec![0, 3],
            weight_milli: ONCE_MILLI,
            is_parts: false,
        }],
        observations: vec![Observation {
            process: 0,
            from: Instant::from_ns(sealed - SECOND),
            duration_ns: SECOND.unsigned_abs(),
            observed_ns: 20_000_000,
            windows: 1,
            stage: ObservationStage::Windows,
            reason: ObservationReason::OverBudget,
            threshold_ns: 1_000_000,
            without: "states".into(),
            budget_ppm: 10_000,
            cost_ns: 9_000_000,
            cpu_ns: 900_000_000,
        }],
        symbols: vec![Symbol {
            build_id: 7,
            pc: 0x40_1000,
            depth: 0,
            function: "main.take".into(),
            file: "main.go".into(),
            line: 12,
        }],
        stacks: vec![stack],
        losses: vec![Loss { cause: LossCause::RingBufferFull, count: 9 }],
        knots: (1..=10).map(|i| knot(sealed - SECOND + i * SECOND / 10 - SECOND / 10 + 1)).collect(),
        probes: vec![probe(sealed - 1_000_000)],
        probe_paths: vec![ProbePath::Udp],
        reference_run: 0xf00d,
        ..Batch::empty(
            Origin {
                node: node.parse().unwrap(),
                region: "eu".into(),
                boot: BootId(0xb007),
                run_first_seq: 1_000,
                agent_version: "0.1.0".into(),
                kernel: "6.18".into(),
            },
            number,
        )
    }
}

fn waits(start: i64, stack: StackId) -> Waits {
    Waits {
        kind: vec![Kind::Goroutine],
        reason: vec![0],
        process: vec![0],
        tid: vec![43],
        goid: vec![18],
        start: vec![Instant::from_ns(start)],
        wall_offset: vec![Offset::from_ns(OFFSET + 5)],
        duration_ns: vec![2_000_000],
        run_delay_ns: vec![10_000],
        stack: vec![stack],
        waker_goid: vec![1],
        flags: vec![WaitFlags::READY_SEEN],
        target: vec![Target { file_type: 1, ..Target::default() }],
        waker_stack: vec![StackId::NONE],
        trace: vec![TraceContext {
            trace_id: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
            span_id: 0x00f0_67aa_0ba9_02b7,
        }],
        weight_milli: vec![50_000],
    }
}

fn knot(mono: i64) -> Knot {
    Knot {
        mono: Instant::from_ns(mono),
        raw: Instant::from_ns(mono),
        wall: Instant::from_ns(mono + OFFSET + 5),
        bracket: Span::ZERO,
    }
}

fn probe(sent: i64) -> Probe {
    Probe {
        sent: Instant::from_ns(sent),
        received: Instant::from_ns(sent + OFFSET + 50_000),
        replied: Instant::from_ns(sent + OFFSET + 51_000),
        returned: Instant::from_ns(sent + 101_000),
    }
}
