//! Who may do what in ClickHouse: a writer, which is the aggregators', and a reader with limits, for people and for the tools.
//!
//! The embedded engine gets both in its configuration; for a server they are SQL that an administrator applies.

/// The user that reads.
pub(crate) const READER: &str = "syncline_reader";
/// The user that writes, on a server.
const WRITER: &str = "syncline_writer";

/// What one who reads may take of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderLimits {
    /// Memory of one query, bytes.
    pub memory_bytes: u64,
    /// Memory of all queries of the user together, bytes.
    pub memory_of_all_bytes: u64,
    /// How long a query may take unless it asks for more, s.
    pub seconds: u64,
    /// The most that it may ask for, s.
    pub most_seconds: u64,
    /// Rows that a query may read of tables.
    pub rows: u64,
    /// What all queries of the user together may put on the disk for want of memory, bytes.
    pub temporary_bytes: u64,
    /// How many queries of the user may go on at once.
    pub queries: u64,
}

/// A name, its value, and the most that a query may set it to; `None` = it may not.
type Setting = (&'static str, u64, Option<u64>);

impl ReaderLimits {
    /// With so much memory for a query, and for all of them, four times that on the disk, and 10 minutes, an hour at most, 10 billion rows, and 32
    /// queries at once.
    #[must_use]
    pub fn with_memory(memory_bytes: u64, memory_of_all_bytes: u64) -> Self {
        Self {
            memory_bytes,
            memory_of_all_bytes,
            seconds: 600,
            most_seconds: 3_600,
            rows: 10_000_000_000,
            temporary_bytes: memory_of_all_bytes.saturating_mul(4),
            queries: 32,
        }
    }

    /// As ClickHouse has them. `readonly = 2` lets a query bring settings, inside of these.
    pub(crate) fn settings(self) -> [Setting; 9] {
        [
            ("readonly", 2, None),
            ("max_memory_usage", self.memory_bytes, Some(self.memory_bytes)),
            ("max_memory_usage_for_user", self.memory_of_all_bytes, None),
            // What a thread takes between two looks at these; as it is unless set.
            ("max_untracked_memory", 4 << 20, None),
            ("max_execution_time", self.seconds, Some(self.most_seconds)),
            ("max_rows_to_read", self.rows, Some(self.rows)),
            ("max_temporary_data_on_disk_size_for_user", self.temporary_bytes, None),
            ("max_concurrent_queries_for_user", self.queries, None),
            // A query of one who has gone goes, too.
            ("cancel_http_readonly_queries_on_client_close", 1, Some(1)),
        ]
    }

    /// What the reader may ask in an hour, by ClickHouse's names: queries, failures, and seconds of all of them.
    pub(crate) fn quota(self) -> [(&'static str, u64); 3] {
        [("queries", 100_000), ("errors", 10_000), ("execution_time", self.most_seconds.saturating_mul(4))]
    }
}

/// The two users of a server.
#[derive(Clone, Debug)]
pub struct Users {
    /// The database of the schema.
    pub database: String,
    /// The cluster on all of whose servers they are made; none for one server.
    pub cluster: Option<String>,
    /// From where the writer is let in: addresses and networks such as `10.1.0.0/16`; from nowhere but the server itself if there are none.
    pub writer_networks: Vec<String>,
    /// From where the reader is let in, likewise.
    pub reader_networks: Vec<String>,
    /// The writer's password.
    pub writer_password: String,
    /// The reader's password.
    pub reader_password: String,
    /// What the reader may take.
    pub limits: ReaderLimits,
}

/// What the writer does in its own database.
const WRITERS_GRANTS: &str = "SHOW, SELECT, INSERT, ALTER, CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP TABLE, DROP VIEW, TRUNCATE, OPTIMIZE";

/// What [`Store::health`](crate::Store::health) asks: a server as it is installed has most of its own tables granted to nobody.
const OF_HEALTH: [&str; 6] = ["disks", "events", "merge_tree_settings", "merges", "mutations", "parts"];

impl Users {
    /// Statements for an administrator, in their order. Applied again they replace what they made.
    #[must_use]
    pub fn statements(&self) -> Vec<String> {
        let Self { database, limits, .. } = self;
        let on = self.cluster.as_ref().map(|cluster| format!(" ON CLUSTER {}", name(cluster))).unwrap_or_default();
        // On a cluster rows are in a second one.
        let local = self.cluster.as_ref().map(|_| format!("{database}_local"));
        let databases = std::iter::once(database.as_str()).chain(local.as_deref()).map(name);
        let mut settings = limits
            .settings()
            .map(|(name, value, most)| match most {
                Some(most) => format!("{name} = {value} MIN 1 MAX {most}"),
                None => format!("{name} = {value} CONST"),
            })
            .to_vec();
        // The views join tables that are on many servers.
        let across = self.cluster.as_ref().map(|_| "distributed_product_mode = 'global'");
        settings.extend(across.map(str::to_owned));
        let across = across.map(|setting| format!(" SETTINGS {setting}")).unwrap_or_default();
        let user = |user: &str, password: &str, networks: &[String], profile: &str| {
            format!(
                "CREATE USER OR REPLACE {user}{on} IDENTIFIED WITH sha256_password BY {} HOST {}{profile}",
                text(password),
                hosts(networks)
            )
        };
        let mut statements = vec![
            format!("CREATE SETTINGS PROFILE OR REPLACE {READER}{on} SETTINGS {}", settings.join(", ")),
            user(READER, &self.reader_password, &self.reader_networks, &format!(" SETTINGS PROFILE {}", text(READER))),
            user(WRITER, &self.writer_password, &self.writer_networks, &across),
            format!(
                "CREATE QUOTA OR REPLACE {READER}{on} KEYED BY user_name FOR INTERVAL 1 hour MAX {} TO {READER}",
                limits.quota().map(|(name, most)| format!("{name} = {most}")).join(", ")
            ),
            format!("GRANT{on} CREATE FUNCTION, DROP FUNCTION ON *.* TO {WRITER}"),
        ];
        let of_health = |table| format!("GRANT{on} SELECT ON system.{table} TO {READER}, {WRITER}");
        statements.extend(OF_HEALTH.map(of_health));
        for database in databases {
            statements.push(format!("GRANT{on} SHOW, SELECT ON {database}.* TO {READER}"));
            statements.push(format!("GRANT{on} {WRITERS_GRANTS} ON {database}.* TO {WRITER}"));
        }
        statements
    }

    /// What the programs are told: how to reach a server at `host:port` as the writer, and as the reader.
    #[must_use]
    pub fn urls(&self, address: &str) -> [String; 2] {
        [(WRITER, &self.writer_password), (READER, &self.reader_password)]
            .map(|(user, password)| format!("http://{user}:{password}@{address}"))
    }
}

fn hosts(networks: &[String]) -> String {
    if networks.is_empty() {
        return "LOCAL".to_owned();
    }
    networks.iter().map(|network| format!("IP {}", text(network))).collect::<Vec<_>>().join(", ")
}

fn name(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

fn text(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
