//! The settings of capturing TCP.

use std::time::Duration;

use syncline_bpf::tcp::TcpSettings;

/// How TCP is captured, where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpConfig {
    /// A message is told where a multiple of 2 to this is among its sequence numbers: 12 is one in 4 KiB. At most 31.
    pub mark_shift: u8,
    /// Most messages of one process in a second; more are counted.
    pub messages_per_s: u32,
    /// Most open sessions.
    pub sessions: u32,
    /// A session that has been open for so long is told of while it is open, each time anew after as long.
    pub tell_open_after: Duration,
}

impl Default for TcpConfig {
    /// Messages every 4 KiB and up to 200 a second and process, 65,536 open sessions, those open for longer than 30 s told while open.
    fn default() -> Self {
        Self { mark_shift: 12, messages_per_s: 200, sessions: 65_536, tell_open_after: Duration::from_secs(30) }
    }
}

impl TcpConfig {
    pub(in crate::capture) fn settings(&self) -> TcpSettings {
        TcpSettings { mark_shift: self.mark_shift.into(), messages_per_s: self.messages_per_s }
    }
}
