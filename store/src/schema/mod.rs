//! The schema's versions: numbered files that only ever go forward.
//!
//! `schema_migrations` has one row per applied file, with a checksum of its text, so that a database written by a newer or a
//! different program is refused instead of misread. Every statement is written to be repeatable (`IF NOT EXISTS`, `CREATE OR
//! REPLACE VIEW`), since ClickHouse has no transactions: a migration that was interrupted, or that another process runs at the
//! same time, is simply run again.

mod cluster;
mod split;

use clickhouse::Client;

use crate::StoreError;
pub use cluster::ClusterStatement;
use split::statements;

struct Migration {
    version: u32,
    name: &'static str,
    sql: &'static str,
}

macro_rules! migration {
    ($version:literal, $name:literal) => {
        Migration { version: $version, name: $name, sql: include_str!(concat!("../../migrations/", $name, ".sql")) }
    };
}

/// In order of their versions, without gaps, never changed once released.
const MIGRATIONS: &[Migration] = &[
    migration!(1, "0001_first_thread"),
    migration!(2, "0002_clock_states"),
    migration!(3, "0003_realignment"),
    migration!(4, "0004_probe_knots"),
    migration!(5, "0005_clock_claims"),
    migration!(6, "0006_regions"),
    migration!(7, "0007_waits"),
    migration!(8, "0008_processes"),
    migration!(9, "0009_tcp"),
    migration!(10, "0010_open_waits"),
    migration!(11, "0011_edges"),
    migration!(12, "0012_send_latency"),
    migration!(13, "0013_open_waits_before"),
    migration!(14, "0014_states"),
    migration!(15, "0015_open_traces"),
    migration!(16, "0016_binaries"),
    migration!(17, "0017_sites"),
    migration!(18, "0018_ledger"),
    migration!(19, "0019_observations"),
    migration!(20, "0020_alerts"),
    migration!(21, "0021_alert_deliveries"),
    migration!(22, "0022_comments"),
    migration!(23, "0023_rollups"),
    migration!(24, "0024_alert_leases"),
    migration!(25, "0025_less_and_sooner"),
    migration!(26, "0026_batch_claims"),
    migration!(27, "0027_clock_disruptions"),
    migration!(28, "0028_repeated_rows"),
];

/// What [`Store::migrate`](crate::Store::migrate) found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationReport {
    /// The version found; 0 for a database without our schema.
    pub from: u32,
    /// The version now.
    pub to: u32,
    /// The names of the files applied, in order.
    pub applied: Vec<&'static str>,
}

/// What [`Store::migrate`](crate::Store::migrate) would do, as [`Store::plan`](crate::Store::plan) found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationPlan {
    /// The version found; 0 for a database without our schema, or none.
    pub from: u32,
    /// The version afterwards.
    pub to: u32,
    /// What is to be applied, in order: each a name and its statements, the first of which make the database and its table of versions
    /// where they are missing.
    pub steps: Vec<(&'static str, Vec<String>)>,
}

impl MigrationPlan {
    /// The steps in their form for a cluster, whose servers have the macros `shard` and `replica`: see [`ClusterStatement`].
    ///
    /// # Errors
    /// [`StoreError::SchemaForeign`] for a statement that has no such form, of which there is none.
    pub fn on_cluster(
        &self,
        database: &str,
        cluster: &str,
    ) -> Result<Vec<(&'static str, Vec<ClusterStatement>)>, StoreError> {
        cluster::steps(self, database, cluster).map_err(|statement| StoreError::SchemaForeign {
            database: database.to_owned(),
            reason: format!("`{statement}` has no form for a cluster"),
        })
    }
}

/// Looks, and changes nothing; takes versions up to `newest`.
pub(crate) async fn plan(
    server: &Client,
    client: &Client,
    database: &str,
    newest: u32,
) -> Result<MigrationPlan, StoreError> {
    let schema = Schema { client, database };
    let mut steps = Vec::new();
    let has_database =
        !fetch(server, &format!("SELECT 1 FROM system.databases WHERE name = '{database}'")).await?.is_empty();
    let from = if has_database && schema.has_migrations_table().await? {
        schema.checked_version().await?
    } else {
        if has_database {
            schema.refuse_foreign_tables().await?;
        }
        let create = format!("CREATE DATABASE IF NOT EXISTS `{database}`");
        steps.push(("schema_migrations", vec![create, MIGRATIONS_TABLE.trim().to_owned()]));
        0
    };
    let pending = MIGRATIONS.iter().filter(|migration| migration.version > from && migration.version <= newest);
    steps.extend(pending.map(|migration| (migration.name, migration.statements())));
    Ok(MigrationPlan { from, to: from.max(newest), steps })
}

pub(crate) async fn migrate(
    server: &Client,
    client: &Client,
    database: &str,
    newest: u32,
) -> Result<MigrationReport, StoreError> {
    let plan = plan(server, client, database, newest).await?;
    if !plan.steps.is_empty() && (Schema { client: server, database }).is_of_a_cluster().await? {
        return Err(StoreError::SchemaOfCluster { database: database.to_owned(), found: plan.from, known: newest });
    }
    let mut report = MigrationReport { from: plan.from, to: plan.from, applied: Vec::new() };
    for (name, statements) in plan.steps {
        for statement in statements {
            // Before there is a database none can be spoken of.
            let client = if statement.starts_with("CREATE DATABASE") { server } else { client };
            run(client, &statement).await?;
        }
        if let Some(migration) = MIGRATIONS.iter().find(|migration| migration.name == name) {
            report.to = migration.version;
            report.applied.push(name);
        }
    }
    Ok(report)
}

/// The newest version that this program knows.
pub(crate) fn newest() -> u32 {
    MIGRATIONS.last().map_or(0, |migration| migration.version)
}

impl Migration {
    /// With the one that records it, at the end.
    fn statements(&self) -> Vec<String> {
        let Self { version, name, sql } = self;
        let mut statements = statements(sql);
        statements.push(format!(
            "INSERT INTO schema_migrations (version, name, checksum) SETTINGS async_insert = 0 VALUES ({version}, '{name}', {})",
            checksum(sql)
        ));
        statements
    }
}

const MIGRATIONS_TABLE: &str = "
CREATE TABLE IF NOT EXISTS schema_migrations (
    version  UInt32 COMMENT 'number of the migration file',
    name     String COMMENT 'name of the migration file',
    checksum UInt64 COMMENT 'FNV-1a of its text',
    applied  DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'when, by the server''s clock'
) ENGINE = MergeTree ORDER BY version
COMMENT 'Versions of the Syncline schema that were applied to this database'";

struct Schema<'a> {
    client: &'a Client,
    database: &'a str,
}

impl Schema<'_> {
    async fn has_migrations_table(&self) -> Result<bool, StoreError> {
        let sql = "SELECT name FROM system.tables WHERE database = currentDatabase() AND name = 'schema_migrations'";
        Ok(!fetch(self.client, sql).await?.trim().is_empty())
    }

    async fn is_of_a_cluster(&self) -> Result<bool, StoreError> {
        let sql = format!(
            "SELECT 1 FROM system.tables WHERE database = '{}' AND name = 'schema_migrations' AND engine = 'Distributed'",
            self.database
        );
        Ok(!fetch(self.client, &sql).await?.is_empty())
    }

    async fn refuse_foreign_tables(&self) -> Result<(), StoreError> {
        let sql = "SELECT name FROM system.tables WHERE database = currentDatabase() ORDER BY name LIMIT 1";
        match fetch(self.client, sql).await?.trim() {
            "" => Ok(()),
            table => {
                Err(self.foreign(format!("it holds tables that are not Syncline's (`{table}`): name another database")))
            }
        }
    }

    /// The newest version applied, after checking that all of them are ours.
    async fn checked_version(&self) -> Result<u32, StoreError> {
        let sql = "SELECT DISTINCT version, checksum FROM schema_migrations ORDER BY version";
        let applied = fetch(self.client, sql).await?;
        let mut newest = 0;
        for row in applied.lines() {
            let (version, checksum) =
                parse_row(row).ok_or_else(|| self.foreign(format!("schema_migrations holds `{row}`")))?;
            newest = newest.max(version);
            self.check(version, checksum)?;
        }
        Ok(newest)
    }

    fn check(&self, version: u32, checksum: u64) -> Result<(), StoreError> {
        match MIGRATIONS.iter().find(|migration| migration.version == version) {
            Some(migration) if self::checksum(migration.sql) == checksum => Ok(()),
            Some(migration) => Err(self.foreign(format!(
                "its migration {} is not the one this program has: it was written by another build; name another database",
                migration.name
            ))),
            None => Err(StoreError::SchemaNewer { database: self.database.to_owned(), found: version, known: newest() }),
        }
    }

    fn foreign(&self, reason: String) -> StoreError {
        StoreError::SchemaForeign { database: self.database.to_owned(), reason }
    }
}

async fn run(client: &Client, sql: &str) -> Result<(), StoreError> {
    Ok(client.query_raw(sql).execute().await?)
}

async fn fetch(client: &Client, sql: &str) -> Result<String, StoreError> {
    let bytes = client.query_raw(sql).fetch_bytes("TSV")?.collect().await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn parse_row(row: &str) -> Option<(u32, u64)> {
    let (version, checksum) = row.split_once('\t')?;
    Some((version.parse().ok()?, checksum.parse().ok()?))
}

/// FNV-1a: it tells changed files, it does not defend against forged ones.
fn checksum(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_count_up_from_one_and_match_their_files() {
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.version as usize, index + 1);
            assert!(migration.name.starts_with(&format!("{:04}_", migration.version)));
            assert!(!statements(migration.sql).is_empty());
        }
    }

    /// Databases were made with these: if one changes, all of them are refused.
    #[test]
    fn migrations_that_are_out_stay_as_they_are() {
        let out = [
            0x9a8f_a004_a678_60a8,
            0x2677_ae59_15a1_7b26,
            0x07cd_e8e6_0ba2_7867,
            0x7495_6ea9_8ca3_75da,
            0x4163_9bc3_6724_3e87,
            0x9d2b_f012_850d_6044,
        ];
        let now: Vec<u64> = MIGRATIONS.iter().take(out.len()).map(|migration| checksum(migration.sql)).collect();
        assert_eq!(now, out);
    }

    #[test]
    fn the_checksum_is_fnv_1a() {
        assert_eq!(checksum(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(checksum("a"), 0xaf63_dc4c_8601_ec8c);
    }
}
