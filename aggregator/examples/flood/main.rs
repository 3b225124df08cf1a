//! Batches of many simulated nodes, sent to an aggregator as fast as it acknowledges them. `cargo xtask bench throughput`
//! starts this; alone it is of no use.
//!
//! It makes all batches first and says `ready`, then obeys standard input: `send` sends them and prints what came of it, `stored` waits until
//! the store shows them and says how long that took from the first on, `check` asks the store what arrived. So whoever started it can measure
//! the aggregator between them. For `cargo xtask bench pipeline` it also sends a batch a second (`--paced`), or the same waits to an
//! OpenTelemetry Collector (`--otlp`).

mod check;
mod otlp;
mod paced;
mod send;
mod traffic;

use std::io::BufRead;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use send::Sent;
use traffic::{Encoded, Traffic};

#[derive(Parser)]
struct Args {
    /// Where the aggregator listens: this machine only
    #[arg(long, value_parser = loopback)]
    aggregator: SocketAddr,
    /// Directory of its embedded store
    #[arg(long)]
    store_dir: PathBuf,
    /// Region that it serves
    #[arg(long)]
    region: String,
    /// Simulated nodes, each with a connection of its own
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    nodes: u32,
    /// Batches of each node
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=36_000))]
    batches: u32,
    /// Waits in each batch
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    waits: u32,
    /// Send a batch a second of each node, made as it is due
    #[arg(long, conflicts_with = "otlp")]
    paced: bool,
    /// Send the waits as OpenTelemetry logs, to a collector at that address
    #[arg(long)]
    otlp: bool,
}

/// What is to be sent.
enum Load {
    Batches(Vec<Vec<Encoded>>),
    Logs(Vec<Vec<Encoded>>),
    Paced(Vec<Traffic>),
}

impl Load {
    fn of(args: &Args) -> Result<Self> {
        let nodes = (0..args.nodes).map(|node| Traffic::of(node, args));
        if args.paced {
            return Ok(Self::Paced(nodes.collect()));
        }
        if args.otlp {
            let logs =
                |mut node: Traffic| std::iter::from_fn(move || node.next_batch()).map(|b| otlp::encoded(&b)).collect();
            return Ok(Self::Logs(nodes.map(logs).collect()));
        }
        nodes.map(Iterator::collect).collect::<Result<_>>().map(Self::Batches)
    }

    async fn send(self, to: SocketAddr) -> Result<Sent> {
        match self {
            Self::Batches(batches) => send::all(to, batches).await,
            Self::Logs(logs) => otlp::all(to, logs).await,
            Self::Paced(traffic) => paced::all(to, traffic).await,
        }
    }
}

/// More than this would not be a benchmark of this machine any more, but of its memory.
const MOST_EVENTS: u64 = 50_000_000;

fn main() -> ExitCode {
    match obey(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flood: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn obey(args: &Args) -> Result<()> {
    let events = u64::from(args.nodes) * u64::from(args.batches) * u64::from(args.waits);
    if events > MOST_EVENTS && !args.paced {
        bail!("{events} events are too many, at most {MOST_EVENTS}");
    }
    let runtime = tokio::runtime::Runtime::new().context("no async runtime")?;
    let (mut load, mut began) = (Some(Load::of(args)?), None);
    println!("ready events={events}");
    for order in std::io::stdin().lock().lines() {
        match (order?.as_str(), load.take(), began) {
            ("send", Some(load), _) => {
                let mut sent = runtime.block_on(load.send(args.aggregator))?;
                println!("{}", sent.report());
                began = Some(sent.began);
            }
            ("stored", _, Some(began)) => {
                println!("{}", runtime.block_on(check::stored(&args.store_dir, events, began))?);
            }
            ("check", ..) => println!("{}", runtime.block_on(check::store(&args.store_dir))?),
            (order, ..) => bail!("cannot obey {order:?}"),
        }
    }
    Ok(())
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "use 127.0.0.1:PORT".to_owned())?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("only an aggregator on this machine may be flooded".into())
    }
}
