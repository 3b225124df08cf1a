//! The schema's versions: numbered files that only ever go forward.
//!
//! `schema_migrations` has one row per applied file, with a checksum of its text, so that a database written by a newer or a
//! different program is refused instead of misread. Every statement is written to be repeatable (`IF NOT EXISTS`, `CREATE OR
//! REPLACE VIEW`), since ClickHouse has no transactions: a migration that was interrupted, or that another process runs at the
//! same time, is simply run again.

mod cluster;
mod migrations;
mod split;

use clickhouse::Client;

use crate::StoreError;
pub use cluster::ClusterStatement;
pub(crate) use migrations::newest;
use migrations::{MIGRATIONS, checksum, is_view};

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

/// That the database has the schema of this program, no older and no newer one. Changes nothing.
pub(crate) async fn check(server: &Client, client: &Client, database: &str) -> Result<(), StoreError> {
    let plan = plan(server, client, database, newest()).await?;
    let database = database.to_owned();
    match plan.from {
        0 => Err(StoreError::SchemaMissing { database }),
        from if from < plan.to => Err(StoreError::SchemaOlder { database, found: from, known: plan.to }),
        _ => Ok(()),
    }
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

    /// Another program may have a table of that name, as several do.
    async fn refuse_foreign_columns(&self) -> Result<(), StoreError> {
        let sql = "SELECT concat(name, ' ', type) FROM system.columns WHERE database = currentDatabase() AND table = 'schema_migrations' ORDER BY position";
        let found = fetch(self.client, sql).await?;
        let found: Vec<&str> = found.lines().collect();
        if ["version UInt32", "name String", "checksum UInt64"].iter().all(|column| found.contains(column)) {
            return Ok(());
        }
        Err(self.foreign(format!(
            "its table `schema_migrations` ({}) is another program's: name another database",
            found.join(", ")
        )))
    }

    /// The version up to which all were applied, after checking that all of them are ours. What comes after a gap is run again: it may rest on what is
    /// missing.
    async fn checked_version(&self) -> Result<u32, StoreError> {
        self.refuse_foreign_columns().await?;
        let sql = "SELECT DISTINCT version, checksum FROM schema_migrations ORDER BY version";
        let applied = fetch(self.client, sql).await?;
        let mut versions = Vec::new();
        for row in applied.lines() {
            let (version, checksum) =
                parse_row(row).ok_or_else(|| self.foreign(format!("schema_migrations holds `{row}`")))?;
            self.check(version, checksum)?;
            versions.push(version);
        }
        Ok(without_gap(&versions))
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

/// The last version before which none is missing, of versions in order.
fn without_gap(versions: &[u32]) -> u32 {
    let in_order = versions.iter().zip(1..).take_while(|(version, expected)| **version == *expected);
    in_order.last().map_or(0, |(version, _)| *version)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_ends_what_was_applied() {
        assert_eq!(without_gap(&[]), 0);
        assert_eq!(without_gap(&[1, 2, 3]), 3);
        assert_eq!(without_gap(&[1, 2, 4, 5]), 2);
        assert_eq!(without_gap(&[2, 3]), 0);
    }
}
