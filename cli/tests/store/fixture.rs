//! A store with a few waits of two regions, and a way to run the program on it.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use syncline_store::{Location, OpenOptions, OpenStore, open};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{alerts, blocked, export, ledger, observed, sends, states, story, stuck};

/// The store in a directory of its own. Nobody holds it unless a case does.
pub(crate) struct Fixture {
    dir: TempDir,
    runtime: Runtime,
    /// The root's clock at the first wait: a full second about an hour ago.
    pub(crate) base_ns: i64,
}

/// The database with the rows of [`blocked`].
pub(crate) const BLOCKED: &str = "blocked";

/// The database with the rows of [`stuck`].
pub(crate) const STUCK: &str = "stuck";

/// The database with the rows of [`states`].
pub(crate) const STATES: &str = "states";

/// The database with the rows of [`story`].
pub(crate) const STORY: &str = "story";

/// The database with the rows of [`observed`].
pub(crate) const OBSERVED: &str = "observed";

/// The database with the rows of [`sends`].
pub(crate) const SENDS: &str = "sends";

/// The database with the rows of [`alerts`].
pub(crate) const ALERTS: &str = "alerts";

/// The database with the rows of [`export`].
pub(crate) const EXPORT: &str = "export";

/// The database with the rows of [`ledger`].
pub(crate) const LEDGER: &str = "ledger";

/// The database of [`symbols`](crate::symbols), empty but for the tables.
pub(crate) const SYMBOLS: &str = "symbols";

/// The us-east clock runs this much behind the root's, eu-west.
pub(crate) const REGION_OFFSET_NS: i64 = 5_000_000;

impl Fixture {
    pub(crate) fn make() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let base_ns = i64::try_from(now / 60 * 60 - 3600).unwrap() * 1_000_000_000;
        let fixture = Self { dir: tempfile::tempdir().unwrap(), runtime: Runtime::new().unwrap(), base_ns };
        let store = fixture.hold();
        fixture.runtime.block_on(async {
            store.migrate().await.unwrap();
            for sql in rows(base_ns) {
                store.query_text(&sql, "Null").await.unwrap();
            }
        });
        fixture.release(store);
        fixture.fill(BLOCKED, &blocked::rows(base_ns));
        fixture.fill(STUCK, &stuck::rows());
        fixture.fill(STATES, &states::rows(base_ns));
        fixture.fill(STORY, &story::rows(base_ns));
        fixture.fill(SENDS, &sends::rows(base_ns));
        fixture.fill(ALERTS, &alerts::rows(base_ns));
        fixture.fill(EXPORT, &export::rows(base_ns));
        fixture.fill(OBSERVED, &observed::rows(base_ns));
        fixture.fill(LEDGER, &ledger::rows(base_ns));
        fixture.fill(SYMBOLS, &[]);
        fixture
    }

    /// Fills a database of its own beside the usual one.
    pub(crate) fn fill(&self, database: &str, rows: &[String]) {
        let options = OpenOptions { database: database.to_owned(), ..OpenOptions::default() };
        let location = Location::Embedded(self.dir.path().to_owned());
        self.runtime.block_on(async {
            let store = open(&location, &options).await.unwrap();
            store.migrate().await.unwrap();
            for sql in rows {
                store.query_text(sql, "Null").await.unwrap();
            }
            store.close().await.unwrap();
        });
    }

    /// Opens the store as an aggregator would, so that the program finds it held.
    pub(crate) fn hold(&self) -> OpenStore {
        let location = Location::Embedded(self.dir.path().to_owned());
        self.runtime.block_on(open(&location, &OpenOptions::default())).unwrap()
    }

    pub(crate) fn release(&self, store: OpenStore) {
        self.runtime.block_on(store.close()).unwrap();
    }

    /// Asks the engine itself, as who may do more than the program lets people.
    pub(crate) fn ask(&self, sql: &str, format: &str) -> String {
        let store = self.hold();
        let answer = self.runtime.block_on(store.query_text(sql, format)).unwrap();
        self.release(store);
        String::from_utf8(answer).unwrap()
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_syncline"));
        command.arg("--store").arg(self.path()).args(arguments).stdin(Stdio::null()).env_remove("SYNCLINE_URL");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Standard output of a run that must succeed.
    pub(crate) fn answer(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Standard error, one line, of a run that must fail with this code.
    pub(crate) fn refusal(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{arguments:?}: {error}");
        error
    }
}

/// A wait: region, node, service, goid, reason, begin after the base and length in ms, bound in ns, stack.
type Wait = (&'static str, &'static str, &'static str, u64, &'static str, i64, i64, u64, u64);

const UNBOUNDED: u64 = u64::MAX;
const WAITS: [Wait; 5] = [
    ("eu-west", "eu-1", "cart", 18, "sync.Mutex.Lock", 0, 400, 120_000, 7),
    ("eu-west", "eu-1", "cart", 19, "chan receive", 500, 2, 120_000, 0),
    ("us-east", "us-1", "stock", 7, "chan receive", 100, 300, 80_000, 0),
    ("us-east", "us-2", "stock", 9, "IO wait", 200, 50, UNBOUNDED, 0),
    // It begins well before the others and lasts into them.
    ("us-east", "us-1", "stock", 8, "select", -20_000, 20_050, 80_000, 0),
];

fn rows(base_ns: i64) -> Vec<String> {
    let mut statements: Vec<String> = WAITS.iter().zip(1..).map(|(wait, seq)| wait_row(base_ns, wait, seq)).collect();
    let region_ns = base_ns - REGION_OFFSET_NS;
    statements.extend([
        "INSERT INTO nodes (region, node, boot) VALUES ('eu-west', 'eu-1', 1), ('us-east', 'us-1', 1), ('us-east', 'us-2', 1)"
            .to_owned(),
        region_map(base_ns),
        segment(base_ns, "eu-west", "eu-1", 3_000_123_456, 150_000, "synchronized"),
        segment(region_ns, "us-east", "us-1", -2_000_000, 50_000, "free_running"),
        // Received later than now, so that it is as fresh however long the cases take.
        format!(
            "INSERT INTO clock_probes (region, node, boot, t1, t2, t3, t4, rtt_ns, kind, used, received) \
             VALUES ('eu-west', 'eu-1', 1, 1, {base_ns}, {base_ns}, 2, 1, 'grpc', 1, now64(3, 'UTC') + INTERVAL 1 HOUR)"
        ),
        format!(
            "INSERT INTO clock_claims (region, node, boot, mono_ns, at, source, synchronized, utc_wall_ns, bound_ns, verdict, claimed_low_ns, \
             claimed_high_ns, measured_low_ns, measured_high_ns) VALUES \
             ('eu-west', 'eu-1', 1, 1, fromUnixTimestamp64Nano({base_ns}), 'chrony', 1, 0, 1000, 'contradicted', -2000000, 4000000, -3000300000, -3000000000), \
             ('us-east', 'us-1', 1, 1, fromUnixTimestamp64Nano({base_ns}), 'kernel', 1, 0, 1000, 'contradicted', 1, 2, 3, 4), \
             ('us-east', 'us-1', 1, 2, fromUnixTimestamp64Nano({base_ns} + 1000000000), 'kernel', 1, 0, 1000, 'consistent', 0, 0, 0, 0), \
             ('us-east', 'gone-1', 1, 1, fromUnixTimestamp64Nano({base_ns} - 4000000000000), 'kernel', 1, 0, 1000, 'contradicted', 1, 2, 3, 4)"
        ),
        // The newer of two; UTC is 5 ms ahead of eu-west, and us-east claims that it is 90 ms behind.
        format!(
            "INSERT INTO region_pairs (region, peer, at, off, low, high, direct, direct_low, direct_high, verdict, off_by_ns, created) VALUES \
             ('eu-west', 'us-east', fromUnixTimestamp64Nano({base_ns}), 1, 0, 2, 1, 0, 2, 'consistent', 0, now64(3, 'UTC') + INTERVAL 59 MINUTE), \
             ('eu-west', 'us-east', fromUnixTimestamp64Nano({base_ns}), -{REGION_OFFSET_NS}, -{REGION_OFFSET_NS} - 300000, -{REGION_OFFSET_NS} + 300000, 1, -{REGION_OFFSET_NS} - 9000000, -{REGION_OFFSET_NS} + 9000000, 'consistent', 0, now64(3, 'UTC') + INTERVAL 1 HOUR), \
             ('eu-west', '(utc)', fromUnixTimestamp64Nano({base_ns}), 5000000, 4800000, 5200000, 1, 4800000, 5200000, 'consistent', 0, now64(3, 'UTC') + INTERVAL 1 HOUR), \
             ('us-east', '(utc)', fromUnixTimestamp64Nano({base_ns}), 5000000 + {REGION_OFFSET_NS}, 4500000 + {REGION_OFFSET_NS}, 5500000 + {REGION_OFFSET_NS}, 1, -90200000, -89800000, 'false', 70000000, now64(3, 'UTC') + INTERVAL 1 HOUR)"
        ),
        probes_of_eu_2(base_ns),
        // What was found of the two nodes, and one message that no check has come to yet, which contradicts the clocks.
        format!(
            "INSERT INTO pair_checks (minute, src_region, src_node, dst_region, dst_node, pairs, violated, cannot_tell, ambiguous, least_gap_ns, \
             slack_ns, settled) VALUES \
             ({base_ns} / 1000000000, 'eu-west', 'eu-1', 'us-east', 'us-1', 40, 0, 30, 2, 7000000, 7200000, 1), \
             ({base_ns} / 1000000000, 'us-east', 'us-1', 'eu-west', 'eu-1', 50, 0, 0, 0, 3000000, 3300000, 1), \
             ({base_ns} / 1000000000 - 86400, 'us-east', 'us-1', 'eu-west', 'eu-1', 50, 9, 0, 0, -5, -4, 1)"
        ),
        message(base_ns, "eu-1", 1, "send", 0),
        message(base_ns, "eu-2", 2, "receive", -7_000_000),
        "INSERT INTO stacks (stack_id, build_id, pcs, last_seen) VALUES (7, 3, [10, 20, 30], now())".to_owned(),
        "INSERT INTO symbols (build_id, pc, depth, func, file, line) VALUES (3, 10, 0, 'runtime.gopark', 'proc.go', 1), \
         (3, 20, 0, 'sync.(*Mutex).lockSlow', 'mutex.go', 2), (3, 30, 0, 'main.(*Cart).Add', 'cart.go', 3)"
            .to_owned(),
    ]);
    statements
}

/// A minute of probes of a node whose raw is 7 ns behind its mono: 20 us each way, 10 us in the 50th.
pub(crate) fn probes_of_eu_2(base_ns: i64) -> String {
    format!(
        "INSERT INTO clock_probes (region, node, boot, t1, t2, t3, t4, rtt_ns, kind, used, before_mono, before_raw_off, before_wall_off, \
         before_bracket_ns, after_mono, after_raw_off, after_wall_off, after_bracket_ns, ref_run) \
         WITH toInt64(100000000000 + number * 1000000000) AS mono, if(number = 50, 10000, 20000) AS way, {base_ns} - 100000000000 AS off \
         SELECT 'eu-west', 'eu-2', 255, mono, mono + off + way, mono + off + way + 500, mono + 2 * way + 500, 2 * way, 'udp', 1, \
         mono - 1000, -7, off, 80, mono + 2 * way + 1500, -7, off, 80, 9 FROM numbers(60)"
    )
}

/// Where the clock of us-east is on that of eu-west.
pub(crate) fn region_map(base_ns: i64) -> String {
    let region_ns = base_ns - REGION_OFFSET_NS;
    format!(
        "INSERT INTO region_clock (region, root, ref_from, ref_to, off, off_to, rate_ppb, err_ns, err_to_ns, err_rate_ppb, \
         bound_class, status, rev) VALUES ('us-east', 'eu-west', {from}, {to}, {off}, {off}, 0, 30000, 30000, 0, \
         'hard', 'synchronized', 1)",
        from = region_ns - 60_000_000_000,
        to = region_ns + 60_000_000_000,
        off = REGION_OFFSET_NS
    )
}

fn wait_row(base_ns: i64, wait: &Wait, seq: u64) -> String {
    let (region, node, service, goid, reason, begin_ms, length_ms, err_ns, stack) = wait;
    let behind_ns = if *region == "eu-west" { 0 } else { REGION_OFFSET_NS };
    let (mono_ns, length_ns) = (100_000_000_000 + begin_ms * 1_000_000, length_ms * 1_000_000);
    let off = base_ns - behind_ns - 100_000_000_000;
    format!(
        "INSERT INTO events (bucket, region, service, node, boot, seq, pid, tid, goid, kind, reason, mono_ns, wall_off, dur_ns, \
         run_delay_ns, flags, stack_id, al_off, al_end_off, err_ns, err_end_ns, bound_class, clock_status, epoch, model_rev) \
         VALUES ({bucket}, '{region}', '{service}', '{node}', 1, {seq}, 4711, 1, {goid}, 'goroutine', '{reason}', {mono_ns}, {off}, \
         {length_ns}, 1000, 1, {stack}, {off}, {off}, {err_ns}, {err_ns}, 'hard', 'synchronized', 0, 1)",
        bucket = (mono_ns + off) / 60_000_000_000 * 60,
    )
}

/// A message from eu-1 to eu-2 two minutes after the base, or so much later, known to 1 ms.
fn message(base_ns: i64, node: &str, boot: u64, direction: &str, late_ns: i64) -> String {
    let at_ns = base_ns + 120_000_000_000 + late_ns;
    let (local, remote) =
        if direction == "send" { ("10.0.0.1', 5", "10.0.0.2', 6") } else { ("10.0.0.2', 6", "10.0.0.1', 5") };
    format!(
        "INSERT INTO messages (bucket, region, node, boot, direction, local_address, local_port, peer_address, peer_port, mark, marks, mark_shift, \
         mono_ns, al_off, err_ns) VALUES ({}, 'eu-west', '{node}', {boot}, '{direction}', '{local}, '{remote}, 4096, 1, 12, {at_ns}, 0, 1000000)",
        at_ns / 60_000_000_000 * 60,
    )
}

/// A node's clock whose wall is `wall_ns` ahead of its region's reference.
fn segment(ref_ns: i64, region: &str, node: &str, wall_ns: i64, err_ns: u64, status: &str) -> String {
    let mono_ns = 100_000_000_000;
    let off = ref_ns - mono_ns;
    format!(
        "INSERT INTO clock_segments_log (region, node, boot, epoch, mono_from, mono_to, ref_off, ref_off_to, rate_ppb, err_from_ns, \
         err_to_ns, bound_class, wall_off, status, rev) VALUES ('{region}', '{node}', 1, 0, {}, {mono_ns}, {off}, {off}, 12345, \
         {err_ns}, {err_ns}, 'hard', {}, '{status}', 1)",
        mono_ns - 1,
        off + wall_ns,
    )
}
