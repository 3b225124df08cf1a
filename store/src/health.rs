//! How ClickHouse takes what is written: parts, merges, space.

use std::fmt;

use serde::Deserialize;

use crate::{Store, StoreError, json};

/// What ClickHouse says of one database and its disks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Health {
    /// Parts of all tables.
    pub parts: u64,
    /// The most parts that a partition of a table has.
    pub most_parts: u64,
    /// The table of that partition.
    pub most_parts_of: String,
    /// From so many parts of a partition on ClickHouse slows inserts down.
    pub parts_to_delay: u64,
    /// Rows of all tables.
    pub rows: u64,
    /// Bytes of all tables on disk.
    pub bytes: u64,
    /// Merges that are going on.
    pub merges: u64,
    /// Bytes that they read, compressed.
    pub merge_bytes: u64,
    /// Updates and deletions of rows that are not done yet.
    pub mutations: u64,
    /// Inserts since ClickHouse started, of all databases.
    pub inserts: u64,
    /// What they took, us.
    pub insert_us: u64,
    /// Inserts that were slowed down since ClickHouse started, of all databases.
    pub delayed_inserts: u64,
    /// Inserts that were refused for too many parts, likewise.
    pub rejected_inserts: u64,
    /// Bytes that are free where the fewest are.
    pub disk_free_bytes: u64,
    /// Size of that disk.
    pub disk_bytes: u64,
}

/// On a cluster the rows are in a second database.
const HEALTH: &str = "WITH (SELECT count() > 0 FROM system.tables \
        WHERE database = currentDatabase() AND name = 'schema_migrations' AND engine = 'Distributed') AS is_of_cluster, \
    [currentDatabase(), if(is_of_cluster, concat(currentDatabase(), '_local'), currentDatabase())] AS databases, \
    parts AS (SELECT table, partition_id, count() AS parts, sum(rows) AS rows, sum(bytes_on_disk) AS bytes FROM system.parts \
        WHERE active AND has(databases, database) GROUP BY table, partition_id), \
    merging AS (SELECT count() AS merges, sum(total_size_bytes_compressed) AS bytes FROM system.merges WHERE has(databases, database)), \
    disk AS (SELECT free_space, total_space FROM system.disks WHERE total_space > 0 ORDER BY free_space LIMIT 1) \
    SELECT (SELECT sum(parts) FROM parts) AS parts, (SELECT max(parts) FROM parts) AS most_parts, \
        (SELECT argMax(table, parts) FROM parts) AS most_parts_of, (SELECT sum(rows) FROM parts) AS rows, (SELECT sum(bytes) FROM parts) AS bytes, \
        (SELECT toUInt64(anyLast(value)) FROM system.merge_tree_settings WHERE name = 'parts_to_delay_insert') AS parts_to_delay, \
        (SELECT merges FROM merging) AS merges, (SELECT bytes FROM merging) AS merge_bytes, \
        (SELECT count() FROM system.mutations WHERE has(databases, database) AND NOT is_done) AS mutations, \
        (SELECT sum(value) FROM system.events WHERE event = 'InsertQuery') AS inserts, \
        (SELECT sum(value) FROM system.events WHERE event = 'InsertQueryTimeMicroseconds') AS insert_us, \
        (SELECT sum(value) FROM system.events WHERE event = 'DelayedInserts') AS delayed_inserts, \
        (SELECT sum(value) FROM system.events WHERE event = 'RejectedInserts') AS rejected_inserts, \
        ifNull((SELECT free_space FROM disk), 0) AS disk_free_bytes, ifNull((SELECT total_space FROM disk), 0) AS disk_bytes";

/// Below so much of the disk free there is a warning: merges need space, too.
const LITTLE_SPACE_PERCENT: u64 = 5;
const LITTLE_SPACE_BYTES: u64 = 2 << 30;

impl Store {
    /// How ClickHouse is. On a cluster it is that of the server which answers.
    ///
    /// # Errors
    /// [`StoreError::Sql`], also where the user may not read the system's tables, and [`StoreError::Network`] from ClickHouse;
    /// [`StoreError::Protocol`] for an answer that is none.
    pub async fn health(&self) -> Result<Health, StoreError> {
        let answer = self.client().query_raw(HEALTH).fetch_bytes("JSONEachRow")?.collect().await?;
        let rows = json::rows(&answer, "the system's tables")?;
        rows.into_iter()
            .next()
            .ok_or_else(|| StoreError::Protocol { reason: "no word on the system's tables".to_owned() })
    }
}

impl Health {
    /// What somebody should look at, each with what to do.
    #[must_use]
    pub fn concerns(&self) -> Vec<String> {
        let mut concerns = Vec::new();
        // Half way to where inserts are slowed down.
        if self.parts_to_delay > 0 && self.most_parts >= self.parts_to_delay / 2 {
            concerns.push(format!(
                "a partition of `{}` has {} parts, and from {} on inserts are slowed down: merges do not keep up (is the disk slow or full?), or \
                 inserts are too many and too small (let agents probe less often)",
                self.most_parts_of, self.most_parts, self.parts_to_delay
            ));
        }
        let is_small_share =
            self.disk_free_bytes.saturating_mul(100) < self.disk_bytes.saturating_mul(LITTLE_SPACE_PERCENT);
        if self.disk_bytes > 0 && (is_small_share || self.disk_free_bytes < LITTLE_SPACE_BYTES) {
            concerns.push(format!(
                "of the {} MiB of ClickHouse's disk {} MiB are free: make room, or keep rows for a shorter time (ALTER TABLE ... MODIFY TTL)",
                self.disk_bytes >> 20,
                self.disk_free_bytes >> 20
            ));
        }
        concerns
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { parts, most_parts, rows, merges, mutations, delayed_inserts, rejected_inserts, .. } = self;
        let [mib, merge_mib, free_mib] = [self.bytes, self.merge_bytes, self.disk_free_bytes].map(|bytes| bytes >> 20);
        write!(f, "parts={parts} most_parts={most_parts}")?;
        if !self.most_parts_of.is_empty() {
            write!(f, " ({})", self.most_parts_of)?;
        }
        write!(f, " rows={rows} mib={mib} merges={merges} merge_mib={merge_mib} mutations={mutations}")?;
        // The mean since it started.
        let insert_ms = self.insert_us as f64 / 1e3 / self.inserts.max(1) as f64;
        write!(
            f,
            " insert_ms={insert_ms:.1} delayed_inserts={delayed_inserts} rejected_inserts={rejected_inserts} disk_free_mib={free_mib}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> Health {
        Health {
            parts: 40,
            most_parts: 12,
            most_parts_of: "events".to_owned(),
            parts_to_delay: 1_000,
            disk_free_bytes: 50 << 30,
            disk_bytes: 100 << 30,
            ..Health::default()
        }
    }

    #[test]
    fn what_is_well_is_no_concern() {
        assert!(healthy().concerns().is_empty());
        assert!(Health::default().concerns().is_empty(), "nothing is known");
        assert!(healthy().to_string().starts_with("parts=40 most_parts=12 (events) rows=0"));
        let busy = Health { inserts: 4, insert_us: 50_000, ..healthy() };
        assert!(busy.to_string().contains(" insert_ms=12.5 "), "{busy}");
    }

    #[test]
    fn many_parts_and_little_space_are() {
        let many = Health { most_parts: 500, ..healthy() }.concerns();
        assert!(many.len() == 1 && many[0].contains("`events` has 500 parts"), "{many:?}");
        for free in [4 << 30, 1 << 30] {
            let little = Health { disk_free_bytes: free, ..healthy() }.concerns();
            assert!(little.len() == 1 && little[0].contains("make room"), "{little:?}");
        }
    }
}
