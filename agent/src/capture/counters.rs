//! What was seen and what was lost, and why.

use aya::maps::{MapData, PerCpuArray};
use syncline_bpf::layout::Counter;

use super::before::FoundCounters;

/// Cumulative numbers since capturing began. At rest two sums hold:
///
/// - `parks + found + window_found = finished + map_full + map_error + park_replaced + found_stale + still parked + abandoned + parks_left_out + cut_off`
/// - `finished + thread_waits = emitted + aggregated + ring_full + aggregate_full + goid_mismatch + execute_fault + scratch_busy + found_short`
///
/// and `emitted = delivered + idle_threads + unknown_process + undecodable + left_out` once the ring is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Goroutines that began to wait.
    pub parks: u64,
    /// Parked goroutines seen being made ready.
    pub readies: u64,
    /// Parked goroutines seen running again.
    pub finished: u64,
    /// Records put into the ring.
    pub emitted: u64,
    /// Waits added to the sums of short waits.
    pub aggregated: u64,
    /// Lost: no room in the ring.
    pub ring_full: u64,
    /// Lost: no room for another parked goroutine.
    pub map_full: u64,
    /// Lost: the map of parked goroutines refused for another cause.
    pub map_error: u64,
    /// Lost: parked again although its run was never seen.
    pub park_replaced: u64,
    /// Lost: g unreadable at park (not counted as parked).
    pub park_fault: u64,
    /// Lost: no room for another sum of short waits.
    pub aggregate_full: u64,
    /// Lost: the g was given to another goroutine meanwhile.
    pub goid_mismatch: u64,
    /// Lost: g unreadable when it ran again.
    pub execute_fault: u64,
    /// Lost: no free slot to build the record in.
    pub scratch_busy: u64,
    /// Kept with a shorter stack: a frame was unreadable.
    pub stack_unreadable: u64,
    /// Kept with a shorter stack: deeper than configured.
    pub stack_truncated: u64,
    /// Kept without a waker: its g was unreadable.
    pub waker_fault: u64,
    /// Kept without a ready stamp: the poller's descriptor was unreadable.
    pub netpoll_fault: u64,
    /// Exec notices lost; the next scan finds those processes.
    pub exec_ring_full: u64,
    /// Waits of threads (in system calls, off their CPUs, in C code) that ended.
    pub thread_waits: u64,
    /// Lost: no room for another thread in a system call, in C code or off its CPU (not counted as ended).
    pub thread_map_full: u64,
    /// Kept without the stack of who ended it.
    pub waker_stack_lost: u64,
    /// Kept without the kernel's stack, whose place others have taken.
    pub kernel_stack_lost: u64,
    /// Kept without a trace, which may be among labels that were not looked at: more than eight, or in a map of more.
    pub labels_unread: u64,
    /// Kept without a trace: the goroutine's labels were unreadable.
    pub labels_fault: u64,
    /// Kept without a trace or a span: what its label holds is no id.
    pub labels_malformed: u64,
    /// Lost, at most: the kernel left out a run of a program that would have seen one.
    pub probe_missed: u64,
    /// Waits handed to the sink.
    pub delivered: u64,
    /// Not handed on: threads of Go's scheduler without work.
    pub idle_threads: u64,
    /// Lost: the process was gone before it could be looked at.
    pub unknown_process: u64,
    /// Lost: a record that is not what the kernel side writes.
    pub undecodable: u64,
    /// Parked goroutines whose wait never finished, because their process ended.
    pub abandoned: u64,
    /// The same of goroutines in C code.
    pub calls_abandoned: u64,
    /// Calls on stacks that have the name of their library alone, since that was not opened in time, or not yet.
    pub library_unopened: u64,
    /// Not handed on: of a process that is left out, from the moment before it was.
    pub left_out: u64,
    /// The same of waits in sums of short ones.
    pub sums_left_out: u64,
    /// Waits that were going on when their process was left out, and were forgotten.
    pub parks_left_out: u64,
    /// Goroutines found parked when the observation of their process began.
    pub found: u64,
    /// Those of them that did not wait any more when that was noted; nothing is told of them.
    pub found_stale: u64,
    /// Those of them that ended sooner after that than the threshold: how long they waited nobody knows.
    pub found_short: u64,
    /// Goroutines not looked at then: too many, their process did not answer in time, or no room in the kernel.
    pub found_passed_over: u64,
    /// Goroutines that were made ready in a window of observation in which they had not parked.
    pub window_found: u64,
    /// Waits that went on as a window of observation ended, or as the first gap began; the part in it is told in sums.
    pub cut_off: u64,
    /// The same of goroutines in C code.
    pub calls_cut_off: u64,
    /// Waits that began before their window and of which a part was seen: told as time, and not as waits.
    pub parts_before: u64,
    /// Processes whose goroutines could not be looked at then: what should be their list was not one.
    pub found_refused: u64,
}

impl Counters {
    /// Waits that were seen: of goroutines as they begin, of threads as they end, and those that were lost at that very moment.
    #[must_use]
    pub fn captured(&self) -> u64 {
        let goroutines = self.parks + self.found + self.window_found + self.park_fault;
        let calls = self.thread_waits + self.thread_map_full + self.calls_abandoned + self.calls_cut_off;
        goroutines + calls + self.probe_missed
    }

    /// Those of them that are not told, as is wanted: of threads without work, of processes that are left out, and those of which it is
    /// known only that they went on when observation began.
    #[must_use]
    pub fn passed_over(&self) -> u64 {
        let left_out = self.left_out + self.sums_left_out + self.parks_left_out;
        self.idle_threads + left_out + self.found_stale + self.found_short + self.parts_before
    }

    /// Waits that finished or could have, and are in neither a record nor a sum: all causes together.
    #[must_use]
    pub fn lost(&self) -> u64 {
        [
            self.ring_full,
            self.map_full,
            self.thread_map_full,
            self.map_error,
            self.park_replaced,
            self.park_fault,
            self.aggregate_full,
            self.goid_mismatch,
            self.execute_fault,
            self.scratch_busy,
            self.probe_missed,
            self.unknown_process,
            self.undecodable,
        ]
        .iter()
        .sum()
    }
}

/// The numbers that user space counts itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct OwnCounters {
    pub(super) delivered: u64,
    pub(super) idle_threads: u64,
    pub(super) unknown_process: u64,
    pub(super) undecodable: u64,
    pub(super) abandoned: u64,
    pub(super) calls_abandoned: u64,
    pub(super) library_unopened: u64,
    pub(super) probe_missed: u64,
    pub(super) left_out: u64,
    pub(super) sums_left_out: u64,
    pub(super) parks_left_out: u64,
    pub(super) cut_off: u64,
    pub(super) cut_off_stale: u64,
    pub(super) calls_cut_off: u64,
    pub(super) parts_before: u64,
}

pub(super) fn read(
    kernel: &PerCpuArray<MapData, u64>,
    own: OwnCounters,
    before: FoundCounters,
    stale_now: u64,
) -> Counters {
    let at = |counter| sum(kernel, counter);
    Counters {
        parks: at(Counter::Parks),
        readies: at(Counter::Readies),
        finished: at(Counter::Finished),
        emitted: at(Counter::Emitted),
        aggregated: at(Counter::Aggregated),
        ring_full: at(Counter::RingFull),
        map_full: at(Counter::MapFull),
        map_error: at(Counter::MapError),
        park_replaced: at(Counter::ParkReplaced),
        park_fault: at(Counter::ParkFault),
        aggregate_full: at(Counter::AggregateFull),
        goid_mismatch: at(Counter::GoidMismatch),
        execute_fault: at(Counter::ExecuteFault),
        scratch_busy: at(Counter::ScratchBusy),
        stack_unreadable: at(Counter::StackUnreadable),
        stack_truncated: at(Counter::StackTruncated),
        waker_fault: at(Counter::WakerFault),
        netpoll_fault: at(Counter::NetpollFault),
        exec_ring_full: at(Counter::ExecRingFull),
        thread_waits: at(Counter::ThreadWaits),
        thread_map_full: at(Counter::ThreadMapFull),
        waker_stack_lost: at(Counter::WakerStackLost),
        kernel_stack_lost: at(Counter::KernelStackLost),
        labels_unread: at(Counter::LabelsUnread),
        labels_fault: at(Counter::LabelsFault),
        labels_malformed: at(Counter::LabelsMalformed),
        probe_missed: own.probe_missed,
        delivered: own.delivered,
        idle_threads: own.idle_threads,
        unknown_process: own.unknown_process,
        undecodable: own.undecodable,
        abandoned: own.abandoned,
        calls_abandoned: own.calls_abandoned,
        library_unopened: own.library_unopened,
        left_out: own.left_out,
        sums_left_out: own.sums_left_out,
        parks_left_out: own.parks_left_out,
        found: before.found,
        found_stale: at(Counter::FoundStale) + before.stale + own.cut_off_stale + stale_now,
        found_short: at(Counter::FoundShort),
        window_found: at(Counter::WindowFound),
        cut_off: own.cut_off.saturating_sub(own.cut_off_stale),
        calls_cut_off: own.calls_cut_off,
        parts_before: own.parts_before,
        found_passed_over: before.passed_over,
        found_refused: before.refused,
    }
}

/// Over all CPUs. A read of an array's existing element fails only if the map is not what we made; then nothing is known.
fn sum(kernel: &PerCpuArray<MapData, u64>, counter: Counter) -> u64 {
    kernel.get(&(counter as u32), 0).map_or(0, |per_cpu| per_cpu.iter().sum())
}
