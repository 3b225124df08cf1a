//! Rows that are stored already, placed by a revision of their node's clock model.

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

impl Store {
    /// Places the rows of `events` that begin or end in one of the pieces by it, in place: by a lightweight update, which writes patches
    /// beside the rows, and where the server has none, by rewriting the parts.
    ///
    /// # Errors
    /// [`StoreError::Sql`] and [`StoreError::Network`] from ClickHouse. It may be tried again: the same rows come out.
    pub async fn settle_events(&self, settlement: &Settlement) -> Result<(), StoreError> {
        let Some(sql) = Sql::of(settlement) else { return Ok(()) };
        match self.execute(&sql.update(), settlement).await {
            Err(StoreError::Sql { code, .. }) if NO_SUCH_UPDATE.contains(&code) => {
                self.settle_events_by_rewriting(settlement).await
            }
            done => done,
        }
    }

    /// As [`settle_events`](Self::settle_events), by a mutation that rewrites the parts: for servers without lightweight updates.
    /// It is done when this returns.
    ///
    /// # Errors
    /// As there.
    pub async fn settle_events_by_rewriting(&self, settlement: &Settlement) -> Result<(), StoreError> {
        let Some(sql) = Sql::of(settlement) else { return Ok(()) };
        self.execute(&sql.mutation(), settlement).await
    }

    async fn execute(&self, sql: &str, settlement: &Settlement) -> Result<(), StoreError> {
        let query = self.client().query(sql).bind(&settlement.region).bind(&settlement.node).bind(settlement.boot);
        Ok(query.execute().await?)
    }
}

/// Codes of ClickHouse's `ErrorCodes.cpp` for a table or server without lightweight updates: NOT_IMPLEMENTED, SYNTAX_ERROR,
/// UNKNOWN_SETTING, SUPPORT_IS_DISABLED.
const NO_SUCH_UPDATE: [u32; 4] = [48, 62, 115, 344];

/// The parts of the statement.
struct Sql {
    assignments: String,
    condition: String,
}

impl Sql {
    fn of(settlement: &Settlement) -> Option<Self> {
        let pieces = &settlement.pieces;
        let (first, last) = (pieces.first()?, pieces.last()?);
        let column = |value: &dyn Fn(&SettledPiece) -> String| {
            format!("[{}]", pieces.iter().map(value).collect::<Vec<_>>().join(","))
        };
        let tos = column(&|piece| format!("toUInt64({})", piece.mono[1]));
        let froms = column(&|piece| format!("toUInt64({})", piece.mono[0]));
        let offsets = column(&|piece| format!("toInt64({})", piece.ref_off[0]));
        let slopes = column(&|piece| format!("toFloat64({:e})", slope(piece)));
        let errors = column(&|piece| format!("toUInt64({})", piece.err_ns));
        let statuses = column(&|piece| format!("toInt8({})", i8::from(piece.status)));
        let epochs = column(&|piece| format!("toUInt32({})", piece.epoch));
        let at = |array: &str, mono: &str| format!("arrayElement({array}, {})", place(&froms, mono));
        let inside = |mono: &str| format!("({} > 0 AND {mono} <= {})", place(&froms, mono), at(&tos, mono));
        let line = |mono: &str| {
            let (from, offset, slope) = (at(&froms, mono), at(&offsets, mono), at(&slopes, mono));
            format!("{offset} + toInt64(round({slope} * ({mono} - {from})))")
        };
        let (start, end) = ("mono_ns", "(mono_ns + dur_ns)");
        let either = |mono: &str, new: &str, old: &str| format!("if({}, {new}, {old})", inside(mono));
        let (err, err_end) =
            (either(start, &at(&errors, start), "err_ns"), either(end, &at(&errors, end), "err_end_ns"));
        let assignments = [
            format!("al_off = {}", either(start, &line(start), "al_off")),
            format!("al_end_off = {}", either(end, &line(end), "al_end_off")),
            format!("err_ns = {err}"),
            format!("err_end_ns = {err_end}"),
            format!("bound_class = if(greatest({err}, {err_end}) = {UNBOUNDED_NS}, toInt8(0), toInt8(1))"),
            format!("clock_status = {}", either(end, &at(&statuses, end), "toInt8(clock_status)")),
            format!("epoch = {}", either(end, &at(&epochs, end), "epoch")),
            format!("model_rev = toUInt32({})", settlement.revision),
        ];
        let second =
            |mono: u64, offset: i64| i64::try_from(mono).unwrap_or(i64::MAX).saturating_add(offset) / 1_000_000_000;
        let from_s = second(first.mono[0], first.ref_off[0]).saturating_sub(LONGEST_WAIT_S + BUCKET_SLACK_S);
        let to_s = second(last.mono[1], last.ref_off[1]).saturating_add(BUCKET_SLACK_S);
        let seconds = |s: i64| s.clamp(0, i64::from(u32::MAX));
        let condition = format!(
            "region = ? AND node = ? AND boot = ? AND ref_run = {} AND bucket >= toDateTime({}) AND bucket <= toDateTime({}) AND ({} OR {})",
            settlement.ref_run,
            seconds(from_s),
            seconds(to_s),
            inside(start),
            inside(end)
        );
        Some(Self { assignments: assignments.join(", "), condition })
    }

    fn update(&self) -> String {
        format!(
            "UPDATE events SET {} WHERE {} SETTINGS allow_experimental_lightweight_update = 1",
            self.assignments, self.condition
        )
    }

    fn mutation(&self) -> String {
        format!("ALTER TABLE events UPDATE {} WHERE {} SETTINGS mutations_sync = 1", self.assignments, self.condition)
    }
}

/// Which piece begins last at or before `mono`, from 1; 0 = none. As `events_live` chooses.
fn place(froms: &str, mono: &str) -> String {
    format!("arrayLastIndex(f -> f <= {mono}, {froms})")
}

fn slope(piece: &SettledPiece) -> f64 {
    let elapsed = piece.mono[1].saturating_sub(piece.mono[0]).max(1) as f64;
    // Offsets have more digits than a float: their difference has few.
    piece.ref_off[1].saturating_sub(piece.ref_off[0]) as f64 / elapsed
}
