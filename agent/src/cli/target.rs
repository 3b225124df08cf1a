//! Options that say which processes.

use std::path::PathBuf;

use clap::Args;

use crate::capture::Target;

#[derive(Args, Debug)]
#[group(multiple = false)]
pub(super) struct TargetArgs {
    /// Observe this process only
    #[arg(long)]
    pid: Option<u32>,
    /// Observe all processes that run this file, now or later
    #[arg(long, value_name = "PATH")]
    exe: Option<PathBuf>,
    /// Observe every Go program, now or later (the default)
    #[arg(long)]
    all: bool,
}

impl TargetArgs {
    pub(super) fn target(self) -> Target {
        match (self.pid, self.exe) {
            (Some(pid), _) => Target::Pid(pid),
            (None, Some(path)) => Target::Executable(path),
            (None, None) => Target::AllGo,
        }
    }
}
