//! The story for programs.

use serde::Serialize;

use super::GoroutineArgs;
use super::open::{Fate, OpenWait};
use super::query::Who;
use super::report::{Found, waited_until_ready};
use super::story::Part;
use crate::ending::Ending;
use crate::states;
use crate::target::Target;
use crate::time;
use crate::waits::site;

#[derive(Serialize)]
pub(super) struct Document<'a> {
    from: String,
    to: String,
    pid: u32,
    goid: u64,
    /// Null if nothing was found.
    #[serde(flatten)]
    who: Option<&'a Who>,
    /// How it spent its time by state; null where its agent does not tell.
    states: Option<states::Entry<'a>>,
    matched: u64,
    story: Vec<Entry<'a>>,
    /// Waits that have not ended.
    open: Vec<Open<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Entry<'a> {
    Wait {
        start: String,
        end: String,
        start_ns: i64,
        end_ns: i64,
        bound_ns: Option<u64>,
        end_bound_ns: Option<u64>,
        gap_ns: Option<u64>,
        duration_ns: u64,
        run_delay_ns: Option<u64>,
        /// `goroutine`, `syscall`, `cgo` or `off_cpu`.
        wait_kind: &'a str,
        /// It is a part of a wait before it.
        inside: bool,
        reason: &'a str,
        /// The innermost call that is not Go's own way there.
        site: Option<&'a str>,
        stack: &'a [String],
        #[serde(flatten)]
        target: &'a Target,
        #[serde(flatten)]
        ending: &'a Ending,
        by_netpoll: bool,
    },
    Wake {
        at: String,
        at_ns: i64,
        bound_ns: Option<u64>,
        /// Whom.
        goid: u64,
        reason: &'a str,
        /// How long it had waited.
        waited_ns: u64,
        site: Option<&'a str>,
        stack: &'a [String],
        /// Where this goroutine was in its code.
        waker_site: Option<&'a str>,
    },
}

#[derive(Serialize)]
struct Open<'a> {
    fate: Fate,
    since: String,
    /// When it was looked at last, or its process ended.
    seen: String,
    since_ns: i64,
    seen_ns: i64,
    /// Until now; where it does not go on, until it was seen.
    duration_ns: u64,
    /// It was found going on at `since`, when the agent came, and is older.
    began_before: bool,
    wait_kind: &'a str,
    reason: &'a str,
    site: Option<&'a str>,
    stack: &'a [String],
    #[serde(flatten)]
    target: &'a Target,
}

impl<'a> Document<'a> {
    pub(super) fn of(found: &'a Found, args: &GoroutineArgs) -> Self {
        Self {
            from: time::rfc3339(found.window.from_ns),
            to: time::rfc3339(found.window.to_ns),
            pid: args.pid,
            goid: args.goid,
            who: found.who.as_ref(),
            states: found.states.as_ref().map(states::Entry::of),
            matched: found.matched,
            story: found.story.iter().map(Entry::of).collect(),
            open: found.open.iter().map(|wait| Open::of(wait, found.now_ns)).collect(),
        }
    }
}

impl<'a> Entry<'a> {
    fn of(part: &'a Part) -> Self {
        match part {
            Part::Wait { event, gap_ns, is_inside } => Self::Wait {
                start: time::rfc3339(event.start_ns),
                end: time::rfc3339(event.end_ns),
                start_ns: event.start_ns,
                end_ns: event.end_ns,
                bound_ns: event.bound_ns,
                end_bound_ns: event.end_bound_ns,
                gap_ns: *gap_ns,
                duration_ns: event.duration_ns,
                run_delay_ns: event.run_delay_ns,
                wait_kind: &event.kind,
                inside: *is_inside,
                reason: &event.reason,
                site: site(&event.stack),
                stack: &event.stack,
                target: &event.target,
                ending: &event.ending,
                by_netpoll: event.by_netpoll == 1,
            },
            Part::Wake { event, at_ns } => Self::Wake {
                at: time::rfc3339(*at_ns),
                at_ns: *at_ns,
                bound_ns: event.end_bound_ns,
                goid: event.goid,
                reason: &event.reason,
                waited_ns: waited_until_ready(event),
                site: site(&event.stack),
                stack: &event.stack,
                waker_site: event.ending.waker_site.as_deref(),
            },
        }
    }
}

impl<'a> Open<'a> {
    fn of(wait: &'a OpenWait, now_ns: i64) -> Self {
        Self {
            fate: wait.fate,
            since: time::rfc3339(wait.since_ns),
            seen: time::rfc3339(wait.seen_ns),
            since_ns: wait.since_ns,
            seen_ns: wait.seen_ns,
            duration_ns: wait.lasted_ns(now_ns),
            began_before: wait.began_before == 1,
            wait_kind: &wait.kind,
            reason: &wait.reason,
            site: site(&wait.stack),
            stack: &wait.stack,
            target: &wait.target,
        }
    }
}
