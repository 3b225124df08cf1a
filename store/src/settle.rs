//! Rows that are stored already, placed by a revision of their node's clock model.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_128;

use crate::rows::{ClockStatus, UNBOUNDED_NS};
use crate::{Store, StoreError};

/// A piece of a node's clock model as it is known now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettledPiece {
    /// Its ends: mono, ns.
    pub mono: [u64; 2],
    /// REF - mono at its ends, ns; in between it is linear.
    pub ref_off: [i64; 2],
    /// Half width of the bound, ns; [`UNBOUNDED_NS`] where nothing is known.
    pub err_ns: u64,
    /// Status at its end.
    pub status: ClockStatus,
    /// Disruptions before it.
    pub epoch: u32,
}

/// Pieces of one node, in one boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Region of the node.
    pub region: String,
    /// Name of the node.
    pub node: String,
    /// First 8 bytes of its boot id.
    pub boot: u64,
    /// Run of the reference that they lead to; rows of another are left as they are.
    pub ref_run: u64,
    /// Their revision.
    pub revision: u32,
    /// The pieces, in order of time; they may touch and do not overlap.
    pub pieces: Vec<SettledPiece>,
}

/// A wait that began longer before a piece than this is not looked for, s: its bucket may be any.
const LONGEST_WAIT_S: i64 = 3_600;
/// Buckets are stamped before alignment, by a coarse idea of it, s.
const BUCKET_SLACK_S: i64 = 120;

/// Pieces of one statement: they travel in its URL, of which ClickHouse takes 1 MiB.
const MOST_PIECES: usize = 1_000;

impl Store {
    /// Places the rows of `events` that begin or end in one of the pieces by it, in place: by a lightweight update, which writes patches
    /// beside the rows, and where the server has none, by rewriting the parts. Many nodes go together into one statement, which costs far less than one for each.
    ///
    /// # Errors
    /// [`StoreError::Sql`] and [`StoreError::Network`] from ClickHouse. It may be tried again: the same rows come out.
    pub async fn settle_events(&self, settlements: &[Settlement]) -> Result<(), StoreError> {
        for statement in statements(settlements) {
            match self.execute(&statement.update(), &statement).await {
                Err(StoreError::Sql { code, .. }) if NO_SUCH_UPDATE.contains(&code) => self.rewrite(&statement).await?,
                done => done?,
            }
        }
        Ok(())
    }

    /// Rewrites the parts, and waits until that is done. What was begun lately, for somebody who did not wait for its end, is not begun again.
    async fn rewrite(&self, statement: &Statement<'_>) -> Result<(), StoreError> {
        let mark = statement.mark();
        if self.rewritten(&mark).await?.is_none() {
            self.execute(&statement.mutation(&mark), statement).await?;
        }
        loop {
            match self.rewritten(&mark).await? {
                Some(true) => return Ok(()),
                Some(false) => tokio::time::sleep(LOOKED_AT_EVERY).await,
                None => {
                    let reason = "a mutation of `events` is gone: was it killed? Its rows stay as they are".to_owned();
                    return Err(StoreError::Protocol { reason });
                }
            }
        }
    }

    /// Whether the newest rewriting with this mark is done; `None` where none is under way or was begun lately.
    async fn rewritten(&self, mark: &str) -> Result<Option<bool>, StoreError> {
        let sql = "SELECT is_done FROM system.mutations WHERE database = currentDatabase() AND position(command, {mark:String}) > 0 \
                   AND (NOT is_done OR create_time >= now() - {lately:UInt32}) ORDER BY create_time DESC LIMIT 1";
        let query = self.client().query(sql).param("mark", mark).param("lately", LATELY_S);
        let answer = query.fetch_bytes("TSV")?.collect().await?;
        Ok(String::from_utf8_lossy(&answer).lines().next().map(|is_done| is_done == "1"))
    }

    /// Pieces of `revision` of the nodes of `region` that became known in the last quarter of an hour, and by which rows that lie in them are
    /// not placed: whoever was to do so has died. No more than so many.
    ///
    /// # Errors
    /// [`StoreError::Sql`] and [`StoreError::Network`] from ClickHouse; [`StoreError::Protocol`] for an answer that is none.
    pub async fn unsettled(&self, region: &str, revision: u32) -> Result<Vec<Settlement>, StoreError> {
        let query = self.client().query(UNSETTLED).param("region", region).param("rev", revision);
        let answer = query.fetch_bytes("TSV")?.collect().await?;
        let text = String::from_utf8_lossy(&answer);
        let settlements = text.lines().map(|line| unsettled(line, region, revision)).collect::<Option<Vec<_>>>();
        settlements
            .ok_or_else(|| StoreError::Protocol { reason: "clock_segments_log has a piece that is none".to_owned() })
    }

    async fn execute(&self, sql: &str, Statement { nodes, .. }: &Statement<'_>) -> Result<(), StoreError> {
        fn each<T>(nodes: &[&Settlement], value: impl Fn(&Settlement) -> T) -> Vec<T> {
            nodes.iter().map(|of| value(of)).collect()
        }
        fn pieces<T>(nodes: &[&Settlement], value: impl Fn(&SettledPiece) -> T) -> Vec<Vec<T>> {
            each(nodes, |of| of.pieces.iter().map(&value).collect())
        }
        let query = self
            .client()
            .query(sql)
            .param("regions", each(nodes, |of| of.region.clone()))
            .param("nodes", each(nodes, |of| of.node.clone()))
            .param("boots", each(nodes, |of| of.boot))
            .param("ref_runs", each(nodes, |of| of.ref_run))
            .param("revisions", each(nodes, |of| of.revision))
            .param("places", (1..=nodes.len() as u32).collect::<Vec<_>>())
            .param("froms", pieces(nodes, |piece| piece.mono[0]))
            .param("tos", pieces(nodes, |piece| piece.mono[1]))
            .param("offsets", pieces(nodes, |piece| piece.ref_off[0]))
            .param("slopes", pieces(nodes, slope))
            .param("errors", pieces(nodes, |piece| piece.err_ns))
            .param("statuses", pieces(nodes, |piece| i8::from(piece.status)))
            .param("epochs", pieces(nodes, |piece| piece.epoch));
        Ok(query.execute().await?)
    }
}

/// How often it is looked whether parts are rewritten, and for how long what was done counts as done, s.
const LOOKED_AT_EVERY: Duration = Duration::from_millis(500);
const LATELY_S: u32 = 1_800;

/// Rows whose start or end lies in a piece, and that are of a revision before it. Buckets as in [`Statement::condition`].
const UNSETTLED: &str = "
WITH pieces AS (
    SELECT toString(node) AS of_node, boot AS of_boot, ref_run AS of_run, mono_from, mono_to, ref_off, ref_off_to,
        greatest(err_from_ns, err_to_ns) AS err, toInt8(status) AS its_status, epoch AS its_epoch
    FROM clock_segments_log
    WHERE region = {region:String} AND rev = {rev:UInt32} AND created >= now64(3) - toIntervalSecond(900)
)
SELECT DISTINCT of_node, of_boot, of_run, mono_from, mono_to, ref_off, ref_off_to, err, its_status, its_epoch
FROM (
    SELECT toString(node) AS e_node, boot AS e_boot, ref_run AS e_run, arrayJoin([mono_ns, mono_ns + dur_ns]) AS mono
    FROM events
    WHERE (SELECT count() FROM pieces) > 0 AND region = {region:String} AND model_rev < {rev:UInt32} AND bucket >= (
        SELECT toDateTime(greatest(intDiv(min(toInt64(mono_from) + ref_off), 1000000000) - 3720, toUnixTimestamp(now()) - 7200), 'UTC')
        FROM pieces
    )
) AS e
ASOF INNER JOIN pieces AS p ON e.e_node = p.of_node AND e.e_boot = p.of_boot AND e.e_run = p.of_run AND e.mono >= p.mono_from
WHERE mono <= mono_to
ORDER BY of_node, of_boot, of_run, mono_from
LIMIT 20000
SETTINGS max_threads = 2";

/// A line of the answer to [`UNSETTLED`].
fn unsettled(line: &str, region: &str, revision: u32) -> Option<Settlement> {
    let [node, boot, ref_run, from, to, off, off_to, err, status, epoch] = line.split('\t').collect::<Vec<_>>()[..]
    else {
        return None;
    };
    let status = match status {
        "1" => ClockStatus::Synchronized,
        "2" => ClockStatus::FreeRunning,
        "3" => ClockStatus::Disrupted,
        _ => ClockStatus::Unknown,
    };
    let piece = SettledPiece {
        mono: [from.parse().ok()?, to.parse().ok()?],
        ref_off: [off.parse().ok()?, off_to.parse().ok()?],
        err_ns: err.parse().ok()?,
        status,
        epoch: epoch.parse().ok()?,
    };
    Some(Settlement {
        region: region.to_owned(),
        node: node.to_owned(),
        boot: boot.parse().ok()?,
        ref_run: ref_run.parse().ok()?,
        revision,
        pieces: vec![piece],
    })
}

/// Codes of ClickHouse's `ErrorCodes.cpp` for a table or server without lightweight updates: NOT_IMPLEMENTED, SYNTAX_ERROR,
/// UNKNOWN_SETTING, SUPPORT_IS_DISABLED.
const NO_SUCH_UPDATE: [u32; 4] = [48, 62, 115, 344];

/// Settlements of different nodes, which go together.
#[derive(Default)]
struct Statement<'s> {
    nodes: Vec<&'s Settlement>,
    pieces: usize,
}

/// All that have pieces, each where there is room and its node is not yet: a statement looks a row's settlement up by the node.
fn statements(settlements: &[Settlement]) -> Vec<Statement<'_>> {
    let mut statements: Vec<Statement<'_>> = Vec::new();
    for settlement in settlements.iter().filter(|settlement| !settlement.pieces.is_empty()) {
        let pieces = settlement.pieces.len();
        let takes = |statement: &&mut Statement<'_>| {
            statement.pieces + pieces <= MOST_PIECES && statement.nodes.iter().all(|of| of.node != settlement.node)
        };
        match statements.iter_mut().find(takes) {
            Some(statement) => {
                statement.nodes.push(settlement);
                statement.pieces += pieces;
            }
            None => statements.push(Statement { nodes: vec![settlement], pieces }),
        }
    }
    statements
}

/// Place of the row's settlement, from 1; 0 = it has none.
const OF: &str = "transform(node, {nodes:Array(String)}, {places:Array(UInt32)}, toUInt32(0))";

impl Statement<'_> {
    fn update(&self) -> String {
        let (assignments, condition) = (assignments(), self.condition());
        format!("UPDATE events SET {assignments} WHERE {condition} SETTINGS allow_experimental_lightweight_update = 1")
    }

    /// It carries a mark, by which it is found again while the server works on it.
    fn mutation(&self, mark: &str) -> String {
        let (assignments, condition) = (assignments(), self.condition());
        format!(
            "ALTER TABLE events UPDATE {assignments} WHERE {condition} AND '{mark}' != '' SETTINGS mutations_sync = 0"
        )
    }

    /// The same for the same pieces.
    fn mark(&self) -> String {
        format!("settle-{:032x}", xxh3_128(format!("{:?}", self.nodes).as_bytes()))
    }

    fn condition(&self) -> String {
        let second =
            |mono: u64, offset: i64| i64::try_from(mono).unwrap_or(i64::MAX).saturating_add(offset) / 1_000_000_000;
        let pieces = || self.nodes.iter().flat_map(|of| &of.pieces);
        let from_s = pieces().map(|piece| second(piece.mono[0], piece.ref_off[0])).min().unwrap_or_default();
        let to_s = pieces().map(|piece| second(piece.mono[1], piece.ref_off[1])).max().unwrap_or_default();
        let seconds = |s: i64| s.clamp(0, i64::from(u32::MAX));
        format!(
            "region IN {{regions:Array(String)}} AND node IN {{nodes:Array(String)}} AND {OF} > 0 AND region = {} AND boot = {} AND ref_run = {} \
             AND bucket >= toDateTime({}) AND bucket <= toDateTime({}) AND ({} OR {})",
            of_node("regions", "String"),
            of_node("boots", "UInt64"),
            of_node("ref_runs", "UInt64"),
            seconds(from_s.saturating_sub(LONGEST_WAIT_S + BUCKET_SLACK_S)),
            seconds(to_s.saturating_add(BUCKET_SLACK_S)),
            inside(START),
            inside(END)
        )
    }
}

const START: &str = "mono_ns";
const END: &str = "(mono_ns + dur_ns)";

fn assignments() -> String {
    let line = |mono: &str| {
        let [offset, slope] = [("offsets", "Int64"), ("slopes", "Float64")].map(|(name, of)| at(name, of, mono));
        format!("{offset} + toInt64(round({slope} * ({mono} - {})))", at("froms", "UInt64", mono))
    };
    let either = |mono: &str, new: &str, old: &str| format!("if({}, {new}, {old})", inside(mono));
    let err = either(START, &at("errors", "UInt64", START), "err_ns");
    let err_end = either(END, &at("errors", "UInt64", END), "err_end_ns");
    [
        format!("al_off = {}", either(START, &line(START), "al_off")),
        format!("al_end_off = {}", either(END, &line(END), "al_end_off")),
        format!("err_ns = {err}"),
        format!("err_end_ns = {err_end}"),
        format!("bound_class = if(greatest({err}, {err_end}) = {UNBOUNDED_NS}, toInt8(0), toInt8(1))"),
        format!("clock_status = {}", either(END, &at("statuses", "Int8", END), "toInt8(clock_status)")),
        format!("epoch = {}", either(END, &at("epochs", "UInt32", END), "epoch")),
        format!("model_rev = {}", of_node("revisions", "UInt32")),
    ]
    .join(", ")
}

/// What the row's node has of this parameter.
fn of_node(name: &str, of: &str) -> String {
    format!("arrayElement({{{name}:Array({of})}}, {OF})")
}

/// What the piece has of it that `mono` lies in.
fn at(name: &str, of: &str, mono: &str) -> String {
    format!("arrayElement({}, {})", of_node(name, &format!("Array({of})")), place(mono))
}

fn inside(mono: &str) -> String {
    format!("({} > 0 AND {mono} <= {})", place(mono), at("tos", "UInt64", mono))
}

/// Which piece of the node begins last at or before `mono`, from 1; 0 = none. As `events_live` chooses.
fn place(mono: &str) -> String {
    format!("arrayLastIndex(f -> f <= {mono}, {})", of_node("froms", "Array(UInt64)"))
}

fn slope(piece: &SettledPiece) -> f64 {
    let elapsed = piece.mono[1].saturating_sub(piece.mono[0]).max(1) as f64;
    // Offsets have more digits than a float: their difference has few.
    piece.ref_off[1].saturating_sub(piece.ref_off[0]) as f64 / elapsed
}
