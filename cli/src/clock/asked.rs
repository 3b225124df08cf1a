//! What a recording asks of the clock: when waits of the node began, as the store has them, and when its probes came back.

use serde::Deserialize;
use syncline_timebase::{Instant, Mono, Offset, Wall};

use super::stored::StoredStream;
use crate::source::Source;

/// A wait whose begin is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AskedWait {
    /// Its number within the node's boot.
    pub(crate) seq: i64,
    pub(crate) began: Instant<Mono>,
    pub(crate) wall: Instant<Wall>,
    /// A wait is placed by its node's probes up to the first one that was sent after this, for so long it is held.
    pub(crate) ended: Instant<Mono>,
}

#[derive(Debug, Deserialize)]
struct Row {
    seq: i64,
    mono: i64,
    ended: i64,
    wall_off: i64,
}

/// So many of them, spread evenly and always the same ones. Buckets are minutes, stamped before alignment: see `timeline` in the store's
/// first migration.
const WAITS: &str = "
SELECT toInt64(seq) AS seq, toInt64(mono_ns) AS mono, toInt64(mono_ns + dur_ns) AS ended, wall_off
FROM events
WHERE region = {region:String} AND node = {node:String} AND boot = {boot:UInt64}
    AND bucket >= toDateTime(intDiv({from:Int64}, 1000000000) - 90, 'UTC') AND bucket <= toDateTime(intDiv({to:Int64}, 1000000000) + 30, 'UTC')
    AND mono_ns >= {first:UInt64} AND mono_ns <= {last:UInt64}
ORDER BY cityHash64(seq)
LIMIT {most:UInt64}";

/// Up to `most` waits of the node that began between the first probe of its stream and the last.
pub(crate) async fn read(
    source: &Source,
    node: &str,
    stream: &StoredStream,
    most: usize,
) -> anyhow::Result<Vec<AskedWait>> {
    let (Some(first), Some(last)) = (stream.probes.first(), stream.probes.last()) else { return Ok(Vec::new()) };
    let param = |name: &str, value: String| (name.to_owned(), value);
    let params = [
        param("region", stream.region.clone()),
        param("node", node.to_owned()),
        param("boot", stream.boot.to_string()),
        param("from", first.probe.received.ns().to_string()),
        param("to", last.probe.received.ns().to_string()),
        param("first", first.probe.sent.ns().max(0).to_string()),
        param("last", last.probe.returned.ns().max(0).to_string()),
        param("most", most.to_string()),
    ];
    let rows: Vec<Row> = source.rows(WAITS, &params).await?;
    let mut waits: Vec<AskedWait> = rows.iter().map(AskedWait::of).collect();
    waits.sort_by_key(|wait| (wait.ended, wait.seq));
    Ok(waits)
}

impl AskedWait {
    fn of(row: &Row) -> Self {
        let began = Instant::from_ns(row.mono);
        Self { seq: row.seq, began, wall: began + Offset::from_ns(row.wall_off), ended: Instant::from_ns(row.ended) }
    }
}
