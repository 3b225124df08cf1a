//! Kafka for tests: librdkafka's own mock brokers, or a real broker in a process of Java; and what agents would send there.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use syncline_event::Batch;
use syncline_kafka::{DEFAULT_TOPIC, Settings, create_topic, key_of};

use super::eventually;
use super::prometheus::free_port;

pub(crate) const PARTITIONS: i32 = 4;

/// A cluster with the topic.
pub(crate) enum Cluster {
    Mock(MockCluster<'static, DefaultProducerContext>),
    Real(Broker),
}

impl Cluster {
    pub(crate) fn mock() -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(DEFAULT_TOPIC, PARTITIONS, 1).unwrap();
        Self::Mock(cluster)
    }

    /// None, which it says, where there is no Kafka; `SYNCLINE_REQUIRE_KAFKA=1` makes that a failure.
    pub(crate) async fn real() -> Option<Self> {
        let broker = match Broker::start().await {
            Ok(broker) => broker,
            Err(reason) => {
                println!("skipped: {reason} (cargo xtask fetch kafka)");
                let required = std::env::var("SYNCLINE_REQUIRE_KAFKA").is_ok_and(|value| value == "1");
                assert!(!required, "SYNCLINE_REQUIRE_KAFKA=1 and no Kafka");
                return None;
            }
        };
        let cluster = Self::Real(broker);
        create_topic(&cluster.settings(), PARTITIONS as u16).await.unwrap();
        Some(cluster)
    }

    pub(crate) fn brokers(&self) -> String {
        match self {
            Self::Mock(cluster) => cluster.bootstrap_servers(),
            Self::Real(broker) => broker.address(),
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings::new(&[self.brokers().parse().unwrap()], DEFAULT_TOPIC.parse().unwrap(), Vec::new())
    }

    /// The shortest time after which a silent member may be out of its group.
    pub(crate) fn session(&self) -> &'static str {
        match self {
            Self::Mock(_) => "session.timeout.ms=3000",
            Self::Real(_) => "session.timeout.ms=6000",
        }
    }

    /// What the group has committed of each partition that it has committed something of. Nothing where a broker that was
    /// started anew does not know of the group yet.
    pub(crate) fn committed(&self, group: &str) -> Vec<(i32, i64)> {
        let consumer: BaseConsumer = self.settings().consumer(group).unwrap().create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_range(DEFAULT_TOPIC, 0, PARTITIONS - 1);
        let Ok(committed) = consumer.committed_offsets(list, Duration::from_secs(20)) else { return Vec::new() };
        let of = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            let Offset::Offset(offset) = element.offset() else { return None };
            Some((element.partition(), offset))
        };
        committed.elements().iter().filter_map(of).collect()
    }

    /// Whether everything in the topic is behind what the group has committed.
    pub(crate) fn is_done(&self, group: &str) -> bool {
        let consumer: BaseConsumer = self.settings().consumer(group).unwrap().create().unwrap();
        let committed = self.committed(group);
        (0..PARTITIONS).all(|partition| {
            let watermarks = consumer.fetch_watermarks(DEFAULT_TOPIC, partition, Duration::from_secs(20));
            let Ok((_, high)) = watermarks else { return false };
            let of = committed.iter().find(|(number, _)| *number == partition);
            of.map_or(high == 0, |(_, offset)| *offset == high)
        })
    }
}

/// What agents send.
pub(crate) struct Feed {
    producer: BaseProducer,
}

impl Feed {
    pub(crate) fn to(cluster: &Cluster) -> Self {
        Self { producer: cluster.settings().producer().unwrap().create().unwrap() }
    }

    pub(crate) fn send(&self, batch: &Batch) {
        let origin = &batch.origin;
        let key = key_of(&origin.region, origin.node.as_str(), origin.boot);
        self.send_bytes(&key, &syncline_proto::encode(batch).unwrap());
    }

    pub(crate) fn send_bytes(&self, key: &str, bytes: &[u8]) {
        self.producer.send(BaseRecord::to(DEFAULT_TOPIC).key(key).payload(bytes)).map_err(|(error, _)| error).unwrap();
    }

    /// Waits until the broker has all.
    pub(crate) fn flush(&self) {
        self.producer.flush(Duration::from_secs(60)).unwrap();
    }
}

/// A broker that is its own controller, on loopback.
pub(crate) struct Broker {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
    jars: PathBuf,
}

impl Broker {
    async fn start() -> Result<Self, String> {
        let jars = jars()?;
        let dir = tempfile::tempdir().unwrap();
        let [port, controller] = [(); 2].map(|()| free_port());
        std::fs::write(dir.path().join("server.properties"), properties(dir.path(), port, controller)).unwrap();
        let mut format = java(&jars, dir.path());
        format.args(["kafka.tools.StorageTool", "format", "-t", "c3luY2xpbmUtdGVzdHMtMA", "-c", "server.properties"]);
        let formatted = format.output().map_err(|error| format!("java cannot be started: {error}"))?;
        assert!(formatted.status.success(), "{}", String::from_utf8_lossy(&formatted.stderr));
        let child = serve(&jars, dir.path());
        let mut broker = Self { child, port, dir, jars };
        broker.wait_until_ready().await;
        Ok(broker)
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// SIGKILL, and another one with the same files.
    pub(crate) async fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = serve(&self.jars, self.dir.path());
        self.wait_until_ready().await;
    }

    async fn wait_until_ready(&mut self) {
        let log = self.dir.path().join("log");
        eventually("the broker is ready", async || {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            assert!(self.child.try_wait().unwrap().is_none(), "the broker ended: {log}");
            log.contains("Kafka Server started")
        })
        .await;
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(jars: &Path, dir: &Path) -> Child {
    let log = std::fs::File::create(dir.join("log")).unwrap();
    let mut command = java(jars, dir);
    command.args(["-Xmx384m", "kafka.Kafka", "server.properties"]);
    command.stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null()).spawn().unwrap()
}

fn java(jars: &Path, dir: &Path) -> Command {
    let mut command = Command::new("java");
    command.arg("-cp").arg(format!("{}/*", jars.display())).current_dir(dir);
    // slf4j-simple: what tells that the broker is ready is of this level.
    command.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=info");
    command
}

/// Where `cargo xtask fetch kafka` has put them.
fn jars() -> Result<PathBuf, String> {
    let cache = || {
        let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or(home)?;
        Some(
            std::env::var_os("SYNCLINE_CACHE")
                .map_or_else(|| cache.join("syncline"), PathBuf::from)
                .join("kafka-4.1.0"),
        )
    };
    let dir = std::env::var_os("SYNCLINE_KAFKA").map(PathBuf::from).or_else(cache);
    let dir = dir.filter(|dir| dir.is_dir()).ok_or("Apache Kafka is not there")?;
    let is_there = Command::new("java").arg("-version").output().is_ok_and(|output| output.status.success());
    if is_there { Ok(dir) } else { Err("Java is not there".to_owned()) }
}

fn properties(dir: &Path, port: u16, controller: u16) -> String {
    include_str!("../../../kafka/broker.properties")
        .replace("@DIR@", &dir.display().to_string())
        .replace("@PORT@", &port.to_string())
        .replace("@CONTROLLER@", &controller.to_string())
}
