//! The command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use syncline_clock::Tolerance;
use syncline_config::{Document, units};
use syncline_kafka::{Broker, DEFAULT_TOPIC, Setting, Settings, Topic};
use syncline_store::{DEFAULT_DATABASE, Store};
use syncline_timebase::FrequencyError;

use crate::ingest::kafka;
use crate::ingest::spooled::{LEAST_BYTES, SpoolConfig};
use crate::region_clock::RegionClockConfig;
use crate::settings::Alerts;

/// The aggregator of a region: takes its agents' batches, puts them on one clock, stores them in ClickHouse.
///
/// It prints one line, "ready ...", on stdout once it serves; logs go to stderr (RUST_LOG sets what, default "info").
/// It ends on SIGTERM or SIGINT after finishing what is under way.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub struct Args {
    /// Region that this aggregator serves: letters, digits, '.', '_', '-'
    #[arg(long, value_name = "NAME", value_parser = region)]
    pub region: String,
    /// Address for agents and other aggregators
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7700")]
    pub listen: String,
    /// Directory of an embedded ClickHouse [default: ~/.local/share/syncline/store]
    #[arg(long, value_name = "DIR", conflicts_with = "clickhouse_url", help_heading = "Store")]
    store_dir: Option<PathBuf>,
    /// A ClickHouse server instead: http://[user[:password]@]host:port
    ///
    /// Better in the environment if it has a password: command lines are public on a machine.
    #[arg(long, value_name = "URL", help_heading = "Store")]
    clickhouse_url: Option<String>,
    /// Database of the tables and views
    #[arg(long, value_name = "NAME", default_value = DEFAULT_DATABASE, help_heading = "Store")]
    pub database: String,
    /// Directory of this aggregator's own state [default: the store's, or ~/.local/share/syncline/aggregator/REGION]
    ///
    /// Holds the anchor of the region's reference clock: lose it, and the region starts a new reference.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Directory where batches are from their acknowledgement until they are stored [default: spool in the state's]
    ///
    /// Agents forget what is acknowledged: what is here is nowhere else. One aggregator has it at a time.
    #[arg(long, value_name = "DIR", help_heading = "Spool")]
    spool: Option<PathBuf>,
    /// What the spool may take of the disk, such as 512MiB or 4GiB; when it is full, agents wait
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = spool_bytes, help_heading = "Spool")]
    spool_bytes: u64,
    /// Aggregator of the root region, http://host:port; without it this region is the root
    ///
    /// The reference of the root region is the fleet's one clock.
    #[arg(long, value_name = "URL", help_heading = "Clock")]
    pub root: Option<String>,
    /// Another aggregator to measure against too, of another region or of this one, http://host:port; may be given several times
    ///
    /// Along what is known of another one of this region, clock models of nodes that come from there go on.
    ///
    /// With every two regions measured, and what each claims of UTC, bounds between regions become tighter than half of a
    /// round trip, and a region whose claim is false is named: `syncline skew --regions`.
    #[arg(long, value_name = "URL", help_heading = "Clock")]
    pub peer: Vec<String>,
    /// Time between probes of the root and of peers, such as 1s or 250ms
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = probe_interval, help_heading = "Clock")]
    pub probe_interval: Duration,
    /// Probe other regions over gRPC only, whose stamps are coarser
    #[arg(long, help_heading = "Clock")]
    pub no_udp_probes: bool,
    /// Command port of this machine's chronyd, whose claim leads from the reference to UTC
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:323", value_parser = units::socket_address, help_heading = "Clock")]
    pub chrony: std::net::SocketAddr,
    /// What error bounds assume an oscillator's frequency to be off at most, ppm
    #[arg(long, value_name = "PPM", default_value = "500", value_parser = tolerance_ppm, help_heading = "Clock")]
    pub clock_tolerance_ppm: f64,
    /// Some of the Kafka brokers, separated by commas, that batches come by; those over gRPC are taken as well
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', help_heading = "Kafka")]
    kafka_brokers: Vec<Broker>,
    /// The Kafka topic, which has to be there
    #[arg(long, value_name = "NAME", default_value = DEFAULT_TOPIC, help_heading = "Kafka")]
    kafka_topic: Topic,
    /// Make the topic with so many partitions if it is not there: at least as many as there will be aggregators of the region
    #[arg(long, value_name = "PARTITIONS", value_parser = clap::value_parser!(u16).range(1..=10_000), help_heading = "Kafka")]
    kafka_create_topic: Option<u16>,
    /// The group of consumers, which the aggregators of the region share, and no others [default: syncline-REGION]
    #[arg(long, value_name = "NAME", help_heading = "Kafka")]
    kafka_group: Option<String>,
    /// A setting of librdkafka's, which does the talking; may be given several times, or separated by semicolons. Passwords are better in the
    /// environment or the file: command lines are public on a machine
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ';', help_heading = "Kafka")]
    kafka_config: Vec<Setting>,
    /// Memory for batches under way, MiB; more than that waits at the agents
    #[arg(long, value_name = "MIB", default_value = "1024", value_parser = clap::value_parser!(u32).range(256..=1_048_576))]
    pub memory_mib: u32,
    /// Address on which Prometheus may ask for metrics (GET /metrics) [default: none]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = units::socket_address)]
    pub metrics: Option<std::net::SocketAddr>,
    /// File (TOML) with any of these options, their names with `_`, and with `[alerts]`: limits, maintenance, and who is told; what is
    /// typed or set in the environment (SYNCLINE_AGGREGATOR_ and the name) goes before it [env: SYNCLINE_AGGREGATOR_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What the file says of alerts.
    #[arg(skip)]
    pub alerts: Alerts,
    /// The file as it was read.
    #[arg(skip)]
    pub file: Option<Document>,
}

const EXAMPLES: &str = "\
Examples:
  syncline-aggregator --region us                               the root region, on an embedded ClickHouse
  syncline-aggregator --config /etc/syncline/aggregator.toml    all by a file
  syncline-aggregator validate /etc/syncline/aggregator.toml    whether it would be taken (exit code 78 where not)
  SYNCLINE_URL=http://user:password@clickhouse:8123 \\
    syncline-aggregator --region eu --listen 0.0.0.0:7700 --root http://us.example:7700
  syncline-aggregator migrate --dry-run                         what a start would change in the store
  syncline-aggregator users --writer-from 10.1.0.0/16 --reader-from 10.0.0.0/8 > users.sql";

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An embedded engine in this directory.
    Embedded(PathBuf),
    /// A server.
    Url(String),
}

impl Args {
    /// The store: as given, else in the user's data directory.
    ///
    /// # Errors
    /// That is nowhere.
    pub fn store(&self) -> anyhow::Result<Place> {
        match (&self.store_dir, &self.clickhouse_url) {
            (Some(dir), _) => Ok(Place::Embedded(dir.clone())),
            (None, Some(url)) => Ok(Place::Url(url.clone())),
            (None, None) => Ok(Place::Embedded(data_home(&environment)?.join("store"))),
        }
    }

    /// The way over Kafka, if there is one; what will never be stored goes into the state directory.
    ///
    /// # Errors
    /// Options of it without its brokers.
    pub fn kafka(&self, state_dir: &Path) -> anyhow::Result<Option<kafka::Config>> {
        if self.kafka_brokers.is_empty() {
            let others =
                self.kafka_create_topic.is_some() || self.kafka_group.is_some() || !self.kafka_config.is_empty();
            anyhow::ensure!(!others, "options of Kafka without --kafka-brokers: say where it is");
            return Ok(None);
        }
        let group = self.kafka_group.clone().filter(|group| !group.is_empty());
        Ok(Some(kafka::Config {
            settings: Settings::new(&self.kafka_brokers, self.kafka_topic.clone(), self.kafka_config.clone()),
            create: self.kafka_create_topic,
            group: group.unwrap_or_else(|| format!("syncline-{}", self.region)),
            aside: state_dir.join("kafka-aside"),
            is_silent: false,
        }))
    }

    /// The ways to other regions, the root's first.
    ///
    /// # Errors
    /// One of them is no URL of an aggregator: the key, and why.
    pub fn regions(&self) -> Result<Vec<RegionClockConfig>, Contradiction> {
        let root = self.root.iter().map(|url| (url, true, "root"));
        let peers = self.peer.iter().map(|url| (url, false, "peer"));
        let way = |(url, is_root, key): (&String, bool, &'static str)| {
            let way = RegionClockConfig::new(url, is_root, self.probe_interval, self.tolerance());
            let why = |error| Contradiction { key, why: format!("cannot use --{key} {url}: {error:#}") };
            way.map(|way| RegionClockConfig { udp: !self.no_udp_probes, ..way }).map_err(why)
        };
        root.chain(peers).map(way).collect()
    }

    /// What is assumed of oscillators.
    #[must_use]
    pub fn tolerance(&self) -> Tolerance {
        Tolerance { absolute: FrequencyError::from_ppm(self.clock_tolerance_ppm), ..Tolerance::default() }
    }

    /// What a start would refuse, whatever the machine and the network are like, beyond what is wrong with one option alone.
    ///
    /// # Errors
    /// The key to mend, and why.
    pub fn check(&self) -> Result<(), Contradiction> {
        let of = |key| move |why: String| Contradiction { key, why };
        listen_address(&self.listen).map_err(of("listen"))?;
        Store::check(None, &self.database).map_err(|error| of("database")(error.to_string()))?;
        let url = self.clickhouse_url.as_deref().filter(|_| self.store_dir.is_none());
        Store::check(url, &self.database).map_err(|error| of("clickhouse_url")(error.to_string()))?;
        self.regions()?;
        let key = if self.kafka_create_topic.is_some() {
            "kafka_create_topic"
        } else if self.kafka_group.is_some() {
            "kafka_group"
        } else {
            "kafka_config"
        };
        let kafka = self.kafka(Path::new("")).map_err(|error| of(key)(format!("{error:#}")))?;
        let taken = kafka.map(|kafka| kafka.settings.consumer(&kafka.group).map(drop));
        taken.unwrap_or(Ok(())).map_err(|error| of("kafka_config")(error.to_string()))
    }

    /// Where the aggregator's own state is, with this store.
    ///
    /// # Errors
    /// As of [`Args::store`].
    pub fn state_dir(&self, store: &Place) -> anyhow::Result<PathBuf> {
        match (&self.state_dir, store) {
            (Some(dir), _) => Ok(dir.clone()),
            (None, Place::Embedded(store)) => Ok(store.clone()),
            (None, Place::Url(_)) => Ok(data_home(&environment)?.join("aggregator").join(&self.region)),
        }
    }

    /// How long claims on batches last, for tests, which do not wait for long. It is no option: all aggregators on a store must agree.
    #[must_use]
    pub fn claims_last(&self) -> Option<Duration> {
        environment("SYNCLINE_TEST_CLAIMS_LAST_MS")?.parse().ok().map(Duration::from_millis)
    }

    /// The spool, of an aggregator with its state in this directory.
    pub fn spool(&self, state_dir: &Path) -> SpoolConfig {
        let dir = self.spool.clone().unwrap_or_else(|| state_dir.join("spool"));
        SpoolConfig { dir, max_bytes: self.spool_bytes }
    }
}

/// Options that cannot be together, or one that cannot be.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{why}")]
pub struct Contradiction {
    /// The key of the one to mend.
    pub key: &'static str,
    /// Why it cannot be.
    pub why: String,
}

pub(super) type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

pub(super) fn data_home(environment: &Environment<'_>) -> anyhow::Result<PathBuf> {
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

/// As the system resolves it: a name or an address, and a port.
fn listen_address(text: &str) -> Result<(), String> {
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    // Underscores are in names that Docker gives; colons, brackets and % in addresses of IPv6.
    let is_of_a_host = |c: char| c.is_ascii_alphanumeric() || ".-_:[]%".contains(c);
    let is_host = |host: &str| !host.is_empty() && !host.starts_with('-') && host.chars().all(is_of_a_host);
    match text.rsplit_once(':') {
        Some((host, port)) if is_host(host) && is_port(port) => Ok(()),
        _ => Err(format!("{text:?} is no address to listen on: give ADDRESS:PORT, as in 0.0.0.0:7700")),
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

fn spool_bytes(text: &str) -> Result<u64, String> {
    let bytes = units::bytes(text)?;
    if bytes >= LEAST_BYTES { Ok(bytes) } else { Err(format!("it takes {}MiB at least", LEAST_BYTES >> 20)) }
}

fn tolerance_ppm(text: &str) -> Result<f64, String> {
    let parsed = text.parse().ok();
    parsed.filter(|ppm| (1.0..=1_000.0).contains(ppm)).ok_or_else(|| "use 1 to 1000".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn args(text: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once("syncline-aggregator").chain(text.split_whitespace()))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn data_is_in_the_users_directory_where_nothing_is_said() {
        let home = |set: &[(&str, &str)]| {
            data_home(&|name| set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(home(&[("HOME", "/h")]).unwrap(), Path::new("/h/.local/share/syncline"));
        assert_eq!(home(&[("HOME", "/h"), ("XDG_DATA_HOME", "/d")]).unwrap(), Path::new("/d/syncline"));
        assert!(home(&[]).unwrap_err().to_string().contains("--store-dir"));
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
            "--region eu --kafka-brokers kafka",
            "--region eu --kafka-brokers k:1 --kafka-config enable.auto.commit=true",
            "--region eu --spool-bytes 1MiB",
            "--region eu --spool-bytes 4GB",
            "--region eu --spool-bytes 99999999999GiB",
        ] {
            assert!(args(bad).is_err(), "{bad}");
        }
        let good = args("--region eu-1 --probe-interval 250ms --store-dir /s").unwrap();
        assert_eq!(good.probe_interval, Duration::from_millis(250));
        assert_eq!(good.state_dir(&good.store().unwrap()).unwrap(), Path::new("/s"));
        assert!(good.kafka(Path::new("/s")).unwrap().is_none());
        assert!(args("--region eu --kafka-group g").unwrap().kafka(Path::new("/s")).is_err());
        let kafka = args("--region eu-1 --kafka-brokers k:1,l:2").unwrap().kafka(Path::new("/s")).unwrap().unwrap();
        assert_eq!((kafka.settings.brokers(), &*kafka.group), ("k:1,l:2", "syncline-eu-1"));
        assert_eq!(good.spool(Path::new("/s")), SpoolConfig { dir: "/s/spool".into(), max_bytes: 4 << 30 });
        let spool = args("--region eu --spool /d --spool-bytes 512MiB").unwrap().spool(Path::new("/s"));
        assert_eq!(spool, SpoolConfig { dir: "/d".into(), max_bytes: 512 << 20 });
    }
}
