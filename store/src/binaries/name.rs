//! Addresses that have no name, and names for them.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use syncline_gosym::{Frame, GoBinary};

use crate::rows::SymbolRows;
use crate::{Store, StoreError};

/// Addresses of a build that are asked for, and named, at once.
pub const ADDRESSES_AT_ONCE: usize = 10_000;

/// Names of addresses of a build.
#[derive(Clone, Debug)]
pub struct Names {
    build_id: u64,
    rows: SymbolRows,
    addresses: usize,
    nameless: Vec<u64>,
}

impl Names {
    /// Looks those of `pcs` up that lie in a Go function of the executable of build `build_id`. Takes CPU, not time.
    pub fn of(build_id: u64, binary: &GoBinary<'_>, pcs: &[u64]) -> Self {
        let mut names = Self { build_id, rows: SymbolRows::default(), addresses: 0, nameless: Vec::new() };
        // Of an obfuscated program none has a name.
        let Ok(symbolizer) = binary.symbolizer() else { return Self { nameless: pcs.to_vec(), ..names } };
        for pc in pcs {
            // As agents do: every address of a stack is a return address, which belongs to the instruction before.
            let frames = symbolizer.frames(pc.saturating_sub(1));
            if frames.is_empty() {
                names.nameless.push(*pc);
                continue;
            }
            names.addresses += 1;
            (0..=u8::MAX).zip(frames).for_each(|(depth, frame)| names.push(*pc, depth, frame));
        }
        names
    }

    /// Addresses that have one.
    #[must_use]
    pub fn addresses(&self) -> usize {
        self.addresses
    }

    /// Those that lie in no Go function of it.
    #[must_use]
    pub fn nameless(&self) -> &[u64] {
        &self.nameless
    }

    fn push(&mut self, pc: u64, depth: u8, frame: Frame<'_>) {
        self.rows.build_id.push(self.build_id);
        self.rows.pc.push(pc);
        self.rows.depth.push(depth);
        self.rows.func.push(frame.function.into_owned());
        self.rows.file.push(&frame.file);
        self.rows.line.push(frame.line);
    }
}

impl Store {
    /// Addresses of stacks of a build that have no name, in order: the first [`ADDRESSES_AT_ONCE`] of those after `last`, or of all.
    ///
    /// # Errors
    /// [`StoreError::Sql`] and [`StoreError::Network`] from ClickHouse; [`StoreError::Protocol`] for an answer that is none.
    pub async fn unnamed_addresses(&self, build_id: u64, last: Option<u64>) -> Result<Vec<u64>, StoreError> {
        let after = last.map(|pc| format!("pc > {pc} AND")).unwrap_or_default();
        let all = self.unnamed(&format!("build_id = {build_id}"), &after).await?;
        Ok(all.into_values().flatten().collect())
    }

    /// The same of all builds of which an executable is kept, by build: the first of each.
    ///
    /// # Errors
    /// As [`unnamed_addresses`](Self::unnamed_addresses).
    pub async fn unnamed_addresses_of_kept(&self) -> Result<BTreeMap<u64, Vec<u64>>, StoreError> {
        self.unnamed("build_id IN (SELECT build_id FROM binaries)", "").await
    }

    /// Stores names of addresses.
    ///
    /// # Errors
    /// [`StoreError::Sql`] and [`StoreError::Network`] from ClickHouse.
    pub async fn name_addresses(&self, names: Names) -> Result<(), StoreError> {
        // The same addresses may be named again where the store has lost their names.
        let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        self.insert(names.rows.into_block()?, &format!("named/{:016x}/{now_ns}", names.build_id)).await
    }

    async fn unnamed(&self, of: &str, after: &str) -> Result<BTreeMap<u64, Vec<u64>>, StoreError> {
        // Of each build, or one with many that stay unnamed would keep the others from having theirs.
        let sql = format!(
            "SELECT build_id, pc FROM (SELECT DISTINCT build_id, arrayJoin(pcs) AS pc FROM stacks WHERE {of}) \
             WHERE {after} (build_id, pc) NOT IN (SELECT build_id, pc FROM symbols WHERE {of}) \
             ORDER BY build_id, pc LIMIT {ADDRESSES_AT_ONCE} BY build_id"
        );
        let answer = self.query_text(&sql, "TSV").await?;
        let mut addresses = BTreeMap::<_, Vec<_>>::new();
        for line in String::from_utf8_lossy(&answer).lines() {
            let pair = line.split_once('\t').and_then(|(build, pc)| Some((build.parse().ok()?, pc.parse().ok()?)));
            let (build_id, pc) =
                pair.ok_or_else(|| StoreError::Protocol { reason: format!("{line:?} is no address of a build") })?;
            addresses.entry(build_id).or_default().push(pc);
        }
        Ok(addresses)
    }
}
