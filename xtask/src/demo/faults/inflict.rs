//! Does to the running fleet what the plan says.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::plan::Fault;
use super::run::Fleet;
use crate::demo::plan::REGIONS;

/// An agent probes once a second, and some probes are lost.
const PROBED_WITHIN: Duration = Duration::from_secs(20);
const STOPPED_WITHIN: Duration = Duration::from_secs(2);
const LOOK_UP: Duration = Duration::from_millis(1);

impl Fault {
    /// # Errors
    /// When it cannot be done: then nothing would be shown.
    pub(super) async fn inflict(&self, fleet: &mut Fleet) -> Result<()> {
        match *self {
            Self::Reroute { node, route } => {
                fleet.to_aggregators.get(node).context("a node without a path")?.packets.reroute(route);
                Ok(())
            }
            Self::RerouteToRoot { region, route } => {
                let path = region.checked_sub(1).and_then(|index| fleet.to_root.get(index));
                path.context("a region without a path to the root")?.packets.reroute(route);
                Ok(())
            }
            Self::Pause { node, lasts } => pause(fleet, node, lasts).await,
            Self::Restart { region } => {
                let [before, after] = fleet.aggregators.restart(name(region)?, |_| Ok(())).await?;
                ensure!(before == after, "the reference began a new run though nobody touched it");
                Ok(())
            }
            Self::StepReference { region, by_ns } => {
                let [before, after] = fleet.aggregators.restart(name(region)?, |state| step(state, by_ns)).await?;
                ensure!(before != after, "a reference that was stepped says that it went on as before");
                Ok(())
            }
        }
    }
}

fn name(region: usize) -> Result<&'static str> {
    Ok(REGIONS.get(region).context("a fault in a region that is not there")?.name)
}

/// Stops the agent while a probe of it is on its way, so that the answer comes to a node that does not run.
async fn pause(fleet: &Fleet, node: usize, lasts: Duration) -> Result<()> {
    let number = fleet.agents.pid(node)?;
    let pid = i32::try_from(number).ok().and_then(Pid::from_raw).context("not a process id")?;
    let (stopped, stop) = oneshot::channel();
    let path = fleet.to_aggregators.get(node).context("a node without a path")?;
    path.packets.at_next_request(move || {
        // Nobody listens any more where the demo ends.
        let _ = stopped.send(kill_process(pid, Signal::STOP));
    });
    let sent = timeout(PROBED_WITHIN, stop).await.context("the agent that is to be stopped does not probe")?;
    sent?.context("cannot stop the agent")?;
    let began = Instant::now();
    while !is_stopped(number)? {
        if began.elapsed() > STOPPED_WITHIN {
            bail!("the agent goes on in spite of SIGSTOP");
        }
        sleep(LOOK_UP).await;
    }
    sleep(lasts).await;
    kill_process(pid, Signal::CONT).context("cannot let the agent go on")
}

/// The state in `/proc/PID/stat` is behind the name, which is in brackets and may hold any others.
fn is_stopped(pid: u32) -> Result<bool> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("the agent is gone")?;
    Ok(stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T')))
}

/// Moves the anchor that an aggregator left in its state directory.
fn step(state: &Path, by_ns: i64) -> Result<()> {
    let path = state.join("reference.json");
    let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut kept: serde_json::Value = serde_json::from_slice(&text)?;
    let anchor = kept.get_mut("anchor_ns").with_context(|| format!("{} has no anchor_ns", path.display()))?;
    let anchor_ns = anchor.as_i64().context("anchor_ns is no whole number")?;
    *anchor = (anchor_ns + by_ns).into();
    std::fs::write(&path, serde_json::to_vec(&kept)?).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stepped_reference_differs_in_its_anchor_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("reference.json");
        std::fs::write(&path, r#"{"boot":"b","region":"eu","anchor_ns":-5,"anchor_bracket_ns":40}"#).unwrap();
        step(dir.path(), 35).unwrap();
        let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let expected = serde_json::json!({"boot": "b", "region": "eu", "anchor_ns": 30, "anchor_bracket_ns": 40});
        assert_eq!(kept, expected);
    }

    #[test]
    fn a_running_process_is_not_stopped() {
        assert!(!is_stopped(std::process::id()).unwrap());
    }
}
