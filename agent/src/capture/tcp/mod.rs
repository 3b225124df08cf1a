//! Capturing TCP: connections of the observed processes, how long what they send takes, and calls whose bytes both ends can name.
//!
//! Each tracepoint is a capability of its own: where a kernel lacks one, or refuses its program, that is said once, and the rest
//! goes on (see [`Off`]).

mod config;
mod open;
mod samplers;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use aya::maps::{Array, HashMap, MapData, MapError, PerCpuArray, StackTraceMap};
use aya::programs::raw_trace_point::RawTracePointLink;
use syncline_bpf::map;
use syncline_bpf::tcp::{
    Config, Sends, Session, TcpCounter, TcpMessageRecord, TcpSessionRecord, decode_session, sends_under_way,
};

use super::error::KernelError;
use super::kernel::{Programs, TakeMap, stable_keys};
use super::process::mono_ns;
use crate::kinds::{CaptureKind, Kinds};

pub use config::TcpConfig;
use open::OpenSessions;
use samplers::{SAMPLERS, Sampler};

/// The map of open sessions is read no more often than this.
const LOOK_AT_OPEN_EVERY: Duration = Duration::from_secs(5);

/// A capability that this kernel does not give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Off {
    /// Of which the kernel has no tracepoint with this name, or refuses a program on it.
    pub tracepoint: &'static str,
    /// What is not captured.
    pub what: &'static str,
    /// Why.
    pub why: String,
}

/// Numbers since the start of what was seen of TCP, and what was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpCounters {
    /// Sessions that ended, told of.
    pub sessions: u64,
    /// Lost: no room in the ring.
    pub sessions_ring_full: u64,
    /// Lost: no room for another open session.
    pub sessions_map_full: u64,
    /// Accepted while there was no room: its start is not known.
    pub embryos_map_full: u64,
    /// Accepted and closed without an observed process being seen with it.
    pub unowned: u64,
    /// Messages told of.
    pub messages: u64,
    /// Lost: no room in the ring.
    pub messages_ring_full: u64,
    /// Left out: beyond the rate.
    pub messages_rate: u64,
    /// Marks left out: which call moved those bytes is not certain.
    pub marks_uncertain: u64,
    /// Left out: how early the call began was not seen.
    pub messages_unstamped: u64,
}

/// What came of TCP since it was last taken.
#[derive(Debug, Default)]
pub struct TcpTaken {
    /// Sessions that ended, and long ones that are open, each with the stack of its connect() (addresses of the process,
    /// innermost first).
    pub sessions: Vec<(TcpSessionRecord, Vec<u64>)>,
    /// Messages.
    pub messages: Vec<TcpMessageRecord>,
}

/// Maps of the object that are TCP's.
struct TcpMaps {
    sessions: HashMap<MapData, u64, [u8; size_of::<Session>()]>,
    embryos: HashMap<MapData, u64, [u8; size_of::<Session>()]>,
    sends: HashMap<MapData, u64, [u8; size_of::<Sends>()]>,
    config: Array<MapData, [u8; size_of::<Config>()]>,
    counters: PerCpuArray<MapData, u64>,
    stacks: StackTraceMap<MapData>,
}

impl TcpMaps {
    fn take(take: &mut TakeMap<'_>) -> Result<Self, MapError> {
        Ok(Self {
            sessions: take(map::TCP_SESSIONS)?.try_into()?,
            embryos: take(map::TCP_EMBRYOS)?.try_into()?,
            sends: take(map::TCP_SENDS)?.try_into()?,
            config: take(map::TCP_CONFIG)?.try_into()?,
            counters: take(map::TCP_COUNTERS)?.try_into()?,
            stacks: take(map::TCP_STACKS)?.try_into()?,
        })
    }
}

/// Entries of the maps, to be known when the object is loaded.
pub(super) fn map_sizes(config: &TcpConfig) -> [(&'static str, u32); 3] {
    [map::TCP_SESSIONS, map::TCP_EMBRYOS, map::TCP_SENDS].map(|map| (map, config.sessions.max(1)))
}

/// TCP as it is captured.
pub(super) struct Tcp {
    maps: TcpMaps,
    config: TcpConfig,
    /// By tracepoint.
    links: Vec<(&'static str, RawTracePointLink)>,
    /// What they were attached for.
    held: Kinds,
    off: Vec<Off>,
    /// Kinds that this kernel does not give.
    lacks: Kinds,
    /// That was told.
    warned: bool,
    taken: TcpTaken,
    open: OpenSessions,
    next_look: Instant,
    /// Processes whose sessions are not followed any more.
    leaving: HashSet<u32>,
}

impl Tcp {
    /// Finds out what this kernel gives; nothing is attached yet.
    pub(super) fn start(config: TcpConfig, programs: &mut Programs) -> Result<Self, KernelError> {
        let mut tcp = Self {
            maps: programs.maps(TcpMaps::take)?,
            config,
            links: Vec::new(),
            held: Kinds::NONE,
            off: Vec::new(),
            lacks: Kinds::NONE,
            warned: false,
            taken: TcpTaken::default(),
            open: OpenSessions::default(),
            next_look: Instant::now(),
            leaving: HashSet::new(),
        };
        let set = tcp.maps.config.set(0, tcp.config.settings().encode(), 0);
        set.map_err(|e| KernelError::new("set the configuration of TCP", e))?;
        for sampler in &SAMPLERS {
            if let Err(error) = programs.attach_raw_tracepoint(sampler.program, sampler.tracepoint) {
                let Sampler { tracepoint, what, kinds, .. } = *sampler;
                tcp.off.push(Off { tracepoint, what, why: error.to_string() });
                tcp.lacks = tcp.lacks.and(kinds);
            }
        }
        Ok(tcp)
    }

    /// Kinds that this kernel does not give.
    pub(super) fn lacks(&self) -> Kinds {
        self.lacks
    }

    /// Attaches what these kinds need, and detaches the rest; sessions that nobody follows any more are told of as they are.
    pub(super) fn hold(&mut self, wanted: Kinds, programs: &mut Programs) -> Result<(), KernelError> {
        if wanted.has(CaptureKind::Tcp) && !std::mem::replace(&mut self.warned, true) {
            for Off { what, why, .. } in &self.off {
                tracing::warn!("{what} are not captured on this kernel: {why}");
            }
        }
        let wanted = wanted.minus(self.lacks).only(samplers::OF_TCP);
        if self.held == wanted {
            return Ok(());
        }
        let is_wanted = |sampler: &&Sampler| wanted.has(sampler.used_for) && !self.is_off(sampler.tracepoint);
        let samplers: Vec<&Sampler> = SAMPLERS.iter().filter(is_wanted).collect();
        self.links.retain(|(name, _)| samplers.iter().any(|sampler| sampler.tracepoint == *name));
        if self.links.is_empty() {
            // Also before attaching, when nothing can still be on its way into the maps.
            self.forget_all();
        }
        for Sampler { program, tracepoint, .. } in samplers {
            if !self.links.iter().any(|(name, _)| name == tracepoint) {
                self.links.push((tracepoint, programs.attach_raw_tracepoint(program, tracepoint)?));
            }
        }
        self.held = wanted;
        Ok(())
    }

    /// Names of the tracepoints that have a program.
    pub(super) fn tracepoints(&self) -> impl Iterator<Item = &'static str> {
        self.links.iter().map(|(name, _)| *name)
    }

    /// The sessions of a process are not followed any more: the next [`take`](Self::take) tells of them as they are.
    pub(super) fn leave(&mut self, tgid: u32) {
        self.leaving.insert(tgid);
    }

    /// None where the kernel changes the map too fast to go through it.
    fn forget(&mut self, is_such: impl Fn(&TcpSessionRecord) -> bool) -> Option<()> {
        for session in self.open_now()?.into_iter().filter(is_such) {
            // It may have ended meanwhile, which its record tells, and the kernel may have given its address to another one.
            let now = self.open_at(session.socket).filter(|now| now.first_mono_ns == session.first_mono_ns);
            let Some(mut now) = now else { continue };
            // What is on its way then will not be seen arriving.
            let under_way = self.maps.sends.get(&now.socket, 0).map_or(0, |sends| sends_under_way(&sends));
            now.sends.iter_mut().for_each(|sends| sends.unmeasured += under_way);
            // Fails only if it has ended just now, which is told of next.
            let _ = self.maps.sessions.remove(&now.socket);
            let _ = self.maps.sends.remove(&now.socket);
            self.push_session(now);
        }
        Some(())
    }

    fn forget_leaving(&mut self) {
        let leaving = std::mem::take(&mut self.leaving);
        if !leaving.is_empty() && self.forget(|session| leaving.contains(&session.tgid)).is_none() {
            self.leaving = leaving;
        }
    }

    /// When nobody follows sessions, and nothing is on its way into the maps.
    fn forget_all(&mut self) {
        self.leaving.clear();
        let _ = self.forget(|_| true);
        let embryos = stable_keys(self.maps.embryos.keys(), self.most_steps()).unwrap_or_default();
        embryos.into_iter().for_each(|key| drop(self.maps.embryos.remove(&key)));
    }

    fn is_off(&self, tracepoint: &str) -> bool {
        self.off.iter().any(|off| off.tracepoint == tracepoint)
    }

    pub(super) fn off(&self) -> &[Off] {
        &self.off
    }

    pub(super) fn push_session(&mut self, session: TcpSessionRecord) {
        let stack = self.stack(&session);
        self.taken.sessions.push((session, stack));
    }

    pub(super) fn push_message(&mut self, message: TcpMessageRecord) {
        self.taken.messages.push(message);
    }

    pub(super) fn take(&mut self) -> TcpTaken {
        self.forget_leaving();
        if Instant::now() >= self.next_look {
            self.next_look = Instant::now() + LOOK_AT_OPEN_EVERY.min(self.config.tell_open_after);
            let due = self.open.due(self.open_now().unwrap_or_default(), mono_ns(), self.config.tell_open_after);
            due.into_iter().for_each(|session| self.push_session(session));
        }
        std::mem::take(&mut self.taken)
    }

    /// Every session that is open, however short, with the next [`take`](Self::take).
    pub(super) fn tell_open(&mut self) {
        self.open_now().unwrap_or_default().into_iter().for_each(|session| self.push_session(session));
    }

    pub(super) fn counters(&self) -> TcpCounters {
        let at = |counter: TcpCounter| {
            self.maps.counters.get(&(counter as u32), 0).map_or(0, |per_cpu| per_cpu.iter().sum())
        };
        TcpCounters {
            sessions: at(TcpCounter::Sessions),
            sessions_ring_full: at(TcpCounter::SessionsRingFull),
            sessions_map_full: at(TcpCounter::SessionsMapFull),
            embryos_map_full: at(TcpCounter::EmbryosMapFull),
            unowned: at(TcpCounter::Unowned),
            messages: at(TcpCounter::Messages),
            messages_ring_full: at(TcpCounter::MessagesRingFull),
            messages_rate: at(TcpCounter::MessagesRate),
            marks_uncertain: at(TcpCounter::MarksUncertain),
            messages_unstamped: at(TcpCounter::MessagesUnstamped),
        }
    }

    /// None where the kernel changes the map too fast to go through it.
    fn open_now(&self) -> Option<Vec<TcpSessionRecord>> {
        let keys = stable_keys(self.maps.sessions.keys(), self.most_steps())?;
        Some(keys.into_iter().filter_map(|key| self.open_at(key)).collect())
    }

    fn open_at(&self, socket: u64) -> Option<TcpSessionRecord> {
        let session = self.maps.sessions.get(&socket, 0).ok()?;
        let sends = self.maps.sends.get(&socket, 0).ok();
        decode_session(&session, sends.as_ref().map(<[u8; size_of::<Sends>()]>::as_slice)).ok()
    }

    fn most_steps(&self) -> usize {
        4 * self.config.sessions as usize + 64
    }

    fn stack(&self, session: &TcpSessionRecord) -> Vec<u64> {
        let Some(trace) = session.stack.and_then(|key| self.maps.stacks.get(&key, 0).ok()) else { return Vec::new() };
        trace.frames().iter().map(|frame| frame.ip).collect()
    }
}
