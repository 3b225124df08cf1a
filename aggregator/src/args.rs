//! The command line.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use syncline_store::{DEFAULT_DATABASE, Location};

/// The aggregator of a region: takes its agents' batches, puts them on one clock, stores them in ClickHouse.
///
/// It prints one line, "ready ...", on stdout once it serves; logs go to stderr (RUST_LOG sets what, default "info").
/// It ends on SIGTERM or SIGINT after finishing what is under way.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) serve: Option<Args>,
}

/// What it does beside serving.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Migrate(MigrateArgs),
    Status(StatusArgs),
    Users(UsersArgs),
}

/// Show how ClickHouse takes what is written: version of the schema, parts, merges, space. Exit code 1 if there is something to do.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Bring the schema of a store up to this version's, and end. An aggregator does the same when it starts.
#[derive(Debug, clap::Args)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Print the statements that are missing, and run none of them
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print them for this cluster, whose servers have the macros 'shard' and 'replica': replicated tables in NAME_local, and distributed ones
    #[arg(long, value_name = "NAME", requires = "dry_run", value_parser = cluster)]
    pub(crate) cluster: Option<String>,
}

/// Print SQL that makes two users on a ClickHouse server: the aggregators', and one that only reads, inside of limits.
///
/// An administrator applies it. The passwords in it are new each time; applied again it replaces the users.
#[derive(Debug, clap::Args)]
pub(crate) struct UsersArgs {
    /// Database of the tables and views
    #[arg(long, value_name = "NAME", default_value = DEFAULT_DATABASE, value_parser = database)]
    pub(crate) database: String,
    /// Make them on all servers of this cluster
    #[arg(long, value_name = "NAME", value_parser = cluster)]
    pub(crate) cluster: Option<String>,
    /// From where the aggregators' user is let in, such as 10.1.0.0/16; may be given several times [default: the server itself]
    #[arg(long, value_name = "NETWORK", value_parser = network)]
    pub(crate) writer_from: Vec<String>,
    /// From where the user that reads is let in; may be given several times [default: the server itself]
    #[arg(long, value_name = "NETWORK", value_parser = network)]
    pub(crate) reader_from: Vec<String>,
    /// Memory that a query of the user that reads may take, MiB; all of its queries together take twice that at most
    #[arg(long, value_name = "MIB", default_value = "4096", value_parser = clap::value_parser!(u32).range(64..))]
    pub(crate) reader_memory_mib: u32,
}

/// Where the store is.
#[derive(Debug, clap::Args)]
pub(crate) struct StoreArgs {
    /// Directory of an embedded ClickHouse [env: SYNCLINE_STORE] [default: ~/.local/share/syncline/store]
    #[arg(long, value_name = "DIR", conflicts_with = "clickhouse_url", help_heading = "Store")]
    store_dir: Option<PathBuf>,
    /// A ClickHouse server instead: http://[user[:password]@]host:port [env: SYNCLINE_URL]
    ///
    /// Better in the environment if it has a password: command lines are public on a machine.
    #[arg(long, value_name = "URL", help_heading = "Store")]
    clickhouse_url: Option<String>,
    /// Database of the tables and views
    #[arg(long, value_name = "NAME", default_value = DEFAULT_DATABASE, help_heading = "Store")]
    pub(crate) database: String,
}

/// How it serves.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Region that this aggregator serves: letters, digits, '.', '_', '-'
    #[arg(long, value_name = "NAME", value_parser = region)]
    pub(crate) region: String,
    /// Address for agents and other aggregators
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7700")]
    pub(crate) listen: String,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Directory of this aggregator's own state [default: the store's, or ~/.local/share/syncline/aggregator/REGION]
    ///
    /// Holds the anchor of the region's reference clock: lose it, and the region starts a new reference.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Aggregator of the root region, http://host:port; without it this region is the root
    ///
    /// The reference of the root region is the fleet's one clock.
    #[arg(long, value_name = "URL", help_heading = "Clock")]
    pub(crate) root: Option<String>,
    /// Another aggregator to measure against too, of another region or of this one, http://host:port; may be given several times
    ///
    /// Along what is known of another one of this region, clock models of nodes that come from there go on.
    ///
    /// With every two regions measured, and what each claims of UTC, bounds between regions become tighter than half of a
    /// round trip, and a region whose claim is false is named: `syncline skew --regions`.
    #[arg(long, value_name = "URL", help_heading = "Clock")]
    pub(crate) peer: Vec<String>,
    /// Time between probes of the root and of peers, such as 1s or 250ms
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = probe_interval, help_heading = "Clock")]
    pub(crate) probe_interval: Duration,
    /// Probe other regions over gRPC only, whose stamps are coarser
    #[arg(long, help_heading = "Clock")]
    pub(crate) no_udp_probes: bool,
    /// Command port of this machine's chronyd, whose claim leads from the reference to UTC
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:323", help_heading = "Clock")]
    pub(crate) chrony: std::net::SocketAddr,
    /// What error bounds assume an oscillator's frequency to be off at most, ppm
    #[arg(long, value_name = "PPM", default_value = "500", value_parser = tolerance_ppm, help_heading = "Clock")]
    pub(crate) clock_tolerance_ppm: f64,
    /// Memory for batches under way, MiB; more than that waits at the agents
    #[arg(long, value_name = "MIB", default_value = "1024", value_parser = clap::value_parser!(u32).range(256..=1_048_576))]
    pub(crate) memory_mib: u32,
}

const EXAMPLES: &str = "\
Examples:
  syncline-aggregator --region us                               the root region, on an embedded ClickHouse
  SYNCLINE_URL=http://user:password@clickhouse:8123 \\
    syncline-aggregator --region eu --listen 0.0.0.0:7700 --root http://us.example:7700
  syncline-aggregator migrate --dry-run                         what a start would change in the store
  syncline-aggregator users --writer-from 10.1.0.0/16 --reader-from 10.0.0.0/8 > users.sql";

impl StoreArgs {
    /// As given, else as in the environment, else in the user's data directory.
    pub(crate) fn location(&self) -> anyhow::Result<Location> {
        match (&self.store_dir, &self.clickhouse_url) {
            (Some(dir), _) => Ok(Location::Embedded(dir.clone())),
            (None, Some(url)) => Ok(Location::Url(url.clone())),
            (None, None) => place_from(&environment),
        }
    }

    /// The same, of a store that is there: looking must not leave one behind.
    pub(crate) fn existing(&self) -> anyhow::Result<Location> {
        let location = self.location()?;
        if let Location::Embedded(dir) = &location
            && !dir.join("clickhouse").is_dir()
        {
            anyhow::bail!("there is no store at {}: name one with --store-dir or --clickhouse-url", dir.display());
        }
        Ok(location)
    }
}

impl Args {
    /// Where the aggregator's own state is, with this store.
    pub(crate) fn state_dir(&self, store: &Location) -> anyhow::Result<PathBuf> {
        match (&self.state_dir, store) {
            (Some(dir), _) => Ok(dir.clone()),
            (None, Location::Embedded(store)) => Ok(store.clone()),
            (None, Location::Url(_)) => Ok(data_home(&environment)?.join("aggregator").join(&self.region)),
        }
    }
}

type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn place_from(environment: &Environment<'_>) -> anyhow::Result<Location> {
    match (environment("SYNCLINE_STORE"), environment("SYNCLINE_URL")) {
        (Some(_), Some(_)) => anyhow::bail!("SYNCLINE_STORE and SYNCLINE_URL are both set: unset one"),
        (Some(dir), None) => Ok(Location::Embedded(dir.into())),
        (None, Some(url)) => Ok(Location::Url(url)),
        (None, None) => Ok(Location::Embedded(data_home(environment)?.join("store"))),
    }
}

fn data_home(environment: &Environment<'_>) -> anyhow::Result<PathBuf> {
    let home = environment("XDG_DATA_HOME").map(PathBuf::from);
    let home = home.or_else(|| environment("HOME").map(|home| Path::new(&home).join(".local/share")));
    Ok(home.context("neither XDG_DATA_HOME nor HOME is set: give --store-dir and --state-dir")?.join("syncline"))
}

/// A region's name is a directory's name too.
fn region(text: &str) -> Result<String, String> {
    let sane = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts_well && text.len() <= 64 && text.chars().all(sane) {
        Ok(text.to_owned())
    } else {
        Err("use 1 to 64 letters, digits, '.', '_' or '-', a letter or digit first".to_owned())
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

fn probe_interval(text: &str) -> Result<Duration, String> {
    let parsed = match text.strip_suffix("ms") {
        Some(ms) => ms.parse().ok().map(Duration::from_millis),
        None => text.strip_suffix('s').and_then(|s| s.parse().ok()).map(Duration::from_secs),
    };
    let sane = Duration::from_millis(50)..=Duration::from_secs(60);
    parsed.filter(|interval| sane.contains(interval)).ok_or_else(|| "use 50ms to 60s".to_owned())
}

fn tolerance_ppm(text: &str) -> Result<f64, String> {
    let parsed = text.parse().ok();
    parsed.filter(|ppm| (1.0..=1_000.0).contains(ppm)).ok_or_else(|| "use 1 to 1000".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parsed(text: &str) -> Result<CommandLine, clap::Error> {
        CommandLine::try_parse_from(std::iter::once("syncline-aggregator").chain(text.split_whitespace()))
    }

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn the_store_is_found_in_the_environment_where_it_is_not_given() {
        let place = |set: &[(&str, &str)]| {
            place_from(&|name| set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(place(&[("SYNCLINE_STORE", "/s"), ("HOME", "/h")]).unwrap(), Location::Embedded("/s".into()));
        assert_eq!(place(&[("SYNCLINE_URL", "http://c:8123")]).unwrap(), Location::Url("http://c:8123".into()));
        assert_eq!(place(&[("HOME", "/h")]).unwrap(), Location::Embedded("/h/.local/share/syncline/store".into()));
        assert!(place(&[]).unwrap_err().to_string().contains("--store-dir"));
        assert!(place(&[("SYNCLINE_STORE", "/s"), ("SYNCLINE_URL", "http://c")]).is_err());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            "",
            "--region ..",
            "--region a/b",
            "--region eu --probe-interval 0s",
            "--region eu --probe-interval 1",
            "--region eu --clock-tolerance-ppm -1",
            "--region eu --store-dir /s --clickhouse-url http://c",
            "--region eu migrate",
            "migrate --region eu",
            "migrate --cluster c",
            "users --writer-from 10.1",
            "users --reader-from 10.0.0.0/33",
            "users --database a-b",
            "users --cluster a'b",
        ] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
        let good = parsed("--region eu-1 --probe-interval 250ms --store-dir /s").unwrap().serve.unwrap();
        assert_eq!(good.probe_interval, Duration::from_millis(250));
        assert!(matches!(parsed("migrate --dry-run --store-dir /s").unwrap().command, Some(Command::Migrate(_))));
        assert!(matches!(
            parsed("users --writer-from ::1 --reader-from 0.0.0.0/0").unwrap().command,
            Some(Command::Users(_))
        ));
        assert_eq!(good.state_dir(&good.store.location().unwrap()).unwrap(), Path::new("/s"));
    }
}
