//! The schema for a cluster, from the statements for one server.
//!
//! Rows are in a second database, `NAME_local`, in replicated tables, and materialized views beside them; the database itself has a `Distributed` table of
//! each table's name, and the views, so that whoever asks or inserts does as with one server. A row's shard is chosen by what it is of
//! (its node, its region, its stack), so that a replacing table has all versions of a row on one shard, and a materialized view finds its
//! target on its own.

use super::{MigrationPlan, is_view};

/// Statements of one database; its name may be that of the local one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterStatement {
    /// The database that it is to be run in.
    pub database: String,
    /// The statement.
    pub sql: String,
}

/// Where in ClickHouse Keeper a table of a shard is.
const PATH: &str = "/clickhouse/tables/{shard}";

/// A plan for a cluster: each step's name and its statements.
///
/// # Errors
/// The beginning of a statement whose form is not known; there is none in our migrations.
pub(crate) fn steps(
    plan: &MigrationPlan,
    database: &str,
    cluster: &str,
) -> Result<Vec<(&'static str, Vec<ClusterStatement>)>, String> {
    let form = Form { database, local: format!("{database}_local"), on: format!("ON CLUSTER `{cluster}`"), cluster };
    let step = |(name, statements): &(&'static str, Vec<String>)| {
        let of_each = statements.iter().map(|sql| form.of(sql)).collect::<Result<Vec<_>, _>>()?;
        Ok((*name, of_each.concat()))
    };
    plan.steps.iter().map(step).collect()
}

struct Form<'a> {
    database: &'a str,
    local: String,
    on: String,
    cluster: &'a str,
}

impl Form<'_> {
    fn of(&self, sql: &str) -> Result<Vec<ClusterStatement>, String> {
        let on = &self.on;
        let unknown = || sql.lines().next().unwrap_or_default().to_owned();
        if sql.starts_with("CREATE DATABASE ") {
            let create = |database| self.global(format!("CREATE DATABASE IF NOT EXISTS `{database}` {on}"));
            return Ok(vec![create(self.database), create(self.local.as_str())]);
        }
        if let Some((table, rest)) = named(sql, "CREATE TABLE IF NOT EXISTS ") {
            let local = self.replicated(table, rest).ok_or_else(unknown)?;
            return Ok(vec![self.local(local), self.distributed(table)]);
        }
        if let Some((view, rest)) = named(sql, "ALTER TABLE ")
            && is_view(view)
        {
            return Ok(vec![self.global(format!("ALTER TABLE {view} {on}{rest}"))]);
        }
        if let Some((table, rest)) = named(sql, "ALTER TABLE ") {
            return Ok(vec![self.local(format!("ALTER TABLE {table} {on}{rest}")), self.distributed(table)]);
        }
        if let Some((view, rest)) = named(sql, "CREATE MATERIALIZED VIEW IF NOT EXISTS ") {
            return Ok(vec![self.local(format!("CREATE MATERIALIZED VIEW IF NOT EXISTS {view} {on}{rest}"))]);
        }
        if let Some((view, rest)) = named(sql, "CREATE OR REPLACE VIEW ") {
            return Ok(vec![self.global(format!("CREATE OR REPLACE VIEW {view} {on}{}", across_shards(rest)))]);
        }
        if let Some((function, rest)) = named(sql, "CREATE OR REPLACE FUNCTION ") {
            return Ok(vec![self.global(format!("CREATE OR REPLACE FUNCTION {function} {on}{rest}"))]);
        }
        if sql.starts_with("INSERT INTO schema_migrations ") {
            return Ok(vec![self.global(sql.to_owned())]);
        }
        Err(unknown())
    }

    /// `rest` is what comes after the table's name.
    fn replicated(&self, table: &str, rest: &str) -> Option<String> {
        let (columns, engine) = rest.split_once("\n) ENGINE = ")?;
        let end = engine.find(|c: char| !c.is_ascii_alphanumeric())?;
        let (engine, rest) = engine.split_at(end);
        if !engine.ends_with("MergeTree") {
            return None;
        }
        let (arguments, rest) = match rest.strip_prefix('(') {
            Some(rest) => rest.split_once(')').map(|(arguments, rest)| (format!(", {arguments}"), rest))?,
            None => (String::new(), rest),
        };
        let path = format!("{PATH}/{}/{table}", self.local);
        // Replicated tables remember tokens in Keeper.
        let rest = rest.replace("non_replicated_deduplication_window", "replicated_deduplication_window");
        let on = &self.on;
        Some(format!(
            "CREATE TABLE IF NOT EXISTS {table} {on}{columns}\n) ENGINE = Replicated{engine}('{path}', '{{replica}}'{arguments}){rest}"
        ))
    }

    /// It holds nothing: it is made anew where the columns have changed.
    fn distributed(&self, table: &str) -> ClusterStatement {
        let Self { local, on, cluster, .. } = self;
        let key = sharding_key(table);
        self.global(format!(
            "CREATE OR REPLACE TABLE {table} {on} AS `{local}`.{table} ENGINE = Distributed('{cluster}', '{local}', '{table}', {key})"
        ))
    }

    fn global(&self, sql: String) -> ClusterStatement {
        ClusterStatement { database: self.database.to_owned(), sql }
    }

    fn local(&self, sql: String) -> ClusterStatement {
        ClusterStatement { database: self.local.clone(), sql }
    }
}

/// What chooses a row's shard.
pub(crate) fn sharding_key(table: &str) -> &'static str {
    match table {
        "stacks" => "stack_id",
        "symbols" | "binaries" => "build_id",
        "region_clock" | "region_links" | "region_claims" | "region_pairs" | "alert_states" => "cityHash64(region)",
        "pair_checks" => "cityHash64(src_region, src_node)",
        "wait_hours" => "cityHash64(region, service)",
        "skew_alerts" => "cityHash64(subject)",
        "skew_incidents" | "alert_deliveries" => "cityHash64(incident)",
        "alert_silences" => "cityHash64(number)",
        "alert_leases" => "cityHash64(name)",
        "schema_migrations" => "0",
        _ => "cityHash64(region, node)",
    }
}

/// Words before a JOIN that belong to it.
const OF_A_JOIN: [&str; 10] = ["ANY", "ALL", "ASOF", "SEMI", "ANTI", "LEFT", "RIGHT", "INNER", "FULL", "CROSS"];

/// A query whose joins and subqueries of IN are evaluated once, over all shards, and not on each of them.
fn across_shards(sql: &str) -> String {
    let mut written = String::with_capacity(sql.len() + 64);
    let mut before = "";
    let mut rest = sql;
    while let Some((word, space)) = next_word(rest) {
        let after = &rest[word.len() + space.len()..];
        let begins_join =
            (word == "JOIN" || OF_A_JOIN.contains(&word)) && !OF_A_JOIN.contains(&before) && before != "ARRAY";
        let is_in = |word: &str, after: &str| {
            word == "IN" && after.strip_prefix('(').is_some_and(|inside| inside.trim_start().starts_with("SELECT"))
        };
        let begins_in = before != "NOT" && is_in(word, after)
            || word == "NOT"
                && next_word(after).is_some_and(|(next, space)| is_in(next, &after[next.len() + space.len()..]));
        if begins_join && joins(rest) || begins_in {
            written.push_str("GLOBAL ");
        }
        written.push_str(word);
        written.push_str(space);
        (before, rest) = (word, after);
    }
    written
}

/// Whether a join begins here, and not one with an array.
fn joins(mut sql: &str) -> bool {
    while let Some((word, space)) = next_word(sql) {
        match word {
            "JOIN" => return true,
            word if OF_A_JOIN.contains(&word) => sql = &sql[word.len() + space.len()..],
            _ => return false,
        }
    }
    false
}

/// What is before the next white space, perhaps nothing, and that white space.
fn next_word(sql: &str) -> Option<(&str, &str)> {
    if sql.is_empty() {
        return None;
    }
    let (word, rest) = sql.split_at(sql.find(char::is_whitespace).unwrap_or(sql.len()));
    let space = rest.len() - rest.trim_start().len();
    Some((word, &rest[..space]))
}

/// The name after these words, and what follows it.
fn named<'s>(sql: &'s str, words: &str) -> Option<(&'s str, &'s str)> {
    let rest = sql.strip_prefix(words)?;
    Some(rest.split_at(rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(sql: &str) -> Vec<(String, String)> {
        let plan = MigrationPlan { from: 0, to: 1, steps: vec![("one", vec![sql.to_owned()])] };
        let steps = steps(&plan, "s", "c").unwrap();
        steps[0].1.iter().map(|statement| (statement.database.clone(), statement.sql.clone())).collect()
    }

    fn owned(database: &str, sql: &str) -> (String, String) {
        (database.to_owned(), sql.to_owned())
    }

    #[test]
    fn a_table_is_replicated_on_its_shard_and_distributed_over_all() {
        let sql = "CREATE TABLE IF NOT EXISTS stacks (\n    a UInt8\n) ENGINE = ReplacingMergeTree(last_seen)\nORDER BY a\n\
                   SETTINGS non_replicated_deduplication_window = 7";
        assert_eq!(
            forms(sql),
            [
                owned(
                    "s_local",
                    "CREATE TABLE IF NOT EXISTS stacks ON CLUSTER `c` (\n    a UInt8\n) ENGINE = \
                     ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/s_local/stacks', '{replica}', last_seen)\nORDER BY a\n\
                     SETTINGS replicated_deduplication_window = 7"
                ),
                owned(
                    "s",
                    "CREATE OR REPLACE TABLE stacks ON CLUSTER `c` AS `s_local`.stacks ENGINE = \
                     Distributed('c', 's_local', 'stacks', stack_id)"
                ),
            ]
        );
    }

    #[test]
    fn an_alteration_is_of_the_rows_and_then_of_what_leads_to_them() {
        let forms = forms("ALTER TABLE events\n    ADD COLUMN x UInt8");
        assert_eq!(forms[0], owned("s_local", "ALTER TABLE events ON CLUSTER `c`\n    ADD COLUMN x UInt8"));
        assert!(forms[1].1.starts_with("CREATE OR REPLACE TABLE events ON CLUSTER"), "{forms:?}");
    }

    #[test]
    fn a_comment_on_a_view_is_where_the_view_is() {
        let sql = "ALTER TABLE skew_now\n    MODIFY COMMENT 'x'";
        assert_eq!(forms(sql), [owned("s", "ALTER TABLE skew_now ON CLUSTER `c`\n    MODIFY COMMENT 'x'")]);
    }

    #[test]
    fn joins_and_subqueries_of_a_view_are_of_all_shards() {
        let sql = "SELECT a FROM t\nANY LEFT JOIN u ON x = y JOIN v ON z ARRAY JOIN p AS q LEFT ARRAY JOIN r WHERE a IN (SELECT b) AND c NOT IN (\n  SELECT d) \
                   AND e IN ('x') AND NOT f";
        assert_eq!(
            across_shards(sql),
            "SELECT a FROM t\nGLOBAL ANY LEFT JOIN u ON x = y GLOBAL JOIN v ON z ARRAY JOIN p AS q LEFT ARRAY JOIN r WHERE a GLOBAL IN (SELECT b) \
             AND c GLOBAL NOT IN (\n  SELECT d) AND e IN ('x') AND NOT f"
        );
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let plan = MigrationPlan { from: 0, to: 1, steps: vec![("one", vec!["RENAME TABLE a TO b".to_owned()])] };
        assert_eq!(steps(&plan, "s", "c"), Err("RENAME TABLE a TO b".to_owned()));
    }
}
