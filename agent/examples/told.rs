//! How many bytes a fleet of one build spends on telling stacks and symbols, where the aggregator is asked which it knows and where not.
//!
//! ```text
//! cargo run -p syncline-agent --example told -- GO_BINARY
//! ```
//!
//! 100 agents seal real batches with the names of a real program. Time goes in steps of 100 ms: in each an agent takes the answer to what
//! it has asked, notes 20 waits and asks what is new; each tenth it seals a batch behind a probe that was sent one step before, agents
//! one after the other, and what that tells is in the store one step later. Stacks are 400 of 6 to 24 frames, chosen by Zipf's law. Counted are the bytes by which batches
//! are longer for their stacks and symbols, and 8 bytes and a bit for each stack asked for and 100 for each question.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::Context;
use syncline_agent::batch::{Batcher, FinishedWait, Question, Sealing, Symbolizer};
use syncline_event::{Batch, Origin, ProbePath, Process, StackId, Symbol};
use syncline_gosym::GoBinary;
use syncline_timebase::{BootId, Instant, Knot, Mono, Probe, Span};

const AGENTS: usize = 100;
const SECONDS: usize = 60;
const STEPS_PER_SECOND: usize = 10;
const WAITS_PER_STEP: usize = 20;
const STACKS: usize = 400;
const QUESTION_BYTES: usize = 100;

fn main() -> anyhow::Result<()> {
    let path = std::env::args().nth(1).context("name a Go executable: told GO_BINARY")?;
    let bytes: &'static [u8] = std::fs::read(&path).with_context(|| format!("cannot read {path}"))?.leak();
    let program = Arc::new(Program { binary: GoBinary::parse(bytes).with_context(|| path.clone())? });
    let stacks = program.stacks();
    println!("| {AGENTS} agents of one build, KiB | told everything | asked first |\n| --- | ---: | ---: |");
    let [everything, asked] = [false, true].map(|asks| Fleet::new(&program, &stacks, asks).live());
    for (place, what) in [
        "first minute, all start at once, empty store",
        "a minute after all have reconnected",
        "a minute after all have been restarted",
    ]
    .iter()
    .enumerate()
    {
        println!("| {what} | {:.0} | {:.0} |", everything[place] as f64 / 1024.0, asked[place] as f64 / 1024.0);
    }
    Ok(())
}

struct Program {
    binary: GoBinary<'static>,
}

impl Symbolizer for Program {
    fn symbols(&self, pc: u64) -> Vec<Symbol> {
        let build_id = self.binary.build_id();
        let symbol = |(depth, frame): (u8, syncline_gosym::Frame)| Symbol {
            build_id,
            pc,
            depth,
            function: frame.function.into_owned(),
            file: frame.file.into_owned(),
            line: frame.line,
        };
        (0..=u8::MAX)
            .zip(self.binary.symbolizer().map(|symbolizer| symbolizer.frames(pc - 1)).unwrap_or_default())
            .map(symbol)
            .collect()
    }
}

impl Program {
    /// Frames that lie anywhere in the program's code; the outer ones are shared, as those of servers are.
    fn stacks(&self) -> Vec<Vec<u64>> {
        let (text, mut random) = (self.binary.text_segment(), Random(7));
        let mut address = || loop {
            let pc = text.vaddr + random.below(text.size as usize) as u64;
            if self.binary.symbolizer().is_ok_and(|symbolizer| !symbolizer.frames(pc - 1).is_empty()) {
                return pc;
            }
        };
        let frames: Vec<u64> = (0..1_200).map(|_| address()).collect();
        let mut random = Random(8);
        let stack = |random: &mut Random| {
            let depth = 6 + random.below(19);
            (0..depth).map(|_| frames[random.zipf(frames.len())]).collect()
        };
        (0..STACKS).map(|_| stack(&mut random)).collect()
    }
}

struct Fleet<'a> {
    agents: Vec<Agent>,
    program: &'a Arc<Program>,
    stacks: &'a [Vec<u64>],
    /// What the store has, and what it will have after this step.
    store: HashSet<StackId>,
    arriving: Vec<StackId>,
    asks: bool,
    bytes: usize,
    step: usize,
}

struct Agent {
    batcher: Batcher,
    asked: Option<Question>,
    random: Random,
}

impl<'a> Fleet<'a> {
    fn new(program: &'a Arc<Program>, stacks: &'a [Vec<u64>], asks: bool) -> Self {
        let agents = (0..AGENTS).map(|number| Agent::start(number, 0)).collect();
        let (store, arriving) = (HashSet::new(), Vec::new());
        Self { agents, program, stacks, store, arriving, asks, bytes: 0, step: 0 }
    }

    /// Bytes spent in each minute.
    fn live(mut self) -> [usize; 3] {
        let start = self.minute();
        for agent in &mut self.agents {
            if self.asks { agent.batcher.ask_again(None) } else { agent.batcher.tell_dictionaries_again() }
        }
        let reconnected = self.minute();
        self.agents = (0..AGENTS).map(|number| Agent::start(number, 1)).collect();
        [start, reconnected, self.minute()]
    }

    fn minute(&mut self) -> usize {
        self.bytes = 0;
        for _ in 0..SECONDS * STEPS_PER_SECOND {
            self.step += 1;
            (0..AGENTS).for_each(|number| self.one_step(number));
            self.store.extend(self.arriving.drain(..));
        }
        self.bytes
    }

    fn one_step(&mut self, number: usize) {
        let now = Instant::from_ns(1_000_000_000) + Span::from_ms(100 * self.step as i64);
        let agent = &mut self.agents[number];
        if let Some(question) = agent.asked.take() {
            agent.batcher.answered(&question, |place| self.store.contains(&question.stacks[place]));
        }
        for _ in 0..WAITS_PER_STEP {
            let stack = self.stacks[agent.random.zipf(STACKS)].clone();
            agent.batcher.push_wait(wait(self.program, now, agent.random.next(), stack));
        }
        if self.asks {
            agent.asked = agent.batcher.question();
            self.bytes += agent.asked.as_ref().map_or(0, |asked| asked.stacks.len() * 65 / 8 + QUESTION_BYTES);
        }
        if (self.step + number).is_multiple_of(STEPS_PER_SECOND)
            && let Some(batch) = agent.seal(now)
        {
            self.arriving.extend(batch.stacks.iter().map(|stack| stack.id));
            self.bytes += spent(batch);
        }
    }
}

impl Agent {
    fn start(number: usize, run: u64) -> Self {
        let origin = Origin {
            node: format!("n{number}").parse().unwrap_or_else(|_| unreachable!("it is a name")),
            region: "eu".to_owned(),
            boot: BootId(9),
            run_first_seq: 1 + (run << 32),
            agent_version: "told".to_owned(),
            kernel: "told".to_owned(),
        };
        let knot = Knot {
            mono: Instant::from_ns(1_000_000_000),
            raw: Instant::from_ns(1_000_000_000),
            wall: Instant::from_ns(1_700_000_000_000_000_000),
            bracket: Span::from_ns(80),
        };
        let batcher = Batcher::new(origin, knot, Sealing::behind_probes(Span::from_s(1)));
        Self { batcher, asked: None, random: Random(1_000 + number as u64 + (run << 32)) }
    }

    /// A batch behind a probe.
    fn seal(&mut self, now: Instant<Mono>) -> Option<Batch> {
        let sent = now - Span::from_ms(100);
        let reference = Instant::from_ns(1_700_000_000_000_000_000 + now.ns());
        let probe = Probe { sent, received: reference, replied: reference, returned: now };
        let before = self.batcher.push_probe(probe, ProbePath::Udp, 1);
        before.or_else(|| self.batcher.seal_if_due(now))
    }
}

/// By how many bytes the batch is longer on the wire for what it tells.
fn spent(mut batch: Batch) -> usize {
    let length = |batch: &Batch| syncline_proto::encode(batch).map_or(0, |bytes| bytes.len());
    let whole = length(&batch);
    batch.stacks.clear();
    batch.symbols.clear();
    whole.saturating_sub(length(&batch))
}

fn wait(program: &Arc<Program>, now: Instant<Mono>, goid: u64, stack: Vec<u64>) -> FinishedWait {
    let process = Process { pid: 1, build_id: program.binary.build_id(), ..Process::default() };
    let symbolizer = Arc::clone(program) as _;
    FinishedWait::of_goroutine(Arc::new(process), symbolizer, (now - Span::from_ms(5), now), (goid, "select"), stack)
}

/// xorshift64*: the same run each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// About as by Zipf's law with exponent 1: the logarithm of the rank is uniform.
    fn zipf(&mut self, count: usize) -> usize {
        let uniform = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        (((count + 1) as f64).powf(uniform) as usize).saturating_sub(1).min(count - 1)
    }
}
