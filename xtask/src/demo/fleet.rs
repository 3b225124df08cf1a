//! Starts and stops the services and the links between them, and the agents; the aggregators have a file of their own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use syncline_sim::{InjectedClock, InjectedStep};
use tokio::process::Command;

use super::aggregators::Aggregators;
use super::build::Programs;
use super::child::Process;
use super::knots::Knot;
use super::plan::{Link, REGIONS, Region, Skew};
use super::recording::Recording;

/// Where the demo keeps its files; begun anew by each demo.
pub(crate) struct Directories {
    pub(crate) store: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) journals: PathBuf,
    pub(crate) logs: PathBuf,
    pub(crate) kafka: PathBuf,
}

impl Directories {
    /// # Errors
    /// When the old ones cannot be removed or the new ones not created.
    pub(crate) fn create(under: &Path) -> Result<Self> {
        let make = |name: &str| {
            let dir = under.join(name);
            match std::fs::remove_dir_all(&dir) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {}", dir.display()));
                }
                _ => {}
            }
            std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
            Ok(dir)
        };
        let (store, state, journals) = (make("store")?, make("state")?, make("journals")?);
        Ok(Self { store, state, journals, logs: make("logs")?, kafka: make("kafka")? })
    }

    pub(crate) fn journal(&self, region: &Region) -> PathBuf {
        self.journals.join(format!("{}.jsonl", region.name))
    }

    /// The log of the agent of a node.
    pub(crate) fn log_of_agent(&self, node: &str) -> PathBuf {
        self.logs.join(format!("agent-{node}.log"))
    }
}

/// The services, in the order of the regions, and the links between them.
pub(crate) struct Services {
    services: Vec<Process>,
    links: Vec<Process>,
}

impl Services {
    /// Starts the end of the chain first, so that each finds the next one answering.
    pub(crate) async fn start(wan: &Path, programs: &[PathBuf], dirs: &Directories) -> Result<Self> {
        let mut services = Vec::new();
        let mut links = Vec::new();
        let mut next: Option<String> = None;
        let mut feed: Option<String> = None;
        for (region, program) in REGIONS.iter().zip(programs).rev() {
            if let (Some(link), Some(address)) = (region.link, &next) {
                let process = start_link(wan, dirs, &format!("wan-{}", region.name), link, address).await?;
                next = Some(process.said("listen")?.to_owned());
                links.push(process);
            }
            let command = service(region, program, dirs, next.as_deref(), feed.as_deref());
            let process = Process::start(&format!("service-{}", region.name), command, &dirs.logs).await?;
            next = Some(process.said("listen")?.to_owned());
            feed = Some(process.said("feed")?.to_owned());
            services.push(process);
        }
        services.reverse();
        Ok(Self { services, links })
    }

    /// The process ids, in the order of the regions.
    pub(crate) fn pids(&self) -> Result<Vec<u32>> {
        self.services.iter().map(Process::pid).collect()
    }

    pub(crate) fn check_alive(&mut self) -> Result<()> {
        self.services.iter_mut().chain(&mut self.links).try_for_each(Process::check_alive)
    }

    /// Stops the callers before the called, so that every request is answered and journalled on both sides.
    pub(crate) async fn stop(self) -> Result<()> {
        for process in self.services {
            process.stop().await?;
        }
        for process in self.links {
            process.kill().await?;
        }
        Ok(())
    }
}

/// A link that carries the streams that come to `listen` on to `to`.
pub(crate) async fn start_link_at(
    listen: &str,
    wan: &Path,
    dirs: &Directories,
    name: &str,
    link: Link,
    to: &str,
) -> Result<Process> {
    let duration = |time: std::time::Duration| format!("{}us", time.as_micros());
    let mut command = Command::new(wan);
    command.args([
        "-listen",
        listen,
        "-to",
        to,
        "-delay",
        &duration(link.delay),
        "-delay-back",
        &duration(link.delay_back),
    ]);
    command.args(["-jitter", &duration(link.jitter)]);
    Process::start(name, command, &dirs.logs).await
}

/// The same at any port that is free.
pub(crate) async fn start_link(wan: &Path, dirs: &Directories, name: &str, link: Link, to: &str) -> Result<Process> {
    start_link_at("127.0.0.1:0", wan, dirs, name, link, to).await
}

fn service(region: &Region, program: &Path, dirs: &Directories, next: Option<&str>, feed: Option<&str>) -> Command {
    let mut command = Command::new(program);
    command.args(["-region", region.name, "-workers", &region.workers.to_string(), "-log"]).arg(dirs.journal(region));
    if let Some(next) = next {
        command.args(["-next", next]);
    }
    if let Some(feed) = feed {
        command.args(["-feed-to", feed]);
    }
    if region.contended {
        command.arg("-contend");
    }
    command
}

/// What an agent is started with.
pub(crate) struct Post<'a> {
    pub(crate) node: &'a str,
    pub(crate) region: &'a Region,
    /// The Go program that it observes.
    pub(crate) pid: u32,
    pub(crate) clock: &'a InjectedClock,
    /// Address of its aggregator, or of what relays to that.
    pub(crate) aggregator: String,
    /// The Kafka brokers by which its batches go, if not over gRPC.
    pub(crate) kafka: Option<&'a str>,
}

/// The agents, in the order of their posts.
pub(crate) struct Agents(Vec<Process>);

impl Agents {
    pub(crate) async fn start(
        programs: &Programs,
        dirs: &Directories,
        posts: &[Post<'_>],
        udp: bool,
        recording: Option<&Recording>,
    ) -> Result<Self> {
        let mut agents = Vec::new();
        for post in posts {
            let mut command = Command::new(&programs.agent);
            command.args(["--node", post.node, "--region", post.region.name, "--service", SERVICE]);
            command.args(["--aggregator", &format!("http://{}", post.aggregator)]);
            // What an earlier demo left behind has no place in this one.
            command.args(["--pid", &post.pid.to_string(), "--threshold", "1ms", "--spool", "none"]);
            // What the demo promises is of all that the services do.
            command.args(["--budget", "off"]);
            // A mark in each block of the services' feed.
            command.args(["--tcp-message-every", "256", "--tcp-messages", "2000"]);
            command.args(["--inject-clock", &post.clock.to_string()]);
            if !udp {
                command.arg("--no-udp-probes");
            }
            if let Some(brokers) = post.kafka {
                command.args(["--uplink", "kafka", "--kafka-brokers", brokers]);
            }
            if let Some(recording) = recording {
                command.arg("--record").arg(recording.batches(post.region));
            }
            agents.push(Process::start(&format!("agent-{}", post.node), command, &dirs.logs).await?);
        }
        Ok(Self(agents))
    }

    /// The process id of the agent of a post.
    pub(crate) fn pid(&self, post: usize) -> Result<u32> {
        self.0.get(post).context("a post without an agent")?.pid()
    }

    pub(crate) fn check_alive(&mut self) -> Result<()> {
        self.0.iter_mut().try_for_each(Process::check_alive)
    }

    /// Sends what agents of an earlier run recorded, to the aggregators of their regions.
    pub(crate) async fn replay(
        programs: &Programs,
        dirs: &Directories,
        aggregators: &Aggregators,
        recording: &Recording,
    ) -> Result<()> {
        for region in &REGIONS {
            let mut command = Command::new(&programs.agent);
            command.arg("replay").arg(recording.batches(region));
            command.args(["--aggregator", &format!("http://{}", aggregators.address(region)?)]);
            Process::finish(&format!("replay-{}", region.name), command, &dirs.logs).await?;
        }
        Ok(())
    }

    /// Each agent sends what it has before it ends.
    pub(crate) async fn stop(self) -> Result<()> {
        for process in self.0 {
            process.stop().await?;
        }
        Ok(())
    }
}

/// The name under which all three services are stored.
pub(crate) const SERVICE: &str = "prices";

/// The clock of a node whose error begins at `start` and whose wall clock steps at `step_at_ns`.
pub(crate) fn injected(skew: Skew, start: Knot, step_at_ns: i64) -> InjectedClock {
    let step = InjectedStep { size_ns: skew.step_ns, at_ns: step_at_ns };
    InjectedClock {
        origin_shift_ns: skew.origin_shift_ns,
        t0_ns: start.mono,
        raw0_ns: start.raw,
        offset_ns: skew.offset_ns,
        drift_ppb: skew.drift_ppb,
        steps: (skew.step_ns != 0).then_some(step).into_iter().collect(),
        ..InjectedClock::default()
    }
}
