//! What a modelled node tells: batch n is the same whoever makes it, and each wait can be told by its number.

use syncline_event::{
    Account, Batch, Kind, ONCE_MILLI, Origin, ProbePath, Process, Stack, StackId, Target, TraceContext, WaitFlags,
    Waits,
};
use syncline_timebase::{BootId, Instant, Knot, Offset, Probe, Span};

const SECOND_NS: i64 = 1_000_000_000;
/// MONO when a node begins: it has been up for an hour.
const UPTIME_NS: i64 = 3_600 * SECOND_NS;
/// What a probe takes each way.
const WAY_NS: i64 = 50_000;
/// The wall clock is set so often, by hours, forward and back: nothing may go by it.
const SET_EVERY_NS: i64 = 10 * SECOND_NS;
/// By how much it is wrong then, in turn.
const WALL_ERRORS_NS: [i64; 4] = [0, 5 * HOUR_NS, 0, -26 * HOUR_NS];
const HOUR_NS: i64 = 3_600 * SECOND_NS;
/// First number of the run, of its batches as of its waits.
pub(crate) const FIRST_SEQ: u64 = 1_000;
const BOOT: u64 = 0xc4a0_5000;
const BUILD: u64 = 0x5ca1_ab1e;
const REASONS: [&str; 4] = ["chan receive", "select", "sync.Mutex.Lock", "sleep"];
const STACKS: u64 = 50;

/// A node.
pub(crate) struct Source {
    pub(crate) number: u32,
    pub(crate) region: String,
    pub(crate) waits: u32,
    /// When it began, ns since 1970. Its clocks run as they should, and only the wall clock is set.
    pub(crate) begin_ns: u64,
}

/// The n-th node's.
pub(crate) fn name(number: u32) -> String {
    format!("modelled-{number}")
}

/// How long the wait of this number was: whoever finds it stored can tell whether it is the one.
fn duration_ns(seq: u64) -> u64 {
    1_000_000 + seq * 7_919 % 100_000_000
}

impl Source {
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            // The name is made above of letters and digits.
            node: name(self.number).parse().unwrap_or_else(|_| unreachable!("a sound name")),
            region: self.region.clone(),
            boot: BootId(BOOT + u64::from(self.number)),
            run_first_seq: FIRST_SEQ,
            agent_version: env!("CARGO_PKG_VERSION").into(),
            kernel: "6.18".into(),
        }
    }

    /// The batch that `before` others came before.
    pub(crate) fn batch(&self, before: u64) -> Batch {
        let begin = UPTIME_NS + before.cast_signed() * SECOND_NS;
        let sealed_at = begin + SECOND_NS;
        let first_seq = FIRST_SEQ + before * u64::from(self.waits);
        let told = (before + 1) * u64::from(self.waits);
        let stacks: Vec<Stack> = (0..STACKS).map(stack).collect();
        Batch {
            first_seq,
            sealed_at: Instant::from_ns(sealed_at),
            coarse_reference: Offset::from_ns(self.reference_minus_mono_ns()),
            wall_offset: Offset::from_ns(self.wall_minus_mono_ns(begin + 9 * SECOND_NS / 10)),
            reasons: REASONS.map(String::from).to_vec(),
            processes: vec![Process {
                pid: 1_000,
                service: "modelled".into(),
                executable: "/srv/modelled".into(),
                go_version: "go1.27.3".into(),
                build_id: BUILD,
                ..Process::default()
            }],
            waits: self.waits(begin, first_seq, &stacks),
            // An agent would tell them once; whoever is killed tells them again.
            stacks,
            knots: (0..10).map(|tenth| self.knot(begin + tenth * SECOND_NS / 10)).collect(),
            probes: vec![self.probe(sealed_at - 2 * WAY_NS)],
            probe_paths: vec![ProbePath::Udp],
            reference_run: 1,
            account: Some(Account { captured: told, left_out: 0, waiting: 0, open: None }),
            ..Batch::empty(self.origin(), FIRST_SEQ + before)
        }
    }

    fn waits(&self, begin: i64, first_seq: u64, stacks: &[Stack]) -> Waits {
        let mut waits = Waits::default();
        for place in 0..u64::from(self.waits) {
            let seq = first_seq + place;
            let end = begin + SECOND_NS * place.cast_signed() / i64::from(self.waits);
            let duration = duration_ns(seq);
            waits.kind.push(Kind::Goroutine);
            waits.reason.push((seq % REASONS.len() as u64) as u32);
            waits.process.push(0);
            waits.tid.push(1_000 + (seq % 12) as u32);
            waits.goid.push(18 + seq % 997);
            waits.start.push(Instant::from_ns(end - duration.cast_signed()));
            waits.wall_offset.push(Offset::from_ns(self.wall_minus_mono_ns(end - duration.cast_signed())));
            waits.duration_ns.push(duration);
            waits.run_delay_ns.push(duration % 10_000);
            waits.stack.push(stacks[(seq % STACKS) as usize].id);
            waits.waker_goid.push(18 + seq % 991);
            waits.flags.push(WaitFlags::READY_SEEN);
            waits.target.push(Target::default());
            waits.waker_stack.push(StackId::NONE);
            waits.trace.push(TraceContext::NONE);
            waits.weight_milli.push(ONCE_MILLI);
        }
        waits
    }

    fn reference_minus_mono_ns(&self) -> i64 {
        self.begin_ns.cast_signed() - UPTIME_NS
    }

    fn wall_minus_mono_ns(&self, mono_ns: i64) -> i64 {
        let times_set = (mono_ns - UPTIME_NS).max(0) / SET_EVERY_NS;
        self.reference_minus_mono_ns() + WALL_ERRORS_NS[times_set as usize % WALL_ERRORS_NS.len()]
    }

    fn knot(&self, mono_ns: i64) -> Knot {
        let wall = Instant::from_ns(mono_ns + self.wall_minus_mono_ns(mono_ns));
        Knot { mono: Instant::from_ns(mono_ns), raw: Instant::from_ns(mono_ns), wall, bracket: Span::from_ns(100) }
    }

    fn probe(&self, sent_ns: i64) -> Probe {
        let there = sent_ns + self.reference_minus_mono_ns() + WAY_NS;
        Probe {
            sent: Instant::from_ns(sent_ns),
            received: Instant::from_ns(there),
            replied: Instant::from_ns(there),
            returned: Instant::from_ns(sent_ns + 2 * WAY_NS),
        }
    }
}

fn stack(number: u64) -> Stack {
    Stack::new(BUILD, (0..12).map(|depth| 0x40_1000 + number * 0x1000 + depth * 0x40).collect())
}
