//! `syncline sends`: how long what was sent over TCP took to be acknowledged, by service and who it was sent to.

use std::process::ExitCode;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::answer::{print_json, print_text};
use crate::args::{Format, StoreArgs};
use crate::colour::Palette;
use crate::skew::with_heading;
use crate::source::Source;
use crate::table::{Align, Table};
use crate::window::{T0, T1, Window};
use crate::{time, units};

/// The length of a window of which only one end is given, or none.
const USUAL_NS: i64 = 600_000_000_000;

/// Show how long what was sent over TCP took to be acknowledged: send latency, not how long connections lived.
///
/// From the call that hands bytes to the kernel to the acknowledgement of the last of them by the other end's kernel, of the
/// connections that sent or received in the window, over their whole lives.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SendsArgs {
    /// Begin of the window; default: 10 minutes before its end
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// End of the window; default: now
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    /// Only this service
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only this region
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// List at most this many, the slowest by the 99th percentile
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    top: u32,
    /// text for people, json for programs
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  syncline sends                          the last 10 minutes
  syncline sends --service cart --from -1h
  syncline sends --format json | jq '.[0].p99_ns'

TO is the address of the other end, and the port that was connected to: its own where OPENED says `local`, this end's where it
says `remote`, and the lower of the two where it says `unknown`. Percentiles are upper ends of powers of two, up to twice the truth; MAX is exact. UNMEASURED are sends of which it
could not be seen when they began, where they ended or when that was acknowledged; UNACKED ended with their connection.
Connections that are open are listed once they have been for 30 s (the agent's --tcp-open).";

/// A row of the view `tcp_send_latency`.
#[derive(Debug, Deserialize, Serialize)]
struct Sends {
    region: String,
    service: String,
    /// Who opened the connections: local, remote or unknown.
    opener: String,
    /// IPv4 as such.
    peer_address: String,
    port: u16,
    sessions: u64,
    sends: u64,
    p50_ns: u64,
    p90_ns: u64,
    p99_ns: u64,
    max_ns: u64,
    avg_ns: u64,
    unmeasured: u64,
    unacknowledged: u64,
    /// Rows that there are, these included.
    #[serde(skip_serializing)]
    all: u64,
}

pub(crate) async fn run(store: &StoreArgs, args: &SendsArgs) -> anyhow::Result<ExitCode> {
    let window = Window::until_now(args.from.as_deref(), args.to.as_deref(), USUAL_NS, time::now_ns())?;
    let source = Source::open(store).await?;
    let found = find(&source, window, args).await;
    source.close().await?;
    let found = found?;
    match args.format {
        Format::Text => print_text(|width, palette| text(&found, width, palette))?,
        Format::Json => print_json(&found)?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn find(source: &Source, window: Window, args: &SendsArgs) -> anyhow::Result<Vec<Sends>> {
    let mut params = window.params();
    let mut conditions = vec!["1"];
    for (name, value, condition) in
        [("service", &args.service, "service = {service:String}"), ("region", &args.region, "region = {region:String}")]
    {
        if let Some(value) = value {
            params.push((name.to_owned(), value.clone()));
            conditions.push(condition);
        }
    }
    let sql = format!(
        "SELECT toString(region) AS region, toString(service) AS service, toString(opener) AS opener, \
            if(startsWith(toString(v.peer_address), '::ffff:'), substring(toString(v.peer_address), 8), toString(v.peer_address)) AS peer_address, \
            port, sessions, sends, p50_ns, p90_ns, p99_ns, max_ns, avg_ns, unmeasured, unacknowledged, count() OVER () AS all \
        FROM tcp_send_latency(t0 = {T0}, t1 = {T1}) AS v \
        WHERE {} ORDER BY p99_ns DESC, sends DESC, service, peer_address, port LIMIT {}",
        conditions.join(" AND "),
        args.top,
    );
    source.rows(&sql, &params).await
}

fn text(found: &[Sends], width: usize, palette: Palette) -> String {
    if found.is_empty() {
        return "no sends: were there TCP connections of observed programs then? agents tell of none --without tcp or send-latency\n"
            .to_owned();
    }
    let mut table = Table::new(&[
        ("SERVICE", Align::Left),
        ("TO", Align::Left),
        ("OPENED", Align::Left),
        ("SESSIONS", Align::Right),
        ("SENDS", Align::Right),
        ("P50", Align::Right),
        ("P90", Align::Right),
        ("P99", Align::Right),
        ("MAX", Align::Right),
        ("UNMEASURED", Align::Right),
        ("UNACKED", Align::Right),
    ]);
    for row in found {
        let latency = |ns| if row.sends == 0 { "-".to_owned() } else { units::span(ns) };
        table.push(&[
            format!("{}/{}", row.region, row.service),
            end_of(row),
            row.opener.clone(),
            row.sessions.to_string(),
            row.sends.to_string(),
            latency(row.p50_ns),
            latency(row.p90_ns),
            latency(row.p99_ns),
            latency(row.max_ns),
            row.unmeasured.to_string(),
            row.unacknowledged.to_string(),
        ]);
    }
    let mut lines = with_heading(&table, width, palette);
    let more = found.first().map_or(0, |row| row.all).saturating_sub(found.len() as u64);
    if more > 0 {
        lines.push(format!("and {more} more (--top)"));
    }
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

/// The other end, and the port that was connected to.
fn end_of(row: &Sends) -> String {
    match (row.opener.as_str(), row.peer_address.contains(':')) {
        ("remote", _) => format!("{} (to :{})", row.peer_address, row.port),
        // Whose port it is is not known.
        ("unknown", _) => format!("{} (port {})", row.peer_address, row.port),
        (_, true) => format!("[{}]:{}", row.peer_address, row.port),
        (_, false) => format!("{}:{}", row.peer_address, row.port),
    }
}
