//! A Kafka broker of the demo's own: one process of Java, its own controller, on loopback.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};

use crate::{fetch, place};

/// How long it may take to start.
const READY_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What it logs then.
pub(crate) const READY: &str = "Kafka Server started";

/// Makes its files. Any identity will do: it is nobody else's cluster.
pub(crate) const FORMAT: [&str; 6] =
    ["kafka.tools.StorageTool", "format", "-t", "c3luY2xpbmUtZGVtby0wMA", "-c", "server.properties"];
/// Serves them.
pub(crate) const SERVE: [&str; 2] = ["kafka.Kafka", "server.properties"];

/// A running broker. Dropping it kills it: what it holds is of no use after the demo.
pub(crate) struct Broker {
    child: Child,
    address: String,
}

impl Broker {
    /// Starts one with its files in `dir`, and its log beside the others.
    ///
    /// # Errors
    /// When there is no Kafka or Java, or it does not start.
    pub(crate) async fn start(dir: &Path, logs: &Path) -> Result<Self> {
        let jars = fetch::kafka::required()?;
        let [port, controller] = [place::free_address()?.port(), place::free_address()?.port()];
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        std::fs::write(dir.join("server.properties"), properties(dir, port, controller))?;
        let log = logs.join("kafka.log");
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let java = |words: &[&str]| -> Result<Command> {
            let mut command = Command::from(java(&jars, dir, words));
            command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file.try_clone()?).kill_on_drop(true);
            Ok(command)
        };
        let formatted = java(&FORMAT)?.status().await.context("java cannot be started")?;
        if !formatted.success() {
            bail!("Kafka cannot make its files ({formatted}); see {}", log.display());
        }
        let child = java(&SERVE)?.spawn().context("java cannot be started")?;
        let mut broker = Self { child, address: format!("127.0.0.1:{port}") };
        broker.until_ready(&log).await?;
        Ok(broker)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    async fn until_ready(&mut self, log: &Path) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while !std::fs::read_to_string(log).unwrap_or_default().contains(READY) {
            if let Some(status) = self.child.try_wait()? {
                bail!("Kafka ended before it was ready ({status}); see {}", log.display());
            }
            if Instant::now() > deadline {
                bail!("Kafka is not ready after {} s; see {}", READY_WITHIN.as_secs(), log.display());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}

/// Java with Kafka's classes, in the directory that has `server.properties`.
pub(crate) fn java(jars: &Path, dir: &Path, words: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new("java");
    command.arg("-Xmx384m").arg("-cp").arg(format!("{}/*", jars.display())).args(words).current_dir(dir);
    command
}

/// Of a broker with its files in `dir`.
pub(crate) fn properties(dir: &Path, port: u16, controller: u16) -> String {
    include_str!("../../../kafka/broker.properties")
        .replace("@DIR@", &dir.display().to_string())
        .replace("@PORT@", &port.to_string())
        .replace("@CONTROLLER@", &controller.to_string())
}
