//! The program around [`syncline_aggregator::serve::Aggregator`]: store, signals, exit code.

mod hangup;
mod migrate;
mod status;
mod users;

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use syncline_aggregator::cli::{self, Administration, Args, Place, Refusal, Task};
use syncline_aggregator::reference::Reference;
use syncline_aggregator::region_clock::RegionClockConfig;
use syncline_aggregator::serve::{Aggregator, Config};
use syncline_aggregator::udp_probes::open_master_key;
use syncline_claims::Chrony;
use syncline_config::{EX_CONFIG, Problem};
use syncline_store::{EmbeddedConfig, EmbeddedEngine, Store};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    // In the embedded engine's child process this does not return: nothing may come before it.
    syncline_store::run_engine_if_child();
    let task = match cli::parse(std::env::args_os().collect()) {
        Ok(Task::Validate(file)) => return validate(&file),
        Ok(task) => task,
        Err(Refusal::Usage(error)) => error.exit(),
        Err(Refusal::Configuration(problem)) => return misconfigured(&problem),
    };
    log_to_stderr();
    match run(&task) {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that went away (`| head`) is not an error.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // ClickHouse's own messages may have several lines; ours has one.
            let text = format!("{error:#}").lines().map(str::trim).collect::<Vec<_>>().join("; ");
            // Whoever read it may have gone, too.
            let _ = writeln!(io::stderr(), "syncline-aggregator: {text}");
            ExitCode::FAILURE
        }
    }
}

/// Of our own output alone: what breaks on the way to the store is within other errors.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn validate(file: &Path) -> ExitCode {
    match cli::validate(file) {
        Ok(()) => {
            eprintln!("syncline-aggregator: {}: an aggregator would take it", file.display());
            ExitCode::SUCCESS
        }
        Err(problem) => misconfigured(&problem),
    }
}

fn misconfigured(problem: &Problem) -> ExitCode {
    eprintln!("syncline-aggregator: {}", problem.shown());
    ExitCode::from(EX_CONFIG)
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(io::stderr).init();
}

fn run(task: &Task) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no async runtime")?;
    match task {
        Task::Serve(args) => runtime.block_on(serve(args)),
        Task::Administer(Administration::Migrate(args)) => runtime.block_on(migrate::run(args)),
        Task::Administer(Administration::Status(args)) => runtime.block_on(status::run(args)),
        Task::Administer(Administration::Users(args)) => users::run(args),
        Task::Validate(_) => Ok(()),
    }
}

async fn serve(args: &Args) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let file = args.config.clone().zip(args.file.clone());
    hangup::listen(file, std::env::args_os().collect()).context("cannot listen for signals")?;
    let (place, regions) = (args.store()?, args.regions()?);
    let state_dir = args.state_dir(&place)?;
    let mut kafka = args.kafka(&state_dir)?;
    let listener = listen(&args.listen).await?;
    if let Some(kafka) = &mut kafka {
        tokio::select! {
            checked = kafka.check() => checked?,
            name = signals.next() => anyhow::bail!("{name} before Kafka had answered"),
        }
    }
    let door = match args.metrics {
        Some(address) => Some(syncline_metrics::listen(address).await.map_err(anyhow::Error::msg)?),
        None => None,
    };
    let (store, engine) = tokio::select! {
        opened = open_store(&place, &args.database) => opened?,
        name = signals.next() => anyhow::bail!("{name} before the store was open"),
    };
    let reference = Reference::open(&state_dir, &args.region)?;
    let probe_key = open_master_key(&state_dir)?;
    let shown_url = store.shown_url().trim_end_matches('/').to_owned();
    let config = Config { probe_key: Some(probe_key), kafka, ..config(args, reference, regions, &state_dir) };
    let mut aggregator = Aggregator::start(config, listener, store)?;
    let metrics = door.as_ref().and_then(|door| door.local_addr().ok());
    if let Some(door) = door {
        aggregator.serve_metrics(door);
    }
    ready(args, &aggregator, (&shown_url, metrics), &reference);
    let ended = tokio::select! {
        name = signals.next() => { tracing::info!("{name}: stopping"); Ok(()) }
        failed = aggregator.failed() => return failed,
        ended = engine_ended(engine.as_ref()) => ended,
    };
    aggregator.stop().await?;
    if let Some(engine) = engine {
        engine.stop().await.context("stopping the embedded ClickHouse")?;
    }
    ended
}

async fn listen(address: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let mend = match error.kind() {
            io::ErrorKind::AddrInUse => "is another aggregator there? Choose another address with --listen",
            _ => "--listen wants ADDRESS:PORT of this machine",
        };
        anyhow::anyhow!("cannot listen on {address} ({error}): {mend}")
    })
}

/// The store with its schema up to date, and its engine if that is ours.
async fn open_store(place: &Place, database: &str) -> anyhow::Result<(Store, Option<EmbeddedEngine>)> {
    let (url, engine) = match place {
        Place::Url(url) => (url.clone(), None),
        Place::Embedded(dir) => {
            let engine = EmbeddedEngine::start(EmbeddedConfig::new(dir)).await?;
            (engine.url().to_owned(), Some(engine))
        }
    };
    let opened = async {
        let store = Store::connect(&url, database).await?;
        let report = store.migrate().await?;
        tracing::info!(from = report.from, to = report.to, applied = ?report.applied, "schema");
        anyhow::Ok(store)
    };
    Ok((opened.await.context("cannot use the store")?, engine))
}

fn config(args: &Args, reference: Reference, regions: Vec<RegionClockConfig>, state_dir: &Path) -> Config {
    let mut config = Config::new(&args.region, reference, args.spool(state_dir));
    config.regions = regions;
    config.pipeline.tolerance = args.tolerance();
    config.chrony = Chrony::at(args.chrony);
    config.memory = (args.memory_mib as usize) << 20;
    config.alerts = args.alerts.clone();
    config.state_dir = Some(state_dir.to_owned());
    if let Some(last) = args.claims_last() {
        config.claims_last = last;
    }
    config
}

/// The one line on stdout. Who started us may have closed it, which is no reason to stop.
fn ready(args: &Args, aggregator: &Aggregator, (store, metrics): (&str, Option<SocketAddr>), reference: &Reference) {
    let metrics = metrics.map(|address| format!(" metrics={address}")).unwrap_or_default();
    let _ = writeln!(
        io::stdout().lock(),
        "ready region={} listen={} store={store} anchor_ns={} reference_run={:#018x}{metrics}",
        args.region,
        aggregator.address(),
        reference.anchor_ns(),
        reference.run(),
    );
}

/// Ends when the engine's process does, which it should not; never where there is none.
async fn engine_ended(engine: Option<&EmbeddedEngine>) -> anyhow::Result<()> {
    let Some(pid) = engine.and_then(EmbeddedEngine::pid) else { return std::future::pending().await };
    watch(pid).await.with_context(|| format!("cannot watch the embedded ClickHouse (process {pid})"))?;
    anyhow::bail!(
        "the embedded ClickHouse (process {pid}) ended by itself; see engine.log in the store's directory, and start again"
    )
}

/// Waits for the end of process `pid`, on a thread that nobody waits for.
async fn watch(pid: u32) -> anyhow::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("no process id")?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    let (ended, end) = tokio::sync::oneshot::channel();
    let wait = move || ended.send(poll_until_ended(&process));
    std::thread::Builder::new().name("engine-watch".to_owned()).spawn(wait)?;
    Ok(end.await??)
}

fn poll_until_ended(process: &OwnedFd) -> rustix::io::Result<()> {
    // A pidfd is readable once its process has ended.
    rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(process, PollFlags::IN)], None)).map(drop)
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The name of the next one.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
