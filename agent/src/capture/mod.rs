//! Capturing goroutine waits with eBPF: the way from a kernel probe to a [`RawWait`].
//!
//! ```text
//! /proc ──> Target ──> Binary (gosym) ──> probes on the inode     [target, executable, binary, probes, processes]
//! probes ─> ring buffer ─> WaitRecord ─> RawWait ─> the sink      [kernel, wait]
//!        └> sums of short waits, counters                         [short_waits, counters]
//! ```
//!
//! The observed program never notices but by the time the probes take: they are uprobes at verified instructions of the Go
//! runtime, never uretprobes, and they go when [`Capture`] is dropped (also by a panic) or this process ends.

mod binary;
mod counters;
mod error;
mod executable;
mod kernel;
mod parks;
mod probes;
mod process;
mod processes;
mod report;
mod short_waits;
mod tai;
mod target;
mod wait;

pub use binary::Binary;
pub use counters::Counters;
pub use error::{CaptureError, KernelError, Refusal};
pub use process::ObservedProcess;
pub use report::{Attached, RescanReport, Skipped};
pub use short_waits::ShortWait;
pub use tai::kernel_tai_offset_seconds;
pub use target::Target;
pub use wait::{RawWait, UNKNOWN_REASON};

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aya::programs::raw_trace_point::RawTracePointLink;
use rustix::event::{PollFd, PollFlags, Timespec};
use syncline_bpf::{CaptureSettings, MAX_STACK, Record, ShortWaitKey, ShortWaitSum, WaitRecord, encode_tai_offset_ns};

use counters::OwnCounters;
use executable::{Executable, FileId};
use kernel::{Maps, Programs};
use probes::{ProbedBinaries, Unfit};
use processes::Processes;
use short_waits::ShortWaits;

/// Records read in one go, so that a flood cannot keep [`Capture::poll`] from returning.
const MAX_RECORDS_PER_POLL: usize = 16_384;
const NS_PER_S: i64 = 1_000_000_000;

/// What to capture and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureConfig {
    /// Waits at least this long become a [`RawWait`]; shorter ones a [`ShortWait`].
    pub threshold: Duration,
    /// Deepest stack taken, 1 to 127 return addresses.
    pub max_stack_depth: u8,
    /// Size of the ring between kernel and agent: a power of two of at least 4096 bytes.
    pub ring_bytes: u32,
    /// Which processes.
    pub target: Target,
}

impl CaptureConfig {
    /// The defaults: from 1 ms on, 64 frames, a ring of 4 MiB.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self { threshold: Duration::from_millis(1), max_stack_depth: 64, ring_bytes: 4 << 20, target }
    }

    fn check(&self) -> Result<(), CaptureError> {
        let wrong = |setting, why| Err(CaptureError::Setting { setting, why });
        if self.max_stack_depth == 0 || usize::from(self.max_stack_depth) > MAX_STACK {
            return wrong("max_stack_depth", format!("{} is not in 1 to {MAX_STACK}", self.max_stack_depth));
        }
        if !self.ring_bytes.is_power_of_two() || self.ring_bytes < 4096 {
            return wrong("ring_bytes", format!("{} is not a power of two of at least 4096", self.ring_bytes));
        }
        Ok(())
    }

    fn settings(&self) -> CaptureSettings {
        CaptureSettings {
            threshold_ns: u64::try_from(self.threshold.as_nanos()).unwrap_or(u64::MAX),
            max_stack: self.max_stack_depth.into(),
            only_watched: self.target.needs_filter(),
        }
    }
}

/// Whether this process may load the BPF programs into this kernel: loads them, and lets them go.
///
/// # Errors
/// What is missing, in one line.
pub fn kernel_support() -> Result<(), CaptureError> {
    kernel::load(4096).map(drop).map_err(CaptureError::from)
}

/// A running capture. Dropping it detaches every probe and waits until that is done.
pub struct Capture {
    target: Target,
    maps: Maps,
    programs: Programs,
    probed: ProbedBinaries,
    processes: Processes,
    short_waits: ShortWaits,
    own: OwnCounters,
    /// Ended processes whose parked goroutines are still in the kernel's map.
    to_forget: HashSet<u32>,
    pending: RescanReport,
    _exec_notice: Option<RawTracePointLink>,
}

impl Capture {
    /// Loads the programs and attaches to what the target names. The first [`rescan`](Self::rescan) reports to which
    /// processes.
    ///
    /// # Errors
    /// If the kernel refuses, or the process or executable that was asked for cannot be observed.
    pub fn start(config: CaptureConfig) -> Result<Self, CaptureError> {
        config.check()?;
        let (maps, programs) = kernel::load(config.ring_bytes)?;
        let settings = config.settings();
        let mut capture = Self {
            target: config.target,
            maps,
            programs,
            probed: ProbedBinaries::new(),
            processes: Processes::default(),
            short_waits: ShortWaits::default(),
            own: OwnCounters::default(),
            to_forget: HashSet::new(),
            pending: RescanReport::default(),
            _exec_notice: None,
        };
        capture.configure(settings)?;
        capture.begin()?;
        Ok(capture)
    }

    /// Attaches to processes that appeared since and forgets those that ended. Cheap enough for some times a second.
    pub fn rescan(&mut self) -> RescanReport {
        let candidates = self.target.candidates();
        let living: HashSet<u32> =
            candidates.iter().copied().filter(|&pid| FileId::of_process(pid).is_some()).collect();
        for pid in self.processes.missing_from(&living) {
            self.end(pid);
        }
        for &pid in &living {
            self.look_at(pid);
        }
        self.clear_away(&living);
        std::mem::take(&mut self.pending)
    }

    /// Whether [`poll`](Self::poll) has found something (a process that began or ended) that a rescan would report.
    #[must_use]
    pub fn rescan_wanted(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Waits up to `timeout` for finished waits and hands each to the sink; returns how many. Processes that start are
    /// attached to meanwhile.
    ///
    /// # Errors
    /// If the ring cannot be waited for.
    pub fn poll(&mut self, timeout: Duration, sink: &mut dyn FnMut(RawWait)) -> Result<usize, CaptureError> {
        self.wait_for_records(timeout)?;
        let before = self.own.delivered;
        for _ in 0..MAX_RECORDS_PER_POLL {
            let Some(item) = self.maps.events.next() else { break };
            let record = syncline_bpf::decode(&item);
            drop(item);
            match record {
                Ok(Record::Wait(wait)) => self.deliver(&wait, sink),
                Ok(Record::Exec { tgid }) => self.look_at(tgid),
                Err(_) => self.own.undecodable += 1,
            }
        }
        Ok(usize::try_from(self.own.delivered - before).unwrap_or(usize::MAX))
    }

    /// Waits below the threshold since the last call, per process and reason.
    pub fn take_short_waits(&mut self) -> Vec<ShortWait> {
        let grown = self.short_waits.take(&self.maps.short_waits);
        grown.into_iter().map(|(key, sum)| self.short_wait(key, sum)).collect()
    }

    /// What was seen and what was lost since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        counters::read(&self.maps.counters, self.own)
    }

    /// Goroutines of observed processes that are parked now and were seen parking.
    #[must_use]
    pub fn parked_now(&self) -> usize {
        self.maps.parks.keys().filter_map(Result::ok).collect::<HashSet<_>>().len()
    }

    /// Tells the kernel side the present TAI offset (adjtimex(2)); to be called when it changes. `start` reads it itself.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn set_tai_offset(&mut self, seconds: i32) -> Result<(), CaptureError> {
        let value = encode_tai_offset_ns(i64::from(seconds) * NS_PER_S);
        let set = self.maps.clock.set(0, value, 0);
        set.map_err(|e| KernelError::new("set the TAI offset", e).into())
    }

    /// The observed process with this id, also for some seconds after it ended.
    #[must_use]
    pub fn process(&self, tgid: u32) -> Option<&ObservedProcess> {
        self.processes.get(tgid)
    }

    fn configure(&mut self, settings: CaptureSettings) -> Result<(), CaptureError> {
        let set = self.maps.config.set(0, settings.encode(), 0);
        set.map_err(|e| KernelError::new("set the configuration", e))?;
        let tai = kernel_tai_offset_seconds().map_err(|e| KernelError::new("read the TAI offset", e))?;
        self.set_tai_offset(tai)
    }

    fn begin(&mut self) -> Result<(), CaptureError> {
        if self.target.is_open_ended() {
            self._exec_notice = Some(self.programs.attach_exec_notice()?);
        }
        match self.target.clone() {
            Target::Pid(pid) => self.begin_with_process(pid)?,
            Target::Executable(path) => self.begin_with_executable(&path)?,
            Target::AllGo => {}
        }
        self.pending = self.rescan();
        Ok(())
    }

    fn begin_with_process(&mut self, pid: u32) -> Result<(), CaptureError> {
        if process::start_time(pid).is_none() {
            return Err(CaptureError::NoSuchProcess { pid });
        }
        let refused = |why| CaptureError::Refused { what: format!("process {pid}"), why };
        let file = FileId::of_process(pid).ok_or_else(|| refused(Arc::new(Refusal::Ended)))?;
        self.observe(pid, file).map_err(|unfit| refused(unfit.into_refusal()))
    }

    /// Probes the file at once, so that a process that starts later misses nothing.
    fn begin_with_executable(&mut self, path: &Path) -> Result<(), CaptureError> {
        let cannot_open = |cause| CaptureError::Executable { path: path.to_owned(), cause };
        let path = path.canonicalize().map_err(cannot_open)?;
        let executable = Executable::open(path.clone()).map_err(cannot_open)?;
        let probed = self.probed.probe(executable.id, || Ok(executable), &mut self.maps, &mut self.programs);
        let slot = probed
            .map_err(|unfit| CaptureError::Refused { what: "the executable".to_owned(), why: unfit.into_refusal() })?;
        self.probed.pin(slot);
        self.target = Target::Executable(path);
        Ok(())
    }

    /// Observes the process if it is wanted, is Go, and is not observed yet.
    fn look_at(&mut self, pid: u32) {
        let Some(file) = FileId::of_process(pid).filter(|_| pid != std::process::id()) else { return };
        if let Some(process) = self.processes.observed(pid) {
            if process.is_still(file) {
                return;
            }
            self.end(pid);
        }
        if self.processes.is_passed_over(pid, file) {
            return;
        }
        if !self.target.wants(pid, file) {
            self.processes.pass_over(pid, file);
        } else if let Err(unfit) = self.observe(pid, file) {
            self.pass_over(pid, file, &unfit);
        }
    }

    fn observe(&mut self, pid: u32, file: FileId) -> Result<(), Unfit> {
        let slot = self.probed.probe(file, || Executable::of_process(pid), &mut self.maps, &mut self.programs)?;
        let binary = self.probed.binary(slot).cloned().ok_or_else(Unfit::ended)?;
        let process = ObservedProcess::look(pid, slot, file, binary).map_err(|why| Unfit::New(Arc::new(why)))?;
        self.watch(pid, slot)?;
        self.probed.process_began(slot);
        let go_version = process.binary.go_version().to_owned();
        self.pending.attached.push(Attached { pid, exe: process.exe.clone(), go_version });
        self.processes.observe(process);
        Ok(())
    }

    /// Has the process observed by the probes of this slot only.
    fn watch(&mut self, pid: u32, slot: u32) -> Result<(), Unfit> {
        let inserted = self.maps.watched.insert(pid, slot, 0);
        inserted.map_err(|e| Unfit::New(Arc::new(Refusal::Kernel(KernelError::new("watch a process", e)))))
    }

    fn pass_over(&mut self, pid: u32, file: FileId, unfit: &Unfit) {
        let why = unfit.refusal();
        if !why.is_transient() {
            self.processes.pass_over(pid, file);
        }
        if why.is_not_go() || matches!(why, Refusal::Ended) {
            return;
        }
        if matches!(unfit, Unfit::New(_)) {
            tracing::warn!(pid, "process is not observed: {why}");
        }
        let exe = std::fs::read_link(executable::exe_link(pid)).unwrap_or_default();
        self.pending.skipped.push(Skipped { pid, exe, why: why.to_string() });
    }

    fn end(&mut self, pid: u32) {
        let Some(slot) = self.processes.end(pid) else { return };
        self.probed.process_ended(slot);
        // Fails only if it is not there, which is what is wanted.
        let _ = self.maps.watched.remove(&pid);
        self.to_forget.insert(pid);
        self.pending.ended.push(pid);
    }

    fn clear_away(&mut self, living: &HashSet<u32>) {
        if !self.to_forget.is_empty() {
            self.forget_ended();
        }
        self.processes.tidy(living);
        self.probed.retire_unused(&mut self.maps);
    }

    fn forget_ended(&mut self) {
        let ended = &self.to_forget;
        self.short_waits.end(&mut self.maps.short_waits, |tgid| ended.contains(&tgid));
        if let Some(abandoned) = parks::forget(&mut self.maps, ended) {
            self.own.abandoned = self.own.abandoned.saturating_add(abandoned);
            self.to_forget.clear();
        }
    }

    fn wait_for_records(&self, timeout: Duration) -> Result<(), CaptureError> {
        let timeout = Timespec::try_from(timeout).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
        let mut ready = [PollFd::new(&self.maps.events, PollFlags::IN)];
        match rustix::event::poll(&mut ready, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(e) => Err(KernelError::new("wait for the ring", std::io::Error::from(e)).into()),
        }
    }

    fn deliver(&mut self, record: &WaitRecord, sink: &mut dyn FnMut(RawWait)) {
        if self.processes.with_binary(record.tgid, record.binary).is_none() {
            self.look_at(record.tgid);
        }
        if let Some(process) = self.processes.with_binary(record.tgid, record.binary) {
            self.own.delivered += 1;
            sink(RawWait::new(record, &process.binary, process.load_bias));
        } else {
            self.own.unknown_process += 1;
        }
    }

    fn short_wait(&self, key: ShortWaitKey, sum: ShortWaitSum) -> ShortWait {
        let binary = self.process(key.tgid).map(|process| &process.binary);
        ShortWait {
            tgid: key.tgid,
            reason: binary.map_or(UNKNOWN_REASON, |binary| wait::reason_text(binary, key.reason)),
            reason_number: key.reason,
            count: sum.count,
            total_ns: sum.total_ns,
            histogram: sum.histogram,
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.probed.detach_all();
    }
}
