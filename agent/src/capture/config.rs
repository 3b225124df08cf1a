//! The settings of a capture.

use std::time::Duration;

use syncline_bpf::{CaptureSettings, MAX_STACK};

use super::error::CaptureError;
use super::kinds::Kinds;
use super::target::Target;
use super::tcp::TcpConfig;

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
    /// Which kinds of waits beside those of parked goroutines.
    pub kinds: Kinds,
    /// How often those that live are told how they spend their time, if that is captured.
    pub states_every: Duration,
    /// What of TCP; None = nothing.
    pub tcp: Option<TcpConfig>,
}

impl CaptureConfig {
    /// The defaults: from 1 ms on, 64 frames, a ring of 4 MiB, open waits from 5 s on, all kinds, TCP as [`TcpConfig::default`] has it.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            threshold: Duration::from_millis(1),
            max_stack_depth: 64,
            ring_bytes: 4 << 20,
            target,
            open_after: Duration::from_secs(5),
            kinds: Kinds::ALL,
            states_every: Duration::from_secs(10),
            tcp: Some(TcpConfig::default()),
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
        if let Some(tcp) = self.tcp.filter(|tcp| tcp.mark_shift > 31) {
            return wrong("mark_shift", format!("{} is not in 0 to 31", tcp.mark_shift));
        }
        Ok(())
    }

    pub(super) fn settings(&self) -> CaptureSettings {
        CaptureSettings {
            threshold_ns: u64::try_from(self.threshold.as_nanos()).unwrap_or(u64::MAX),
            max_stack: self.max_stack_depth.into(),
            only_watched: self.target.needs_filter(),
            learn_threads: self.kinds.syscall || self.kinds.off_cpu || self.tcp.is_some(),
        }
    }
}
