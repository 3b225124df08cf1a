//! Options of the spool.

use std::path::{Path, PathBuf};

use clap::Args;

use super::within;
use crate::spooling::SpoolConfig;
use crate::units;

/// Below the state directory of root, or of a user.
const BELOW_STATE: &str = "syncline/agent/spool";
/// Where the state of root's programs is.
const ROOT_STATE: &str = "/var/lib";

/// Options of the spool.
#[derive(Args, Debug)]
pub(super) struct SpoolArgs {
    /// Directory in which batches are kept until the aggregator has them, so that they outlive this agent; one agent has it; `none` keeps them in
    /// memory only. A directory that is named here is needed, the default one is done without, with a warning [default:
    /// /var/lib/syncline/agent/spool, or syncline/agent/spool below $XDG_STATE_HOME or ~/.local/state where the user is not root]
    #[arg(long, value_name = "DIRECTORY")]
    spool: Option<PathBuf>,
    /// Most disk for it; beyond seven eighths of it the oldest batches go, and are counted
    #[arg(long, value_name = "SIZE", default_value = "512MiB", value_parser = bytes)]
    spool_bytes: u64,
}

impl SpoolArgs {
    /// The spool; None where there is to be none.
    pub(super) fn config(self) -> Option<SpoolConfig> {
        let is_required = self.spool.is_some();
        let path = self.spool.or_else(|| default_directory(rustix::process::geteuid().is_root(), environment))?;
        let config = SpoolConfig { path, most_bytes: self.spool_bytes, is_required };
        Some(config).filter(|config| config.path.as_os_str() != "none")
    }
}

fn environment(name: &str) -> Option<PathBuf> {
    // By the rules of XDG a relative path counts as none.
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// None where a user has neither a state directory nor a home.
fn default_directory(is_root: bool, environment: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    if is_root {
        return Some(Path::new(ROOT_STATE).join(BELOW_STATE));
    }
    let state = environment("XDG_STATE_HOME").or_else(|| environment("HOME").map(|home| home.join(".local/state")));
    if state.is_none() {
        tracing::warn!(
            "neither XDG_STATE_HOME nor HOME is set: batches are kept in memory only; --spool names a directory"
        );
    }
    state.map(|state| state.join(BELOW_STATE))
}

fn bytes(text: &str) -> Result<u64, String> {
    within(units::bytes(text)?, &((64 << 20)..=(1 << 40)), "64MiB to 1024GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_directory_is_that_of_the_user() {
        let home = |name: &str| (name == "HOME").then(|| PathBuf::from("/home/u"));
        let state = |name: &str| Some(PathBuf::from(if name == "HOME" { "/home/u" } else { "/state" }));
        let shown = |path: Option<PathBuf>| path.unwrap().to_string_lossy().into_owned();
        assert_eq!(shown(default_directory(true, state)), "/var/lib/syncline/agent/spool");
        assert_eq!(shown(default_directory(false, state)), "/state/syncline/agent/spool");
        assert_eq!(shown(default_directory(false, home)), "/home/u/.local/state/syncline/agent/spool");
        assert_eq!(default_directory(false, |_| None), None);
    }
}
