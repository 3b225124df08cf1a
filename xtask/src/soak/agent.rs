//! One agent, from its start to its end.

use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use super::Chance;
use crate::bench::child::Child;

/// How an agent comes, and when it goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Coming {
    /// It observes for so long, and then it is terminated.
    Terminated(Duration),
    /// The same, and killed.
    Killed(Duration),
    /// It is killed so long after it was started, whatever it does then.
    KilledEarly(Duration),
}

/// What became of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Terminated,
    Killed,
    KilledWhileAttaching,
}

const SIGNAL_EVERY: Duration = Duration::from_millis(50);
/// What the agent logs once a process is observed.
const OBSERVING: &str = "observing pid=";

impl Coming {
    pub(super) fn by_chance(chance: &mut Chance) -> Self {
        let within_ms = |chance: &mut Chance, ms: u64| Duration::from_micros(chance.below(ms * 1_000));
        match chance.below(3) {
            0 => Self::Terminated(within_ms(chance, 200)),
            1 => Self::Killed(within_ms(chance, 200)),
            _ => Self::KilledEarly(within_ms(chance, 300)),
        }
    }
}

pub(super) fn come_and_go(agent: &Path, observed: &Child, coming: Coming, logs: &Path) -> Result<End> {
    let mut command = Command::new(agent);
    command.args([
        "run",
        "--region",
        "soak",
        "--keep-trying",
        "--spool",
        "none",
        "--threshold",
        "0us",
        "--pid",
        &observed.id().to_string(),
    ]);
    // Nobody listens there, so that only the probes' side of the agent has work.
    command.args(["--aggregator", "http://127.0.0.1:1", "--control", "none", "--symbol-cache", "none"]);
    command.env("RUST_LOG", "info");
    let mut agent = Child::start("agent", command, logs)?;
    match coming {
        Coming::Terminated(after) => {
            agent.logged(OBSERVING)?;
            sleep(after);
            // What was captured stays undelivered: after a second signal it does not wait for that.
            while agent.is_running()? {
                agent.signal(Signal::TERM)?;
                sleep(SIGNAL_EVERY);
            }
            agent.end(None)?;
            Ok(End::Terminated)
        }
        Coming::Killed(after) => {
            agent.logged(OBSERVING)?;
            sleep(after);
            drop(agent);
            Ok(End::Killed)
        }
        Coming::KilledEarly(after) => {
            sleep(after);
            let was_observing = agent.has_logged(OBSERVING);
            drop(agent);
            Ok(if was_observing { End::Killed } else { End::KilledWhileAttaching })
        }
    }
}
