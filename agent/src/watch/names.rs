//! From addresses to named stacks, each looked up once.

use std::collections::HashMap;
use std::sync::Arc;

use syncline_event::{Kind, Stack, StackId};
use syncline_insight::{Build, Call, CallStack, Frame, MAX_STACKS, StateTimes, Wait, WaitId, Waker, is_in_c};

use super::reason::in_words;
use crate::capture::{Binary, Frames, RawWait};

/// Stacks remembered; then all are looked up anew.
const MANY: usize = 2 * MAX_STACKS;

/// Named stacks and calls that were met.
#[derive(Debug, Default)]
pub(super) struct Names {
    stacks: HashMap<(StackId, bool), Arc<CallStack>>,
    /// Where stacks block, or wake.
    sites: HashMap<StackId, Arc<Frame>>,
    frames: Arc<Frames>,
    /// By build and return address.
    calls: HashMap<(u64, u64), Arc<Call>>,
    builds: HashMap<u64, Arc<Build>>,
}

impl Names {
    /// Names by what a capture knows of frames.
    pub(super) fn by(frames: &Arc<Frames>) -> Self {
        Self { frames: Arc::clone(frames), ..Self::default() }
    }

    /// A wait in this binary with its names; whether it is a part of a call of C, if those are counted.
    pub(super) fn wait(&mut self, binary: &Binary, raw: &RawWait, has_calls_of_c: bool) -> Wait {
        let is_cut = raw.stack_truncated || raw.stack_unreadable;
        let stack = self.stack(binary, &raw.stack, is_cut);
        Wait {
            id: id(raw),
            reason: in_words(raw.kind, raw.reason),
            is_inside: has_calls_of_c && is_in_c(raw.kind, &stack),
            stack,
            times: times(raw),
            began_before: raw.began_before,
            waker: waker(raw),
            waker_site: (!raw.waker_stack.is_empty()).then(|| self.waker_site(binary, &raw.waker_stack)),
        }
    }

    fn waker_site(&mut self, binary: &Binary, addresses: &[u64]) -> Arc<Frame> {
        let stack = self.stack(binary, addresses, false);
        Arc::clone(self.sites.entry(stack.id).or_insert_with(|| Arc::new(stack.blocking_frame())))
    }

    fn stack(&mut self, binary: &Binary, addresses: &[u64], is_cut: bool) -> Arc<CallStack> {
        let id = Stack::id_of(binary.build_id(), addresses);
        if let Some(known) = self.stacks.get(&(id, is_cut)) {
            return Arc::clone(known);
        }
        if self.stacks.len() >= MANY {
            *self = Self::by(&self.frames);
        }
        let build = self.build(binary);
        let calls = addresses.iter().map(|&address| self.call(binary, address)).collect();
        let stack = Arc::new(CallStack { id, build, calls, is_cut });
        self.stacks.insert((id, is_cut), Arc::clone(&stack));
        stack
    }

    fn build(&mut self, binary: &Binary) -> Arc<Build> {
        let id = binary.build_id();
        let path = || binary.path().to_string_lossy().into_owned();
        Arc::clone(self.builds.entry(id).or_insert_with(|| Arc::new(Build { id, path: path() })))
    }

    /// Every address of a captured stack is a return address, g.sched.pc included.
    fn call(&mut self, binary: &Binary, return_address: u64) -> Arc<Call> {
        let frames = &self.frames;
        let call = self.calls.entry((binary.build_id(), return_address)).or_insert_with(|| {
            let frames = frames.symbolize(binary, return_address).into_iter().map(frame).collect();
            Arc::new(Call { address: return_address.saturating_sub(1), frames })
        });
        Arc::clone(call)
    }
}

fn frame(frame: syncline_gosym::Frame<'_>) -> Frame {
    // Go says "?" for a file that it does not know.
    let file = if frame.file == "?" { String::new() } else { frame.file.into_owned() };
    Frame { function: frame.function.into_owned(), file, line: frame.line }
}

pub(super) fn id(raw: &RawWait) -> WaitId {
    WaitId { pid: raw.tgid, kind: raw.kind, goid: raw.goid, tid: raw.tid, start_mono_ns: raw.park_mono_ns }
}

pub(super) fn times(raw: &RawWait) -> StateTimes {
    StateTimes::of_wait(raw.duration_ns(), raw.run_delay_ns())
}

fn waker(raw: &RawWait) -> Waker {
    if raw.kind != Kind::Goroutine {
        return Waker::Return;
    }
    match (raw.waker_goid, raw.by_netpoll, raw.ready_mono_ns) {
        (Some(goid), _, _) => Waker::Goroutine { pid: raw.tgid, goid },
        (None, true, _) => Waker::Poller,
        (None, false, Some(_)) => Waker::Timer,
        (None, false, None) => Waker::Unseen,
    }
}
