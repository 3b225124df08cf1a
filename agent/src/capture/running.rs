//! A capture while it runs: what comes out of the kernel, and when.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use syncline_bpf::{Bindings, Record, WaitRecord, encode_tai_offset_ns};
use syncline_claims::kernel_tai_offset_seconds;

use super::before::Before;
use super::choosing::Choosing;
use super::config::{CaptureConfig, Frame};
use super::counters::{Counters, OwnCounters};
use super::error::{CaptureError, KernelError};
use super::frames::Frames;
use super::governing::{Governing, WayIn};
use super::kernel::{self, Maps, Programs};
use super::library::Libraries;
use super::missed::missed_waits;
use super::open::{OpenTaken, OpenWaits};
use super::parks::Unseen;
use super::probes::ProbedBinaries;
use super::process::{ObservedProcess, mono_ns};
use super::processes::Processes;
use super::report::{Coverage, RescanReport};
use super::short_waits::{ShortWait, ShortWaits};
use super::states::{LetGo, StateCounters, StateMaps, States, StatesTaken};
use super::strangers::Strangers;
use super::target::Target;
use super::tcp::{self, Off, Tcp, TcpCounters, TcpTaken};
use super::tracepoints::Tracepoints;
use super::wait::RawWait;
use super::wakeups::Wakeups;
use super::{counters, idle, namespace};
use crate::kinds::{CaptureKind, Kinds};

/// Records read in one go, so that a flood cannot keep [`Capture::poll`] from returning.
const MAX_RECORDS_PER_POLL: usize = 16_384;
const NS_PER_S: i64 = 1_000_000_000;

/// Whether this process may load the BPF programs into this kernel and attach them: does so, and lets them go.
///
/// # Errors
/// What is missing, in one line.
pub fn kernel_support() -> Result<(), CaptureError> {
    namespace::check()?;
    Ok(kernel::load(4096, &[])?.try_attaching()?)
}

/// A running capture. Dropping it detaches every probe and waits until that is done.
pub struct Capture {
    pub(super) target: Target,
    pub(super) maps: Maps,
    pub(super) wakeups: Wakeups,
    /// The last look at the ring did not see its end.
    pub(super) more: bool,
    pub(super) programs: Programs,
    pub(super) probed: ProbedBinaries,
    pub(super) processes: Processes,
    pub(super) short_waits: ShortWaits,
    pub(super) own: OwnCounters,
    /// Ended processes whose parked goroutines are still in the kernel's map, and when they ended (CLOCK_MONOTONIC ns).
    pub(super) to_forget: HashMap<u32, u64>,
    /// The same of processes that were left out while they ran.
    pub(super) to_leave: HashMap<u32, u64>,
    pub(super) pending: RescanReport,
    pub(super) unreadable: usize,
    pub(super) warned_of_unreadable: bool,
    pub(super) tcp: Tcp,
    pub(super) open: OpenWaits,
    pub(super) states: States,
    /// Processes whose goroutines' time is not split any more.
    pub(super) to_let_go: HashMap<u32, LetGo>,
    /// Kinds that are captured of a process from now on, and whose waits that go on already are to be found.
    pub(super) to_find: BTreeMap<u32, Kinds>,
    pub(super) choosing: Choosing,
    pub(super) frame: Frame,
    pub(super) tracepoints: Tracepoints,
    /// The kinds that somebody wants, of those who are observed or of whoever comes.
    pub(super) held_kinds: Option<Kinds>,
    /// Why not all tracepoints that are needed are held.
    pub(super) trouble: Option<String>,
    pub(super) strangers: Strangers,
    pub(super) before: Before,
    pub(super) unseen: Unseen,
    pub(super) governing: Governing,
    pub(super) frames: Arc<Frames>,
    pub(super) libraries: Libraries,
    /// For good.
    pub(super) is_detached: bool,
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
        let mut programs = kernel::load(config.ring_bytes, &tcp::map_sizes(&config.tcp))?;
        let maps = programs.maps(Maps::take)?;
        let tcp = Tcp::start(config.tcp, &mut programs)?;
        let governing = Governing::new(WayIn::measure(&mut programs));
        let states = States::new(programs.maps(StateMaps::take)?, config.states_every);
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
            states,
            to_let_go: HashMap::new(),
            to_find: BTreeMap::new(),
            choosing,
            frame,
            tracepoints: Tracepoints::default(),
            held_kinds: None,
            trouble: None,
            strangers: Strangers::default(),
            before: Before::default(),
            unseen: Unseen::default(),
            governing,
            frames: Arc::default(),
            libraries: Libraries::default(),
            is_detached: false,
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

    /// Whether [`poll`](Self::poll) has found something that a rescan would report, and that cannot wait: a process that began. Those
    /// that ended are cleared away together, by and by.
    #[must_use]
    pub fn rescan_wanted(&self) -> bool {
        self.pending.has_new()
    }

    /// Waits up to `timeout` for finished waits and hands each to the sink; returns how many. Processes that start are
    /// attached to meanwhile.
    ///
    /// # Errors
    /// If the ring cannot be waited for.
    pub fn poll(&mut self, timeout: Duration, sink: &mut dyn FnMut(RawWait)) -> Result<usize, CaptureError> {
        if !std::mem::take(&mut self.more) {
            let timeout = timeout.min(self.governing.pause(mono_ns()));
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
                Ok(Record::Exit { tgid, mono_ns }) => self.exit_noticed(tgid, mono_ns),
                Ok(Record::Goroutine(ended)) => self.states.push_ended(&ended),
                Ok(Record::TcpSession(session)) => self.tcp.push_session(session),
                Ok(Record::TcpMessage(message)) => self.tcp.push_message(message),
                Err(_) => self.own.undecodable += 1,
            }
        }
        self.govern();
        Ok(usize::try_from(self.own.delivered - before).unwrap_or(usize::MAX))
    }

    /// Whether the last [`poll`](Self::poll) left something in the ring.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.more
    }

    /// Waits below the threshold since the last call, per process and reason.
    pub fn take_short_waits(&mut self) -> Vec<ShortWait> {
        let is_in_windows = |tgid: u32| {
            !self.is_detached
                && self.processes.get(tgid).is_some_and(|process| self.governing.is_in_windows(process.slot))
        };
        let grown = self.short_waits.take(&self.maps.short_waits, is_in_windows);
        // Of one that was never to be observed, from the moment before it was looked at.
        let is_left_out = |tgid: u32| self.processes.was_left_out(tgid) && self.processes.get(tgid).is_none();
        let (left_out, grown): (Vec<_>, Vec<_>) = grown.into_iter().partition(|grown| is_left_out(grown.key.tgid));
        self.own.sums_left_out += left_out.iter().map(|grown| grown.sum.count).sum::<u64>();
        self.own.parts_before +=
            grown.iter().filter(|grown| grown.key.is_parts).map(|grown| grown.sum.count).sum::<u64>();
        let parts = self.governing.take_parts();
        let binary = |tgid| self.processes.get(tgid).map(|process| &*process.binary);
        let sums = grown.into_iter().filter_map(|grown| ShortWait::new(grown, binary(grown.key.tgid)));
        sums.chain(parts.into_iter().map(|parts| ShortWait::of_parts(parts, binary(parts.0.0)))).collect()
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
        let is_wanted = self.held_kinds.is_some_and(|kinds| kinds.has(CaptureKind::States));
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
        let own = OwnCounters {
            library_unopened: self.frames.unopened(),
            probe_missed: missed_waits(&self.programs),
            cut_off: self.governing.cut_off,
            cut_off_stale: self.governing.cut_off_stale,
            calls_cut_off: self.governing.calls_cut_off,
            parts_before: self.own.parts_before + self.governing.parts_before,
            ..self.own
        };
        counters::read(&self.maps.counters, own, self.before.counters(), stale_now)
    }

    /// Goroutines of observed processes that are parked now and were seen parking, or found parked.
    #[must_use]
    pub fn parked_now(&self) -> usize {
        let entries = self.maps.parks.keys().filter_map(Result::ok).collect::<HashSet<_>>().len();
        entries.saturating_sub(self.before.stale_now())
    }

    /// Takes every probe of waits away and waits until that is done: [`poll`](Self::poll) then hands out what is still in the ring, and
    /// after that nothing more is captured, of no process.
    pub fn detach(&mut self) {
        self.cut_off_all();
        self.probed.detach_all();
        self.tracepoints = Tracepoints::default();
        self.is_detached = true;
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

    /// Knows what the addresses on stacks stand for; may be asked on any thread.
    #[must_use]
    pub fn frames(&self) -> &Arc<Frames> {
        &self.frames
    }

    /// Return addresses of a process as they stand on a stack.
    pub(crate) fn stack_of(&self, process: &ObservedProcess, addresses: &[u64]) -> Vec<u64> {
        self.frames.placed(process, addresses).stack
    }

    /// Go processes that were not observed so far or only in part, by reason, and processes that may not be looked at now.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        let (skipped, limited) = (self.processes.skipped().clone(), self.processes.limited());
        Coverage { skipped, limited, unreadable: self.unreadable }
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
            // It may have loaded a library that is probed for others.
            self.processes.hurry(pid);
            self.look_at(pid);
        }
        let span = (record.park_mono_ns, record.run_mono_ns);
        let process = self.processes.that_ran(pid, span, |process| process.slot == slot);
        let Some(process) = process else {
            let is_left_out = self.processes.was_left_out(pid);
            *(if is_left_out { &mut self.own.left_out } else { &mut self.own.unknown_process }) += 1;
            return;
        };
        let weight_milli = self.governing.weigh_event(slot, record.park_mono_ns);
        let wait = RawWait { weight_milli, ..RawWait::new(record, process, &self.frames) };
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
