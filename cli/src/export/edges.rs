//! What other processes sent that ended waits, by the store's view `wake_edges`.

use std::collections::HashMap;

use clickhouse::Row;
use serde::Deserialize;
use syncline_export::{Moment, Who};

use super::args::ExportArgs;
use super::rows::Key;
use crate::source::Source;
use crate::waits::view;
use crate::window::Window;

/// Edges of a piece that are held; of more, those that ended the longest waits.
const MANY: usize = 500_000;

/// Of the waits of one piece.
#[derive(Default)]
pub(super) struct Edges(HashMap<Key, Edge>);

#[derive(Debug, Row, Deserialize)]
struct EdgeRow {
    node: String,
    boot: u64,
    pid: u32,
    goid: u64,
    kind: String,
    start_ns: i64,
    waker_region: String,
    waker_node: String,
    waker_boot: u64,
    waker_service: String,
    waker_pid: u32,
    waker_goid: u64,
    has_sent: u8,
    sent_ns: i64,
    sent_err_ns: u64,
}

/// Who sent what ended a wait.
#[derive(Debug)]
pub(super) struct Edge {
    region: String,
    node: String,
    boot: u64,
    service: String,
    pid: u32,
    /// 0: not known.
    goid: u64,
    /// None: the process at the other end is known, and not when it sent.
    pub(super) sent: Option<Moment>,
}

impl Edges {
    /// Whether there can be any: ends of connections are known by their sessions.
    pub(super) async fn are_there(source: &Source) -> anyhow::Result<bool> {
        #[derive(Row, Deserialize)]
        struct Any {
            any: u8,
        }
        let mut cursor = source.cursor::<Any>("SELECT toUInt8(1) AS any FROM tcp_sessions LIMIT 1", &[])?;
        let found = cursor.next().await.map_err(|error| source.explain(error))?;
        Ok(found.is_some_and(|found| found.any == 1))
    }

    /// Of the waits that began in this piece.
    pub(super) async fn ask(source: &Source, piece: Window, args: &ExportArgs) -> anyhow::Result<Self> {
        let mut conditions = vec!["t.via = 'network'".to_owned()];
        let mut params = Vec::new();
        for condition in args.whose.conditions() {
            conditions.push(condition.sql.to_owned());
            params.push((condition.name.to_owned(), condition.value));
        }
        if let Some(goid) = args.goroutine {
            conditions.push("t.goid = {goid:UInt64}".to_owned());
            params.push(("goid".to_owned(), goid.to_string()));
        }
        let sql = format!(
            "SELECT toString(t.node) AS node, t.boot AS boot, t.pid AS pid, t.goid AS goid, toString(t.kind) AS kind, \
                toUnixTimestamp64Nano(t.since) AS start_ns, toString(t.waker_region) AS waker_region, toString(t.waker_node) AS waker_node, \
                t.waker_boot AS waker_boot, toString(t.waker_service) AS waker_service, toUInt32(t.waker_pid) AS waker_pid, \
                toUInt64(t.waker_goid) AS waker_goid, toUInt8(isNotNull(t.sent)) AS has_sent, \
                ifNull(toUnixTimestamp64Nano(t.sent), 0) AS sent_ns, ifNull(t.sent_err_ns, 0) AS sent_err_ns \
            FROM {view} AS t WHERE {conditions} ORDER BY t.dur_ns DESC LIMIT {MANY}",
            view = view("wake_edges", piece),
            conditions = conditions.join(" AND "),
        );
        let mut cursor = source.cursor::<EdgeRow>(&sql, &params)?;
        let mut edges = HashMap::new();
        while let Some(row) = cursor.next().await.map_err(|error| source.explain(error))? {
            let (key, edge) = row.split();
            edges.insert(key, edge);
        }
        Ok(Self(edges))
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Edge> {
        self.0.get(key)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl EdgeRow {
    fn split(self) -> (Key, Edge) {
        let Self { node, boot, pid, goid, kind, start_ns, .. } = self;
        let bound_ns = (self.sent_err_ns != u64::MAX).then_some(self.sent_err_ns);
        let edge = Edge {
            region: self.waker_region,
            node: self.waker_node,
            boot: self.waker_boot,
            service: self.waker_service,
            pid: self.waker_pid,
            goid: self.waker_goid,
            sent: (self.has_sent == 1).then_some(Moment { ns: self.sent_ns, bound_ns }),
        };
        (Key { node, boot, pid, goid, kind, start_ns }, edge)
    }
}

impl Edge {
    pub(super) fn who(&self) -> Who<'_> {
        Who {
            region: &self.region,
            node: &self.node,
            boot: self.boot,
            service: &self.service,
            pid: self.pid,
            goid: self.goid,
            tid: 0,
        }
    }

    /// For people.
    pub(super) fn place(&self) -> String {
        format!("{} {} {} {}", self.region, self.node, self.service, self.pid)
    }
}
