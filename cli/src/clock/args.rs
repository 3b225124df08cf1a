//! The command line of `syncline clock`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::model::{Claim, usual_alpha};
use super::replay::Options;
use crate::args::Format;
use crate::failure::usage;
use syncline_clock::Tolerance;
use syncline_timebase::{FrequencyError, Span};

/// Look into a node's clock: what carries its estimate, what was recorded of it, and what the model makes of a recording.
#[derive(Args, Debug)]
#[command(after_help = CLOCK_EXAMPLES)]
pub(crate) struct ClockArgs {
    #[command(subcommand)]
    pub(crate) command: ClockCommand,
}

const CLOCK_EXAMPLES: &str = "\
Examples:
  syncline clock explain web-17
  syncline clock explain web-17 --at -10m
  syncline clock record web-17 --since 6h --out web-17.csv
  syncline clock replay --stream web-17.csv --answers answers.csv
  syncline clock replay --help                   the format of the stream, and more examples";

#[derive(Debug, Subcommand)]
pub(crate) enum ClockCommand {
    Explain(ExplainArgs),
    Record(RecordArgs),
    Replay(ReplayArgs),
}

/// Of which node.
#[derive(Args, Debug)]
pub(crate) struct WhichNode {
    /// The node's name
    pub(crate) node: String,
    /// How much of the past: probes are kept for three days
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = since)]
    pub(crate) since: u64,
    /// A boot of the node, in hexadecimal [default: the newest]
    #[arg(long, value_name = "HEX", value_parser = boot)]
    pub(crate) boot: Option<u64>,
}

/// Say what carries a node's clock estimate: which probes, what its bound rests on, what happened to it, what would narrow it.
///
/// The stored probes of the node go through the clock model once more, so it says what is known by now. Times are on the
/// clock of the node's region.
#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) which: WhichNode,
    /// At which time [default: that of the newest probe]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) at: Option<String>,
    #[command(flatten)]
    pub(crate) assumed: Assumed,
    /// text for people, json for programs
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}

/// Write a node's stored probes, with the readings of its clocks beside them, in the form that `syncline clock replay` reads.
///
/// So an estimate can be reproduced elsewhere, and reported. What is asked for (E) is when each probe came back (id -1, -2, ...: the
/// number of the probe, negative) and when waits of the node began (id: seq of the wait in `events`).
#[derive(Args, Debug)]
pub(crate) struct RecordArgs {
    #[command(flatten)]
    pub(crate) which: WhichNode,
    /// Where to write it; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub(crate) out: PathBuf,
    /// Of how many stored waits to ask when they began, up to 1000000; if there are more, these are spread evenly over them
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    pub(crate) events: u32,
}

/// Run a recorded node through the clock model: when was each event, on the reference's clock?
///
/// The stream is what one node sends in one boot, in the order in which it arrives. Each line is a record of whole numbers
/// of nanoseconds: F,floor_ns (least delay of a packet each way; first line or absent); K,mono_ns,raw_ns,wall_ns (the node's
/// clocks read at one moment); P,mono1,T2,T3,mono4,wall1,wall4 (a probe: sent by the node, received and answered by the
/// reference, received by the node); D,since_mono_ns,until_mono_ns (the node's clocks were disrupted once in between, says somebody
/// who knows; above what came after its begin); E,id,mono_ns,wall_ns (an event).
///
/// An answer is a line id,est_ns,earliest_ns,latest_ns on the reference's clock. Every event is answered, also one whose id
/// came before; an event of which nothing is known has no line and is counted. Answers depend on the stream alone: the same
/// stream gives the same bytes. A malformed line ends the replay; samples that cannot be are refused by the model and
/// counted. No output appears before the whole stream was read.
#[derive(Args, Debug)]
#[command(after_help = REPLAY_EXAMPLES)]
pub(crate) struct ReplayArgs {
    /// The stream; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) stream: PathBuf,
    /// Where to write the answers, which use what stands above their event only (but see --lag-ms); `-` is standard output
    #[arg(long, value_name = "OUT")]
    pub(crate) answers: PathBuf,
    /// Where to write when each step of the node's clock was noticed, on the reference's clock, one a line
    #[arg(long, value_name = "OUT")]
    pub(crate) steps: Option<PathBuf>,
    /// Where to write the answers in hindsight, which use the whole stream and keep it in memory
    #[arg(long, value_name = "OUT")]
    pub(crate) smooth: Option<PathBuf>,
    /// What earliest and latest assume; the estimate does not depend on it
    #[arg(long, value_name = "CLAIM", default_value = "hard")]
    pub(crate) bound: Bound,
    /// Share of the delay above the floor that may be asymmetric, 0 to 1 [default: 0.4]; with --bound budgeted only
    #[arg(long, value_name = "A", value_parser = alpha, allow_negative_numbers = true)]
    pub(crate) alpha: Option<f64>,
    /// Hold each event back so long on the node's clock, and answer it with what has arrived by then
    #[arg(long, value_name = "N", value_parser = lag, allow_negative_numbers = true)]
    pub(crate) lag_ms: Option<Span>,
    #[command(flatten)]
    pub(crate) assumed: Assumed,
}

/// What bounds assume of oscillators.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Assumed {
    /// What error bounds assume an oscillator's frequency to be off at most, 1 to 1000 ppm: as the aggregator's option of that name
    #[arg(long, value_name = "PPM", default_value = "500", value_parser = tolerance_ppm, allow_negative_numbers = true)]
    clock_tolerance_ppm: f64,
}

impl Assumed {
    pub(crate) fn tolerance(self) -> Tolerance {
        Tolerance { absolute: FrequencyError::from_ppm(self.clock_tolerance_ppm), ..Tolerance::default() }
    }
}

const REPLAY_EXAMPLES: &str = "\
Examples:
  syncline clock replay --stream stream.csv --answers answers.csv
  syncline clock replay --stream s.csv --answers a.csv --steps steps.csv --smooth smooth.csv
  syncline clock replay --stream stream.csv --answers settled.csv --lag-ms 2000
  zcat stream.csv.gz | syncline clock replay --stream - --answers - > answers.csv

A stream of one probe and one event:
  F,10000
  K,1000000000,1000000000,1800000000000000000
  P,1010000000,1800000000010100000,1800000000010120000,1010220000,1800000000010000000,1800000000010220000
  K,1100000000,1100000000,1800000000100000000
  E,1,1050000000,1800000000050000000";

/// What a bound assumes of the paths; all assume that oscillators keep within the model's tolerance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bound {
    /// Nothing but the floor
    Hard,
    /// Symmetric paths
    Tight,
    /// Paths asymmetric by the share --alpha at most
    Budgeted,
}

impl ReplayArgs {
    /// What is wanted of the replay.
    pub(crate) fn options(&self) -> anyhow::Result<Options> {
        let claim = match (self.bound, self.alpha) {
            (Bound::Budgeted, alpha) => Claim::Budgeted { alpha: alpha.unwrap_or_else(usual_alpha) },
            (_, Some(_)) => return Err(usage("--alpha is the budget of --bound budgeted: add that, or leave it out")),
            (Bound::Hard, None) => Claim::Hard,
            (Bound::Tight, None) => Claim::Tight,
        };
        let assumed = self.assumed.tolerance();
        Ok(Options { claim, assumed, lag: self.lag_ms, smooth: self.smooth.is_some() })
    }
}

fn boot(text: &str) -> Result<u64, String> {
    let digits = text.trim_start_matches("0x");
    u64::from_str_radix(digits, 16).map_err(|_| format!("{text:?} is no boot: write up to 16 hexadecimal digits"))
}

fn since(text: &str) -> Result<u64, String> {
    let span = crate::time::span(text).filter(|span| *span > 0);
    span.ok_or_else(|| format!("{text:?} is not a length of time; write 10m, 1h, 6h"))
}

fn alpha(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "it is a share: write a number from 0 to 1, such as 0.2".to_owned())
}

fn tolerance_ppm(text: &str) -> Result<f64, String> {
    let ppm = text.parse().ok().filter(|ppm| (1.0..=1_000.0).contains(ppm));
    ppm.ok_or_else(|| "use 1 to 1000, as the aggregator was told with --clock-tolerance-ppm".to_owned())
}

fn lag(text: &str) -> Result<Span, String> {
    let milliseconds = text.parse().ok().filter(|milliseconds| *milliseconds >= 0);
    milliseconds.map(Span::from_ms).ok_or_else(|| "write a whole number of milliseconds, 0 or more".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_share() {
        assert_eq!(["0", "0.25", "1"].map(alpha), [Ok(0.0), Ok(0.25), Ok(1.0)]);
        for text in ["-0.1", "1.01", "NaN", "inf", "half", ""] {
            assert!(alpha(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_tolerance_is_as_the_aggregators() {
        assert_eq!(["1", "0500", "1000"].map(tolerance_ppm), [Ok(1.0), Ok(500.0), Ok(1_000.0)]);
        for text in ["0", "-1", "1001", "NaN", "500ppm", ""] {
            assert!(tolerance_ppm(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_lag_is_no_less_than_nothing() {
        assert_eq!(lag("0"), Ok(Span::ZERO));
        assert_eq!(lag("1500"), Ok(Span::from_ms(1_500)));
        for text in ["-1", "1.5", "1s", "99999999999999999999"] {
            assert!(lag(text).is_err(), "{text}");
        }
    }
}
