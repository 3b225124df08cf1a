//! Many nodes in one process, each with the queue, the spool and the uplink of a real agent, and events whose truth is known. `cargo xtask chaos`
//! starts, kills and starts this again; alone it is of no use.
//!
//! What stands for the kernel is a stream that goes on where it was durable: the n-th batch of a node is the same bytes whoever makes it, and the
//! number of durable ones is in the file `durable` beside the spool. So what was durable, or stored, before a kill must be stored once in the end, and
//! nothing else. On SIGTERM no more is made, and the program ends once all is delivered.

mod traffic;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use syncline_agent::endpoint::Aggregator;
use syncline_agent::queue::{BatchId, Entry, Queue, SharedQueue};
use syncline_agent::spooling::{SpoolConfig, Spooling};
use syncline_agent::uplink::{KafkaUplink, Ranking, Uplink};
use syncline_kafka::{Broker, DEFAULT_TOPIC, Settings};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use traffic::Source;

#[derive(Clone, Parser)]
struct Args {
    /// Where each node has its spool and its count
    #[arg(long)]
    dir: PathBuf,
    /// The region's aggregators
    #[arg(long, value_delimiter = ',', required = true)]
    aggregator: Vec<Aggregator>,
    /// Kafka brokers, if batches go that way
    #[arg(long, value_delimiter = ',')]
    kafka_brokers: Vec<Broker>,
    #[arg(long)]
    region: String,
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    nodes: u32,
    /// Waits in each batch; a node makes one a second
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    waits: u32,
}

/// Memory of a node's queue: little, so that the spool is read back where an aggregator does not keep up.
const QUEUE_BYTES: usize = 2 << 20;
const SPOOL_BYTES: u64 = 2 << 30;
const BATCH_EVERY: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let log = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(log).with_writer(std::io::stderr).with_ansi(false).init();
    let ended =
        tokio::runtime::Runtime::new().context("no async runtime").and_then(|rt| rt.block_on(run(Args::parse())));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("modelled_nodes: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let (stop, stopped) = watch::channel(false);
    let mut nodes = JoinSet::new();
    for number in 0..args.nodes {
        nodes.spawn(live(number, args.clone(), stopped.clone()));
    }
    println!("ready nodes={}", args.nodes);
    loop {
        tokio::select! {
            _ = terminate.recv() => drop(stop.send_replace(true)),
            node = nodes.join_next() => match node {
                None => return Ok(()),
                Some(ended) => ended.context("a node panicked")??,
            },
        }
    }
}

/// One node, from where it was to the end of all.
async fn live(number: u32, args: Args, mut stopped: watch::Receiver<bool>) -> Result<()> {
    let dir = args.dir.join(traffic::name(number));
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let mut durable = Durable::read(&dir)?;
    let source = Source { number, region: args.region.clone(), waits: args.waits, begin_ns: durable.begin_ns };
    let run = source.origin();
    let spool = SpoolConfig { path: dir.join("spool"), most_bytes: SPOOL_BYTES, is_required: true };
    let spool = spool.open()?.context("no spool")?;
    let queue = Arc::new(SharedQueue::new(spool.queue(QUEUE_BYTES)));
    let own = BatchId { boot: run.boot, run_first_seq: run.run_first_seq, number: run.run_first_seq };
    let spooling = spool.start(&queue, own)?;
    let uplink = start_uplink(&args, number, &queue)?;
    while !*stopped.borrow() {
        let batch = source.batch(durable.batches);
        let bytes = syncline_proto::encode(&batch)?;
        let dropped = queue.change(|queue| queue.push(Entry::of(&batch, bytes.into())));
        ensure!(dropped.is_empty(), "{}: the queue dropped {} batches", run.node, dropped.len());
        queue.until(|queue| !queue.has_unwritten()).await;
        durable.batches += 1;
        durable.write(&dir)?;
        tokio::select! {
            () = tokio::time::sleep(durable.due().saturating_sub(now())) => {}
            _ = stopped.changed() => {}
        }
        ensure!(queue.change(Queue::take_dropped).is_empty(), "{}: the spool is full", run.node);
        ensure!(queue.take_refused().is_empty(), "{}: a batch was refused", run.node);
    }
    finish(&queue, uplink, spooling).await;
    ensure!(queue.take_refused().is_empty(), "{}: a batch was refused", run.node);
    Ok(())
}

async fn finish(queue: &SharedQueue, uplink: tokio::task::JoinHandle<()>, spooling: Spooling) {
    queue.change(Queue::close);
    let _ = uplink.await;
    spooling.end().await;
}

fn start_uplink(args: &Args, number: u32, queue: &Arc<SharedQueue>) -> Result<tokio::task::JoinHandle<()>> {
    let (node, queue) = (traffic::name(number), Arc::clone(queue));
    if args.kafka_brokers.is_empty() {
        let ranking = Ranking::of(&node, args.aggregator.clone()).context("no aggregator")?;
        return Ok(tokio::spawn(Uplink::new(ranking, queue).of_region(args.region.clone()).run()));
    }
    let topic = DEFAULT_TOPIC.parse().map_err(anyhow::Error::msg)?;
    let settings = Settings::new(&args.kafka_brokers, topic, Vec::new());
    Ok(tokio::spawn(KafkaUplink::new(settings, args.region.clone(), node, queue).run()))
}

/// When a node began, and how many of its batches are durable. It outlives a kill of the process: more is not asked of it.
struct Durable {
    begin_ns: u64,
    batches: u64,
}

impl Durable {
    fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("durable");
        match fs::read_to_string(&path) {
            Ok(text) => {
                let (begin, batches) = text.trim().split_once(' ').context("not two numbers")?;
                Ok(Self { begin_ns: begin.parse()?, batches: batches.parse()? })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let new = Self { begin_ns: u64::try_from(now().as_nanos())?, batches: 0 };
                // The first batch may be stored before it is counted: the next run has to make the same one.
                new.write(dir)?;
                Ok(new)
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    fn write(&self, dir: &Path) -> Result<()> {
        let new = dir.join("durable.new");
        fs::write(&new, format!("{} {}\n", self.begin_ns, self.batches))?;
        fs::rename(&new, dir.join("durable")).context("cannot keep what is durable")
    }

    /// Since 1970, when the next batch is due.
    fn due(&self) -> Duration {
        Duration::from_nanos(self.begin_ns) + BATCH_EVERY * u32::try_from(self.batches).unwrap_or(u32::MAX)
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
