//! What can go wrong with the store, and which of it is worth trying again.

use std::path::PathBuf;

/// An error of the store. Its text is one line (ClickHouse's own messages: a few) that says what, where and how to mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The shared library of the embedded engine is not where it should be.
    #[error(
        "the embedded ClickHouse engine (libchdb.so) is not at {path}: run `cargo xtask fetch libchdb`, or set SYNCLINE_LIBCHDB to its path"
    )]
    LibraryMissing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Another process holds the data directory.
    #[error("the data directory {dir} is in use by process {holder}: stop it, or choose another directory", holder = holder.map_or_else(|| "?".to_owned(), |pid| pid.to_string()))]
    Locked {
        /// The data directory.
        dir: PathBuf,
        /// The holder's process id, if its lock file could be read.
        holder: Option<u32>,
    },
    /// The engine's child process did not come up.
    #[error("the embedded ClickHouse engine in {dir} did not start: {reason}")]
    EngineStart {
        /// The data directory.
        dir: PathBuf,
        /// What the engine said, or why we gave up.
        reason: String,
    },
    /// The engine's child process had to be killed.
    #[error("the embedded ClickHouse engine (process {pid}) did not end within its grace time and was killed")]
    EngineKilled {
        /// The child's process id.
        pid: u32,
    },
    /// The URL is not one we can use.
    #[error("cannot use the ClickHouse URL `{url}`: {reason}")]
    BadUrl {
        /// The URL, without its password.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody, or not a ClickHouse, answers at the URL.
    #[error("no ClickHouse answers at {url}: {reason}")]
    Unreachable {
        /// The URL, without its password.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The server is older than the schema needs.
    #[error("ClickHouse {found} at {url} is too old: Syncline needs {needed} or newer")]
    TooOld {
        /// The URL, without its password.
        url: String,
        /// The server's version.
        found: String,
        /// The oldest version we accept.
        needed: String,
    },
    /// A database name that ClickHouse or our SQL could not take as it stands.
    #[error("`{name}` is not a usable database name: use letters, digits and `_`, not starting with a digit")]
    BadDatabaseName {
        /// The name.
        name: String,
    },
    /// The schema was written by a newer Syncline.
    #[error("database `{database}` has schema version {found}, this program knows up to {known}: update this program")]
    SchemaNewer {
        /// The database.
        database: String,
        /// The version found.
        found: u32,
        /// The newest version known.
        known: u32,
    },
    /// The schema is older than what is asked of it.
    #[error(
        "database `{database}` has schema version {found}, this program needs {known}: update the aggregators, which bring it up to date when they start, or run `syncline-aggregator migrate`"
    )]
    SchemaOlder {
        /// The database.
        database: String,
        /// The version found.
        found: u32,
        /// The version of this program.
        known: u32,
    },
    /// There is no such database, or nothing in it.
    #[error(
        "there are no tables of Syncline in database `{database}`: start an aggregator on it, or name another database"
    )]
    SchemaMissing {
        /// The database.
        database: String,
    },
    /// The schema is older, and on a cluster, where an administrator brings it up to date.
    #[error(
        "database `{database}` is a cluster's and has schema version {found}, this program needs {known}: apply what `syncline-aggregator migrate --dry-run --cluster NAME` prints"
    )]
    SchemaOfCluster {
        /// The database.
        database: String,
        /// The version found.
        found: u32,
        /// The newest version known.
        known: u32,
    },
    /// The database is not ours, or its migrations are not the ones this program has.
    #[error("database `{database}` is not usable: {reason}")]
    SchemaForeign {
        /// The database.
        database: String,
        /// What was found.
        reason: String,
    },
    /// The columns of a block do not fit together.
    #[error("a block for table `{table}` is malformed: {reason}")]
    Block {
        /// The table.
        table: String,
        /// What does not fit.
        reason: String,
    },
    /// ClickHouse refused a statement.
    #[error("ClickHouse error {code}: {message}")]
    Sql {
        /// ClickHouse's error code.
        code: u32,
        /// ClickHouse's message, without its decoration.
        message: String,
    },
    /// The exchange with ClickHouse failed; whether the statement took effect is unknown.
    #[error("the exchange with ClickHouse failed: {reason}")]
    Network {
        /// What happened.
        reason: String,
    },
    /// ClickHouse or the client library answered in a way we do not understand.
    #[error("unexpected answer from ClickHouse: {reason}")]
    Protocol {
        /// What happened.
        reason: String,
    },
    /// A file or the operating system failed us.
    #[error("{what}: {cause}")]
    Io {
        /// What was being done, with the path.
        what: String,
        /// The operating system's answer.
        cause: std::io::Error,
    },
}

impl StoreError {
    /// Whether the same call may succeed later: the network, a server that is overloaded, out of memory or read-only for now.
    /// An insert is safe to retry with the same block and token.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Network { .. } | Self::Unreachable { .. } => true,
            Self::Sql { code, .. } => RETRYABLE_CODES.contains(code),
            _ => false,
        }
    }

    /// Whether ClickHouse may still be about the statement that failed with this: no answer came, or one that says that it does not know.
    #[must_use]
    pub fn may_be_under_way(&self) -> bool {
        match self {
            Self::Sql { code, .. } => UNKNOWN_END_CODES.contains(code),
            Self::Block { .. } => false,
            _ => true,
        }
    }

    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |cause| Self::Io { what, cause }
    }

    pub(crate) fn sql(answer: &str) -> Option<Self> {
        let (code, message) = split_exception(answer)?;
        Some(Self::Sql { code, message: clean(message) })
    }
}

impl From<clickhouse::error::Error> for StoreError {
    fn from(error: clickhouse::error::Error) -> Self {
        use clickhouse::error::Error;
        match error {
            Error::BadResponse(answer) => Self::from_answer(&answer),
            Error::Network(source) => Self::Network { reason: innermost(&*source) },
            Error::TimedOut => Self::Network { reason: "timed out".to_owned() },
            other => Self::Protocol { reason: clean(&other.to_string()) },
        }
    }
}

impl StoreError {
    /// The body of an answer whose status was not a success. A gateway's 502, 503 and 504 carry no ClickHouse code.
    fn from_answer(answer: &str) -> Self {
        if let Some(sql) = Self::sql(answer) {
            return sql;
        }
        let reason = clean(answer);
        if ["502", "503", "504", "429"].iter().any(|status| reason.starts_with(status)) {
            Self::Network { reason }
        } else {
            Self::Protocol { reason }
        }
    }
}

/// The outer layers say "client error (Connect)"; what helps is the deepest one, "Connection refused".
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    clean(&deepest.to_string())
}

/// Codes of `ErrorCodes.cpp` that describe the server's state rather than the statement.
const RETRYABLE_CODES: [u32; 22] = [
    75,  // CANNOT_WRITE_TO_FILE_DESCRIPTOR (disk full)
    159, // TIMEOUT_EXCEEDED
    164, // READONLY (of a replica, while it recovers)
    173, // CANNOT_ALLOCATE_MEMORY
    202, // TOO_MANY_SIMULTANEOUS_QUERIES
    203, // NO_FREE_CONNECTION
    209, // SOCKET_TIMEOUT
    210, // NETWORK_ERROR
    225, // NO_ZOOKEEPER
    236, // ABORTED
    241, // MEMORY_LIMIT_EXCEEDED
    242, // TABLE_IS_READ_ONLY
    243, // NOT_ENOUGH_SPACE
    252, // TOO_MANY_PARTS
    279, // ALL_CONNECTION_TRIES_FAILED
    285, // TOO_FEW_LIVE_REPLICAS
    286, // UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
    319, // UNKNOWN_STATUS_OF_INSERT
    394, // QUERY_WAS_CANCELLED (a server going down cancels)
    439, // CANNOT_SCHEDULE_TASK
    745, // SERVER_OVERLOADED
    999, // KEEPER_EXCEPTION
];

/// Codes of a server that waited for another one, which may go on.
const UNKNOWN_END_CODES: [u32; 4] = [
    159, // TIMEOUT_EXCEEDED
    209, // SOCKET_TIMEOUT
    210, // NETWORK_ERROR
    319, // UNKNOWN_STATUS_OF_INSERT
];

/// `Code: 62. DB::Exception: text` -> (62, text).
fn split_exception(answer: &str) -> Option<(u32, &str)> {
    let after = &answer[answer.find("Code: ")? + "Code: ".len()..];
    let digits = after.find(|c: char| !c.is_ascii_digit())?;
    let code = after[..digits].parse().ok()?;
    let text = after[digits..].trim_start_matches(['.', ' ']);
    Some((code, text.strip_prefix("DB::Exception: ").unwrap_or(text)))
}

const MAX_MESSAGE_LINES: usize = 4;
const HEAD_CHARS: usize = 400;
const TAIL_CHARS: usize = 200;

/// Takes off the server's version and stack trace, empty lines, and all but the first lines.
fn clean(message: &str) -> String {
    let message = message.split("Stack trace:").next().unwrap_or(message);
    let message = match message.rfind(" (version ") {
        Some(at) if message[at..].trim_end().ends_with(')') => &message[..at],
        _ => message,
    };
    let lines: Vec<&str> =
        message.lines().map(str::trim).filter(|line| !line.is_empty()).take(MAX_MESSAGE_LINES).collect();
    shorten(&lines.join("\n"))
}

/// ClickHouse quotes the whole query in the middle of a message; the cause is at the beginning, hints are at the end.
fn shorten(message: &str) -> String {
    let length = message.chars().count();
    if length <= HEAD_CHARS + TAIL_CHARS {
        return message.to_owned();
    }
    let head = message.chars().take(HEAD_CHARS);
    let tail = message.chars().skip(length - TAIL_CHARS);
    head.chain(" ... ".chars()).chain(tail).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_loses_its_decoration() {
        let answer = "Code: 60. DB::Exception: Unknown table expression identifier 'nosuch'. (UNKNOWN_TABLE) (version 26.7.2.1)\n";
        let error = StoreError::from_answer(answer);
        assert_eq!(
            error.to_string(),
            "ClickHouse error 60: Unknown table expression identifier 'nosuch'. (UNKNOWN_TABLE)"
        );
        assert!(!error.is_retryable());
    }

    #[test]
    fn a_cause_is_told_once_also_with_all_that_lies_below() {
        let error = StoreError::io("opening x")(std::io::Error::from_raw_os_error(2));
        let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        assert_eq!(
            chain.map(ToString::to_string).collect::<Vec<_>>(),
            ["opening x: No such file or directory (os error 2)"]
        );
    }

    #[test]
    fn the_servers_state_is_retryable_and_the_statement_is_not() {
        assert!(StoreError::from_answer("Code: 252. DB::Exception: Too many parts. (TOO_MANY_PARTS)").is_retryable());
        assert!(StoreError::from_answer("503 Service Unavailable").is_retryable());
        assert!(!StoreError::from_answer("Code: 62. DB::Exception: Syntax error. (SYNTAX_ERROR)").is_retryable());
        assert!(!StoreError::from_answer("404 Not Found").is_retryable());
    }

    #[test]
    fn what_was_refused_is_over_and_what_was_not_answered_may_go_on() {
        let sql = |code: u32| StoreError::Sql { code, message: String::new() };
        assert!(!sql(241).may_be_under_way() && !sql(252).may_be_under_way());
        assert!(sql(319).may_be_under_way());
        assert!(StoreError::Network { reason: "timed out".into() }.may_be_under_way());
        assert!(!StoreError::Block { table: "t".into(), reason: String::new() }.may_be_under_way());
    }

    #[test]
    fn a_long_message_keeps_its_beginning_and_its_end() {
        let text = format!("Unknown identifier in scope {}. (UNKNOWN_IDENTIFIER)", "x".repeat(5000));
        let short = clean(&text);
        assert!(short.starts_with("Unknown identifier") && short.ends_with("(UNKNOWN_IDENTIFIER)"), "{short}");
        assert_eq!(short.len(), HEAD_CHARS + TAIL_CHARS + " ... ".len());
    }

    #[test]
    fn text_that_is_no_exception_is_kept() {
        assert_eq!(split_exception("Code: "), None);
        assert_eq!(split_exception("Code: 99999999999. DB::Exception: x"), None);
        assert_eq!(clean("a\n\n  b\nc\nd\ne"), "a\nb\nc\nd");
    }
}
