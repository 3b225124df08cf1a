//! The same waits as logs, through an OpenTelemetry Collector with its ClickHouse exporter, into the same engine.
//!
//! The exporter makes its own table and has its own defaults, but for the batches that its documentation recommends, which are large here. What is
//! asked of logs is asked of as many waits in our table, in the same store, in the same round.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use super::Sizes;
use super::asked::Asked;
use super::ingest::{Ingest, NODES, Run, Sent, WAITS, expect, flood, parse};
use super::programs::Programs;
use super::queries::{timeline, top_stacks};
use super::target::shown;
use crate::bench::child::Child;
use crate::bench::statistics::{Spread, whole};
use crate::bench::{table, usage};
use crate::{engine, place};

/// Of the large store's rows: the exporter's indices take long to write.
const SHARE: u64 = 24;
/// Of the batches that go into our tables at full speed: as logs they are made beforehand, too, and are large.
const BATCH_SHARE: u32 = 4;
const HOUR_S: u64 = 3_600;
const NS: i64 = 1_000_000_000;
const TIMES_ASKED: u32 = 5;
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(super) struct Collector<'p> {
    programs: &'p Programs,
    program: PathBuf,
    dir: PathBuf,
    batches: u32,
    rows: u64,
    asked: Asked,
    newest_ns: i64,
    runs: Vec<Run>,
    peak_bytes: u64,
    /// Logs that were there beyond those that were sent.
    more_than_once: f64,
    /// With the indices: of the logs as they came, and of our rows.
    row_bytes: [f64; 2],
    /// Milliseconds, by question: of the logs, and of our rows.
    answers: [[Vec<f64>; 2]; 2],
}

impl<'p> Collector<'p> {
    pub(super) fn new(programs: &'p Programs, sizes: Sizes, dir: &Path) -> Result<Self> {
        let (dir, rows) = (dir.join("collector"), sizes.rows / SHARE);
        fs::create_dir_all(&dir)?;
        let mut asked = Asked::fill(programs, &dir, rows, (rows / HOUR_S).max(1), 300)?;
        asked.run("OPTIMIZE TABLE events FINAL")?;
        let newest_ns = asked.number("SELECT max(toInt64(mono_ns) + al_off) FROM events")? as i64;
        let mut collector = Self {
            programs,
            program: programs.collector.clone().context("the collector was not built")?,
            batches: (sizes.batches / BATCH_SHARE).max(1),
            rows,
            dir,
            asked,
            newest_ns,
            runs: Vec::new(),
            peak_bytes: 0,
            more_than_once: 0.0,
            row_bytes: [f64::NAN; 2],
            answers: Default::default(),
        };
        // It makes the table.
        let (child, _) = collector.start()?;
        child.end(Some(Signal::TERM))?;
        collector.make_logs()?;
        Ok(collector)
    }

    pub(super) fn round(&mut self) -> Result<()> {
        let run = self.ingest()?;
        eprintln!("  through the OpenTelemetry Collector: {:.0} events/s", run.events_per_s);
        self.runs.push(run);
        // Of the same waits, which the questions are about.
        self.asked.run("OPTIMIZE TABLE otel.asked_logs FINAL")?;
        self.row_bytes = [self.bytes_a_row("otel", "asked_logs")?, self.bytes_a_row("syncline", "events")?];
        // Each round asks of another time.
        let last = self.newest_ns - (10 * self.runs.len() as i64 % 120) * NS;
        let (two_s, hour) = ([last - 2 * NS, last], [last - 3_600 * NS, last]);
        let questions = [[logs_timeline(two_s), timeline(two_s)], [logs_top_stacks(hour), top_stacks(hour)]];
        for (question, answers) in questions.iter().zip(&mut self.answers) {
            for (sql, ms) in question.iter().zip(answers) {
                // The first time may read from the disk.
                self.asked.ask(1, sql)?;
                ms.extend(self.asked.ask(TIMES_ASKED, sql)?);
            }
        }
        Ok(())
    }

    fn start(&self) -> Result<(Child, String)> {
        let address = place::free_address()?.to_string();
        let path = self.dir.join("collector.yaml");
        fs::write(&path, configuration(&self.dir.join("store"), &address)?)?;
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(&path);
        let mut child = Child::start("otelcol", command, &self.dir)?;
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(&address).is_err() {
            if !child.is_running()? {
                // It has no more lines, which is told with its last words.
                child.line("it listens")?;
            }
            ensure!(Instant::now() < until, "the collector does not listen at {address}");
            sleep(LOOK_EVERY);
        }
        Ok((child, address))
    }

    /// Until all of them are to be seen: the collector acknowledges what is in its queue.
    fn ingest(&mut self) -> Result<Run> {
        self.asked.run("TRUNCATE TABLE otel.otel_logs")?;
        let (child, address) = self.start()?;
        let load = [NODES, self.batches, WAITS];
        let mut flood = flood(self.programs, &self.dir.join("store"), &address, load, Some("--otlp"))?;
        let engine = self.asked.engine()?;
        let (cpu, engine_cpu) = (usage::cpu(child.id())?, usage::cpu(engine)?);
        let begun = Instant::now();
        flood.order("send")?;
        let sent: Sent = parse(&flood.line("{")?)?;
        let all: u64 = load.iter().map(|number| u64::from(*number)).product();
        expect(sent.events, all, "acknowledged logs")?;
        let found = loop {
            let found = self.asked.number("SELECT count() FROM otel.otel_logs")?;
            if found >= all as f64 {
                break found;
            }
            if begun.elapsed() > PATIENCE {
                bail!("{found} of {all} logs came through the collector in {} s", PATIENCE.as_secs());
            }
            sleep(LOOK_EVERY);
        };
        // It tries again what took too long, whether or not that was stored.
        self.more_than_once += found - all as f64;
        let seconds = begun.elapsed().as_secs_f64();
        let run = Run::of(&sent, seconds, usage::cpu(child.id())? - cpu, usage::cpu(engine)? - engine_cpu);
        self.peak_bytes = self.peak_bytes.max(usage::peak_memory(child.id())?);
        flood.end(None)?;
        child.end(Some(Signal::TERM))?;
        Ok(run)
    }

    /// Our waits as logs, in a table like the exporter's.
    fn make_logs(&mut self) -> Result<()> {
        self.asked.run("CREATE TABLE otel.asked_logs AS otel.otel_logs")?;
        const PART: u64 = 250_000;
        for from in (0..self.rows).step_by(PART as usize) {
            let sql = format!(
                "INSERT INTO otel.asked_logs (Timestamp, ServiceName, Body, ResourceAttributes, LogAttributes) \
                 SELECT aligned, service, reason, \
                 map('service.name', toString(service), 'host.name', toString(node), 'process.pid', toString(pid), 'cloud.region', toString(region)), \
                 map('seq', toString(seq), 'thread.id', toString(tid), 'goroutine.id', toString(goid), 'kind', toString(kind), \
                     'mono_ns', toString(mono_ns), 'dur_ns', toString(dur_ns), 'run_delay_ns', toString(run_delay_ns), \
                     'stack.id', lower(hex(stack_id)), 'waker.goroutine.id', toString(waker_goid)) \
                 FROM events WHERE seq >= {from} AND seq < {}",
                from + PART
            );
            self.asked.run(&sql)?;
        }
        self.asked.run("OPTIMIZE TABLE otel.asked_logs FINAL")?;
        let logs = self.asked.number("SELECT count() FROM otel.asked_logs")?;
        if logs != self.rows as f64 {
            bail!("{logs} logs were made of {} waits", self.rows);
        }
        Ok(())
    }

    fn bytes_a_row(&mut self, database: &str, table: &str) -> Result<f64> {
        self.asked.number(&format!(
            "SELECT sum(bytes_on_disk) / sum(rows) FROM system.parts WHERE active AND database = '{database}' AND table = '{table}'"
        ))
    }

    /// Beside what `ingest` found of our way.
    pub(super) fn table(&self, ingest: Option<&Ingest<'_>>) -> String {
        let ours = |number: fn(&[Run]) -> Spread| {
            ingest.map_or_else(|| "not measured".to_owned(), |ingest| shown(number(ingest.stored())))
        };
        let both =
            |what: &str, number: fn(&[Run]) -> Spread| vec![what.to_owned(), ours(number), shown(number(&self.runs))];
        let answered = |what: String, [logs, ours]: &[Vec<f64>; 2]| {
            let shown = |ms: &[f64]| shown(Spread::of(ms.iter().copied()));
            vec![what, shown(ours), shown(logs)]
        };
        let [logs_bytes, our_bytes] = self.row_bytes.map(|bytes| format!("{bytes:.1}"));
        let rows = whole(self.rows as f64);
        let lines = [
            both("events/s, until they are to be seen", Run::rates),
            both("aggregator's or collector's CPU, us an event", Run::cpus),
            both("ClickHouse's CPU, us an event", Run::engine_cpus),
            vec!["bytes a row on disk, merged, with indices".into(), our_bytes, logs_bytes],
            answered(format!("all of 2 s, of {rows} rows in an hour, ms"), &self.answers[0]),
            answered("top 20 stacks of a service over that hour, ms (ours: with their names)".into(), &self.answers[1]),
            vec!["stored more than once, of all rounds".into(), String::new(), whole(self.more_than_once)],
            vec![
                "the collector's memory at most, MiB".into(),
                String::new(),
                whole(self.peak_bytes as f64 / 1_048_576.0),
            ],
        ];
        table::text(&["the same events", "ours", "as logs, OpenTelemetry Collector"], &lines)
    }

    pub(super) fn runs(&self) -> &[Run] {
        &self.runs
    }
}

/// A port that nobody has now.
fn configuration(store: &Path, address: &str) -> Result<String> {
    let url = engine::url(store)?;
    let (user, host) = url
        .strip_prefix("http://")
        .and_then(|rest| rest.trim_end_matches('/').split_once('@'))
        .context("the engine's URL has no user")?;
    let (user, password) = user.split_once(':').context("the engine's URL has no password")?;
    Ok(format!(
        "receivers:
  otlp:
    protocols:
      grpc:
        endpoint: {address}
        max_recv_msg_size_mib: 64
exporters:
  clickhouse:
    endpoint: http://{host}
    username: {user}
    password: {password}
    database: otel
    timeout: 60s
    sending_queue:
      num_consumers: 10
      block_on_overflow: true
      batch:
        min_size: 100000
        flush_timeout: 1s
service:
  telemetry:
    metrics:
      level: none
  pipelines:
    logs:
      receivers: [otlp]
      exporters: [clickhouse]
"
    ))
}

fn logs_timeline([from, to]: [i64; 2]) -> String {
    format!(
        "SELECT Timestamp, ResourceAttributes['cloud.region'], ResourceAttributes['host.name'], ServiceName, LogAttributes['goroutine.id'], Body, \
         LogAttributes['dur_ns'], LogAttributes['stack.id'] FROM otel.asked_logs \
         WHERE Timestamp >= fromUnixTimestamp64Nano({from}, 'UTC') AND Timestamp < fromUnixTimestamp64Nano({to}, 'UTC') ORDER BY Timestamp"
    )
}

fn logs_top_stacks([from, to]: [i64; 2]) -> String {
    format!(
        "SELECT LogAttributes['stack.id'] AS stack_id, count() AS waits, sum(toUInt64OrZero(LogAttributes['dur_ns'])) AS waited_ns FROM otel.asked_logs \
         WHERE ServiceName = 'service-1' AND Timestamp >= fromUnixTimestamp64Nano({from}, 'UTC') AND Timestamp < fromUnixTimestamp64Nano({to}, 'UTC') \
         GROUP BY stack_id ORDER BY waited_ns DESC LIMIT 20"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exporter_is_told_the_engines_user() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("endpoint.json"), r#"{"url":"http://writer:secret@127.0.0.1:8123/"}"#).unwrap();
        let text = configuration(dir.path(), "127.0.0.1:4317").unwrap();
        for line in ["endpoint: http://127.0.0.1:8123\n", "username: writer\n", "password: secret\n"] {
            assert!(text.contains(line), "{line} in {text}");
        }
        fs::write(dir.path().join("endpoint.json"), r#"{"url":"http://127.0.0.1:8123/"}"#).unwrap();
        assert!(configuration(dir.path(), "127.0.0.1:4317").is_err());
    }
}
