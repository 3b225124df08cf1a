//! Capturing TCP: connections of the observed processes, how long what they send takes, and calls whose bytes both ends can name.
//!
//! Each tracepoint is a capability of its own: where a kernel lacks one, or refuses its program, that is said once, and the rest
//! goes on (see [`Off`]).

mod config;
mod open;

use std::time::{Duration, Instant};

use aya::EbpfLoader;
use aya::maps::{Array, HashMap, MapData, MapError, PerCpuArray, StackTraceMap};
use aya::programs::raw_trace_point::RawTracePointLink;
use syncline_bpf::tcp::{Config, Sends, Session, TcpCounter, TcpMessageRecord, TcpSessionRecord, decode_session};
use syncline_bpf::{map, program};

use super::error::KernelError;
use super::kernel::{Programs, TakeMap, stable_keys};
use super::process::mono_ns;

pub use config::TcpConfig;
use open::OpenSessions;

/// The map of open sessions is read no more often than this.
const LOOK_AT_OPEN_EVERY: Duration = Duration::from_secs(5);

/// The programs, the tracepoint of each, and what is not captured without it.
const PROGRAMS: [(&str, &str, &str); 3] = [
    (program::TCP_STATE, "inet_sock_set_state", "TCP sessions and messages"),
    (program::TCP_SENT, "sock_send_length", "messages sent and send latency"),
    (program::TCP_RECEIVED, "sock_recv_length", "messages received"),
];
const SESSIONS: &str = PROGRAMS[0].2;
/// See [`PROGRAMS`]; and it needs to see what is sent.
const SEND_LATENCY: (&str, &str, &str) = (program::TCP_SEGMENT, "tcp_probe", "send latency");

/// A capability that this kernel does not give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Off {
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
pub(super) struct TcpMaps {
    sessions: HashMap<MapData, u64, [u8; size_of::<Session>()]>,
    sends: HashMap<MapData, u64, [u8; size_of::<Sends>()]>,
    config: Array<MapData, [u8; size_of::<Config>()]>,
    counters: PerCpuArray<MapData, u64>,
    stacks: StackTraceMap<MapData>,
}

impl TcpMaps {
    pub(super) fn take(take: &mut TakeMap<'_>) -> Result<Self, MapError> {
        Ok(Self {
            sessions: take(map::TCP_SESSIONS)?.try_into()?,
            sends: take(map::TCP_SENDS)?.try_into()?,
            config: take(map::TCP_CONFIG)?.try_into()?,
            counters: take(map::TCP_COUNTERS)?.try_into()?,
            stacks: take(map::TCP_STACKS)?.try_into()?,
        })
    }
}

/// Sizes the maps before the object is loaded. Where TCP is not captured they hold nothing.
pub(super) fn size_maps(loader: &mut EbpfLoader<'_>, config: Option<&TcpConfig>) {
    let sessions = config.map_or(1, |config| config.sessions.max(1));
    let sends = if config.is_some_and(|config| config.sends) { sessions } else { 1 };
    loader.map_max_entries(map::TCP_SESSIONS, sessions).map_max_entries(map::TCP_EMBRYOS, sessions);
    loader.map_max_entries(map::TCP_SENDS, sends);
}

/// TCP as it is captured.
pub(super) struct Tcp {
    maps: TcpMaps,
    config: TcpConfig,
    links: Vec<RawTracePointLink>,
    off: Vec<Off>,
    taken: TcpTaken,
    open: OpenSessions,
    next_look: Instant,
}

impl Tcp {
    /// Attaches what this kernel has.
    pub(super) fn start(maps: TcpMaps, config: TcpConfig, programs: &mut Programs) -> Result<Self, KernelError> {
        let mut tcp = Self {
            maps,
            config,
            links: Vec::new(),
            off: Vec::new(),
            taken: TcpTaken::default(),
            open: OpenSessions::default(),
            next_look: Instant::now(),
        };
        // Only who sees sessions, and what is sent, can tell how long that takes.
        for (program, tracepoint, what) in PROGRAMS {
            if tcp.is_off(SESSIONS) {
                break;
            }
            tcp.attach(programs, program, tracepoint, what);
        }
        if config.sends && tcp.off.iter().all(|off| off.what == PROGRAMS[2].2) {
            tcp.attach(programs, SEND_LATENCY.0, SEND_LATENCY.1, SEND_LATENCY.2);
            tcp.config.sends = !tcp.is_off(SEND_LATENCY.2);
        } else {
            tcp.config.sends = false;
        }
        let set = tcp.maps.config.set(0, tcp.config.settings().encode(), 0);
        set.map_err(|e| KernelError::new("set the configuration of TCP", e))?;
        for Off { what, why } in &tcp.off {
            tracing::warn!("{what} are not captured on this kernel: {why}");
        }
        Ok(tcp)
    }

    fn attach(&mut self, programs: &mut Programs, program: &str, tracepoint: &str, what: &'static str) {
        match programs.attach_raw_tracepoint(program, tracepoint) {
            Ok(link) => self.links.push(link),
            Err(error) => self.off.push(Off { what, why: error.to_string() }),
        }
    }

    fn is_off(&self, what: &str) -> bool {
        self.off.iter().any(|off| off.what == what)
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
        if Instant::now() >= self.next_look {
            self.next_look = Instant::now() + LOOK_AT_OPEN_EVERY.min(self.config.tell_open_after);
            let due = self.open.due(self.open_now(), mono_ns(), self.config.tell_open_after);
            due.into_iter().for_each(|session| self.push_session(session));
        }
        std::mem::take(&mut self.taken)
    }

    /// Every session that is open, however short, with the next [`take`](Self::take).
    pub(super) fn tell_open(&mut self) {
        self.open_now().into_iter().for_each(|session| self.push_session(session));
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

    /// None of them where the kernel changed the map too fast to go through it: they are told of later.
    fn open_now(&self) -> Vec<TcpSessionRecord> {
        let steps = 4 * self.config.sessions as usize + 64;
        let keys = stable_keys(self.maps.sessions.keys(), steps).unwrap_or_default();
        let value = |key: u64| {
            let session = self.maps.sessions.get(&key, 0).ok()?;
            let sends = self.maps.sends.get(&key, 0).ok();
            decode_session(&session, sends.as_ref().map(<[u8; size_of::<Sends>()]>::as_slice)).ok()
        };
        keys.into_iter().filter_map(value).collect()
    }

    fn stack(&self, session: &TcpSessionRecord) -> Vec<u64> {
        let Some(trace) = session.stack.and_then(|key| self.maps.stacks.get(&key, 0).ok()) else { return Vec::new() };
        trace.frames().iter().map(|frame| frame.ip).collect()
    }
}
