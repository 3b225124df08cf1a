//! Options of `bias`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::args::span;
use crate::units;

/// Show what Go's block profile sees of a program, and what it does not.
///
/// Runs a Go program under its own block profile at several rates, each time with everything captured beside it (eBPF, as root), and
/// compares: which share of its blocks and of its blocked time is in the profile, by how long they blocked, and which kinds of
/// blocks are not. `SetBlockProfileRate(r)` records every block of r and longer, and one of r for every r blocked of the shorter ones: rate 1
/// records all.
///
/// The program must be told the rate and where to write its profile: by two environment variables, by {rate} and {profile} in
/// ARGS, or by HTTP.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BiasArgs {
    /// The program and its arguments; {rate} in one becomes the rate in ns (0: no profile), {profile} the file to write
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "PROGRAM [ARGS]")]
    pub(super) command: Vec<String>,
    /// Rates of the block profile to compare, separated by commas
    #[arg(long, value_name = "SPANS", value_delimiter = ',', value_parser = rate, default_value = "1ns,10us,100us,1ms")]
    pub(super) rates: Vec<u64>,
    /// Runs of each way
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) runs: u16,
    /// Only the runs that are compared: none of a profile alone, of capture alone, or of neither, which tell what each costs
    #[arg(long)]
    pub(super) without_cost: bool,
    /// End each run (SIGTERM) after so long; otherwise it ends by itself
    #[arg(long, value_name = "SPAN", value_parser = length)]
    pub(super) duration: Option<Duration>,
    /// A command (sh -c) that runs beside the program and gives it work; its end ends the run (SIGTERM) where --duration does not
    #[arg(long, value_name = "COMMAND")]
    pub(super) load: Option<String>,
    /// Longest that a run may take
    #[arg(long, value_name = "SPAN", value_parser = length, default_value = "10m")]
    pub(super) timeout: Duration,
    /// Environment variable with the rate, ns
    #[arg(long, value_name = "NAME", value_parser = variable, default_value = "SYNCLINE_BLOCK_RATE")]
    pub(super) rate_env: String,
    /// Environment variable with the file to write the profile to
    #[arg(long, value_name = "NAME", value_parser = variable, default_value = "SYNCLINE_BLOCK_PROFILE")]
    pub(super) profile_env: String,
    /// Sets the rate by an endpoint of the program instead: http://127.0.0.1:6060/rate?ns={rate}
    #[arg(long, value_name = "URL", value_parser = rate_url)]
    pub(super) rate_url: Option<String>,
    /// Fetches the profile from the program's net/http/pprof instead: http://127.0.0.1:6060
    #[arg(long, value_name = "URL", value_parser = pprof_url)]
    pub(super) pprof_url: Option<String>,
    /// The agent [default: syncline-agent beside this program, or in PATH]
    #[arg(long, value_name = "FILE")]
    pub(super) agent: Option<PathBuf>,
    /// Size of the ring between kernel and agent, a power of two: more where blocks are lost
    #[arg(long, value_name = "SIZE", default_value = "64MiB")]
    pub(super) ring_bytes: String,
    /// Most that the blocks of one run may take in $TMPDIR, where they are until it is compared: some 1.5 KiB each
    #[arg(long, value_name = "SIZE", value_parser = events_bytes, default_value = "4GiB")]
    pub(super) events_bytes: u64,
    /// Also draw it; - is standard output, without the tables
    #[arg(long, value_name = "FILE")]
    pub(super) svg: Option<PathBuf>,
    /// Also write it for programs, every run included (docs/bias.md); - is standard output, without the tables
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  sudo syncline bias -- ./worker -n 1000              a main that reads SYNCLINE_BLOCK_RATE (docs/bias.md has its dozen lines)
  sudo syncline bias -- ./cart.test -test.run Checkout -test.blockprofilerate {rate} -test.blockprofile {profile}
  sudo syncline bias --rate-env BLOCK_RATE --pprof-url http://127.0.0.1:6060 --load 'wrk -d 10 http://127.0.0.1:8080' -- ./shop
  sudo syncline bias --rate-url 'http://127.0.0.1:6060/rate?ns={rate}' --pprof-url http://127.0.0.1:6060 --duration 10s -- ./shop
  sudo syncline bias --rates 1ns,50us --runs 5 --svg bias.svg --json bias.json -- ./worker

Any test binary (go test -c) can be told without a change, as in the second example.";

/// As `SetBlockProfileRate` takes it, ns: an int, of which more than a minute is no rate that anybody means.
fn rate(text: &str) -> Result<u64, String> {
    const LARGEST_NS: u64 = 60_000_000_000;
    let ns = if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { span(text).ok() };
    let ns =
        ns.ok_or_else(|| format!("{text:?} is not a rate: the time blocked for a sample; write 1ns, 10us, 1ms"))?;
    if ns == 0 {
        return Err("a rate of 0 turns the profile off; 1ns records every block".to_owned());
    }
    if ns <= LARGEST_NS { Ok(ns) } else { Err("a rate is at most 60s".to_owned()) }
}

fn events_bytes(text: &str) -> Result<u64, String> {
    const LEAST: u64 = 1 << 20;
    match units::size(text) {
        None => Err(format!("{text:?} is no size: a number and one of KiB, MiB, GiB, as in 4GiB")),
        Some(bytes) if bytes < LEAST => Err("it must be 1MiB at least".to_owned()),
        Some(bytes) => Ok(bytes),
    }
}

fn length(text: &str) -> Result<Duration, String> {
    match span(text)? {
        0 => Err("it must be longer than 0".to_owned()),
        ns => Ok(Duration::from_nanos(ns)),
    }
}

fn variable(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(['=', '\0']) {
        return Err("not a name of an environment variable".to_owned());
    }
    Ok(text.to_owned())
}

fn rate_url(text: &str) -> Result<String, String> {
    if !text.contains("{rate}") {
        return Err("it needs {rate} where the rate (ns) goes, as in http://127.0.0.1:6060/rate?ns={rate}".to_owned());
    }
    http(text)
}

/// The block profile's own address; of only a server, where net/http/pprof has it.
fn pprof_url(text: &str) -> Result<String, String> {
    let url = http(text)?;
    let path = url.trim_start_matches("http://").split_once('/').map(|(_, path)| path);
    match path {
        None => Ok(url + "/debug/pprof/block"),
        Some("") => Ok(url + "debug/pprof/block"),
        Some("debug/pprof" | "debug/pprof/") => Ok(url.trim_end_matches('/').to_owned() + "/block"),
        Some(_) => Ok(url),
    }
}

fn http(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("http://").map(|rest| rest.split('/').next().unwrap_or_default());
    match host {
        Some(host) if !host.is_empty() => Ok(text.to_owned()),
        _ => Err("it must be http://HOST:PORT/...".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_spans_or_ns() {
        assert_eq!([rate("1"), rate("1ns"), rate("10us"), rate("1ms")], [Ok(1), Ok(1), Ok(10_000), Ok(1_000_000)]);
        for wrong in ["", "0", "0ns", "fast", "2m", "-1", "1e3"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_have_a_unit_and_room_for_something() {
        let all = ["1MiB", "4GiB", "1048576"].map(events_bytes);
        assert_eq!(all, [Ok(1 << 20), Ok(4 << 30), Ok(1 << 20)]);
        for wrong in ["", "0", "1KiB", "4GB", "-1GiB", "GiB", "99999999999GiB"] {
            assert!(events_bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_server_is_enough_to_find_the_profile() {
        let whole = "http://h:1/debug/pprof/block";
        for text in ["http://h:1", "http://h:1/", "http://h:1/debug/pprof", "http://h:1/debug/pprof/", whole] {
            assert_eq!(pprof_url(text).as_deref(), Ok(whole), "{text}");
        }
        assert_eq!(pprof_url("http://h:1/admin/block").as_deref(), Ok("http://h:1/admin/block"));
        assert!(pprof_url("https://h").is_err() && pprof_url("http:///x").is_err() && pprof_url("h:1").is_err());
        assert!(rate_url("http://h/rate").unwrap_err().contains("{rate}"));
    }
}
