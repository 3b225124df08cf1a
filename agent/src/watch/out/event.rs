//! One wait as a line of JSON. Fields are only ever added; docs/getting-started.md has them all.

use std::io::{self, Write};

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;
use syncline_event::Kind;
use syncline_insight::{Frame, Wait};

use crate::capture::RawWait;
use crate::watch::gather::Fate;

/// A wait as captured and with names.
pub(in crate::watch) struct Event<'a> {
    pub(in crate::watch) raw: &'a RawWait,
    pub(in crate::watch) wait: &'a Wait,
    pub(in crate::watch) fate: Fate,
}

#[derive(Serialize)]
struct Line<'a> {
    /// When it parked, RFC 3339, UTC, by the kernel's CLOCK_REALTIME.
    start: String,
    /// The same, ns since 1970.
    start_wall_ns: u64,
    /// The same by CLOCK_MONOTONIC, ns: what to compare two waits of one machine by.
    start_mono_ns: u64,
    /// From parking to running again, or until when it is known to go on.
    duration_ns: u64,
    /// It goes on, or never ended. The line of its end, which has the same pid, kind, goid, tid and start_mono_ns, says false.
    open: bool,
    /// It never ended: its process did.
    abandoned: bool,
    /// It was found going on at `start`, when the observation of its process began: it began before, and is longer.
    began_before: bool,
    /// It is a part of a call of C, which has a line of its own.
    inside: bool,
    /// How much of it the goroutine was ready but not running; null where the ready was not seen.
    runnable_ns: Option<u64>,
    /// `goroutine` (parked by Go's scheduler), `syscall` or `cgo`.
    kind: &'static str,
    reason: &'a str,
    pid: u32,
    tid: u32,
    goid: u64,
    /// The goroutine that ended the wait; null if the poller, a timer or nobody seen did.
    waker_goid: Option<u64>,
    /// Where in its code it did.
    waker_site: Option<Call>,
    by_netpoll: bool,
    /// File descriptor waited for, what it stood for, and the two ends of its connection; null where there is none, or not known.
    fd: Option<u32>,
    fd_type: Option<&'static str>,
    local: Option<String>,
    peer: Option<String>,
    /// What it waited on, in the memory of the process, as `RawWait::address` has it.
    address: Option<u64>,
    /// What the system call returned; null for other kinds.
    result: Option<i64>,
    /// The call that blocks.
    site: Call,
    /// Innermost first.
    stack: Vec<Call>,
    stack_truncated: bool,
    stack_unreadable: bool,
}

#[derive(Serialize)]
struct Call {
    function: String,
    /// Null where it is not known.
    file: Option<String>,
    line: Option<u32>,
}

impl Event<'_> {
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, &self.line())?;
        out.write_all(b"\n")
    }

    fn line(&self) -> Line<'_> {
        let Self { raw, wait, fate } = self;
        Line {
            start: rfc3339(raw.park_wall_ns),
            start_wall_ns: raw.park_wall_ns,
            start_mono_ns: raw.park_mono_ns,
            duration_ns: raw.duration_ns(),
            open: *fate != Fate::Ended,
            abandoned: *fate == Fate::Abandoned,
            began_before: raw.began_before,
            inside: wait.is_inside,
            runnable_ns: raw.run_delay_ns(),
            kind: kind(raw.kind),
            reason: &wait.reason,
            pid: raw.tgid,
            tid: raw.tid,
            goid: raw.goid,
            waker_goid: raw.waker_goid,
            waker_site: wait.waker_site.as_deref().cloned().map(Call::of),
            by_netpoll: raw.by_netpoll,
            fd: raw.fd,
            fd_type: raw.file_type,
            local: raw.flow.map(|flow| flow.local.to_string()),
            peer: raw.flow.map(|flow| flow.remote.to_string()),
            address: raw.address,
            result: (raw.kind == Kind::Syscall).then_some(raw.result),
            site: Call::of(wait.stack.blocking_frame()),
            stack: wait.stack.frames().map(Call::of).collect(),
            stack_truncated: raw.stack_truncated,
            stack_unreadable: raw.stack_unreadable,
        }
    }
}

impl Call {
    fn of(frame: Frame) -> Self {
        let Frame { function, file, line } = frame;
        Self { function, file: (!file.is_empty()).then_some(file), line: (line > 0).then_some(line) }
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Goroutine => "goroutine",
        Kind::Syscall => "syscall",
        Kind::OffCpu => "off_cpu",
        Kind::Cgo => "cgo",
    }
}

/// Up to the year 2262, where what counts ns in 64 bits ends.
fn rfc3339(wall_ns: u64) -> String {
    let ns = i64::try_from(wall_ns).unwrap_or(i64::MAX);
    DateTime::from_timestamp_nanos(ns).to_rfc3339_opts(SecondsFormat::Nanos, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_all_their_digits() {
        assert_eq!(rfc3339(1_795_442_700_000_000_001), "2026-11-23T14:05:00.000000001Z");
        assert!(rfc3339(u64::MAX).starts_with("2262-"));
    }
}
