//! The settings of a capture.

use std::path::PathBuf;
use std::time::Duration;

use syncline_bpf::{CaptureSettings, MAX_STACK};

use super::error::CaptureError;
use super::target::Target;
use super::tcp::TcpConfig;
use crate::choice::{Rules, Settings};
use crate::governor::Budget;
use crate::kinds::Kinds;

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
    /// Waits that are older, and than `threshold`, are told of before they end; zero = none.
    pub open_after: Duration,
    /// What is captured.
    pub kinds: Kinds,
    /// What that may cost each process.
    pub budget: Budget,
    /// How often those that live are told how they spend their time, if that is captured.
    pub states_every: Duration,
    /// How TCP is.
    pub tcp: TcpConfig,
    /// What holds for some processes instead of `threshold`, `open_after`, `kinds` and `budget`.
    pub rules: Rules,
    /// Where the node's own files are, to find there which service and container a process belongs to, where a rule asks for that.
    pub host_root: PathBuf,
    /// Service of all observed processes, whatever they say themselves.
    pub service: Option<String>,
}

/// What stays as it is while a capture runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    max_stack: u32,
    only_watched: bool,
    /// Kinds that this kernel does not give.
    pub(super) lacks: Kinds,
}

impl Frame {
    /// For the kernel side: what holds for processes that are not listed, and whether anybody's threads are to be bound.
    pub(super) fn settings(&self, defaults: &Settings, needed: Kinds) -> CaptureSettings {
        CaptureSettings {
            threshold_ns: threshold_ns(defaults),
            max_stack: self.max_stack,
            only_watched: self.only_watched || !defaults.observe,
            learn_threads: needed.bind_threads(),
            kinds: self.of_kernel(defaults.kinds),
        }
    }

    /// What the kernel side is told of these kinds.
    pub(super) fn of_kernel(&self, kinds: Kinds) -> u32 {
        kinds.minus(self.lacks).of_kernel()
    }
}

pub(super) fn threshold_ns(settings: &Settings) -> u64 {
    u64::try_from(settings.threshold.as_nanos()).unwrap_or(u64::MAX)
}

impl CaptureConfig {
    /// The defaults: from 1 ms on, 64 frames, a ring of 4 MiB, open waits from 5 s on, the usual kinds, whatever that costs.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            threshold: Duration::from_millis(1),
            max_stack_depth: 64,
            ring_bytes: 4 << 20,
            target,
            open_after: Duration::from_secs(5),
            kinds: Kinds::USUAL,
            budget: Budget::OFF,
            states_every: Duration::from_secs(10),
            tcp: TcpConfig::default(),
            rules: Rules::default(),
            host_root: "/".into(),
            service: None,
        }
    }

    pub(super) fn check(&self) -> Result<(), CaptureError> {
        let wrong = |setting, why| Err(CaptureError::Setting { setting, why });
        if self.max_stack_depth == 0 || usize::from(self.max_stack_depth) > MAX_STACK {
            return wrong("max_stack_depth", format!("{} is not in 1 to {MAX_STACK}", self.max_stack_depth));
        }
        if !self.ring_bytes.is_power_of_two() || self.ring_bytes < 4096 {
            return wrong("ring_bytes", format!("{} is not a power of two of at least 4096", self.ring_bytes));
        }
        if self.tcp.mark_shift > 31 {
            return wrong("mark_shift", format!("{} is not in 0 to 31", self.tcp.mark_shift));
        }
        Ok(())
    }

    /// What holds for a process for which no rule says otherwise.
    pub(super) fn options(&self) -> Settings {
        let Self { threshold, open_after, kinds, budget, .. } = *self;
        Settings { observe: true, threshold, open_after, kinds, budget }
    }

    /// Of the kernel side, the part that does not change.
    pub(super) fn frame(&self, lacks: Kinds) -> Frame {
        Frame { max_stack: self.max_stack_depth.into(), only_watched: self.target.needs_filter(), lacks }
    }
}
