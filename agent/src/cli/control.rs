//! Options of `set` and `show`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};

use crate::choice::{DurationText, Pattern, RuleText};
use crate::control::{Ask, SetText};
use crate::governor::Budget;
use crate::kinds::CaptureKind;
use crate::units;

pub(super) const SET_EXAMPLES: &str = "Examples:
  syncline-agent set --service checkout --threshold 5ms       one service, while the agent runs
  syncline-agent set --service 'batch-*' --observe false      leave services out
  syncline-agent set --exe /opt/shop/cart --without off-cpu   what runs this file
  syncline-agent set --pid 4242 --threshold 100us --with cgo  one process, until it ends
  syncline-agent set --service checkout --budget off          all of one service's waits, whatever that costs it
  syncline-agent set --without syscall,cgo,off-cpu,states            whatever no rule says otherwise of
  syncline-agent set --reset                                  back to the file and the options

Who is named by several of --service, --exe, --container, --pod, --namespace and --pid is who fits all of them; * stands for any text. What \
was set for the same before and is not named now stays. It goes before the file's rules, and those before what holds for all. It \
is forgotten when the agent ends: what is to stay goes into its --config file.

A wait is captured if its kind was on when it began, and is an event if it is as long as the threshold says when it ends.";

/// Options of `set`.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("what").args(["observe", "threshold", "open_after", "budget", "without", "with", "reset"]).required(true).multiple(true)))]
pub struct SetArgs {
    /// Socket of the agent
    #[arg(long, value_name = "PATH", default_value = super::DEFAULT_CONTROL)]
    control: PathBuf,
    /// For processes of this service
    #[arg(long, value_name = "NAME")]
    service: Option<Pattern>,
    /// For processes that run this file: a path if there is a slash in it, else a file's name
    #[arg(long, value_name = "PATH|NAME")]
    exe: Option<Pattern>,
    /// For processes in this container, by name or id
    #[arg(long, value_name = "NAME")]
    container: Option<Pattern>,
    /// For processes in this pod, by name or uid
    #[arg(long, value_name = "NAME")]
    pod: Option<Pattern>,
    /// For processes in pods of this namespace
    #[arg(long, value_name = "NAME")]
    namespace: Option<Pattern>,
    /// For this process
    #[arg(long)]
    pid: Option<u32>,
    /// Whether they are observed at all
    #[arg(long, value_name = "true|false")]
    observe: Option<bool>,
    /// Shortest wait that becomes an event
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = units::duration)]
    threshold: Option<Duration>,
    /// Age at which waits that go on are told of; 0s tells of none
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = units::duration)]
    open_after: Option<Duration>,
    /// What observing may cost them, in percent of their own CPU time; `off` for no limit
    #[arg(long, value_name = "PERCENT|off", allow_hyphen_values = true)]
    budget: Option<Budget>,
    /// Kinds of waits to leave out, separated by commas
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    without: Vec<CaptureKind>,
    /// Kinds of waits to capture, separated by commas
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    with: Vec<CaptureKind>,
    /// Forget all that was set
    #[arg(long, conflicts_with_all = ["service", "exe", "container", "pod", "namespace", "pid", "observe", "threshold", "open_after",
        "budget", "without", "with"])]
    reset: bool,
}

/// Options of `show`.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// Socket of the agent
    #[arg(long, value_name = "PATH", default_value = super::DEFAULT_CONTROL)]
    pub control: PathBuf,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

impl SetArgs {
    /// The agent's socket, and what to ask there.
    #[must_use]
    pub fn ask(self) -> (PathBuf, Ask) {
        if self.reset {
            return (self.control, Ask::Reset);
        }
        let rule = RuleText {
            service: self.service,
            exe: self.exe,
            container: self.container,
            pod: self.pod,
            namespace: self.namespace,
            observe: self.observe,
            threshold: self.threshold.map(DurationText),
            open_after: self.open_after.map(DurationText),
            budget: self.budget,
            without: self.without,
            with: self.with,
        };
        (self.control, Ask::Set(Box::new(SetText { pid: self.pid, rule })))
    }
}
