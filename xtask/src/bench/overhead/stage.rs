//! The observed program, and whoever gives it work.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde::Deserialize;
use serde_json::{Value, json};

use super::workload::{CONNECTIONS, Scene, Workload};
use crate::bench::child::Child;
use crate::bench::observer::Way;
use crate::process;

const REPORT: &str = include_str!("../../../bench/report.lua");
/// caddy's last line before it serves.
const SERVES: &str = "serving initial configuration";
const FILE: &str = "page";
const FILE_BYTES: usize = 16 << 10;

/// The programs of a run.
pub(super) struct Cast {
    /// `xtask/bench`, to be observed.
    pub(super) observed: PathBuf,
    /// The same in another file, which is not: probes sit on files.
    pub(super) unobserved: PathBuf,
    pub(super) caddy: Option<PathBuf>,
}

impl Cast {
    /// What is observed.
    pub(super) fn observed(&self, workload: &Workload) -> Result<&Path> {
        let caddy = || self.caddy.as_deref().context("there is no caddy");
        if workload.needs_caddy() { caddy() } else { Ok(&self.observed) }
    }
}

/// A program that runs.
pub(super) struct Stage {
    observed: Child,
    /// Answers what caddy asks.
    backend: Option<Child>,
    driver: Driver,
}

enum Driver {
    Itself,
    Clients(Child),
    Wrk { url: String, script: PathBuf },
}

/// What came of some time of work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
pub(super) struct Outcome {
    pub(super) ops: u64,
    pub(super) elapsed_ns: u64,
    pub(super) p99_ns: f64,
    #[serde(default)]
    pub(super) errors: u64,
}

impl Stage {
    /// Starts what a workload needs, with logs and files in `dir`.
    pub(super) fn start(workload: &Workload, cast: &Cast, way: Way, dir: &Path) -> Result<Self> {
        match workload.scene {
            Scene::Itself => {
                let observed = observed(cast, &["work", workload.name], way, dir)?;
                observed.line("ready")?;
                Ok(Self { observed, backend: None, driver: Driver::Itself })
            }
            Scene::Requests { rate } => {
                let observed = observed(cast, &["serve"], way, dir)?;
                let address = address(&observed)?;
                let (rate, connections) = (rate.to_string(), CONNECTIONS.to_string());
                let clients = unobserved("clients", cast, &["load", &address, &rate, &connections], dir)?;
                clients.line("ready")?;
                Ok(Self { observed, backend: None, driver: Driver::Clients(clients) })
            }
            Scene::Files => {
                let root = dir.join("files");
                std::fs::create_dir_all(&root)?;
                std::fs::write(root.join(FILE), vec![b'x'; FILE_BYTES])?;
                under_wrk(&json!({ "handler": "file_server", "root": root }), None, cast, way, dir)
            }
            Scene::Proxy => {
                let backend = unobserved("backend", cast, &["serve"], dir)?;
                let upstream = json!([{ "dial": address(&backend)? }]);
                let handler = json!({ "handler": "reverse_proxy", "upstreams": upstream });
                under_wrk(&handler, Some(backend), cast, way, dir)
            }
        }
    }

    /// Of the observed program.
    pub(super) fn pid(&self) -> u32 {
        self.observed.id()
    }

    /// Has it work for so long.
    pub(super) fn run(&mut self, length: Duration) -> Result<Outcome> {
        let outcome = match &mut self.driver {
            Driver::Itself => ordered(&mut self.observed, length)?,
            Driver::Clients(clients) => ordered(clients, length)?,
            Driver::Wrk { url, script } => wrk(url, script, length)?,
        };
        ensure!(outcome.errors == 0, "{} of {} requests failed", outcome.errors, outcome.ops);
        Ok(outcome)
    }

    /// Ends all of it.
    pub(super) fn end(self) -> Result<()> {
        let signal = match self.driver {
            Driver::Itself => None,
            Driver::Clients(clients) => clients.end(None).map(|_| None)?,
            Driver::Wrk { .. } => Some(Signal::TERM),
        };
        self.observed.end(signal)?;
        self.backend.map(|backend| backend.end(None)).transpose()?;
        Ok(())
    }
}

/// The observed program of `xtask/bench`.
fn observed(cast: &Cast, words: &[&str], way: Way, dir: &Path) -> Result<Child> {
    let mut command = Command::new(&cast.observed);
    way.tell(&mut command, dir);
    command.args(words);
    Child::start("observed", command, dir)
}

fn unobserved(name: &'static str, cast: &Cast, words: &[&str], dir: &Path) -> Result<Child> {
    let mut command = Command::new(&cast.unobserved);
    command.args(words);
    Child::start(name, command, dir)
}

/// Where a server listens.
fn address(server: &Child) -> Result<String> {
    let line = server.line("ready ")?;
    Ok(line.trim_start_matches("ready ").to_owned())
}

/// What a program of `xtask/bench` does when it is told to.
fn ordered(program: &mut Child, length: Duration) -> Result<Outcome> {
    program.order(&format!("run {}ms", length.as_millis()))?;
    let line = program.line("{")?;
    serde_json::from_str(&line).with_context(|| format!("unexpected result: {line}"))
}

fn under_wrk(handler: &Value, backend: Option<Child>, cast: &Cast, way: Way, dir: &Path) -> Result<Stage> {
    // Free now; nobody else on this machine is expected to take it in the next second.
    let listen = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let config = json!({
        "admin": { "disabled": true, "config": { "persist": false } },
        "apps": { "http": { "servers": { "bench": {
            "listen": [listen],
            "automatic_https": { "disable": true },
            "routes": [{ "handle": [handler] }],
        } } } },
    });
    let (config_file, script) = (dir.join("caddy.json"), dir.join("report.lua"));
    std::fs::write(&config_file, config.to_string())?;
    std::fs::write(&script, REPORT)?;
    let mut command = Command::new(cast.caddy.as_deref().context("there is no caddy")?);
    way.tell(&mut command, dir);
    command.args(["run", "--config"]).arg(config_file);
    command.env("XDG_DATA_HOME", dir).env("XDG_CONFIG_HOME", dir);
    let observed = Child::start("caddy", command, dir)?;
    observed.logged(SERVES)?;
    Ok(Stage { observed, backend, driver: Driver::Wrk { url: format!("http://{listen}/{FILE}"), script } })
}

/// It knows whole seconds only.
fn wrk(url: &str, script: &Path, length: Duration) -> Result<Outcome> {
    let seconds = format!("-d{}s", length.as_secs_f64().ceil().max(1.0));
    let mut command = Command::new("wrk");
    command.args(["-t1", &format!("-c{CONNECTIONS}"), &seconds, "-s"]).arg(script).arg(url);
    let output = process::capture(&mut command)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.starts_with('{')).context("wrk gives no report")?;
    serde_json::from_str(line).with_context(|| format!("unexpected result: {line}"))
}
