//! An open store that is asked, never written to.

use std::io::Write;

use clickhouse::query::RowCursor;
use clickhouse::{Client, Row};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use syncline_store::{OpenOptions, OpenStore, Role, Store, StoreError, open};

use crate::args::StoreArgs;
use crate::place;

/// ClickHouse's error codes.
const UNKNOWN_TABLE: u32 = 60;
const UNKNOWN_DATABASE: u32 = 81;
const UNKNOWN_IDENTIFIER: u32 = 47;
/// Also of a view with parameters.
const UNKNOWN_FUNCTION: u32 = 46;
/// The user's own limits.
const TOO_MANY_ROWS: u32 = 158;
const TOO_SLOW: u32 = 160;
const TIMEOUT: u32 = 159;
const MEMORY_LIMIT: u32 = 241;

/// A store and a way to ask it that cannot change it.
pub(crate) struct Source {
    store: OpenStore,
    client: Client,
    /// Whether settings may go with a question: a user whom the server itself made read-only may not.
    takes_settings: bool,
    /// The most that `max_execution_time` may be set to, s; none where there is no limit.
    longest_s: Option<String>,
}

/// Opens the store that the arguments name.
pub(crate) async fn open_store(args: &StoreArgs, role: Role) -> anyhow::Result<OpenStore> {
    let location = place::location(args)?;
    place::check(&location)?;
    let options = OpenOptions { database: args.database.clone(), role, ..OpenOptions::default() };
    Ok(open(&location, &options).await?)
}

/// An error of the store, with what to do about one that has other tables than this program knows.
pub(crate) fn explain(store: &Store, error: StoreError) -> anyhow::Error {
    let (url, database) = (store.shown_url(), store.database());
    match error {
        StoreError::SchemaMissing { .. } | StoreError::Sql { code: UNKNOWN_TABLE | UNKNOWN_DATABASE, .. } => {
            anyhow::anyhow!(
                "{url} has no tables of Syncline in database `{database}`, or those of an older version: start an aggregator of this version on it, or name another with --database"
            )
        }
        StoreError::Sql { code: UNKNOWN_IDENTIFIER | UNKNOWN_FUNCTION, .. } => anyhow::anyhow!(
            "{url}, database `{database}`, has the tables of an older version: an aggregator of this version brings them up to date when it starts"
        ),
        error => mendable(error).into(),
    }
}

/// With what to do about a limit of the user.
fn mendable(error: StoreError) -> StoreError {
    match error {
        StoreError::Sql { code: code @ (TOO_MANY_ROWS | MEMORY_LIMIT), message } => {
            StoreError::Sql { code, message: format!("{message}; ask for a shorter time, or for less") }
        }
        StoreError::Sql { code: code @ (TOO_SLOW | TIMEOUT), message } => {
            let more = "with --setting max_execution_time=SECONDS `syncline sql` takes longer, up to the user's limit";
            StoreError::Sql { code, message: format!("{message}; ask for a shorter time, or for less; {more}") }
        }
        error => error,
    }
}

/// A query with the values of its parameters `{name:Type}`.
pub(crate) struct Question<'a> {
    pub(crate) sql: &'a str,
    /// A name of ClickHouse's formats; a FORMAT in the SQL wins.
    pub(crate) format: &'a str,
    pub(crate) params: &'a [(String, String)],
    /// Settings that only change how the answer looks; left out where none are taken.
    pub(crate) looks: &'a [(&'static str, String)],
    /// Settings that the person wants.
    pub(crate) settings: &'a [(String, String)],
}

impl Source {
    /// Opens the store that the arguments name, which has to have this program's version of the schema.
    pub(crate) async fn open(args: &StoreArgs) -> anyhow::Result<Self> {
        let source = Self::open_any(args).await?;
        if let Err(error) = source.store.check_schema().await {
            return Err(explain(&source.store, error));
        }
        Ok(source)
    }

    /// Opens the store that the arguments name, whatever is in it.
    pub(crate) async fn open_any(args: &StoreArgs) -> anyhow::Result<Self> {
        let store = open_store(args, Role::Reader).await?;
        let mut source = Self { client: store.client().clone(), store, takes_settings: true, longest_s: None };
        source.make_read_only().await?;
        Ok(source)
    }

    /// Writes the answer to `out` as it arrives.
    pub(crate) async fn stream(&self, question: &Question<'_>, out: &mut impl Write) -> anyhow::Result<()> {
        let mut answer = self.ask(question)?;
        while let Some(bytes) = answer.next().await.map_err(|error| mendable(error.into()))? {
            out.write_all(&bytes)?;
        }
        Ok(out.flush()?)
    }

    /// The rows of an answer.
    pub(crate) async fn rows<T: DeserializeOwned>(
        &self,
        sql: &str,
        params: &[(String, String)],
    ) -> anyhow::Result<Vec<T>> {
        let looks = [("output_format_json_quote_64bit_integers", "0".to_owned())];
        let question = Question { sql, format: "JSONEachRow", params, looks: &looks, settings: &[] };
        let answer = self.ask(&question)?.collect().await.map_err(|error| explain(&self.store, error.into()))?;
        let rows = serde_json::Deserializer::from_slice(&answer).into_iter().collect::<Result<_, _>>();
        rows.map_err(|error| anyhow::anyhow!("the store's answer has another shape than this program knows: {error}"))
    }

    /// Whether it has this table or view: the store of an older version may not.
    pub(crate) async fn has(&self, table: &str) -> anyhow::Result<bool> {
        #[derive(Deserialize)]
        struct Found {
            tables: u64,
        }
        let sql =
            "SELECT count() AS tables FROM system.tables WHERE database = currentDatabase() AND name = {table:String}";
        let found: Vec<Found> = self.rows(sql, &[("table".to_owned(), table.to_owned())]).await?;
        Ok(found.first().is_some_and(|found| found.tables > 0))
    }

    /// The rows of an answer that may be long, one after the other.
    pub(crate) fn cursor<T: Row>(&self, sql: &str, params: &[(String, String)]) -> anyhow::Result<RowCursor<T>> {
        let query = params.iter().fold(self.client.query_raw(sql), |query, (name, value)| query.param(name, value));
        query.fetch().map_err(|error| self.explain(error))
    }

    /// An error of a [`cursor`](Self::cursor).
    pub(crate) fn explain(&self, error: clickhouse::error::Error) -> anyhow::Error {
        explain(&self.store, error.into())
    }

    /// From here on ClickHouse refuses whatever would change something. A user who is read-only already may not even say so; one of ours
    /// (`readonly = 2`) may bring settings, and is granted nothing but to read. (Of others `readonly = 2` would let them write files.)
    async fn make_read_only(&mut self) -> anyhow::Result<()> {
        let sql = "SELECT toUInt8(getSetting('readonly')), (SELECT max FROM system.settings WHERE name = 'max_execution_time')";
        let question = Question { sql, format: "TSV", params: &[], looks: &[], settings: &[] };
        let answer = self.ask(&question)?.collect().await.map_err(|error| explain(&self.store, error.into()))?;
        self.takes_settings = !answer.starts_with(b"1");
        if answer.starts_with(b"0") {
            self.client = self.client.clone().with_setting("readonly", "1");
        }
        let longest = String::from_utf8_lossy(&answer).trim_end().rsplit_once('\t').map(|(_, most)| most.to_owned());
        self.longest_s = longest.filter(|most| most.parse::<u64>().is_ok());
        Ok(())
    }

    /// Lets questions take as long as the user may ask for.
    pub(crate) fn be_patient(&mut self) {
        if let Some(longest_s) = self.longest_s.as_ref().filter(|_| self.takes_settings) {
            self.client = self.client.clone().with_setting("max_execution_time", longest_s.as_str());
        }
    }

    /// The store itself, for what it reads by functions of its own.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Ends the engine if this command started it.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        Ok(self.store.close().await?)
    }

    fn ask(&self, question: &Question<'_>) -> Result<clickhouse::query::BytesCursor, StoreError> {
        let mut query = self.client.query_raw(question.sql);
        for (name, value) in question.params {
            query = query.param(name, value);
        }
        for (name, value) in question.looks.iter().filter(|_| self.takes_settings) {
            query = query.with_setting(*name, value);
        }
        for (name, value) in question.settings {
            query = query.with_setting(name, value);
        }
        Ok(query.fetch_bytes(question.format)?)
    }
}
