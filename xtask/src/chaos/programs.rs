//! The programs of a run, and the commands that start them.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::fleet::OBSERVER;
use super::{Options, REGION, Uplink};
use crate::bench::build;
use crate::demo::broker;
use crate::demo::build::OURS;
use crate::{engine, fetch, place};

/// Partitions of the topic.
const PARTITIONS: &str = "6";
/// Nobody listens there.
const NOBODY: &str = "http://127.0.0.1:1";
const QUIET: &str = "warn";

/// What runs.
pub(crate) struct Programs {
    agent: PathBuf,
    nodes: PathBuf,
    aggregator: PathBuf,
    pub(crate) cli: PathBuf,
    libchdb: PathBuf,
    /// Of Kafka, where that is the uplink.
    pub(super) jars: Option<PathBuf>,
}

impl Programs {
    /// # Errors
    /// When something is missing or does not build.
    pub(crate) fn build(options: &Options) -> Result<Self> {
        fetch::run(fetch::Part::Clang)?;
        fetch::run(fetch::Part::Libchdb)?;
        let jars = (options.uplink == Uplink::Kafka).then(fetch::kafka::required).transpose()?;
        let built = build::cargo_build(options.built, &OURS)?;
        Ok(Self {
            agent: built.join("syncline-agent"),
            nodes: built.join("examples").join("modelled_nodes"),
            aggregator: built.join("syncline-aggregator"),
            cli: built.join("syncline"),
            libchdb: fetch::libchdb::path()?,
            jars,
        })
    }

    /// An aggregator with state of that name, with the store or beside it.
    pub(super) fn aggregator(
        &self,
        listen: SocketAddr,
        dir: &Path,
        name: &str,
        is_root: bool,
        broker: Option<&str>,
    ) -> impl Fn() -> Command + 'static {
        let (program, libchdb, broker) = (self.aggregator.clone(), self.libchdb.clone(), broker.map(str::to_owned));
        let (store, state) = (dir.join("store"), dir.join("state").join(name));
        move || {
            let mut command = Command::new(&program);
            command.env_remove("SYNCLINE_URL").env_remove("SYNCLINE_STORE").env("RUST_LOG", QUIET);
            command.args(["--region", REGION, "--listen", &listen.to_string(), "--state-dir"]).arg(&state);
            if is_root {
                command.arg("--store-dir").arg(&store).env(fetch::libchdb::OVERRIDE, &libchdb);
            } else {
                // In the environment, since it has a password. While there is none the program fails, and is started again: without any URL it
                // would begin a store of its own.
                command.env("SYNCLINE_URL", engine::url(&store).unwrap_or_else(|_| NOBODY.to_owned()));
            }
            if let Some(broker) = &broker {
                command.args(["--kafka-brokers", broker, "--kafka-create-topic", PARTITIONS]);
                command.args(["--kafka-config", "session.timeout.ms=6000"]);
            }
            command
        }
    }

    /// The agent that observes the process.
    pub(super) fn agent(
        &self,
        dir: &Path,
        pid: String,
        urls: &str,
        broker: Option<&str>,
    ) -> impl Fn() -> Command + 'static {
        let (program, spool, urls) = (self.agent.clone(), dir.join("agent").join("spool"), urls.to_owned());
        let broker = broker.map(str::to_owned);
        move || {
            let mut command = Command::new(&program);
            command.env("RUST_LOG", "warn,syncline_agent::run=info");
            command.args(["run", "--node", OBSERVER, "--region", REGION, "--keep-trying", "--pid", &pid]);
            command.args(["--aggregator", &urls, "--control", "none", "--symbol-cache", "none", "--spool"]).arg(&spool);
            if let Some(broker) = &broker {
                command.args(["--uplink", "kafka", "--kafka-brokers", broker]);
            }
            command
        }
    }

    /// The modelled nodes.
    pub(super) fn nodes(
        &self,
        options: &Options,
        dir: &Path,
        urls: &str,
        broker: Option<&str>,
    ) -> impl Fn() -> Command + 'static {
        let (program, dir, urls) = (self.nodes.clone(), dir.join("nodes"), urls.to_owned());
        let (broker, waits) = (broker.map(str::to_owned), options.waits().to_string());
        let count = options.nodes.to_string();
        move || {
            let mut command = Command::new(&program);
            command.env("RUST_LOG", QUIET).args(["--region", REGION, "--aggregator", &urls, "--dir"]).arg(&dir);
            command.args(["--nodes", &count, "--waits", &waits]);
            if let Some(broker) = &broker {
                command.args(["--kafka-brokers", broker]);
            }
            command
        }
    }
}

/// Makes its files; a command that serves them.
pub(super) fn broker_command(
    jars: PathBuf,
    dir: &Path,
    listens: SocketAddr,
    advertised: SocketAddr,
) -> Result<impl Fn() -> Command + 'static> {
    let properties = broker::properties(dir, listens.port(), place::free_address()?.port());
    let told = format!("advertised.listeners=PLAINTEXT://{advertised}");
    let properties: Vec<&str> = properties
        .lines()
        .map(|line| if line.starts_with("advertised.listeners=") { told.as_str() } else { line })
        .collect();
    fs::write(dir.join("server.properties"), properties.join("\n"))?;
    let formatted = broker::java(&jars, dir, &broker::FORMAT).output().context("java cannot be started")?;
    ensure!(formatted.status.success(), "Kafka cannot make its files: {}", String::from_utf8_lossy(&formatted.stderr));
    let dir = dir.to_owned();
    Ok(move || {
        let java = broker::java(&jars, &dir, &broker::SERVE);
        // It logs to standard error, also that it is ready.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" 2>&1", "sh"]).arg(java.get_program()).args(java.get_args()).current_dir(&dir);
        command
    })
}
