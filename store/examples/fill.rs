//! Fills an embedded store with waits of a fleet, for measurements of what is asked of it:
//! `cargo run -p syncline-store --example fill -- DIR WAITS [WAITS PER SECOND]`.
//!
//! 300 nodes of 3 regions, 10 services, 300,000 goroutines, 2,000 stacks of 6 to 24 calls; half of the waits have a waker with its stack, a third
//! are for a connection, one in a hundred has no bound. They end now. ClickHouse makes them up, so it takes no time to speak of.
#![allow(clippy::print_stdout)] // an example speaks to whoever started it

use std::error::Error;
use std::time::SystemTime;

use syncline_store::{Location, OpenOptions, Store, StoreError, open};

fn main() -> Result<(), Box<dyn Error>> {
    syncline_store::run_engine_if_child();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (dir, waits, per_second) = match arguments.as_slice() {
        [dir, waits] => (dir, waits.parse()?, 20_000),
        [dir, waits, per_second] => (dir, waits.parse()?, per_second.parse()?),
        _ => return Err("usage: fill DIR WAITS [WAITS PER SECOND]".into()),
    };
    let now_ns = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos();
    tokio::runtime::Runtime::new()?.block_on(async {
        let store = open(&Location::Embedded(dir.into()), &OpenOptions::default()).await?;
        store.migrate().await?;
        fill(&store, u64::try_from(now_ns).unwrap_or(u64::MAX), waits, per_second).await?;
        store.close().await
    })?;
    println!("{waits} waits in {dir}");
    Ok(())
}

/// Rows of one insert.
const PART: u64 = 1_000_000;

async fn fill(store: &Store, now_ns: u64, waits: u64, per_second: u64) -> Result<(), StoreError> {
    let step_ns = 1_000_000_000 / per_second.max(1);
    let base_ns = now_ns.saturating_sub(waits * step_ns);
    store.query_text(&nodes(), "Null").await?;
    store.query_text(STACKS, "Null").await?;
    store.query_text(SYMBOLS, "Null").await?;
    for from in (0..waits).step_by(usize::try_from(PART).unwrap_or(usize::MAX)) {
        store.query_text(&events(base_ns, step_ns, from, PART.min(waits - from)), "Null").await?;
    }
    Ok(())
}

fn nodes() -> String {
    "INSERT INTO nodes (region, node, boot) SELECT ['eu', 'us', 'ap'][1 + number % 3], concat('node-', toString(number)), 1 FROM numbers(300)"
        .to_owned()
}

const STACKS: &str = "INSERT INTO stacks (stack_id, build_id, pcs, last_seen) SELECT number + 1, 1 + number % 10, \
    arrayMap(depth -> 1000 + cityHash64(number, depth) % 5000, range(6 + number % 19)), now() FROM numbers(2000)";

const SYMBOLS: &str = "INSERT INTO symbols (build_id, pc, depth, func, file, line) SELECT 1 + intDiv(number, 5000), 1000 + number % 5000, 0, \
    concat('github.com/example/shop/internal/part', toString(number % 97), '.(*Server).handle', toString(number % 5000)), \
    concat('/src/github.com/example/shop/internal/part', toString(number % 97), '/server.go'), number % 900 FROM numbers(50000)";

fn events(base_ns: u64, step_ns: u64, from: u64, number: u64) -> String {
    format!(
        "INSERT INTO events (bucket, region, service, node, boot, seq, pid, tid, goid, kind, reason, mono_ns, wall_off, dur_ns, run_delay_ns, flags, \
         stack_id, waker_goid, waker_stack_id, fd, fd_type, local_address, local_port, peer_address, peer_port, al_off, al_end_off, err_ns, err_end_ns, \
         bound_class, clock_status, epoch, model_rev) \
         WITH number + {from} AS n, cityHash64(n) AS h, n % 300 AS node_number, toInt64(n * {step_ns} + 1000000000) AS since, {base_ns} - 1000000000 AS off, \
         h % 3 = 0 AS is_io, if(h % 100 = 1, 18446744073709551615, 100000 + h % 50000) AS err \
         SELECT intDiv(since + off, 60000000000) * 60, ['eu', 'us', 'ap'][1 + node_number % 3], concat('service-', toString(node_number % 10)), \
         concat('node-', toString(node_number)), 1, n, 1000 + node_number, 2000 + h % 8, 1 + intDiv(h, 7) % 1000, 'goroutine', \
         if(is_io, 'IO wait', ['select', 'chan receive', 'sync.Mutex.Lock', 'sleep'][1 + intDiv(h, 11) % 4]), since, off, \
         toUInt64(1000000 - 8000000 * log(1 - (intDiv(h, 13) % 1000000) / 1000001)), 1000 + h % 9000, if(is_io, 3, 1), 1 + intDiv(h, 17) % 2000, \
         if(is_io OR h % 4 = 1, 0, 1 + intDiv(h, 19) % 1000), if(is_io OR h % 4 = 1, 0, 1 + intDiv(h, 23) % 2000), if(is_io, 7, -1), if(is_io, 'tcp', ''), \
         if(is_io, '10.0.0.1', '::'), if(is_io, 40000 + h % 1000, 0), if(is_io, '10.0.0.9', '::'), if(is_io, 443, 0), off, off, err, err, \
         if(err = 18446744073709551615, 'unknown', 'hard'), 'synchronized', 0, 1 FROM numbers({number})"
    )
}
