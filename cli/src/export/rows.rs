//! Waits as the store's view `timeline` has them, read row by row.

use clickhouse::Row;
use clickhouse::query::RowCursor;
use serde::Deserialize;
use syncline_export::{Moment, Note, Wait, Who};

use super::stacks::Stacks;
use crate::errno;
use crate::source::Source;
use crate::target::PEER;
use crate::waits::{Overlapping, REASON, view};
use crate::window::Window;

/// Rows that are held at one time: their stacks are learnt together.
const AT_ONCE: usize = 8_192;
/// How the store says that there is no bound.
const UNBOUNDED: u64 = u64::MAX;

/// In which order waits come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Of their begins.
    Time,
    /// Of goroutines, and of their begins.
    Goroutine,
}

#[derive(Debug, Row, Deserialize)]
pub(super) struct Waited {
    start_ns: i64,
    end_ns: i64,
    start_bound_ns: u64,
    end_bound_ns: u64,
    region: String,
    node: String,
    boot: u64,
    service: String,
    pid: u32,
    tid: u32,
    goid: u64,
    kind: String,
    reason: String,
    waited_ns: u64,
    run_delay_ns: u64,
    flags: u16,
    stack_id: u64,
    waker_goid: u64,
    waker_stack_id: u64,
    fd_type: String,
    peer: String,
    address: u64,
    result: i64,
    trace: String,
    span: String,
    status: String,
    seq: u64,
    weight_milli: u64,
}

/// What identifies a wait among those of a piece.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) node: String,
    pub(super) boot: u64,
    pub(super) pid: u32,
    pub(super) goid: u64,
    pub(super) kind: String,
    pub(super) start_ns: i64,
}

/// Rows of one piece of the range.
pub(super) struct Rows(RowCursor<Waited>);

impl Rows {
    /// The waits that began in this piece.
    pub(super) fn ask(
        source: &Source,
        piece: Window,
        waits: &Overlapping,
        condition: &str,
        order: Order,
    ) -> anyhow::Result<Self> {
        let order = match order {
            Order::Time => "start_ns, waited_ns DESC",
            Order::Goroutine => "region, node, boot, t.pid, t.goid, if(t.goid = 0, t.tid, 0), start_ns, waited_ns DESC",
        };
        let sql = format!(
            "SELECT toUnixTimestamp64Nano(t.aligned) AS start_ns, toUnixTimestamp64Nano(t.aligned_end) AS end_ns, \
                t.err_ns AS start_bound_ns, t.err_end_ns AS end_bound_ns, toString(t.region) AS region, toString(t.node) AS node, t.boot AS boot, \
                toString(t.service) AS service, t.pid AS pid, t.tid AS tid, t.goid AS goid, toString(t.kind) AS kind, {REASON} AS reason, \
                t.dur_ns AS waited_ns, t.run_delay_ns AS run_delay_ns, t.flags AS flags, t.stack_id AS stack_id, t.waker_goid AS waker_goid, \
                t.waker_stack_id AS waker_stack_id, toString(t.fd_type) AS fd_type, {PEER} AS peer, t.address AS address, t.result AS result, \
                t.trace AS trace, t.span AS span, toString(t.clock_status) AS status, t.seq AS seq, toUInt64(round(1000 * t.weight)) AS weight_milli \
            FROM {view} AS t WHERE {conditions} AND {condition} ORDER BY {order}",
            view = view("timeline", piece),
            conditions = waits.conditions(),
        );
        Ok(Self(source.cursor(&sql, &waits.params)?))
    }

    /// Some of them, with their stacks and those of their wakers learnt; nothing at the end.
    pub(super) async fn next(&mut self, source: &Source, stacks: &mut Stacks) -> anyhow::Result<Vec<Waited>> {
        let mut rows = Vec::with_capacity(AT_ONCE);
        while rows.len() < AT_ONCE {
            match self.0.next().await.map_err(|error| source.explain(error))? {
                Some(row) => rows.push(row),
                None => break,
            }
        }
        let ids = rows.iter().flat_map(|row: &Waited| [row.stack_id, row.waker_stack_id]);
        stacks.learn(source, ids).await?;
        Ok(rows)
    }
}

impl Waited {
    pub(super) fn key(&self) -> Key {
        let (node, kind) = (self.node.clone(), self.kind.clone());
        Key { node, boot: self.boot, pid: self.pid, goid: self.goid, kind, start_ns: self.start_ns }
    }

    pub(super) fn start_ns(&self) -> i64 {
        self.start_ns
    }

    /// It waited for the network: what ended it may be known by what was sent.
    pub(super) fn is_for_network(&self) -> bool {
        !self.peer.is_empty()
    }

    /// The goroutine of the same process that made it ready; none where that is not known.
    pub(super) fn waker(&self) -> Option<(Who<'_>, u64)> {
        let who = Who { goid: self.waker_goid, tid: 0, ..self.who() };
        (self.kind == "goroutine" && self.waker_goid != 0).then_some((who, self.waker_stack_id))
    }

    fn who(&self) -> Who<'_> {
        Who {
            region: &self.region,
            node: &self.node,
            boot: self.boot,
            service: &self.service,
            pid: self.pid,
            goid: self.goid,
            tid: self.tid,
        }
    }

    /// Without what ended it.
    pub(super) fn wait(&self, stacks: &Stacks) -> Wait<'_> {
        let moment = |ns, bound_ns| Moment { ns, bound_ns: (bound_ns != UNBOUNDED).then_some(bound_ns) };
        Wait {
            who: self.who(),
            kind: &self.kind,
            reason: &self.reason,
            start: moment(self.start_ns, self.start_bound_ns),
            end: Some(moment(self.end_ns, self.end_bound_ns)),
            run_delay_ns: self.has_flag(0).then_some(self.run_delay_ns),
            wake: None,
            stack: stacks.get(self.stack_id),
            notes: Vec::new(),
        }
    }

    /// Of Go's own goroutines: nothing but the runtime on a stack that was taken in full.
    pub(super) fn is_own(&self, stacks: &Stacks) -> bool {
        let is_cut = self.has_flag(2) || self.has_flag(3);
        !is_cut && stacks.is_of_the_runtime(self.stack_id)
    }

    /// The name of the error with which a system call ended.
    pub(super) fn error(&self) -> Option<String> {
        if self.kind == "syscall" { errno::of_result(self.result) } else { None }
    }

    /// What else is known; what says nothing is left out.
    pub(super) fn notes<'a>(&'a self, stacks: &'a Stacks) -> Vec<(&'static str, Note<'a>)> {
        let mut notes = vec![("waited_ns", Note::Count(self.waited_ns))];
        notes.extend(self.has_flag(0).then_some(("run_delay_ns", Note::Count(self.run_delay_ns))));
        notes.extend(stacks.site(self.stack_id).map(|site| ("site", Note::Name(site))));
        let text = |name, text: &'a str| (!text.is_empty()).then_some((name, Note::Text(text)));
        notes.extend((!self.fd_type.is_empty()).then_some(("fd_type", Note::Name(&self.fd_type))));
        notes.extend((!self.peer.is_empty()).then_some(("peer", Note::Name(&self.peer))));
        notes.extend((self.address != 0).then_some(("address", Note::Count(self.address))));
        notes.extend((self.kind == "syscall").then_some(("result", Note::Number(self.result))));
        notes.extend(text("trace_id", &self.trace));
        notes.extend(text("span_id", &self.span));
        notes.extend((self.status != "synchronized").then_some(("clock_status", Note::Name(&self.status))));
        notes.extend(self.has_flag(7).then_some(("begin", Note::Name("it began before: it was found going on"))));
        notes.extend(self.has_flag(1).then_some(("woken_by", Note::Name("the network poller"))));
        notes
            .extend((self.has_flag(2) || self.has_flag(3)).then_some(("stack", Note::Name("outer calls are missing"))));
        notes.extend((self.weight_milli != 1_000).then_some(("stands_for_milli", Note::Count(self.weight_milli))));
        notes.push(("seq", Note::Count(self.seq)));
        notes
    }

    fn has_flag(&self, bit: u16) -> bool {
        self.flags & (1 << bit) != 0
    }
}
