//! Opens an embedded store and obeys standard input, for measurements: `ask ROUNDS SQL` times a query as a client sees it, `do SQL` runs one,
//! `tell SQL` gives its answer, `settle REVISION NODES` places the last hour's waits of so many nodes anew, as the aggregator does it, and
//! `settle-singly` with a statement for each. What came of it is a line of JSON. `cargo run -p syncline-store --example asked -- DIR`; standard input's end ends it.
#![allow(clippy::print_stdout)] // an example speaks to whoever started it

use std::error::Error;
use std::time::Instant;

use syncline_store::rows::ClockStatus;
use syncline_store::{Location, OpenOptions, SettledPiece, Settlement, Store, open};

const USAGE: &str = "usage: asked DIR; then on standard input: ask ROUNDS SQL, do SQL, tell SQL, settle REVISION NODES, settle-singly REVISION NODES";
const HOUR_NS: i64 = 3_600_000_000_000;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    syncline_store::run_engine_if_child();
    let dir = std::env::args_os().nth(1).ok_or(USAGE)?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let store = open(&Location::Embedded(dir.into()), &OpenOptions::default()).await?;
        store.migrate().await?;
        println!("ready");
        for line in std::io::stdin().lines() {
            println!("{}", obey(&store, &line?).await?);
        }
        Ok(store.close().await?)
    })
}

async fn obey(store: &Store, line: &str) -> Outcome<serde_json::Value> {
    let (order, rest) = line.split_once(' ').ok_or(USAGE)?;
    match order {
        "ask" => {
            let (rounds, sql) = rest.split_once(' ').ok_or(USAGE)?;
            let mut took_ms = Vec::new();
            for _ in 0..rounds.parse()? {
                let begun = Instant::now();
                store.query_text(sql, "Native").await?;
                took_ms.push(begun.elapsed().as_secs_f64() * 1e3);
            }
            Ok(serde_json::json!({ "ms": took_ms }))
        }
        "do" => {
            let begun = Instant::now();
            store.query_text(rest, "Null").await?;
            Ok(serde_json::json!({ "seconds": begun.elapsed().as_secs_f64() }))
        }
        "tell" => {
            let answer = String::from_utf8(store.query_text(rest, "TSV").await?)?;
            Ok(serde_json::json!({ "answer": answer.trim_end() }))
        }
        "settle" | "settle-singly" => {
            let (revision, nodes) = rest.split_once(' ').ok_or(USAGE)?;
            let settlements = settlements(store, revision.parse()?, nodes.parse()?).await?;
            let begun = Instant::now();
            match order {
                "settle" => store.settle_events(&settlements).await?,
                // As it was once done: a statement for each.
                _ => {
                    for settlement in &settlements {
                        store.settle_events(std::slice::from_ref(settlement)).await?;
                    }
                }
            }
            Ok(serde_json::json!({ "seconds": begun.elapsed().as_secs_f64(), "nodes": settlements.len() }))
        }
        _ => Err(USAGE.into()),
    }
}

/// A piece over the last hour of each node, which moves its waits by 1 ms. Of what `fill` makes, all nodes have one boot.
async fn settlements(store: &Store, revision: u32, nodes: usize) -> Outcome<Vec<Settlement>> {
    let sql = format!(
        "SELECT region, node, boot, ref_run, max(mono_ns + dur_ns), any(al_off) FROM events GROUP BY region, node, boot, ref_run \
         ORDER BY cityHash64(node) LIMIT {nodes}"
    );
    let text = String::from_utf8(store.query_text(&sql, "TSV").await?)?;
    text.lines()
        .map(|line| {
            let fields: [&str; 6] = line.split('\t').collect::<Vec<_>>().try_into().map_err(|_| "six columns")?;
            let [region, node, boot, ref_run, end, off] = fields;
            let (end, ref_off) = (end.parse::<u64>()?, off.parse::<i64>()? + 1_000_000);
            let piece = SettledPiece {
                mono: [end.saturating_sub(HOUR_NS.unsigned_abs()), end],
                ref_off: [ref_off; 2],
                err_ns: 90_000,
                status: ClockStatus::Synchronized,
                epoch: 0,
            };
            Ok(Settlement {
                region: region.to_owned(),
                node: node.to_owned(),
                boot: boot.parse()?,
                ref_run: ref_run.parse()?,
                revision,
                pieces: vec![piece],
            })
        })
        .collect()
}
