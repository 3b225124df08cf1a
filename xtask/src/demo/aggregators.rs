//! Starts, restarts and stops the aggregators.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use super::build::Programs;
use super::child::Process;
use super::fleet::{Directories, start_link};
use super::plan::{Link, REGIONS, ROOT, Region};
use crate::spooled::{LOOK_EVERY, STORED_WITHIN, is_stored};
use crate::{engine, fetch};

/// Partitions of the topic that the regions share.
const PARTITIONS: &str = "6";

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

/// What the aggregators are started with.
struct Setup {
    program: PathBuf,
    state: PathBuf,
    logs: PathBuf,
    store: String,
    /// The brokers by which batches come, if not over gRPC.
    kafka: Option<String>,
}

/// An aggregator that is not the root's.
struct Member {
    region: &'static str,
    process: Process,
    root: Option<String>,
    udp: bool,
    starts: usize,
}

/// The aggregators; the root's has the store.
pub(crate) struct Aggregators {
    setup: Setup,
    root: Process,
    /// In the order of the regions.
    others: Vec<Member>,
    links: Vec<Process>,
    anchors: HashMap<u64, i64>,
}

impl Aggregators {
    pub(crate) async fn start(
        programs: &Programs,
        dirs: &Directories,
        libchdb: &Path,
        comparison: Comparison,
        kafka: Option<&str>,
    ) -> Result<Self> {
        let mut aggregators = Self::start_root(programs, dirs, libchdb, kafka).await?;
        let root = aggregators.root.said("listen")?.to_owned();
        for region in REGIONS.iter().filter(|region| region.name != ROOT) {
            match comparison {
                Comparison::Direct { udp } => aggregators.join(region, Some(root.clone()), udp).await?,
                Comparison::Through(link) => {
                    let name = format!("wan-probes-{}", region.name);
                    let process = start_link(&programs.wan, dirs, &name, link, &root).await?;
                    let address = process.said("listen")?.to_owned();
                    aggregators.links.push(process);
                    // The link carries TCP; probes over UDP would go past it.
                    aggregators.join(region, Some(address), false).await?;
                }
                Comparison::None => aggregators.join(region, None, true).await?,
            }
        }
        Ok(aggregators)
    }

    /// The root's alone.
    pub(crate) async fn start_root(
        programs: &Programs,
        dirs: &Directories,
        libchdb: &Path,
        kafka: Option<&str>,
    ) -> Result<Self> {
        let mut setup = Setup {
            program: programs.aggregator.clone(),
            state: dirs.state.clone(),
            logs: dirs.logs.clone(),
            store: String::new(),
            kafka: kafka.map(str::to_owned),
        };
        let mut command = setup.command(ROOT, "127.0.0.1:0");
        command.arg("--store-dir").arg(&dirs.store).env(fetch::libchdb::OVERRIDE, libchdb);
        let root = Process::start(&format!("aggregator-{ROOT}"), command, &dirs.logs).await?;
        setup.store = engine::url(&dirs.store)?;
        let anchors = HashMap::from([anchor(&root)?]);
        Ok(Self { setup, root, others: Vec::new(), links: Vec::new(), anchors })
    }

    /// Starts the aggregator of another region, which probes the root's at that address.
    pub(crate) async fn join(&mut self, region: &Region, root: Option<String>, udp: bool) -> Result<()> {
        let process = self.setup.start(region.name, "127.0.0.1:0", root.as_deref(), udp, 1).await?;
        self.anchors.extend([anchor(&process)?]);
        self.others.push(Member { region: region.name, process, root, udp, starts: 1 });
        Ok(())
    }

    /// Kills the aggregator of a region other than the root's and starts it again, at its address and with its state, which
    /// `meanwhile` may change. Its reference's runs before and after.
    pub(crate) async fn restart(
        &mut self,
        region: &str,
        meanwhile: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<[u64; 2]> {
        let place = self.others.iter().position(|member| member.region == region);
        let Member { region, process, root, udp, starts } =
            self.others.remove(place.context("a region without an aggregator to restart")?);
        let address = process.said("listen")?.to_owned();
        let (before, _) = anchor(&process)?;
        process.kill().await?;
        meanwhile(&self.setup.state.join(region))?;
        let process = self.setup.start(region, &address, root.as_deref(), udp, starts + 1).await?;
        let (after, anchor_ns) = anchor(&process)?;
        self.anchors.insert(after, anchor_ns);
        let member = Member { region, process, root, udp, starts: starts + 1 };
        self.others.insert(place.unwrap_or_default(), member);
        Ok([before, after])
    }

    /// REF - RAW of the root, in nanoseconds.
    pub(crate) fn root_anchor_ns(&self) -> Result<i64> {
        Ok(anchor(&self.root)?.1)
    }

    /// REF - RAW of every run of every region's reference, in nanoseconds.
    pub(crate) fn anchors(&self) -> &HashMap<u64, i64> {
        &self.anchors
    }

    /// The URL of the store, with user and password.
    pub(crate) fn store(&self) -> &str {
        &self.setup.store
    }

    /// Where the region's aggregator listens.
    pub(crate) fn address(&self, region: &Region) -> Result<&str> {
        if region.name == ROOT {
            return self.root.said("listen");
        }
        let member = self.others.iter().find(|member| member.region == region.name);
        member.context("a region without aggregator")?.process.said("listen")
    }

    pub(crate) fn check_alive(&mut self) -> Result<()> {
        let others = self.others.iter_mut().map(|member| &mut member.process);
        others.chain(&mut self.links).chain([&mut self.root]).try_for_each(Process::check_alive)
    }

    /// Waits until all that they have acknowledged is in the store.
    pub(crate) async fn until_all_is_stored(&self) -> Result<()> {
        let (now, deadline) = (SystemTime::now(), Instant::now() + STORED_WITHIN);
        for region in self.others.iter().map(|member| member.region).chain([ROOT]) {
            let spool = self.setup.state.join(region).join("spool");
            while !is_stored(&spool, now)? {
                let is_late = Instant::now() > deadline;
                ensure!(!is_late, "the aggregator of {region} does not store what it has acknowledged; see its log");
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        Ok(())
    }

    /// Stops them once all is stored, the root last: it has the store.
    pub(crate) async fn stop(self) -> Result<()> {
        self.until_all_is_stored().await?;
        for member in self.others {
            member.process.stop().await?;
        }
        for process in self.links {
            process.kill().await?;
        }
        self.root.stop().await
    }
}

impl Setup {
    fn command(&self, region: &str, listen: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.env_remove("SYNCLINE_URL").env_remove("SYNCLINE_STORE");
        command.args(["--region", region, "--listen", listen, "--state-dir"]).arg(self.state.join(region));
        if let Some(brokers) = &self.kafka {
            command.args(["--kafka-brokers", brokers, "--kafka-create-topic", PARTITIONS]);
        }
        command
    }

    /// One that is not the root's, for the n-th time.
    async fn start(&self, region: &str, listen: &str, root: Option<&str>, udp: bool, n: usize) -> Result<Process> {
        let mut command = self.command(region, listen);
        // In the environment, since it holds a password.
        command.env("SYNCLINE_URL", &self.store);
        if let Some(root) = root {
            command.args(["--root", &format!("http://{root}")]);
        }
        if !udp {
            command.arg("--no-udp-probes");
        }
        let name = if n == 1 { format!("aggregator-{region}") } else { format!("aggregator-{region}-{n}") };
        Process::start(&name, command, &self.logs).await
    }
}

/// The run of an aggregator's reference, and REF - RAW in it, as its ready line says.
fn anchor(aggregator: &Process) -> Result<(u64, i64)> {
    let (run, anchor_ns) = (aggregator.said("reference_run")?, aggregator.said("anchor_ns")?);
    let run_number = run.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let run = run_number.with_context(|| format!("an aggregator's reference_run={run} is not 0x.."))?;
    let anchor_ns = anchor_ns.parse().with_context(|| format!("an aggregator's anchor_ns={anchor_ns} is no number"))?;
    Ok((run, anchor_ns))
}
