//! What a wait is for, as all commands ask for it and say it: a descriptor, the other end of its connection, a place in memory, a trace.

use serde::{Deserialize, Serialize};

/// `address:port` of the other end of its connection, an expression on the columns of rows as `t`; empty where there is none.
pub(crate) const PEER: &str = "if(t.peer_port = 0, '', concat(if(startsWith(toString(t.peer_address), '::ffff:'), \
    substring(toString(t.peer_address), 8), concat('[', toString(t.peer_address), ']')), ':', toString(t.peer_port)))";

/// How the reasons begin for which goroutines wait on something in memory that they share.
const SHARED: [&str; 4] = ["chan ", "sync.", "semacquire", "syscall futex"];

/// What is known of it; in JSON as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) fd: Option<i32>,
    /// What the descriptor stands for: tcp, pipe, file, ...
    pub(crate) fd_type: Option<String>,
    /// `address:port` of the other end.
    pub(crate) peer: Option<String>,
    /// In the memory of the process: of a channel, a lock, a futex; hexadecimal.
    pub(crate) address: Option<String>,
    /// As the program's profiler labels have them; hexadecimal.
    pub(crate) trace_id: Option<String>,
    pub(crate) span_id: Option<String>,
}

/// The columns of a [`Target`], of rows as `t` of `timeline`, `open_waits` or `open_waits_now`.
pub(crate) fn columns() -> String {
    format!(
        "nullIf(t.fd, -1) AS fd, nullIf(toString(t.fd_type), '') AS fd_type, nullIf({PEER}, '') AS peer, \
        if(t.address = 0, NULL, concat('0x', lower(hex(t.address)))) AS address, \
        nullIf(t.trace, '') AS trace_id, nullIf(t.span, '') AS span_id"
    )
}

impl Target {
    /// The other end, or the kind of file; empty where that is not known.
    pub(crate) fn text(&self) -> String {
        text(self.fd_type.as_deref().unwrap_or_default(), self.peer.as_deref().unwrap_or_default())
    }

    /// The same after what waits: ` for tcp 10.0.0.9:443`.
    pub(crate) fn after_place(&self) -> String {
        match self.text() {
            text if text.is_empty() => text,
            text => format!(" for {text}"),
        }
    }

    /// Likewise; of a channel or a lock, as the reason says, the address: ` on 0xc000012340`.
    pub(crate) fn after_place_with_address(&self, reason: &str) -> String {
        match &self.address {
            // Of others it is a thing of the runtime's, such as a timer of a sleep.
            Some(address) if SHARED.iter().any(|start| reason.starts_with(start)) => format!(" on {address}"),
            _ => self.after_place(),
        }
    }
}

/// `tcp 10.0.0.9:443`, of a kind of file and the other end; empty where neither is known.
pub(crate) fn text(fd_type: &str, peer: &str) -> String {
    [fd_type, peer].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn tcp(peer: &str) -> Target {
        Target { fd: Some(7), fd_type: Some("tcp".to_owned()), peer: Some(peer.to_owned()), ..Target::default() }
    }

    #[test]
    fn files_are_named_by_kind_and_other_end_and_channels_and_locks_by_address() {
        let lock = Target { address: Some("0xc000012340".to_owned()), ..Target::default() };
        let pipe = Target { fd_type: Some("pipe".to_owned()), ..lock.clone() };
        let peer = tcp("10.0.0.9:443");
        let texts = [&peer, &pipe, &lock, &Target::default()].map(Target::text);
        assert_eq!(texts, ["tcp 10.0.0.9:443", "pipe", "", ""]);
        assert_eq!([&pipe, &lock].map(Target::after_place), [" for pipe", ""]);
        let text = |target: &Target, reason| target.after_place_with_address(reason);
        assert_eq!([text(&lock, "chan receive"), text(&lock, "sleep")], [" on 0xc000012340", ""]);
        assert_eq!([text(&pipe, "IO wait"), text(&Target::default(), "chan send")], [" for pipe", ""]);
    }
}
