//! The command line.

mod configuration;
mod control;
mod inspect;
mod kafka;
mod replay;
mod spool;
mod symbols;
mod target;
mod tcp;
mod watch;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use syncline_claims::Chrony;
use syncline_config::{Given, Problem};
use syncline_exchange::{ANSWERED_PER_SECOND, LEAST_INTERVAL, Pacing};
use syncline_timebase::{NodeName, Span};
use tcp::TcpArgs;
use thiserror::Error;

use crate::batch::Sealing;
use crate::capture::{CaptureConfig, CaptureKind, Kinds};
use crate::choice::{Change, ChangeError, Layer, Rules, SettingsFile};
use crate::clock::Clocks;
use crate::endpoint::Aggregator;
use crate::governor::Budget;
use crate::identity::{self, IdentityError};
use crate::run::RunConfig;
use crate::units;
use crate::uplink::Ranking;
use configuration::Typed;
pub use configuration::{OPTIONS, Refusal, ValidateArgs, parse, run_syntax, validate};
pub use control::{SetArgs, ShowArgs};
pub use inspect::InspectArgs;
use kafka::UplinkArgs;
pub use replay::ReplayArgs;
use spool::SpoolArgs;
use symbols::SymbolsArgs;
use target::TargetArgs;
pub use watch::WatchArgs;

const ABOUT: &str = "Watches where the goroutines of this node's Go programs wait, and how far its clock is off.

It attaches eBPF probes to the Go runtime inside running programs (Go 1.21 to 1.27, amd64, stripped or not; nothing has \
to be rebuilt or restarted), records every wait of at least --threshold with its stack and with who woke it, measures the \
node's clock against the region's aggregator, and ships both to that aggregator.

Without a command it runs: `syncline-agent --region eu` is `syncline-agent run --region eu`.";

const EXAMPLES: &str = "Examples:
  syncline-agent --region eu                            every Go program of this node, aggregator on this machine
  syncline-agent --region eu --pid 4242 --threshold 250us
  syncline-agent --region eu --exe /opt/shop/checkout --aggregator http://10.0.0.5:7700
  syncline-agent --region eu --aggregator http://10.0.0.5:7700,http://10.0.0.6:7700    one of the two
  syncline-agent --region eu --record run.syncrec       keep a copy of all that is sent ...
  syncline-agent replay run.syncrec                     ... and send it again, elsewhere or later
  syncline-agent watch checkout                         no aggregator, no store: a live table of where it blocks
  syncline-agent set --service checkout --threshold 5ms another threshold, while the agent runs
  syncline-agent show                                   what it observes, and how
  syncline-agent inspect /opt/shop/checkout             what would be captured of a program, and where probes would go
  syncline-agent validate /etc/syncline/agent.toml      whether a run would take this file
  syncline-agent run --help                             every option of a run

It says `ready` on standard output once it observes and the aggregator answers; everything else goes to standard error.
It needs root, or CAP_BPF and CAP_PERFMON, plus CAP_SYS_ADMIN on kernels before 6.6 with the fix of CVE-2025-38466, \
and CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH to see other users' programs. `syncline doctor` tries; RUST_LOG=debug says more.
SIGTERM ends it: probes off, the rest sent, a summary, exit code 0. Exit codes: 1 it cannot run or go on, 2 usage, 78 a file or a \
variable says what cannot be.";

/// How often it is told how goroutines and their processes spend their time.
const STATES_EVERY: Duration = Duration::from_secs(10);

/// Where an aggregator listens unless told otherwise.
const DEFAULT_AGGREGATOR: &str = "http://127.0.0.1:7700";

/// Where a running agent is spoken to unless told otherwise.
const DEFAULT_CONTROL: &str = "/run/syncline/agent.sock";

/// `syncline-agent`.
#[derive(Debug, Parser)]
#[command(name = "syncline-agent", version, about = ABOUT, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Observe this node's Go programs and its clock (the default)
    #[command(after_help = EXAMPLES)]
    Run(Box<RunArgs>),
    /// Send a recording made with `run --record`
    Replay(Box<ReplayArgs>),
    /// Show live where a program's goroutines block, with nothing but this machine: no aggregator, no store
    #[command(after_help = watch::WATCH_EXAMPLES)]
    Watch(Box<WatchArgs>),
    /// Change what a running agent observes, and how
    #[command(after_help = control::SET_EXAMPLES)]
    Set(Box<SetArgs>),
    /// Show what a running agent observes, and how
    Show(ShowArgs),
    /// Check a file of settings (exit code 78 where something is wrong)
    Validate(ValidateArgs),
    /// Tell what a Go program is to the agent: its version, where probes would go, what would be captured of it and what not
    #[command(after_help = inspect::INSPECT_EXAMPLES)]
    Inspect(InspectArgs),
}

/// Options of `run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Name of this node, unique in the fleet [default: the host's name]
    #[arg(long, value_name = "NAME")]
    node: Option<NodeName>,
    /// Region of this node: the one that its aggregator serves
    #[arg(long, value_name = "NAME", value_parser = region)]
    region: String,
    /// The region's aggregator; where there are several, all of them, separated by commas or one an option: the node uses one, chosen
    /// by its name, and goes to the next while that one is away
    #[arg(long, value_name = "URL", default_value = DEFAULT_AGGREGATOR, value_delimiter = ',')]
    aggregator: Vec<Aggregator>,
    /// How batches travel.
    #[command(flatten)]
    uplink: UplinkArgs,
    /// What to observe.
    #[command(flatten)]
    target: TargetArgs,
    /// Shortest wait that becomes an event; shorter ones are summed up by process and reason
    #[arg(long, value_name = "DURATION", default_value = "1ms", allow_hyphen_values = true, value_parser = units::duration)]
    threshold: Duration,
    /// Age at which a goroutine's wait that goes on is told of before it ends, again at four times that age and so on, and
    /// every hour; --threshold if that is longer; 0s tells of none
    #[arg(long, value_name = "DURATION", default_value = "5s", allow_hyphen_values = true, value_parser = units::duration)]
    open_after: Duration,
    /// What observing a process may cost it, in percent of its own CPU time, from 0.01% to 100%: where it costs more, the threshold is
    /// raised, some kinds are left out, or it is observed in windows of time, each of which is told with how much it stands for; `off` for
    /// no limit
    #[arg(long, value_name = "PERCENT|off", default_value_t = Budget::DEFAULT, allow_hyphen_values = true)]
    budget: Budget,
    /// Service that the observed programs belong to [default: what the program's environment says (SYNCLINE_SERVICE,
    /// OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES), else a label of its container or pod, else its executable's name]
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Where the node's own files are, to find there what container runtimes keep of their containers: /proc/1/root for an agent
    /// in a container
    #[arg(long, value_name = "DIRECTORY", default_value = "/")]
    host_root: PathBuf,
    /// How often the clock is measured while there are waits to be aligned: each probe is a small packet both ways and one
    /// more back. 25ms to 60s: an aggregator answers 50 a second of a node. Ten a second at a start and after a disruption, one in 8 s while there is nothing to align
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = probe_interval)]
    probe_interval: Duration,
    /// Send waits every --probe-interval, without holding them until the clock was measured after them. A machine whose clocks all
    /// stood still (a paused or moved VM, a suspend) shows that only to the next probe: waits sent before it are placed wrongly
    #[arg(long)]
    no_hold: bool,
    /// Measure the clock over the gRPC connection only, whose stamps are coarser
    #[arg(long)]
    no_udp_probes: bool,
    /// Command port of this node's chronyd, whose claims about the clock are held against the probes
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:323", value_parser = units::socket_address)]
    chrony: SocketAddr,
    /// Size of the ring between kernel and agent, a power of two: more rides out longer bursts
    #[arg(long, value_name = "SIZE", default_value = "4MiB", value_parser = ring_bytes)]
    ring_bytes: u32,
    /// Deepest stack taken, frames
    #[arg(long, value_name = "FRAMES", default_value_t = 64, value_parser = clap::value_parser!(u8).range(1..=127))]
    stack_depth: u8,
    /// Whether processes are observed at all of which no rule says otherwise: with `false` only those are that a rule of the file, or one that is
    /// set, has `observe = true` for
    #[arg(long, value_name = "TRUE|FALSE", default_value_t = true, action = clap::ArgAction::Set)]
    observe: bool,
    /// Kinds to leave out, separated by commas; what is left out costs nothing
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    without: Vec<CaptureKind>,
    /// Kinds to capture that are not unless they are asked for, separated by commas
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    with: Vec<CaptureKind>,
    /// Also take the kernel's part of the stack of system calls that block and of threads that leave their CPUs, which costs each
    /// switch of an observed thread; its functions are named where /proc/kallsyms tells them (CAP_SYSLOG)
    #[arg(long)]
    kernel_stacks: bool,
    /// How TCP is captured.
    #[command(flatten)]
    tcp: TcpArgs,
    /// File (TOML) with any of these options, their names with `_`, and with what is observed and how by service, executable, container
    /// or pod; what is typed or set in the environment (SYNCLINE_AGENT_ and the name) goes before it. SIGHUP reads it again
    /// [env: SYNCLINE_AGENT_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Socket on which `syncline-agent set` and `show` are answered; `none` for none
    #[arg(long, value_name = "PATH", default_value = DEFAULT_CONTROL)]
    control: PathBuf,
    /// Where symbols are kept.
    #[command(flatten)]
    symbols: SymbolsArgs,
    /// Where batches are kept that the aggregator has not acknowledged.
    #[command(flatten)]
    spool: SpoolArgs,
    /// Most memory for batches that the aggregator has not acknowledged; beyond it they are on the disk only, or, where there is no
    /// spool or its disk fails, the oldest go, and are counted
    #[arg(long, value_name = "SIZE", default_value = "32MiB", value_parser = queue_bytes)]
    queue_bytes: usize,
    /// Address on which Prometheus may ask for metrics (GET /metrics) [default: none]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = units::socket_address)]
    metrics: Option<SocketAddr>,
    /// Also write everything that is sent to this file, for `replay`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Fail unless the aggregator answers within this time of the start; outages after that are ridden out
    #[arg(long, value_name = "DURATION", default_value = "10s", allow_hyphen_values = true, value_parser = units::duration)]
    require_aggregator: Duration,
    /// Start without an aggregator too: keep trying, and keep events meanwhile
    #[arg(long, conflicts_with = "require_aggregator")]
    keep_trying: bool,
    /// Move every stamp by a known error, as `offset_ns=..,drift_ppb=..,origin_shift_ns=..,t0_ns=..,raw0_ns=..,
    /// step=SIZE_NS@AT_NS,slew=RATE_PPB@FROM_NS..TO_NS,probe_lie_ns=..`: for demonstrations only
    #[cfg(feature = "inject-clock")]
    #[arg(long, value_name = "SPEC")]
    inject_clock: Option<crate::clock::Injection>,
    #[arg(skip)]
    typed: Typed,
    /// What was typed or set, for which the file is not to blame.
    #[arg(skip)]
    given: Given,
}

/// The options make no run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The node has no name.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// There is nobody to send to.
    #[error("--aggregator names none; an example: {DEFAULT_AGGREGATOR}")]
    NoAggregator,
    /// Batches are to go over Kafka, and it is not said where that is.
    #[error("--uplink kafka needs --kafka-brokers HOST:PORT")]
    NoBrokers,
    /// Kafka is named, and nothing is to go there.
    #[error("--kafka-brokers and --kafka-config are for --uplink kafka, which was not given")]
    KafkaUnused,
    /// Kafka's settings make no producer.
    #[error("--kafka-config: {0}")]
    Kafka(#[from] syncline_kafka::Wrong),
    /// The file of settings says what cannot be.
    #[error(transparent)]
    File(#[from] Problem),
    /// What was typed contradicts itself.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

impl ConfigError {
    /// The key of the file to mend.
    fn key(&self) -> &'static str {
        match self {
            Self::Identity(_) => "node",
            Self::NoAggregator => "aggregator",
            Self::NoBrokers => "uplink",
            Self::KafkaUnused => "kafka_brokers",
            Self::Kafka(_) => "kafka_config",
            Self::File(_) | Self::Change(_) => "without",
        }
    }
}

impl RunArgs {
    /// The settings of the run.
    ///
    /// # Errors
    /// They cannot be, together or at all. Where it was neither typed nor set, and there is a file, it is told as a problem of that.
    pub fn config(self) -> Result<RunConfig, ConfigError> {
        let (path, given) = (self.config.clone(), self.given.clone());
        self.settled().map_err(|error| match path {
            Some(path) => configuration::of_file(error, &path, &given),
            None => error,
        })
    }

    fn settled(self) -> Result<RunConfig, ConfigError> {
        let clocks = self.clocks();
        let probe_interval = Span::from_ns(i64::try_from(self.probe_interval.as_nanos()).unwrap_or(i64::MAX));
        let (typed, file) = (self.change()?, self.file()?);
        let of_file = match &file {
            Some(file) => file.read()?,
            None => Layer { all: typed, ..Layer::default() },
        };
        let node = self.node.map_or_else(identity::host_name, Ok)?;
        Ok(RunConfig {
            aggregators: Ranking::of(node.as_str(), self.aggregator).ok_or(ConfigError::NoAggregator)?,
            node,
            region: self.region,
            kafka: self.uplink.kafka()?,
            capture: CaptureConfig {
                threshold: self.threshold,
                open_after: self.open_after,
                budget: self.budget,
                max_stack_depth: self.stack_depth,
                ring_bytes: self.ring_bytes,
                target: self.target.target(),
                kinds: Kinds::without(&self.without).and(kernel_stacks(self.kernel_stacks)),
                states_every: STATES_EVERY,
                tcp: self.tcp.config(),
                rules: Rules { file: of_file, ..Rules::default() },
                host_root: self.host_root.clone(),
                service: self.service.clone(),
            },
            file,
            control: Some(self.control).filter(|path| path.as_os_str() != "none"),
            service: self.service,
            host_root: self.host_root,
            pacing: Pacing::every(probe_interval),
            symbols: self.symbols.config(),
            sealing: if self.no_hold { Sealing::Every(probe_interval) } else { Sealing::behind_probes(probe_interval) },
            chrony: Chrony::at(self.chrony),
            udp_probes: !self.no_udp_probes,
            queue_bytes: self.queue_bytes,
            spool: self.spool.config(),
            record: self.record,
            metrics: self.metrics,
            require_aggregator: (!self.keep_trying).then_some(self.require_aggregator),
            clocks,
        })
    }

    /// The file, beneath what was typed.
    fn file(&self) -> Result<Option<SettingsFile>, ChangeError> {
        let Some(path) = self.config.clone() else { return Ok(None) };
        Ok(Some(SettingsFile { path, typed: self.change()?, open: configuration::open }))
    }

    /// What was typed of what the file may say, too.
    fn change(&self) -> Result<Change, ChangeError> {
        let Typed { observe, threshold, open_after, budget, without, with } = self.typed;
        let without = if without { self.without.as_slice() } else { &[] };
        let mut added = if with { self.with.clone() } else { Vec::new() };
        added.extend(self.kernel_stacks.then_some(CaptureKind::KernelStacks));
        let (threshold, open_after) = (threshold.then_some(self.threshold), open_after.then_some(self.open_after));
        let typed = Change::new(observe.then_some(self.observe), threshold, open_after, (without, &added))?;
        Ok(typed.with_budget(budget.then_some(self.budget)))
    }

    #[cfg(feature = "inject-clock")]
    fn clocks(&self) -> Clocks {
        self.inject_clock.map(Clocks::with_injection).unwrap_or_default()
    }

    #[cfg(not(feature = "inject-clock"))]
    fn clocks(&self) -> Clocks {
        Clocks::default()
    }
}

/// The kinds that this option adds.
fn kernel_stacks(are_wanted: bool) -> Kinds {
    if are_wanted { Kinds::of(&[CaptureKind::KernelStacks]) } else { Kinds::NONE }
}

/// The arguments with `run` put in front where no command is given.
pub fn with_default_command(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let known =
        ["run", "replay", "watch", "set", "show", "inspect", "validate", "help", "--help", "-h", "--version", "-V"];
    if !arguments.get(1).is_some_and(|first| known.iter().any(|known| first == known)) {
        arguments.insert(arguments.len().min(1), "run".into());
    }
    arguments
}

fn region(text: &str) -> Result<String, String> {
    let sane: Result<NodeName, _> = text.parse();
    sane.map(|_| text.to_owned())
        .map_err(|_| "use 1 to 253 letters, digits, '.', '_' or '-', as in eu-west-1".to_owned())
}

fn probe_interval(text: &str) -> Result<Duration, String> {
    let range = Duration::from_nanos(LEAST_INTERVAL.ns().unsigned_abs())..=Duration::from_secs(60);
    let words = format!(
        "{}ms to 60s: an aggregator answers {ANSWERED_PER_SECOND} probes of a node in a second, and refuses more",
        range.start().as_millis()
    );
    within(units::duration(text)?, &range, &words)
}

fn ring_bytes(text: &str) -> Result<u32, String> {
    let bytes = within(units::bytes(text)?, &(4_096..=1 << 30), "4KiB to 1GiB")?;
    let bytes = u32::try_from(bytes).map_err(|e| e.to_string())?;
    if bytes.is_power_of_two() { Ok(bytes) } else { Err(format!("{bytes} is not a power of two, as 4MiB is")) }
}

fn queue_bytes(text: &str) -> Result<usize, String> {
    let bytes = within(units::bytes(text)?, &((1 << 20)..=(64 << 30)), "1MiB to 64GiB")?;
    usize::try_from(bytes).map_err(|e| e.to_string())
}

fn within<T: PartialOrd>(value: T, range: &std::ops::RangeInclusive<T>, words: &str) -> Result<T, String> {
    if range.contains(&value) { Ok(value) } else { Err(format!("must be {words}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Target;
    use clap::CommandFactory;

    fn parse(arguments: &str) -> Result<Cli, clap::Error> {
        let words = format!("syncline-agent {arguments}");
        match super::parse(words.split_whitespace().map(OsString::from)) {
            Ok(cli) => Ok(cli),
            Err(Refusal::Usage(error)) => Err(error),
            Err(Refusal::Configuration(problem)) => panic!("{problem}"),
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_is_observed_is_typed_as_it_is_in_the_file() {
        let all = |typed: &str| {
            let Command::Run(args) = parse(&format!("--region eu {typed}")).unwrap().command else { panic!("not run") };
            args.config().map(|config| config.capture.rules.file.all.to_string()).map_err(|error| error.to_string())
        };
        assert_eq!(all("").unwrap(), Change::default().to_string());
        assert_eq!(all("--observe false --with kernel-stacks").unwrap(), "observe=false with=kernel-stacks");
        assert!(all("--with cgo --without cgo").unwrap_err().contains("both"));
        assert!(parse("--region eu --observe maybe").is_err() && parse("--region eu --with disk").is_err());
    }

    #[test]
    fn without_a_command_it_runs() {
        let Command::Run(args) = parse("--region eu --pid 7 --threshold 250us").unwrap().command else {
            panic!("not run")
        };
        let config = args.config().unwrap();
        assert_eq!(config.capture.target, Target::Pid(7));
        assert_eq!(config.capture.threshold, Duration::from_micros(250));
        assert_eq!(config.region, "eu");
        assert_eq!(config.sealing, Sealing::behind_probes(Span::from_s(1)));
    }

    #[test]
    fn aggregators_may_be_several_in_one_option_or_in_many() {
        for arguments in [
            "--region eu --node n --aggregator http://a:1,http://b:2",
            "--region eu --node n --aggregator http://b:2 --aggregator http://a:1 --aggregator http://b:2",
        ] {
            let Command::Run(args) = parse(arguments).unwrap().command else { panic!("not run") };
            let aggregators = args.config().unwrap().aggregators;
            assert_eq!(aggregators.len(), 2, "{aggregators}");
        }
    }

    #[test]
    fn waits_are_not_held_where_that_is_asked_for() {
        let Command::Run(args) = parse("--region eu --no-hold --probe-interval 2s").unwrap().command else {
            panic!("not run")
        };
        assert_eq!(args.config().unwrap().sealing, Sealing::Every(Span::from_s(2)));
    }

    #[test]
    fn kafka_is_where_it_is_said_to_be() {
        let config = |arguments: &str| {
            let Command::Run(args) = parse(&format!("--region eu --node n {arguments}")).unwrap().command else {
                panic!("not run")
            };
            args.config().map(|config| config.kafka)
        };
        assert_eq!(config("").unwrap(), None);
        let kafka = config("--uplink kafka --kafka-brokers a:1,b:2 --kafka-config client.rack=r").unwrap().unwrap();
        assert_eq!((kafka.brokers(), kafka.topic()), ("a:1,b:2", "syncline.batches"));
        for (wrong, part) in [
            ("--uplink kafka", "--kafka-brokers"),
            ("--kafka-brokers a:1", "--uplink kafka"),
            ("--kafka-config client.rack=r", "--uplink kafka"),
            ("--uplink kafka --kafka-brokers a:1 --kafka-config no.such=1", "no.such"),
        ] {
            let error = config(wrong).unwrap_err().to_string();
            assert!(error.contains(part), "{wrong}: {error}");
        }
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for (arguments, part) in [
            ("--region eu --pid 1 --exe /x", "cannot be used with"),
            ("--region eu --threshold 1", "250us"),
            ("--region eu --budget 1", "as 1%, or off"),
            ("--region eu --budget 101%", "0.01% to 100%"),
            ("--region eu --budget -1%", "0.01% to 100%"),
            ("--region eu --ring-bytes 5000", "power of two"),
            ("--region eu --stack-depth 200", "127"),
            ("--region eu --aggregator localhost", "http://"),
            ("--region eu --aggregator http://a:1,", "http://"),
            ("--region eu --symbol-cache-bytes 1KiB", "1MiB to 64GiB"),
            ("--region eu --uplink pigeon", "kafka"),
            ("--region eu --uplink kafka --kafka-brokers kafka-1", "HOST:PORT"),
            ("--region eu --kafka-topic a/b", "letters"),
            ("--region eu --kafka-config acks=1", "acks is not to be set"),
            ("--region a/b", "letters"),
            ("--pid 1", "--region"),
        ] {
            let error = parse(arguments).unwrap_err().to_string();
            assert!(error.contains(part), "{arguments}: {error}");
        }
    }
}
