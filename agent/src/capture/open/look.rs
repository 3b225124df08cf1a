//! One wait that goes on, looked at in the memory of its process.

use syncline_bpf::{ParkKey, WaitKind};
use syncline_event::TraceContext;

use super::descriptor::Descriptors;
use super::labels;
use super::unwind::{Unwound, unwind};
use crate::capture::found::Found;
use crate::capture::memory::Memory;
use crate::capture::process::{ObservedProcess, mono_ns};
use crate::capture::wait::{RawWait, kind, reason_text};
use crate::governor::ONCE_MILLI;

/// States of a goroutine (`runtime/runtime2.go`), and the bit that says that the garbage collector looks at it.
const RUNNABLE: u64 = 1;
const IN_CALL: u64 = 3;
const WAITING: u64 = 4;
const COPYING_STACK: u64 = 8;
const SCANNED: u64 = 0x1000;
/// Bytes of a stack from its top among which the arguments of those functions are that it is parked in; 200 in Go 1.21 to 1.27.
const ARGUMENT_WITHIN: u64 = 1024;

/// A process that is looked at.
pub(super) struct Look<'a> {
    process: &'a ObservedProcess,
    /// None where we may not.
    memory: Option<Memory>,
    descriptors: Descriptors,
    max_stack: usize,
}

impl<'a> Look<'a> {
    pub(super) fn at(process: &'a ObservedProcess, max_stack: usize) -> Self {
        let (memory, descriptors) = (Memory::of(process.pid).ok(), Descriptors::of(process.pid));
        Self { process, memory, descriptors, max_stack }
    }

    /// What is known of it by this moment; `m` is the `runtime.m` of a thread in a system call. None if it is not what its map says
    /// (any more), and of a thread in a system call, if it runs no goroutine or that cannot be found out: only goroutines are told of
    /// before the end.
    pub(super) fn at_wait(&mut self, found: &Found, m: Option<u64>, until_mono_ns: u64) -> Option<RawWait> {
        let (Some(memory), Some(layout)) = (&self.memory, self.process.binary.layout()) else {
            return unlooked_at(found, self.process);
        };
        let mut wait = of_map(found, self.process, until_mono_ns);
        let g = match found {
            Found::Parked(key, _) | Found::Calling(key, _) => ParkKey::decode(key).g,
            Found::InCall(..) => memory.word(m?.checked_add(layout.m_curg.into())?)?,
        };
        let field = |offset: u16| memory.word(g.checked_add(offset.into())?);
        let goid = field(layout.g_goid)?;
        let state = field(layout.g_atomicstatus)? & 0xffff_ffff & !SCANNED;
        let is_so = match found {
            Found::Parked(..) => goid == wait.goid && matches!(state, RUNNABLE | WAITING | COPYING_STACK),
            Found::Calling(..) => goid == wait.goid && state == IN_CALL,
            Found::InCall(..) => g != 0 && goid != 0,
        };
        if !is_so {
            return None;
        }
        wait.goid = goid;
        let saved = match found {
            Found::Parked(..) => (layout.g_sched_pc, layout.g_sched_sp),
            Found::Calling(..) | Found::InCall(..) => (layout.g_syscallpc, layout.g_syscallsp),
        };
        let unwound = self.unwound(g, saved);
        (wait.stack, wait.stack_truncated, wait.stack_unreadable) =
            (unwound.stack, unwound.is_cut, unwound.is_unreadable);
        if let (Some(form), Some(at)) = (layout.labels_form, field(layout.g_labels).filter(|at| *at != 0)) {
            wait.trace = labels::trace(memory, form, at);
        }
        self.name_descriptor(found, &mut wait);
        Some(wait)
    }

    fn unwound(&self, g: u64, saved: (u16, u16)) -> Unwound {
        let of_g = || {
            let (pc, sp, end) = self.stack_of(g, saved)?;
            let stack = self.memory.as_ref()?.stack(sp, end)?;
            // The garbage collector may have moved it to a smaller one meanwhile, and somebody else writes to this one.
            if self.stack_of(g, saved)? != (pc, sp, end) {
                return None;
            }
            let delta_at = |vaddr| self.process.binary.stack_delta_at(vaddr);
            Some(unwind(delta_at, self.process.load_bias, &stack, (pc, sp), self.max_stack))
        };
        // It is moved once in a collection.
        of_g().or_else(of_g).unwrap_or_else(|| Unwound { is_unreadable: true, ..Unwound::default() })
    }

    /// Where a goroutine goes on, its stack pointer there, and the end of its stack.
    fn stack_of(&self, g: u64, (pc, sp): (u16, u16)) -> Option<(u64, u64, u64)> {
        let field = |offset: u16| self.memory.as_ref()?.word(g.checked_add(offset.into())?);
        // Zero outside of what the runtime takes for a system call: some of its own do not say.
        Some((field(pc)?, field(sp).filter(|sp| *sp != 0)?, field(self.process.binary.layout()?.g_stack_hi)?))
    }

    fn name_descriptor(&mut self, found: &Found, wait: &mut RawWait) {
        wait.fd = match found {
            Found::Parked(key, parked) => self.field_polled(&wait.stack).and_then(|field| {
                let of_address = |address: u64| address.checked_sub(field.into());
                let poll_desc = || self.poll_desc_of(ParkKey::decode(key).g, field);
                self.polled(parked.address.map_or_else(poll_desc, of_address)?)
            }),
            Found::InCall(tid, call) => self.descriptors.of_call(*tid, call.nr),
            Found::Calling(..) => None,
        };
        if let Some(fd) = wait.fd {
            let what = self.descriptors.what(fd);
            (wait.file_type, wait.flow) = (what.file_type, what.flow);
        }
    }

    /// Of what the network poller is to tell, the field of its `runtime.pollDesc` that it is parked on.
    fn field_polled(&self, stack: &[u64]) -> Option<u16> {
        let (binary, layout) = (&self.process.binary, self.process.binary.layout()?);
        let calls = |name: &str| {
            let mut frames = stack.iter().take(8).flat_map(|pc| binary.symbolize(*pc, true));
            frames.any(|frame| frame.function == name)
        };
        if calls("internal/poll.(*pollDesc).waitRead") {
            Some(layout.polldesc_rg)
        } else {
            calls("internal/poll.(*pollDesc).waitWrite").then_some(layout.polldesc_wg)
        }
    }

    /// Where one found parked keeps the address of its `runtime.pollDesc`, nobody has told: it is on its stack, an argument of
    /// `runtime.poll_runtime_pollWait`, and the field there holds the goroutine's own address.
    fn poll_desc_of(&self, g: u64, field: u16) -> Option<u64> {
        let (memory, layout) = (self.memory.as_ref()?, self.process.binary.layout()?);
        let (_, sp, end) = self.stack_of(g, (layout.g_sched_pc, layout.g_sched_sp))?;
        let stack = memory.stack(sp, end.min(sp.checked_add(ARGUMENT_WITHIN)?))?;
        let mut pointers: Vec<u64> = stack.words().filter(|word| *word != 0 && word.is_multiple_of(8)).collect();
        pointers.dedup();
        let is_poll_desc = |at: &u64| at.checked_add(field.into()).and_then(|at| memory.word(at)) == Some(g);
        pointers.into_iter().find(is_poll_desc)
    }

    /// The descriptor of a `runtime.pollDesc`.
    fn polled(&self, poll_desc: u64) -> Option<u32> {
        let fd = poll_desc.checked_add(self.process.binary.layout()?.polldesc_fd.into())?;
        u32::try_from(self.memory.as_ref()?.word(fd)?).ok()
    }
}

/// What the kernel's map alone tells of a wait, as of a moment.
pub(super) fn of_map(found: &Found, process: &ObservedProcess, until_mono_ns: u64) -> RawWait {
    let (what, number, goid, tid) = match found {
        Found::Parked(_, parked) => (WaitKind::Goroutine, parked.reason.into(), parked.goid, parked.tid),
        Found::Calling(_, calling) => (WaitKind::Cgo, 0, calling.goid, calling.tid),
        Found::InCall(tid, call) => (WaitKind::Syscall, u16::try_from(call.nr).unwrap_or(u16::MAX), 0, *tid),
    };
    let (wall_ns, parked) = match found {
        Found::Parked(_, parked) => (parked.wall_ns, Some(parked)),
        Found::Calling(_, calling) => (calling.wall_ns, None),
        Found::InCall(_, call) => (call.wall_ns, None),
    };
    RawWait {
        tgid: process.pid,
        kind: kind(what),
        tid,
        goid,
        reason: reason_text(&process.binary, what, number),
        reason_number: number,
        park_mono_ns: found.mono_ns(),
        park_wall_ns: wall_ns,
        ready_mono_ns: parked.and_then(|parked| parked.ready_mono_ns),
        run_mono_ns: until_mono_ns,
        waker_goid: parked.and_then(|parked| parked.waker_goid),
        by_netpoll: parked.is_some_and(|parked| parked.by_netpoll),
        stack_truncated: false,
        stack_unreadable: false,
        no_goroutine: false,
        unbound: false,
        began_before: found.began_before(),
        weight_milli: ONCE_MILLI,
        address: parked.and_then(|parked| parked.address),
        result: 0,
        fd: None,
        file_type: None,
        flow: None,
        trace: TraceContext::NONE,
        stack: Vec::new(),
        waker_stack: Vec::new(),
        build_id: process.binary.build_id(),
    }
}

/// Of a thread in a system call nobody knows then whether it runs a goroutine.
pub(super) fn unlooked_at(found: &Found, process: &ObservedProcess) -> Option<RawWait> {
    let wait = RawWait { stack_unreadable: true, ..of_map(found, process, mono_ns()) };
    (wait.goid != 0).then_some(wait)
}
