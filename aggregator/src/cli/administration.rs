//! The commands beside serving: the schema, users, how the store is.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use syncline_store::{DEFAULT_DATABASE, Location};

use super::args::{Environment, data_home, environment};

/// What it does beside serving.
#[derive(Debug, Subcommand)]
pub enum Administration {
    /// Bring the schema of a store up to this version's, and end
    Migrate(MigrateArgs),
    /// Show how ClickHouse takes what is written (exit code 1 where there is something to do)
    Status(StatusArgs),
    /// Print SQL that makes two users on a ClickHouse server: the aggregators', and one that only reads, inside of limits
    Users(UsersArgs),
}

/// A command line with such a command.
#[derive(Debug, Parser)]
#[command(name = "syncline-aggregator", version)]
pub(super) struct CommandLine {
    #[command(subcommand)]
    pub(super) command: Administration,
}

/// The names of the commands.
pub(super) const NAMES: [&str; 3] = ["migrate", "status", "users"];

/// Bring the schema of a store up to this version's, and end. An aggregator does the same when it starts.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// The store.
    #[command(flatten)]
    pub store: StoreArgs,
    /// Print the statements that are missing, and run none of them
    #[arg(long)]
    pub dry_run: bool,
    /// Print them for this cluster, whose servers have the macros 'shard' and 'replica': replicated tables in NAME_local, and distributed ones
    #[arg(long, value_name = "NAME", requires = "dry_run", value_parser = cluster)]
    pub cluster: Option<String>,
}

/// Show how ClickHouse takes what is written: version of the schema, parts, merges, space, what waits in an aggregator's spool. Exit code 1 if there is something to do.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The store.
    #[command(flatten)]
    pub store: StoreArgs,
    /// The spool of an aggregator on this machine [default: that beside an embedded store]
    #[arg(long, value_name = "DIR")]
    pub spool: Option<PathBuf>,
}

/// Print SQL that makes two users on a ClickHouse server: the aggregators', and one that only reads, inside of limits.
///
/// An administrator applies it. The passwords in it are new each time; applied again it replaces the users.
#[derive(Debug, Args)]
pub struct UsersArgs {
    /// Database of the tables and views
    #[arg(long, value_name = "NAME", default_value = DEFAULT_DATABASE, value_parser = database)]
    pub database: String,
    /// Make them on all servers of this cluster
    #[arg(long, value_name = "NAME", value_parser = cluster)]
    pub cluster: Option<String>,
    /// From where the aggregators' user is let in, such as 10.1.0.0/16; may be given several times [default: the server itself]
    #[arg(long, value_name = "NETWORK", value_parser = network)]
    pub writer_from: Vec<String>,
    /// From where the user that reads is let in; may be given several times [default: the server itself]
    #[arg(long, value_name = "NETWORK", value_parser = network)]
    pub reader_from: Vec<String>,
    /// Memory that a query of the user that reads may take, MiB; all of its queries together take twice that at most
    #[arg(long, value_name = "MIB", default_value = "4096", value_parser = clap::value_parser!(u32).range(64..))]
    pub reader_memory_mib: u32,
}

/// Where the store is.
#[derive(Debug, Args)]
pub struct StoreArgs {
    /// Directory of an embedded ClickHouse [env: SYNCLINE_STORE] [default: ~/.local/share/syncline/store]
    #[arg(long, value_name = "DIR", conflicts_with = "clickhouse_url")]
    store_dir: Option<PathBuf>,
    /// A ClickHouse server instead: http://[user[:password]@]host:port [env: SYNCLINE_URL]
    #[arg(long, value_name = "URL")]
    clickhouse_url: Option<String>,
    /// Database of the tables and views
    #[arg(long, value_name = "NAME", default_value = DEFAULT_DATABASE)]
    pub database: String,
}

impl StoreArgs {
    /// As given, else as in the environment, else in the user's data directory.
    ///
    /// # Errors
    /// That is nowhere, or the environment names two.
    pub fn location(&self) -> anyhow::Result<Location> {
        match (&self.store_dir, &self.clickhouse_url) {
            (Some(dir), _) => Ok(Location::Embedded(dir.clone())),
            (None, Some(url)) => Ok(Location::Url(url.clone())),
            (None, None) => location_from(&environment),
        }
    }

    /// The same, of a store that is there: looking must not leave one behind.
    ///
    /// # Errors
    /// As of [`StoreArgs::location`]; there is none.
    pub fn existing(&self) -> anyhow::Result<Location> {
        let location = self.location()?;
        if let Location::Embedded(dir) = &location
            && !dir.join("clickhouse").is_dir()
        {
            anyhow::bail!("there is no store at {}: name one with --store-dir or --clickhouse-url", dir.display());
        }
        Ok(location)
    }
}

fn location_from(environment: &Environment<'_>) -> anyhow::Result<Location> {
    match (environment("SYNCLINE_STORE"), environment("SYNCLINE_URL")) {
        (Some(_), Some(_)) => anyhow::bail!("SYNCLINE_STORE and SYNCLINE_URL are both set: unset one"),
        (Some(dir), None) => Ok(Location::Embedded(dir.into())),
        (None, Some(url)) => Ok(Location::Url(url)),
        (None, None) => Ok(Location::Embedded(data_home(environment)?.join("store"))),
    }
}

fn database(text: &str) -> Result<String, String> {
    let is_name = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_name { Ok(text.to_owned()) } else { Err("use letters, digits and `_`, not a digit first".to_owned()) }
}

fn cluster(text: &str) -> Result<String, String> {
    let sane = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '{' | '}');
    if !text.is_empty() && text.chars().all(sane) {
        Ok(text.to_owned())
    } else {
        Err("use a name from the server's remote_servers, or '{cluster}'".to_owned())
    }
}

/// An address, or one with the length of its network's prefix.
fn network(text: &str) -> Result<String, String> {
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let longest = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return Err("use an address or a network, such as 10.1.2.3, 10.1.0.0/16 or ::/0".to_owned()),
    };
    match length.map(str::parse::<u8>) {
        None => Ok(text.to_owned()),
        Some(Ok(length)) if length <= longest => Ok(text.to_owned()),
        Some(_) => Err(format!("a prefix has 0 to {longest} bits")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parsed(text: &str) -> Result<CommandLine, clap::Error> {
        CommandLine::try_parse_from(std::iter::once("syncline-aggregator").chain(text.split_whitespace()))
    }

    #[test]
    fn all_commands_are_known_by_their_names() {
        CommandLine::command().debug_assert();
        let names: Vec<String> =
            CommandLine::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
        assert_eq!(names, NAMES);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            "migrate --region eu",
            "migrate --cluster c",
            "migrate --store-dir /s --clickhouse-url http://c",
            "users --writer-from 10.1",
            "users --reader-from 10.0.0.0/33",
            "users --database a-b",
            "users --cluster a'b",
        ] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
        assert!(parsed("migrate --dry-run --cluster c --store-dir /s").is_ok());
        assert!(parsed("users --writer-from ::1 --reader-from 0.0.0.0/0").is_ok());
    }

    #[test]
    fn the_store_is_found_in_the_environment_where_it_is_not_given() {
        let location = |set: &[(&str, &str)]| {
            location_from(&|name| set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(location(&[("SYNCLINE_STORE", "/s"), ("HOME", "/h")]).unwrap(), Location::Embedded("/s".into()));
        assert_eq!(location(&[("SYNCLINE_URL", "http://c:8123")]).unwrap(), Location::Url("http://c:8123".into()));
        assert_eq!(location(&[("HOME", "/h")]).unwrap(), Location::Embedded("/h/.local/share/syncline/store".into()));
        assert!(location(&[("SYNCLINE_STORE", "/s"), ("SYNCLINE_URL", "http://c")]).is_err());
    }
}
