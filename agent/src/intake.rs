//! From what capture hands out to what the batcher takes: stamps through the node's clocks, processes by name.

use std::collections::HashMap;
use std::sync::Arc;

use syncline_event::{LossCause, Process};

use crate::batch::{FinishedWait, Losses, ShortSum, ShortWhat, Symbolizer, Wanted};
use crate::capture::{Binary, Capture, Counters, ObservedProcess, OpenWait, RawWait, ShortWait, without_deleted_mark};
use crate::clock::Clocks;
use crate::metadata::{self, Metadata, MetadataReader};
use crate::symbols::{CachedNames, NamesOf, SymbolCache};
use crate::text;

/// Bytes of an executable's path: a batch of many processes must fit the wire whatever their paths.
const PATH_BYTES: usize = 1_024;
/// Bytes of a Go version: real ones have 20 and some; the rest is a crafted binary's.
const VERSION_BYTES: usize = 128;
/// Processes remembered before those that ended are forgotten.
const MANY_PROCESSES: usize = 1_024;

/// Programs of one pid that are remembered, for what is told late of the former ones.
const PROGRAMS: usize = 4;

/// Knows the observed processes by name.
pub struct Intake {
    clocks: Clocks,
    service: Option<String>,
    metadata: MetadataReader,
    symbols: Option<Arc<SymbolCache>>,
    /// Of each pid its programs, the one that was met last at the end.
    known: HashMap<u32, Vec<Known>>,
}

#[derive(Clone)]
pub(crate) struct Known {
    start_time: u64,
    exec_mono_ns: Option<u64>,
    pub(crate) process: Arc<Process>,
    pub(crate) symbolizer: Arc<dyn Symbolizer>,
}

impl Intake {
    /// An intake that knows no process yet; `service` names the service of all of them, whatever they say themselves.
    pub fn new(clocks: Clocks, service: Option<String>, metadata: MetadataReader) -> Self {
        Self { clocks, service: service.map(metadata::fitting), metadata, symbols: None, known: HashMap::new() }
    }

    /// Keeps what it looks up of programs in this cache.
    #[must_use]
    pub fn caching(self, symbols: Option<Arc<SymbolCache>>) -> Self {
        Self { symbols, ..self }
    }

    /// Learns a process's name while it is there to be asked.
    pub fn greet(&mut self, capture: &Capture, pid: u32) {
        if let Some(observed) = capture.process(pid) {
            self.known_as(capture, observed);
        }
        if self.known.len() > MANY_PROCESSES {
            self.known.retain(|pid, _| capture.process(*pid).is_some());
        }
    }

    /// The wait with its stamps on the node's clocks; none if nobody knows its process any more.
    pub fn wait(&mut self, capture: &Capture, raw: RawWait) -> Option<FinishedWait> {
        let known = self.known_as(capture, capture.process_of(&raw)?);
        Some(FinishedWait {
            process: known.process,
            symbolizer: known.symbolizer,
            kind: raw.kind,
            reason: raw.reason,
            tid: raw.tid,
            goid: raw.goid,
            park: self.clocks.kernel_mono(raw.park_mono_ns),
            park_wall: self.clocks.kernel_wall(raw.park_mono_ns, raw.park_wall_ns),
            ready: raw.ready_mono_ns.map(|ns| self.clocks.kernel_mono(ns)),
            run: self.clocks.kernel_mono(raw.run_mono_ns),
            waker_goid: raw.waker_goid,
            by_netpoll: raw.by_netpoll,
            stack_cut: raw.stack_truncated,
            stack_unreadable: raw.stack_unreadable,
            no_goroutine: raw.no_goroutine,
            unbound: raw.unbound,
            is_abandoned: false,
            began_before: raw.began_before,
            weight_milli: raw.weight_milli,
            trace: raw.trace,
            stack: raw.stack,
            waker_stack: raw.waker_stack,
            wanted: Wanted {
                address: raw.address.unwrap_or_default(),
                result: raw.result,
                fd: raw.fd,
                file_type: raw.file_type,
                flow: raw.flow,
            },
        })
    }

    /// The same of a wait that goes on, or never ended.
    pub fn open_wait(&mut self, capture: &Capture, open: OpenWait) -> Option<FinishedWait> {
        let is_abandoned = open.is_abandoned;
        self.wait(capture, open.wait).map(|wait| FinishedWait { is_abandoned, ..wait })
    }

    /// The sum with its process; none if nobody knows that any more.
    pub fn short(&mut self, capture: &Capture, short: &ShortWait) -> Option<(Arc<Process>, ShortWhat, ShortSum)> {
        let known = self.known(capture, short.tgid, capture.process(short.tgid))?;
        let histogram = if short.is_parts { Vec::new() } else { short.histogram.to_vec() };
        let sum = ShortSum { count: short.count, total_ns: short.total_ns, histogram };
        let ShortWait { kind, reason, weight_milli, is_parts, .. } = *short;
        Some((known.process, ShortWhat { kind, reason, weight_milli, is_parts }, sum))
    }

    pub(crate) fn clocks(&self) -> &Clocks {
        &self.clocks
    }

    /// This process, or the one with this pid that was met last: connections end long after their processes.
    pub(crate) fn known(&mut self, capture: &Capture, pid: u32, observed: Option<&ObservedProcess>) -> Option<Known> {
        match observed.or_else(|| capture.process(pid)) {
            Some(observed) => Some(self.known_as(capture, observed)),
            None => self.known.get(&pid)?.last().cloned(),
        }
    }

    fn known_as(&mut self, capture: &Capture, observed: &ObservedProcess) -> Known {
        let is_same = |known: &&Known| {
            known.start_time == observed.start_time
                && known.exec_mono_ns == observed.exec_mono_ns()
                && known.process.build_id == observed.binary.build_id()
        };
        if let Some(known) = self.known.get(&observed.pid).and_then(|programs| programs.iter().find(is_same)) {
            return known.clone();
        }
        let known = Known {
            start_time: observed.start_time,
            exec_mono_ns: observed.exec_mono_ns(),
            process: Arc::new(self.describe(capture, observed)),
            symbolizer: self.symbolizer(capture, &observed.binary),
        };
        let programs = self.known.entry(observed.pid).or_default();
        programs.drain(..(programs.len() + 1).saturating_sub(PROGRAMS));
        programs.push(known.clone());
        known
    }

    fn symbolizer(&self, capture: &Capture, binary: &Arc<Binary>) -> Arc<dyn Symbolizer> {
        let names = NamesOf::new(Arc::clone(binary), Arc::clone(capture.frames()));
        match &self.symbols {
            Some(cache) => Arc::new(CachedNames::new(names, Arc::clone(cache))),
            None => Arc::new(names),
        }
    }

    fn describe(&self, capture: &Capture, observed: &ObservedProcess) -> Process {
        let executable = without_deleted_mark(&observed.exe);
        let Metadata { service, container } = if let Some(names) = &observed.names {
            Metadata::clone(names)
        } else if capture.still_runs(observed) {
            self.metadata.read(observed.pid, observed.start_time, &executable)
        } else {
            // What can be read by now is said of its next program.
            Metadata::unread(&executable)
        };
        let since = self.clocks.kernel_mono(observed.program_since_mono_ns());
        Process {
            pid: observed.pid,
            service: self.service.clone().unwrap_or(service),
            executable: text::cut(executable.to_string_lossy().into_owned(), PATH_BYTES),
            go_version: text::cut(observed.binary.go_version().to_owned(), VERSION_BYTES),
            build_id: observed.binary.build_id(),
            since_mono_ns: u64::try_from(since.ns()).unwrap_or(0),
            container,
        }
    }
}

/// What was lost so far, in the words of the stream.
pub fn losses(counters: &Counters) -> Losses {
    let mut losses = Losses::default();
    for (cause, count) in [
        (LossCause::RingBufferFull, counters.ring_full),
        // The scratch slot is where a record is built before it goes into the ring.
        (LossCause::RingBufferFull, counters.scratch_busy),
        (LossCause::ParkMapFull, counters.map_full),
        (LossCause::ParkMapFull, counters.map_error),
        (LossCause::ThreadMapFull, counters.thread_map_full),
        (LossCause::ProbeMissed, counters.probe_missed),
        (LossCause::ShortWaitMapFull, counters.aggregate_full),
        (LossCause::GoroutineUnreadable, counters.park_fault),
        (LossCause::GoroutineUnreadable, counters.execute_fault),
        (LossCause::GoroutineReused, counters.goid_mismatch),
        (LossCause::GoroutineReused, counters.park_replaced),
        (LossCause::RecordGarbled, counters.undecodable),
        (LossCause::ParkAbandoned, counters.unknown_process),
        (LossCause::ParkAbandoned, counters.abandoned),
        (LossCause::ParkAbandoned, counters.calls_abandoned),
    ] {
        losses.add(cause, count);
    }
    losses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lost_wait_has_a_cause_in_the_stream() {
        let counters = Counters {
            ring_full: 1,
            map_full: 2,
            map_error: 4,
            park_replaced: 8,
            park_fault: 16,
            aggregate_full: 32,
            goid_mismatch: 64,
            execute_fault: 128,
            scratch_busy: 256,
            unknown_process: 512,
            undecodable: 1_024,
            abandoned: 2_048,
            thread_map_full: 4_096,
            probe_missed: 16_384,
            calls_abandoned: 8_192,
            ..Counters::default()
        };
        assert_eq!(losses(&counters).total(), counters.lost() + counters.abandoned + counters.calls_abandoned);
        assert_eq!(losses(&counters).total(), 32_767);
    }
}
