//! Executables into the store and out again, in parts.

use std::time::{SystemTime, UNIX_EPOCH};

use xxhash_rust::xxh3::xxh3_64;

use crate::rows::BinaryRows;
use crate::{LowCardinality, Store, StoreError};

/// The largest executable that is taken.
pub const MOST_BINARY_BYTES: usize = 512 << 20;
/// Bytes of a part.
const PART_BYTES: usize = 1 << 20;
/// Parts in one insert.
const PARTS_AT_ONCE: usize = 16;

/// An executable to be kept.
#[derive(Clone, Copy, Debug)]
pub struct Binary<'a> {
    /// Its build id, as of stacks and symbols.
    pub build_id: u64,
    /// Name of its file.
    pub name: &'a str,
    /// Go version that built it.
    pub go_version: &'a str,
    /// The file.
    pub bytes: &'a [u8],
}

impl Store {
    /// Keeps an executable unless a whole one of its build is kept already; whether it did. What was begun and broken off is of no
    /// harm, and finished when it is done again.
    ///
    /// # Errors
    /// [`StoreError::Sql`] and [`StoreError::Network`] from ClickHouse.
    pub async fn keep_binary(&self, binary: &Binary<'_>) -> Result<bool, StoreError> {
        if self.kept_content(binary.build_id).await?.is_some() {
            return Ok(false);
        }
        let uploaded = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (content, uploaded) = (xxh3_64(binary.bytes), u32::try_from(uploaded).unwrap_or(u32::MAX));
        let parts: Vec<_> = (0..).zip(binary.bytes.chunks(PART_BYTES)).collect();
        for some in parts.chunks(PARTS_AT_ONCE) {
            let rows = BinaryRows {
                build_id: vec![binary.build_id; some.len()],
                content: vec![content; some.len()],
                part: some.iter().map(|(place, _)| *place).collect(),
                parts: vec![u32::try_from(parts.len()).unwrap_or(u32::MAX); some.len()],
                bytes: some.iter().map(|(_, part)| part.to_vec()).collect(),
                name: LowCardinality::constant(binary.name, some.len()),
                go_version: LowCardinality::constant(binary.go_version, some.len()),
                uploaded: vec![uploaded; some.len()],
            };
            let first = some.first().map_or(0, |(place, _)| *place);
            // What was deleted meanwhile may be handed in again.
            let token = format!("binary/{:016x}/{content:016x}/{first}/{uploaded}", binary.build_id);
            self.insert(rows.into_block()?, &token).await?;
        }
        Ok(true)
    }

    /// The executable that is kept of a build, if there is a whole one that is as it was handed in.
    ///
    /// # Errors
    /// [`StoreError::Sql`] and [`StoreError::Network`] from ClickHouse; [`StoreError::Protocol`] for an answer that is none.
    pub async fn kept_binary(&self, build_id: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(content) = self.kept_content(build_id).await? else { return Ok(None) };
        let sql = format!(
            "SELECT bytes FROM binaries WHERE build_id = {build_id} AND content = {content} ORDER BY part LIMIT 1 BY part"
        );
        let mut answer = self.client().query_raw(&sql).fetch_bytes("RawBLOB")?;
        let mut bytes = Vec::new();
        while let Some(some) = answer.next().await? {
            bytes.extend_from_slice(&some);
            if bytes.len() > MOST_BINARY_BYTES {
                return Ok(None);
            }
        }
        Ok(Some(bytes).filter(|bytes| xxh3_64(bytes) == content))
    }

    /// The content of the whole executable that is kept of a build.
    async fn kept_content(&self, build_id: u64) -> Result<Option<u64>, StoreError> {
        let sql = format!(
            "SELECT content FROM binaries WHERE build_id = {build_id} GROUP BY content HAVING uniqExact(part) = any(parts) \
             ORDER BY max(uploaded) DESC LIMIT 1"
        );
        let answer = self.query_text(&sql, "TSV").await?;
        let text = String::from_utf8_lossy(&answer);
        let content = text.lines().next().map(str::parse).transpose();
        content.map_err(|_| StoreError::Protocol { reason: format!("{text:?} is no content of a binary") })
    }
}
