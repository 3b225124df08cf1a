//! A handle to a ClickHouse with our schema.

use std::time::Duration;

use clickhouse::{Client, Compression};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use url::Url;

use crate::native::is_identifier;
use crate::schema::{self, MigrationPlan, MigrationReport};
use crate::{Block, StoreError};

/// The database of the schema unless another is named.
pub const DEFAULT_DATABASE: &str = "syncline";

/// The oldest ClickHouse with all that the schema uses.
const OLDEST: (u32, u32) = (25, 8);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const SEND_TIMEOUT: Duration = Duration::from_secs(60);
const INSERT_TIMEOUT: Duration = Duration::from_secs(300);

/// A handle to one database of a ClickHouse. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Store {
    client: Client,
    /// Without a database: migrations create it.
    server: Client,
    database: String,
    /// The URL without its password, for messages.
    shown_url: String,
    insert_settings: &'static [(&'static str, &'static str)],
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("url", &self.shown_url).field("database", &self.database).finish_non_exhaustive()
    }
}

impl Store {
    /// Connects to the ClickHouse at `url` (`http://[user:password@]host:port`) and checks that it answers and is new enough.
    /// The database need not exist: see [`migrate`](Self::migrate).
    ///
    /// # Errors
    /// [`StoreError::BadUrl`], [`StoreError::BadDatabaseName`], [`StoreError::Unreachable`], [`StoreError::TooOld`], or
    /// [`StoreError::Sql`] when it refuses the user.
    pub async fn connect(url: &str, database: &str) -> Result<Self, StoreError> {
        if !is_identifier(database) {
            return Err(StoreError::BadDatabaseName { name: database.to_owned() });
        }
        let (server, shown_url) = client_for(url)?;
        let probe = tokio::time::timeout(CONNECT_TIMEOUT, probe(&server));
        let probed = match probe.await {
            Ok(Ok(probed)) => probed,
            Ok(Err(sql @ StoreError::Sql { .. })) => return Err(sql),
            Ok(Err(StoreError::Network { reason } | StoreError::Protocol { reason })) => {
                return Err(StoreError::Unreachable { url: shown_url, reason });
            }
            Ok(Err(other)) => return Err(other),
            Err(_) => {
                let reason = format!("no answer within {} s", CONNECT_TIMEOUT.as_secs());
                return Err(StoreError::Unreachable { url: shown_url, reason });
            }
        };
        check_version(&probed.version, &shown_url)?;
        let insert_settings: &[_] =
            if probed.has_deduplicate_insert { &INSERT_SETTINGS } else { &INSERT_SETTINGS[1..] };
        let client = server.clone().with_database(database);
        Ok(Self { client, server, database: database.to_owned(), shown_url, insert_settings })
    }

    /// That there could be such a server and database, without asking anybody.
    ///
    /// # Errors
    /// [`StoreError::BadUrl`], [`StoreError::BadDatabaseName`].
    pub fn check(url: Option<&str>, database: &str) -> Result<(), StoreError> {
        if !is_identifier(database) {
            return Err(StoreError::BadDatabaseName { name: database.to_owned() });
        }
        url.map_or(Ok(()), |url| client_for(url).map(drop))
    }

    /// Creates the database where it is missing and brings its schema up to this program's version. Running it again, also
    /// from several processes at once, changes nothing.
    ///
    /// # Errors
    /// [`StoreError::SchemaNewer`] or [`StoreError::SchemaForeign`] when the database is not for this program;
    /// [`StoreError::Sql`] and [`StoreError::Network`] from ClickHouse.
    pub async fn migrate(&self) -> Result<MigrationReport, StoreError> {
        self.migrate_to(schema::newest()).await
    }

    /// As [`migrate`](Self::migrate), but not beyond a version: as an older program did.
    #[doc(hidden)]
    pub async fn migrate_to(&self, newest: u32) -> Result<MigrationReport, StoreError> {
        schema::migrate(&self.server, &self.client, &self.database, newest).await
    }

    /// What [`migrate`](Self::migrate) would do. Changes nothing.
    ///
    /// # Errors
    /// As `migrate`.
    pub async fn plan(&self) -> Result<MigrationPlan, StoreError> {
        schema::plan(&self.server, &self.client, &self.database, schema::newest()).await
    }

    /// That the database has this program's version of the schema, so that what is asked of it can be answered. Changes nothing.
    ///
    /// # Errors
    /// [`StoreError::SchemaMissing`], [`StoreError::SchemaOlder`], [`StoreError::SchemaNewer`] and [`StoreError::SchemaForeign`], each with what to
    /// do; [`StoreError::Sql`] and [`StoreError::Network`] from ClickHouse.
    pub async fn check_schema(&self) -> Result<(), StoreError> {
        schema::check(&self.server, &self.client, &self.database).await
    }

    /// Inserts one block and waits until it is stored. The same `token` again stores nothing, whatever the block holds: so a
    /// retry is safe, and different blocks of one table need different tokens. An empty block is stored already.
    ///
    /// # Errors
    /// [`StoreError::Sql`] and [`StoreError::Network`] from ClickHouse; [`StoreError::is_retryable`] tells which may pass.
    pub async fn insert(&self, block: Block, token: &str) -> Result<(), StoreError> {
        self.insert_together(std::slice::from_ref(&block), token).await
    }

    /// As [`insert`](Self::insert), of several blocks of one table with the same columns, as if they were one: all of their rows are stored under
    /// the one `token`, or none is.
    ///
    /// # Errors
    /// As `insert`; [`StoreError::Block`] when they are not of one table, or have more than [`MAX_BLOCK_ROWS`] rows together.
    pub async fn insert_together(&self, blocks: &[Block], token: &str) -> Result<(), StoreError> {
        let Some(insert_sql) = Block::insert_sql_of(blocks)? else { return Ok(()) };
        let mut insert = self
            .client
            .insert_formatted_with(insert_sql)
            .with_timeouts(Some(SEND_TIMEOUT), Some(INSERT_TIMEOUT))
            .with_setting("insert_deduplication_token", token);
        for (name, value) in self.insert_settings {
            insert = insert.with_setting(*name, *value);
        }
        for block in blocks.iter().filter(|block| !block.is_empty()) {
            insert.send(block.bytes()).await?;
        }
        insert.end().await?;
        Ok(())
    }

    /// Inserts what a query finds, as [`Store::insert`] does: on all shards before it ends.
    pub(crate) async fn insert_found(&self, mut query: clickhouse::query::Query) -> Result<(), StoreError> {
        for (name, value) in self.insert_settings {
            query = query.with_setting(*name, *value);
        }
        Ok(query.execute().await?)
    }

    /// Answers `sql` in `format` (any of ClickHouse's, such as `PrettyCompact`, `JSONEachRow`, `TSVWithNames`; a `FORMAT` in
    /// the SQL wins). Holds the whole answer in memory: see [`query_to`](Self::query_to) for large ones.
    ///
    /// # Errors
    /// [`StoreError::Sql`] with ClickHouse's own message; [`StoreError::Network`].
    pub async fn query_text(&self, sql: &str, format: &str) -> Result<Vec<u8>, StoreError> {
        Ok(self.client.query_raw(sql).fetch_bytes(format)?.collect().await?.into())
    }

    /// As [`query_text`](Self::query_text), but writes the answer to `out` as it arrives. Returns its size in bytes.
    ///
    /// # Errors
    /// As `query_text`, possibly after a part of the answer was written; [`StoreError::Io`] when `out` fails.
    pub async fn query_to<W: AsyncWrite + Unpin>(
        &self,
        sql: &str,
        format: &str,
        out: &mut W,
    ) -> Result<u64, StoreError> {
        let mut answer = self.client.query_raw(sql).fetch_bytes(format)?;
        let mut written = 0u64;
        while let Some(bytes) = answer.next().await? {
            out.write_all(&bytes).await.map_err(StoreError::io("writing the answer of a query"))?;
            written += bytes.len() as u64;
        }
        out.flush().await.map_err(StoreError::io("writing the answer of a query"))?;
        Ok(written)
    }

    /// The client, with the database set, for typed queries.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The URL without its password.
    #[must_use]
    pub fn shown_url(&self) -> &str {
        &self.shown_url
    }
}

/// Said explicitly, since the defaults differ between versions and a server's profile may change them. The first exists from
/// 26 on, where it overrides the second.
///
/// What comes in several blocks is put together, up to so many rows and whatever it takes in bytes, so that it is one block for the token, and whole
/// or not there.
const INSERT_SETTINGS: [(&str, &str); 9] = [
    ("deduplicate_insert", "enable"),
    // On a cluster the rows are on their shards before we are answered.
    ("distributed_foreground_insert", "1"),
    ("insert_deduplicate", "1"),
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    ("async_insert", "0"),
    ("wait_end_of_query", "1"),
    ("input_format_native_allow_types_conversion", "1"),
    ("min_insert_block_size_rows", "1048449"),
    ("min_insert_block_size_bytes", "0"),
];

/// Answers go back uncompressed: the network is a loopback or a data centre's, and inserts measured faster without lz4.
fn client_for(url: &str) -> Result<(Client, String), StoreError> {
    let mut parsed =
        Url::parse(url).map_err(|error| StoreError::BadUrl { url: redact(url), reason: error.to_string() })?;
    let user = decode(parsed.username());
    let password = parsed.password().map(decode);
    // Both only fail for URLs without a host, which the check below refuses.
    let _ = parsed.set_password(None);
    let shown_url = parsed.to_string();
    let _ = parsed.set_username("");
    if parsed.scheme() != "http" || parsed.host_str().is_none_or(str::is_empty) {
        let reason = "it must be http://[user:password@]host[:port]".to_owned();
        return Err(StoreError::BadUrl { url: shown_url, reason });
    }
    let mut client = Client::default().with_url(parsed.as_str()).with_compression(Compression::None);
    if !user.is_empty() {
        client = client.with_user(user);
    }
    if let Some(password) = password {
        client = client.with_password(password);
    }
    Ok((client, shown_url))
}

/// What does not even parse may hold a password all the same: nothing before an `@` is shown.
fn redact(url: &str) -> String {
    url.rsplit_once('@').map_or_else(|| url.to_owned(), |(_, rest)| format!("...@{rest}"))
}

/// A URL's user and password are percent-encoded; `form_urlencoded` would also turn `+` into a space.
fn decode(encoded: &str) -> String {
    let pair = format!("v={}", encoded.replace('+', "%2B"));
    url::form_urlencoded::parse(pair.as_bytes()).next().map_or_else(String::new, |(_, value)| value.into_owned())
}

struct Probed {
    version: String,
    has_deduplicate_insert: bool,
}

async fn probe(server: &Client) -> Result<Probed, StoreError> {
    let sql = "SELECT version(), count() FROM system.settings WHERE name = 'deduplicate_insert'";
    let answer = server.query_raw(sql).fetch_bytes("TSV")?.collect().await?;
    let text = String::from_utf8_lossy(&answer);
    let (version, count) = text
        .trim()
        .split_once('\t')
        .ok_or_else(|| StoreError::Protocol { reason: "the answer is not ClickHouse's".to_owned() })?;
    Ok(Probed { version: version.to_owned(), has_deduplicate_insert: count != "0" })
}

fn check_version(version: &str, url: &str) -> Result<(), StoreError> {
    let mut parts = version.split('.').map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= OLDEST => Ok(()),
        (Some(Ok(_)), Some(Ok(_))) => Err(StoreError::TooOld {
            url: url.to_owned(),
            found: version.to_owned(),
            needed: format!("{}.{}", OLDEST.0, OLDEST.1),
        }),
        _ => Err(StoreError::Unreachable {
            url: url.to_owned(),
            reason: format!("the answer `{version}` is not ClickHouse's"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_are_taken_out_of_the_url_and_not_shown() {
        let (_, shown) = client_for("http://me:p%40ss+word@db:8123/").unwrap();
        assert_eq!(shown, "http://me@db:8123/");
        assert_eq!(decode("p%40ss+word"), "p@ss+word");
    }

    #[test]
    fn urls_we_cannot_use_say_so_without_the_password() {
        let error = client_for("https://me:secret@db:8443").err().unwrap().to_string();
        assert!(error.contains("it must be http://") && !error.contains("secret"), "{error}");
        let error = client_for("http://me:secret@db:99999").err().unwrap().to_string();
        assert!(error.contains("...@db:99999") && !error.contains("secret"), "{error}");
        assert!(client_for("localhost:8123").is_err());
        assert!(client_for("/var/lib").is_err());
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(check_version("26.7.2.1", "u").is_ok());
        assert!(check_version("100.1.1", "u").is_ok());
        assert!(matches!(check_version("25.7.9", "u"), Err(StoreError::TooOld { .. })));
        assert!(matches!(check_version("<html>", "u"), Err(StoreError::Unreachable { .. })));
    }
}
