//! Fills an embedded store with waits of a fleet, for measurements of what is asked of it:
//! `cargo run -p syncline-store --example fill -- DIR WAITS [WAITS PER SECOND [NODES]]`.
//!
//! 300 nodes, or so many, of 3 regions whose clocks are apart and drift, each with one process of one of 10 services and 1,000 goroutines in it. A service
//! has 200 stacks, some much more frequent than others and alike in their outer calls; what a wait is for goes with its stack. Goroutines are
//! woken by others of their process, or by the next node over one of 8 connections, of whose sends some are known. Bounds grow from one probe, of a
//! second, to the next; one minute in a hundred a node has none. They end now. ClickHouse makes them up, so it takes no time to speak of.
#![allow(clippy::print_stdout)] // an example speaks to whoever started it

use std::error::Error;
use std::time::SystemTime;

use syncline_store::{Location, OpenOptions, Store, StoreError, open};

const USAGE: &str = "usage: fill DIR WAITS [WAITS PER SECOND [NODES]]; numbers from 1 on, and at most 10000 nodes";
/// Rows of one insert.
const PART: usize = 1_000_000;
/// The rate without one that is asked for.
const PER_SECOND: u64 = 20_000;
/// Nodes without a number that is asked for.
const NODES: u64 = 300;

fn main() -> Result<(), Box<dyn Error>> {
    syncline_store::run_engine_if_child();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |text: &String| text.parse::<u64>().ok().filter(|number| *number > 0).ok_or(USAGE);
    let (dir, waits, per_second, nodes) = match arguments.as_slice() {
        [dir, waits] => (dir, number(waits)?, PER_SECOND, NODES),
        [dir, waits, per_second] => (dir, number(waits)?, number(per_second)?, NODES),
        [dir, waits, per_second, nodes] => (dir, number(waits)?, number(per_second)?, number(nodes)?),
        _ => return Err(USAGE.into()),
    };
    // Of addresses there are as many.
    if nodes > 10_000 {
        return Err(USAGE.into());
    }
    let now_ns = u64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos())?;
    let step_ns = 1_000_000_000 / per_second;
    let length_ns = waits.checked_mul(step_ns).filter(|ns| *ns < now_ns);
    let base_ns = now_ns - length_ns.ok_or("so many waits at so low a rate would begin before 1970")?;
    let fleet = Fleet { base_ns, step_ns, waits, nodes };
    tokio::runtime::Runtime::new()?.block_on(async {
        let store = open(&Location::Embedded(dir.into()), &OpenOptions::default()).await?;
        store.migrate().await?;
        fleet.fill(&store).await?;
        store.close().await
    })?;
    println!("{waits} waits in {dir}");
    Ok(())
}

/// What waits.
struct Fleet {
    /// The fleet's clock at the first wait, where the `CLOCK_MONOTONIC` of all nodes is [`BOOTED_NS`].
    base_ns: u64,
    step_ns: u64,
    waits: u64,
    nodes: u64,
}

const BOOTED_NS: u64 = 1_000_000_000_000;

/// Bounds grow by 15 ppm.
const GROWS_ONE_NS_IN: u64 = 66_667;

/// Of a node by its `number`; `ahead_ns` is how far the fleet's clock is before that of its region, but for what it drifts.
const NODE: &str = "['eu', 'us', 'ap'][1 + number % 3] AS region, concat('node-', toString(number)) AS node, toUInt64(1) AS boot, \
    concat('service-', toString(number % 10)) AS service, toUInt32(1000 + number) AS pid, 1 + number % 10 AS build_id, 1 + number % 3 AS ref_run, \
    [0, 5000000, -3000000][1 + number % 3] AS ahead_ns, concat('10.0.', toString(intDiv(number, 250)), '.', toString(1 + number % 250)) AS address";

/// Calls by which goroutines wait, with what for: the innermost first. Their addresses are their places here.
const WAYS: &str = "[['runtime.gopark', 'runtime.netpollblock', 'internal/poll.runtime_pollWait', 'internal/poll.(*FD).Read', 'net.(*conn).Read'], \
    ['runtime.gopark', 'runtime.selectgo'], ['runtime.gopark', 'runtime.chanrecv', 'runtime.chanrecv1'], \
    ['runtime.gopark', 'runtime.semacquire1', 'internal/sync.(*Mutex).lockSlow', 'sync.(*Mutex).Lock'], ['runtime.gopark', 'time.Sleep']] AS ways, \
    ['IO wait', 'select', 'chan receive', 'sync.Mutex.Lock', 'sleep'] AS reasons";

/// The way of a stack.
const WAY: &str = "1 + cityHash64(stack_id) % 5 AS way";

impl Fleet {
    async fn fill(&self, store: &Store) -> Result<(), StoreError> {
        let waits = (0..self.waits).step_by(PART).map(|from| self.events(from));
        let few = [
            nodes(self.nodes),
            processes(self.nodes),
            self.region_clock(),
            stacks(),
            symbols(),
            self.sessions(),
            self.short_waits(),
        ];
        for sql in few.into_iter().chain(waits).chain([self.messages()]) {
            store.query_text(&sql, "Null").await?;
        }
        Ok(())
    }

    /// Fleet's clock - mono, of all nodes.
    fn off_ns(&self) -> i128 {
        i128::from(self.base_ns) - i128::from(BOOTED_NS)
    }

    fn minutes(&self) -> u64 {
        self.waits * self.step_ns / 60_000_000_000 + 1
    }

    /// A piece a minute, from a little before the first wait on; the regions drift by 1 ppm and -2 ppm.
    fn region_clock(&self) -> String {
        format!(
            "INSERT INTO region_clock (region, root, ref_run, root_run, ref_from, ref_to, off, off_to, rate_ppb, err_ns, err_to_ns, err_rate_ppb, \
             bound_class, status, rev) WITH intDiv(number, 2) AS minute, 1 + number % 2 AS which, [1000, -2000][which] AS ppb, \
             [5000000, -3000000][which] AS at_first \
             SELECT ['us', 'ap'][which], 'eu', 1 + which, 1, {base} + (toInt64(minute) - 1) * 60000000000 - at_first AS ref_from, ref_from + 60000000000, \
             at_first + minute * 60 * ppb AS off, off + 60 * ppb, ppb, 150000, 150000, 100, 'hard', 'synchronized', 1 FROM numbers({rows})",
            base = self.base_ns,
            rows = 2 * (self.minutes() + 2),
        )
    }

    fn events(&self, from: u64) -> String {
        let (rows, step, off, booted) =
            (self.waits.saturating_sub(from).min(PART as u64), self.step_ns, self.off_ns(), BOOTED_NS);
        let (nodes, before) = (self.nodes, self.nodes - 1);
        format!(
            "INSERT INTO events (bucket, region, service, node, boot, seq, pid, tid, goid, kind, reason, mono_ns, wall_off, dur_ns, run_delay_ns, flags, \
             stack_id, waker_goid, waker_stack_id, fd, fd_type, local_address, local_port, peer_address, peer_port, ref_run, al_off, al_end_off, err_ns, \
             err_end_ns, bound_class, clock_status, epoch, model_rev) \
             WITH {WAYS}, n.n AS n, cityHash64(n) AS h, {STACK}, {WAY}, way = 1 AS is_io, way IN (3, 4) OR way = 2 AND h % 2 = 0 AS is_woken, \
             toInt64(n * {step} + intDiv(h, 31) % {step} + {booted}) AS since, {off} - ahead_ns AS off, \
             intDiv(h, 29) % 8 AS connection, \
             toUInt64(1000000 - 8000000 * log(1 - (intDiv(h, 13) % 1000000) / 1000001)) AS dur, \
             cityHash64(node_number, intDiv(since, 60000000000)) % 100 = 1 AS is_unbounded, \
             100000 + cityHash64(node_number, intDiv(since, 1000000000)) % 50000 + intDiv(since % 1000000000, {GROWS_ONE_NS_IN}) AS err \
             SELECT intDiv(since + off, 60000000000) * 60, region, service, node, boot, n, pid, 2000 + h % 8, 1 + intDiv(h, 7) % 1000, 'goroutine', \
             reasons[way], since, off, dur, 1000 + h % 9000, if(is_io, 3, 1), \
             stack_id, if(is_woken, 1 + intDiv(h, 19) % 1000, 0), if(is_woken, waker_stack_id, 0), if(is_io, 7 + connection, -1), if(is_io, 'tcp', ''), \
             if(is_io, address, '::'), if(is_io, 40000 + connection, 0), if(is_io, next_address, '::'), if(is_io, 443, 0), ref_run, off, off, \
             if(is_unbounded, 18446744073709551615, err), if(is_unbounded, 18446744073709551615, err + intDiv(dur, {GROWS_ONE_NS_IN})), \
             if(is_unbounded, 'unknown', 'hard'), 'synchronized', 0, 1 \
             FROM (SELECT number + {from} AS n, n % {nodes} AS node_number FROM numbers({rows})) AS n \
             JOIN (SELECT number, {NODE} FROM numbers({nodes})) AS nodes ON nodes.number = n.node_number \
             JOIN (SELECT (number + {before}) % {nodes} AS number, address AS next_address FROM (SELECT number, {NODE} FROM numbers({nodes}))) AS next ON next.number = n.node_number",
        )
    }

    /// Of every connection both ends, as long as there are waits.
    fn sessions(&self) -> String {
        let ends = |which: &str, local: &str, local_port: &str, peer: &str, peer_port: &str| {
            format!(
                "SELECT intDiv({base}, 60000000000) * 60, {which}.region, {which}.service, {which}.node, 1, {which}.pid, connection, {local}.address, \
                 {local_port}, {peer}.address, {peer_port}, {BOOTED_NS} - 1000000000, {length}, {which}.ref_run, {off} - {which}.ahead_ns AS al_off, al_off \
                 FROM (SELECT number, {NODE} FROM numbers({nodes})) AS near \
                 JOIN (SELECT (number + {before}) % {nodes} AS number, * EXCEPT number FROM (SELECT number, {NODE} FROM numbers({nodes}))) AS far USING number \
                 CROSS JOIN (SELECT number AS connection FROM numbers(8)) AS connections",
                base = self.base_ns,
                nodes = self.nodes,
                // A difference would have a sign.
                before = self.nodes - 1,
                off = self.off_ns(),
                length = self.waits * self.step_ns + 2_000_000_000,
            )
        };
        format!(
            "INSERT INTO tcp_sessions (bucket, region, service, node, boot, pid, socket, local_address, local_port, peer_address, peer_port, mono_ns, dur_ns, \
             ref_run, al_off, al_end_off) {} UNION ALL {}",
            ends("near", "near", "40000 + connection", "far", "443"),
            ends("far", "far", "443", "near", "40000 + connection")
        )
    }

    /// Of every eighth wait for a connection, what ended it: 150 us before it could go on.
    fn messages(&self) -> String {
        format!(
            "INSERT INTO messages (bucket, region, service, node, boot, pid, goid, direction, local_address, local_port, peer_address, peer_port, mark, \
             marks, mark_shift, mono_ns, ref_run, al_off, err_ns, bound_class, clock_status, model_rev) \
             WITH e.mono_ns + e.dur_ns - e.run_delay_ns - 150000 AS at, {off} - far.ahead_ns AS al_off \
             SELECT intDiv(toInt64(at) + al_off, 60000000000) * 60, far.region, far.service, far.node, 1, far.pid, 1 + e.seq % 1000, 'send', e.peer_address, \
             e.peer_port, e.local_address, e.local_port, e.seq * 65536, 1, 16, at, far.ref_run, al_off, 100000, 'hard', 'synchronized', 1 \
             FROM events AS e JOIN (SELECT number, {NODE} FROM numbers({nodes})) AS far ON far.number = (e.seq + 1) % {nodes} \
             WHERE e.peer_port != 0 AND cityHash64(e.seq, 31) % 8 = 0",
            nodes = self.nodes,
            off = self.off_ns(),
        )
    }

    /// A row a minute for each process and reason.
    fn short_waits(&self) -> String {
        format!(
            "INSERT INTO short_waits (bucket, region, service, node, boot, pid, kind, reason, count, total_ns) WITH {WAYS} \
             SELECT intDiv({base}, 60000000000) * 60 + 60 * minute, region, service, node, boot, pid, 'goroutine', reason, 1000 + cityHash64(pid, reason) % 9000, \
             100000 * (1000 + cityHash64(pid, reason) % 9000) \
             FROM (SELECT number, {NODE} FROM numbers({nodes})) AS nodes \
             CROSS JOIN (SELECT number AS minute FROM numbers({minutes})) AS minutes ARRAY JOIN reasons AS reason",
            base = self.base_ns,
            nodes = self.nodes,
            minutes = self.minutes(),
        )
    }
}

/// Of wait `n` of a node of a service: some of the 200 stacks come much more often than others (as by Zipf's law).
const STACK: &str = "toUInt64(pow(200, (intDiv(h, 17) % 1000000) / 1000000)) - 1 AS place, toUInt64(1 + 10 * place + node_number % 10) AS stack_id, \
    toUInt64(1 + 10 * (intDiv(h, 23) % 20) + node_number % 10) AS waker_stack_id";

fn nodes(nodes: u64) -> String {
    format!(
        "INSERT INTO nodes (region, node, boot) SELECT region, node, boot FROM (SELECT {NODE} FROM numbers({nodes}))"
    )
}

fn processes(nodes: u64) -> String {
    format!(
        "INSERT INTO processes (region, node, boot, pid, build_id, service, executable, seen) \
         SELECT region, node, boot, pid, build_id, service, concat('/opt/shop/', service), now() FROM (SELECT {NODE} FROM numbers({nodes}))"
    )
}

/// Stacks of a service branch as its code does: those next to each other share all but the innermost of 6 to 16 calls of its own.
fn stacks() -> String {
    format!(
        "INSERT INTO stacks (stack_id, build_id, pcs, last_seen) WITH {WAYS}, number + 1 AS stack_id, number % 10 AS of, intDiv(number, 10) AS place, {WAY} \
         SELECT stack_id, 1 + of, arrayConcat(arrayMap(depth -> 10 * way + depth, range(length(ways[way]))), \
             arrayMap(level -> 1000 + cityHash64(of, level, bitShiftRight(place, if(level > 8, 0, 8 - level))) % 5000, reverse(range(6 + place % 11)))), now() \
         FROM numbers(2000)"
    )
}

fn symbols() -> String {
    format!(
        "INSERT INTO symbols (build_id, pc, depth, func, file, line) WITH {WAYS} \
         SELECT 1 + intDiv(number, 5000), 1000 + number % 5000, 0, \
             concat('github.com/example/shop/internal/part', toString(number % 97), '.(*Server).handle', toString(number % 5000)), \
             concat('/src/github.com/example/shop/internal/part', toString(number % 97), '/server.go'), number % 900 FROM numbers(50000) \
         UNION ALL SELECT 1 + number, 10 * way + depth - 1, 0, func, '/go/src/wait.go', 10 * way + depth \
         FROM numbers(10) ARRAY JOIN ways AS calls, arrayEnumerate(ways) AS way ARRAY JOIN calls AS func, arrayEnumerate(calls) AS depth"
    )
}
