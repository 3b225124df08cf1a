//! Starts and stops the fleet: aggregators, services and the links between them, agents.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use syncline_sim::InjectedClock;
use tokio::process::Command;

use super::Options;
use super::build::Programs;
use super::child::Process;
use super::knots::Knot;
use super::plan::{Link, REGIONS, ROOT, Region, Skew};
use super::recording::Recording;
use crate::fetch;

/// Where the demo keeps its files; begun anew by each demo.
pub(crate) struct Directories {
    pub(crate) store: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) journals: PathBuf,
    pub(crate) logs: PathBuf,
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
        Ok(Self { store: make("store")?, state: make("state")?, journals: make("journals")?, logs: make("logs")? })
    }

    pub(crate) fn journal(&self, region: &Region) -> PathBuf {
        self.journals.join(format!("{}.jsonl", region.name))
    }
}

/// How the regions' clocks are compared.
#[derive(Clone, Copy)]
pub(crate) enum Comparison {
    /// The aggregators probe the root's, over UDP or only gRPC.
    Direct { udp: bool },
    /// They probe it through a link with such delays.
    Through(Link),
    /// Not now: the times are of another day, and so is what was known of the clocks.
    None,
}

/// The aggregators, in the order of the regions; the root's is the first and has the store.
pub(crate) struct Aggregators {
    root: Process,
    others: Vec<Process>,
    links: Vec<Process>,
    store: String,
}

impl Aggregators {
    pub(crate) async fn start(
        programs: &Programs,
        dirs: &Directories,
        libchdb: &Path,
        comparison: Comparison,
    ) -> Result<Self> {
        let mut command = aggregator(programs, dirs, ROOT);
        command.arg("--store-dir").arg(&dirs.store).env(fetch::libchdb::OVERRIDE, libchdb);
        let root = Process::start("aggregator-us", command, &dirs.logs).await?;
        let store = store_url(&dirs.store)?;
        let mut others = Vec::new();
        let mut links = Vec::new();
        for region in REGIONS.iter().filter(|region| region.name != ROOT) {
            let mut command = aggregator(programs, dirs, region.name);
            // In the environment, since it holds a password.
            command.env("SYNCLINE_URL", &store);
            let mut address = root.said("listen")?.to_owned();
            if let Comparison::Through(link) = comparison {
                let name = format!("wan-probes-{}", region.name);
                let process = start_link(&programs.wan, dirs, &name, link, &address).await?;
                process.said("listen")?.clone_into(&mut address);
                // The link carries TCP; probes over UDP would go past it.
                command.arg("--no-udp-probes");
                links.push(process);
            }
            if matches!(comparison, Comparison::Direct { udp: false }) {
                command.arg("--no-udp-probes");
            }
            if !matches!(comparison, Comparison::None) {
                command.args(["--root", &format!("http://{address}")]);
            }
            others.push(Process::start(&format!("aggregator-{}", region.name), command, &dirs.logs).await?);
        }
        Ok(Self { root, others, links, store })
    }

    /// REF - RAW of the root, in nanoseconds.
    pub(crate) fn root_anchor_ns(&self) -> Result<i64> {
        let text = self.root.said("anchor_ns")?;
        text.parse().with_context(|| format!("the root aggregator's anchor_ns={text} is not a number"))
    }

    /// The URL of the store, with user and password.
    pub(crate) fn store(&self) -> &str {
        &self.store
    }

    fn address(&self, region: &Region) -> Result<&str> {
        self.of(region).context("a region without aggregator")?.said("listen")
    }

    fn of(&self, region: &Region) -> Option<&Process> {
        if region.name == ROOT {
            return Some(&self.root);
        }
        let rank = REGIONS.iter().filter(|other| other.name != ROOT).position(|other| other.name == region.name)?;
        self.others.get(rank)
    }

    pub(crate) fn check_alive(&mut self) -> Result<()> {
        self.root.check_alive()?;
        self.others.iter_mut().chain(&mut self.links).try_for_each(Process::check_alive)
    }

    /// Stops the root last: it has the store.
    pub(crate) async fn stop(self) -> Result<()> {
        for process in self.others {
            process.stop().await?;
        }
        for process in self.links {
            process.kill().await?;
        }
        self.root.stop().await
    }
}

/// The engine makes a new password at each start and leaves it in its directory, for those who may read there.
fn store_url(dir: &Path) -> Result<String> {
    #[derive(Deserialize)]
    struct Endpoint {
        url: String,
    }
    let path = dir.join("endpoint.json");
    let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let endpoint: Endpoint = serde_json::from_slice(&text).with_context(|| format!("{} has no url", path.display()))?;
    Ok(endpoint.url)
}

fn aggregator(programs: &Programs, dirs: &Directories, region: &str) -> Command {
    let mut command = Command::new(&programs.aggregator);
    command.env_remove("SYNCLINE_URL").env_remove("SYNCLINE_STORE");
    command.args(["--region", region, "--listen", "127.0.0.1:0", "--state-dir"]).arg(dirs.state.join(region));
    command
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
        for (region, program) in REGIONS.iter().zip(programs).rev() {
            if let (Some(link), Some(address)) = (region.link, &next) {
                let process = start_link(wan, dirs, &format!("wan-{}", region.name), link, address).await?;
                next = Some(process.said("listen")?.to_owned());
                links.push(process);
            }
            let command = service(region, program, dirs, next.as_deref());
            let process = Process::start(&format!("service-{}", region.name), command, &dirs.logs).await?;
            next = Some(process.said("listen")?.to_owned());
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

async fn start_link(wan: &Path, dirs: &Directories, name: &str, link: Link, to: &str) -> Result<Process> {
    let duration = |time: std::time::Duration| format!("{}us", time.as_micros());
    let mut command = Command::new(wan);
    command.args(["-to", to, "-delay", &duration(link.delay), "-delay-back", &duration(link.delay_back)]);
    command.args(["-jitter", &duration(link.jitter)]);
    Process::start(name, command, &dirs.logs).await
}

fn service(region: &Region, program: &Path, dirs: &Directories, next: Option<&str>) -> Command {
    let mut command = Command::new(program);
    command.args(["-region", region.name, "-workers", &region.workers.to_string(), "-log"]).arg(dirs.journal(region));
    if let Some(next) = next {
        command.args(["-next", next]);
    }
    if region.contended {
        command.arg("-contend");
    }
    command
}

/// The agents, in the order of the regions.
pub(crate) struct Agents(Vec<Process>);

impl Agents {
    pub(crate) async fn start(
        programs: &Programs,
        dirs: &Directories,
        aggregators: &Aggregators,
        pids: &[u32],
        clocks: &[InjectedClock],
        options: &Options,
        recording: Option<&Recording>,
    ) -> Result<Self> {
        let mut agents = Vec::new();
        for ((region, pid), clock) in REGIONS.iter().zip(pids).zip(clocks) {
            let mut command = Command::new(&programs.agent);
            command.args(["--node", region.node, "--region", region.name, "--service", SERVICE]);
            command.args(["--aggregator", &format!("http://{}", aggregators.address(region)?)]);
            command.args(["--pid", &pid.to_string(), "--threshold", "1ms"]);
            command.args(["--inject-clock", &clock.to_string()]);
            if options.grpc_probes {
                command.arg("--no-udp-probes");
            }
            if let Some(recording) = recording {
                command.arg("--record").arg(recording.batches(region));
            }
            agents.push(Process::start(&format!("agent-{}", region.name), command, &dirs.logs).await?);
        }
        Ok(Self(agents))
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
    InjectedClock {
        origin_shift_ns: skew.origin_shift_ns,
        t0_ns: start.mono,
        raw0_ns: start.raw,
        offset_ns: skew.offset_ns,
        drift_ppb: skew.drift_ppb,
        step_ns: skew.step_ns,
        step_at_ns,
    }
}
