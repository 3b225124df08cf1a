//! Batches of many simulated nodes, sent to an aggregator as fast as it acknowledges them. `cargo xtask bench throughput`
//! starts this; alone it is of no use.
//!
//! It makes all batches first and says `ready`, then obeys standard input: `send` sends them and prints what came of it,
//! `wait` waits until all of it is stored and says `stored`, `check` asks the store what arrived. So whoever started it can measure the aggregator between them.

mod check;
mod send;
mod traffic;

use std::io::BufRead;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use traffic::Traffic;

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
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batches: u32,
    /// Waits in each batch
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    waits: u32,
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
    if events > MOST_EVENTS {
        bail!("{events} events are too many, at most {MOST_EVENTS}");
    }
    let runtime = tokio::runtime::Runtime::new().context("no async runtime")?;
    let mut traffic = Some((0..args.nodes).map(|node| Traffic::of(node, args)).collect::<Result<Vec<_>>>()?);
    println!("ready events={events}");
    for order in std::io::stdin().lock().lines() {
        match (order?.as_str(), traffic.take()) {
            ("send", Some(traffic)) => println!("{}", runtime.block_on(send::all(args.aggregator, traffic))?),
            ("wait", _) => {
                let batches = u64::from(args.nodes) * u64::from(args.batches);
                runtime.block_on(check::until_stored(&args.store_dir, batches))?;
                println!("stored");
            }
            ("check", _) => println!("{}", runtime.block_on(check::store(&args.store_dir))?),
            (order, _) => bail!("cannot obey {order:?}"),
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
