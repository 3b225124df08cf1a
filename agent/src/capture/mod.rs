//! Capturing goroutine waits with eBPF: the way from a kernel probe to a [`RawWait`].
//!
//! ```text
//! /proc ──> Target ──> Binary (gosym) ──> probes on the inode     [target, executable, binary, probes, observing, processes]
//! probes ─> ring buffer ─> WaitRecord ─> RawWait ─> the sink      [kernel, wait]
//!        │                └> TCP sessions and messages            [tcp]
//!        ├> sums of short waits, counters                         [short_waits, counters]
//!        └> waits that go on, looked at in the process's memory   [open]
//! the process's own list of goroutines ─> those that were parked before [before]
//! ```
//!
//! The observed program never notices but by the time the probes take: they are uprobes at verified instructions of the Go
//! runtime, never uretprobes, and they go when [`Capture`] is dropped (also by a panic) or this process ends.

mod before;
mod binary;
mod choosing;
mod config;
mod counters;
mod error;
mod executable;
mod file;
mod holding;
mod idle;
mod kernel;
mod kinds;
mod leaving_out;
mod namespace;
mod observing;
mod open;
mod parks;
mod privileges;
mod probes;
mod process;
mod processes;
mod report;
mod retry;
mod short_waits;
mod states;
mod strangers;
mod syscalls;
mod target;
mod tcp;
mod tracepoints;
mod wait;
mod wakeups;

pub use binary::Binary;
pub(crate) use choosing::without_deleted_mark;
pub use config::CaptureConfig;
pub use counters::Counters;
pub use error::{CaptureError, KernelError, Refusal};
pub(crate) use file::flow;
pub use kinds::{CaptureKind, Kinds};
pub use open::{OpenTaken, OpenWait};
pub use process::ObservedProcess;
pub(crate) use process::{mono_ns, start_time, start_time_in};
pub use report::{Attached, Coverage, RescanReport, Skipped};
pub use short_waits::ShortWait;
pub use states::{BlockedTime, GoroutineSplit, ProcessTimes, StateCounters, StateTimes, StatesTaken};
pub use target::Target;
pub use tcp::{Off, TcpConfig, TcpCounters, TcpTaken};
pub(crate) use wait::CALL_OF_C;
pub use wait::{RawWait, UNKNOWN_REASON};

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use syncline_bpf::{Bindings, Record, WaitRecord, encode_tai_offset_ns};
use syncline_claims::kernel_tai_offset_seconds;

use before::Before;
use choosing::Choosing;
use config::Frame;
use counters::OwnCounters;
use kernel::{Maps, Programs};
use open::OpenWaits;
use probes::ProbedBinaries;
use processes::Processes;
use short_waits::ShortWaits;
use states::{LetGo, States};
use strangers::Strangers;
use tcp::Tcp;
use tracepoints::Tracepoints;
use wakeups::Wakeups;

/// Records read in one go, so that a flood cannot keep [`Capture::poll`] from returning.
const MAX_RECORDS_PER_POLL: usize = 16_384;
const NS_PER_S: i64 = 1_000_000_000;

/// Whether this process may load the BPF programs into this kernel and attach them: does so, and lets them go.
///
/// # Errors
/// What is missing, in one line.
pub fn kernel_support() -> Result<(), CaptureError> {
    namespace::check()?;
    let (_maps, _tcp, _states, mut programs) = kernel::load(4096, &TcpConfig::default())?;
    Ok(programs.try_attaching()?)
}

/// A running capture. Dropping it detaches every probe and waits until that is done.
pub struct Capture {
    target: Target,
    maps: Maps,
    wakeups: Wakeups,
    /// The last look at the ring did not see its end.
    more: bool,
    programs: Programs,
    probed: ProbedBinaries,
    processes: Processes,
    short_waits: ShortWaits,
    own: OwnCounters,
    /// Ended processes whose parked goroutines are still in the kernel's map, and when they ended (CLOCK_MONOTONIC ns).
    to_forget: HashMap<u32, u64>,
    /// The same of processes that were left out while they ran.
    to_leave: HashMap<u32, u64>,
    pending: RescanReport,
    unreadable: usize,
    warned_of_unreadable: bool,
    tcp: Tcp,
    open: OpenWaits,
    states: States,
    /// Processes whose goroutines' time is not split any more.
    to_let_go: HashMap<u32, LetGo>,
    /// Kinds that are captured of a process from now on, and whose waits that go on already are to be found.
    to_find: BTreeMap<u32, Kinds>,
    choosing: Choosing,
    frame: Frame,
    tracepoints: Tracepoints,
    /// The kinds for which threads are bound to goroutines, as the kernel side was told.
    bound_kinds: Option<Kinds>,
    /// Why not all tracepoints that are needed are held.
    trouble: Option<String>,
    strangers: Strangers,
    before: Before,
}

impl Capture {
    /// Loads the programs and attaches to what the target names. The first [`rescan`](Self::rescan) reports to which
    /// processes.
    ///
    /// # Errors
    /// If the kernel refuses, or the process or executable that was asked for cannot be observed.
    pub fn start(config: CaptureConfig) -> Result<Self, CaptureError> {
        config.check()?;
        namespace::check()?;
        let (maps, tcp_maps, state_maps, mut programs) = kernel::load(config.ring_bytes, &config.tcp)?;
        let tcp = Tcp::start(tcp_maps, config.tcp, &mut programs)?;
        let (choosing, frame) = (Choosing::new(&config), config.frame(tcp.lacks()));
        let open = OpenWaits::new(&config);
        let wakeups = Wakeups::of(&maps.events).map_err(|e| KernelError::new("watch the ring", e))?;
        let mut capture = Self {
            target: config.target,
            maps,
            wakeups,
            more: false,
            programs,
            probed: ProbedBinaries::default(),
            processes: Processes::default(),
            short_waits: ShortWaits::default(),
            own: OwnCounters::default(),
            to_forget: HashMap::new(),
            to_leave: HashMap::new(),
            pending: RescanReport::default(),
            unreadable: 0,
            warned_of_unreadable: false,
            tcp,
            open,
            states: States::new(state_maps, config.states_every),
            to_let_go: HashMap::new(),
            to_find: BTreeMap::new(),
            choosing,
            frame,
            tracepoints: Tracepoints::default(),
            bound_kinds: None,
            trouble: None,
            strangers: Strangers::default(),
            before: Before::default(),
        };
        capture.configure()?;
        capture.begin()?;
        Ok(capture)
    }

    /// Attaches to processes that appeared since and forgets those that ended. Cheap enough for some times a second.
    pub fn rescan(&mut self) -> RescanReport {
        let living = self.with_programs(&self.target.candidates());
        for pid in self.processes.missing_from(&living) {
            self.end(pid, mono_ns());
        }
        for pid in self.processes.left_out_missing_from(&living) {
            self.left_out_ended(pid);
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
        if !std::mem::take(&mut self.more) {
            self.wakeups.wait(timeout).map_err(|e| KernelError::new("wait for the ring", e))?;
        }
        let before = self.own.delivered;
        for read in 0.. {
            // A full hand: the rest may not wake us again.
            self.more = read == MAX_RECORDS_PER_POLL;
            let Some(item) = (!self.more).then(|| self.maps.events.next()).flatten() else { break };
            let record = syncline_bpf::decode(&item);
            drop(item);
            match record {
                Ok(Record::Wait(wait)) => self.deliver(&wait, sink),
                Ok(Record::Exec { tgid, mono_ns }) => self.exec_noticed(tgid, mono_ns),
                Ok(Record::Goroutine(ended)) => self.states.push_ended(&ended),
                Ok(Record::TcpSession(session)) => self.tcp.push_session(session),
                Ok(Record::TcpMessage(message)) => self.tcp.push_message(message),
                Err(_) => self.own.undecodable += 1,
            }
        }
        Ok(usize::try_from(self.own.delivered - before).unwrap_or(usize::MAX))
    }

    /// Goroutines' waits that go on for long, in order to be told of before they end; each again when its age is four times that, and every hour. One that was told
    /// of and then ends is handed out by [`poll`](Self::poll) as any other, and has the same process, kind, goroutine and begin.
    pub fn take_open_waits(&mut self) -> OpenTaken {
        self.open.take(&self.maps, &mut self.processes, &self.before)
    }

    /// How goroutines spent their time: those that ended since the last call and, now and then, those that live, and all those of
    /// each process together.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn take_states(&mut self) -> Result<StatesTaken, CaptureError> {
        let is_wanted = self.bound_kinds.is_some_and(|kinds| kinds.has(CaptureKind::States));
        Ok(self.states.take(&self.maps, &self.processes, is_wanted)?)
    }

    /// Has the next [`take_states`](Self::take_states) tell of all that live: for the end of a capture.
    pub fn tell_states(&mut self) {
        self.states.tell_all();
    }

    /// What is not in the times that [`take_states`](Self::take_states) tells, since the start.
    #[must_use]
    pub fn state_counters(&self) -> StateCounters {
        self.states.counters()
    }

    /// TCP sessions and messages that [`poll`](Self::poll) found, and long sessions that are open, since the last call.
    pub fn take_tcp(&mut self) -> TcpTaken {
        self.tcp.take()
    }

    /// Has the next [`take_tcp`](Self::take_tcp) tell of every session that is open, however short: for the end of a capture.
    pub fn tell_open_sessions(&mut self) {
        self.tcp.tell_open();
    }

    /// What was seen of TCP and what was lost since the start.
    #[must_use]
    pub fn tcp_counters(&self) -> TcpCounters {
        self.tcp.counters()
    }

    /// What this kernel does not let us capture of TCP.
    #[must_use]
    pub fn tcp_off(&self) -> &[Off] {
        self.tcp.off()
    }

    /// What was seen and what was lost since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let stale_now = self.before.stale_now() as u64;
        counters::read(&self.maps.counters, self.own, self.before.counters(), stale_now)
    }

    /// Goroutines of observed processes that are parked now and were seen parking, or found parked.
    #[must_use]
    pub fn parked_now(&self) -> usize {
        let entries = self.maps.parks.keys().filter_map(Result::ok).collect::<HashSet<_>>().len();
        entries.saturating_sub(self.before.stale_now())
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

    /// Go processes that were not observed so far, by reason, and processes that may not be looked at now.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        Coverage { skipped: self.processes.skipped().clone(), unreadable: self.unreadable }
    }

    /// What became of the waits of an observed process's threads: bound to their goroutines, or not.
    #[must_use]
    pub fn bindings(&self, tgid: u32) -> Bindings {
        self.maps.bindings.get(&tgid, 0).map_or_else(|_| Bindings::default(), |bytes| Bindings::decode(&bytes))
    }

    fn configure(&mut self) -> Result<(), CaptureError> {
        let settings = self.frame.settings(&self.defaults(), self.defaults().needs());
        let set = self.maps.config.set(0, settings.encode(), 0);
        set.map_err(|e| KernelError::new("set the configuration", e))?;
        let tai = kernel_tai_offset_seconds().map_err(|e| KernelError::new("read the TAI offset", e))?;
        self.set_tai_offset(tai)
    }

    fn deliver(&mut self, record: &WaitRecord, sink: &mut dyn FnMut(RawWait)) {
        let (pid, slot) = (record.tgid, record.binary);
        if self.processes.get(pid).is_none_or(|process| process.slot != slot) {
            self.look_at(pid);
        }
        let span = (record.park_mono_ns, record.run_mono_ns);
        let process = self.processes.that_ran(pid, span, |process| process.slot == slot);
        let Some(process) = process else {
            let is_left_out = self.processes.was_left_out(pid);
            *(if is_left_out { &mut self.own.left_out } else { &mut self.own.unknown_process }) += 1;
            return;
        };
        let wait = RawWait::new(record, &process.binary, process.load_bias);
        if wait.no_goroutine && idle::is_idle(&wait, &process.binary) {
            self.own.idle_threads += 1;
        } else {
            self.own.delivered += 1;
            sink(wait);
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.probed.detach_all();
    }
}
