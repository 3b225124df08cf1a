//! `cargo xtask bench symbols`: what opening a large Go binary and looking addresses up costs, beside `go tool addr2line` and blazesym on
//! the same binary.
//!
//! Each round is a process of its own (`xtask/symbols/measure`). Ours opens what the agent opens: it parses the file, and finds the build
//! id, the probes and the thread-local g.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use serde::Deserialize;

use super::page::Page;
use super::statistics::Spread;
use super::{build, machine, scratch, table};
use crate::{fetch, place, process};

/// What `cargo xtask bench symbols` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// Rounds of each
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Different addresses that are looked up
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    addresses: u32,
    /// Write the table into docs/performance.md
    #[arg(long)]
    write: bool,
}

/// As programs that copy or unpack files write.
const SMALL_PIECES: usize = 64 << 10;
const LARGE_PIECES: usize = 4 << 20;

const PAGE: Page = Page { name: "performance.md", mark: "symbols" };

/// What one round found; what does not apply is missing.
#[derive(Deserialize)]
struct Round {
    open_ms: f64,
    open_mib: Option<f64>,
    hot_ns: Option<f64>,
    distinct_s: f64,
    by_chance_s: Option<f64>,
    uncached_s: Option<f64>,
    peak_mib: Option<f64>,
}

/// # Errors
/// When something cannot be built, started or measured.
pub(crate) fn run(options: &Options) -> Result<()> {
    fetch::run(fetch::Part::Go)?;
    let dir = scratch()?;
    let measure = measuring_program()?;
    let built = build::caddy(dir.path(), false)?;
    let (binary, packed) = (written_in(SMALL_PIECES, &built)?, build::caddy(dir.path(), true)?);
    let in_large_pieces = written_in(LARGE_PIECES, &built)?;
    let mut tool = Command::new("go");
    tool.current_dir(std::env::temp_dir()).env("GOTOOLCHAIN", fetch::NEWEST_GO).args(["tool", "-n", "addr2line"]);
    let tool = String::from_utf8(process::capture(&mut tool)?.stdout)?;
    let mut others = Vec::new();
    let mut found: [Vec<Round>; 3] = Default::default();
    let (mut of_packed, mut of_large) = (Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        others.push(machine::busy_share());
        for (who, rounds) in ["ours", "blazesym", tool.trim()].into_iter().zip(&mut found) {
            rounds.push(one(&measure, who, &binary, options.addresses)?);
        }
        of_packed.push(one(&measure, "ours", &packed, options.addresses)?);
        of_large.push(one(&measure, "ours", &in_large_pieces, 1_000)?);
    }
    let size_mb = std::fs::metadata(&binary)?.len() as f64 / 1e6;
    let text = format!(
        "{}{}; caddy v2.10.2 by {}, {size_mb:.0} MB with its debug information; {} rounds. {}\n",
        rows(&found, [&of_packed, &of_large], options.addresses),
        machine::description(),
        fetch::NEWEST_GO,
        options.rounds,
        machine::disturbance(others),
    );
    print!("{text}");
    if options.write {
        PAGE.write(&text)?;
    }
    Ok(())
}

fn measuring_program() -> Result<PathBuf> {
    let mut command = process::cargo();
    command.args(["build", "--release", "-p", "syncline-symbols-measure", "--features", "blazesym"]);
    process::run(&mut command)?;
    Ok(place::target().join("release").join("syncline-symbols-measure"))
}

/// A copy of a file, written so many bytes at a time. The page cache keeps it in pieces as large, and where one byte of a piece is touched
/// newer kernels (6.18 for one) map all of it.
fn written_in(bytes: usize, path: &Path) -> Result<PathBuf> {
    let to = path.with_extension(format!("in-pieces-of-{bytes}"));
    let all = std::fs::read(path)?;
    let mut file = File::create(&to)?;
    all.chunks(bytes).try_for_each(|piece| file.write_all(piece))?;
    Ok(to)
}

fn one(measure: &Path, who: &str, binary: &Path, addresses: u32) -> Result<Round> {
    let output = process::capture(Command::new(measure).arg(who).arg(binary).arg(addresses.to_string()))?;
    serde_json::from_slice(&output.stdout).with_context(|| format!("what was measured of {who}"))
}

fn rows(found: &[Vec<Round>; 3], [of_packed, of_large]: [&[Round]; 2], addresses: u32) -> String {
    let row = |what: String, number: fn(&Round) -> Option<f64>| {
        let [ours, others @ ..] = found.each_ref().map(|rounds| Spread::of(rounds.iter().filter_map(number)));
        let beside = |other: Spread| match other.median / ours.median {
            ratio if ratio.is_finite() => format!("{} (x {ratio:.1})", other.short()),
            _ => "-".to_owned(),
        };
        [vec![what, ours.short()], others.map(beside).to_vec()].concat()
    };
    let packed = Spread::of(of_packed.iter().map(|round| round.open_ms)).short();
    let large = Spread::of(of_large.iter().filter_map(|round| round.open_mib)).short();
    let of_ours = |what: &str, number: &str| [what, number, "-", "-"].map(str::to_owned).to_vec();
    let rows = [
        row("opening, ms".to_owned(), |round| Some(round.open_ms)),
        of_ours("opening with debug information packed, ms", &packed),
        row("of the file resident then, MiB".to_owned(), |round| round.open_mib),
        of_ours("the same where it was written in pieces of 4 MiB", &large),
        row("a frame of 1,000 hot addresses, ns".to_owned(), |round| round.hot_ns),
        row(format!("{} different addresses, sorted first, s", super::whole(addresses.into())), |round| {
            Some(round.distinct_s)
        }),
        row("the same in an order by chance, all functions kept, s".to_owned(), |round| round.by_chance_s),
        row("the same without a cache, s".to_owned(), |round| round.uncached_s),
        row("resident at most, MiB".to_owned(), |round| round.peak_mib),
    ];
    table::text(&["CPU time, median (least to most)", "ours", "blazesym", "go tool addr2line"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_shown_with_their_ratio_and_what_they_lack_is_left_out() {
        let round = |open_ms, hot_ns| Round {
            open_ms,
            open_mib: None,
            hot_ns,
            distinct_s: 0.5,
            by_chance_s: None,
            uncached_s: None,
            peak_mib: None,
        };
        let text = rows(
            &[vec![round(2.0, Some(100.0))], vec![round(300.0, Some(1_000.0))], vec![round(4.0, None)]],
            [&[round(9.0, None)], &[round(9.0, None)]],
            1_000,
        );
        assert!(text.contains("| opening with debug information packed, ms | 9.0 (9.0 to 9.0) | - | - |"), "{text}");
        assert!(
            text.contains("| opening, ms | 2.0 (2.0 to 2.0) | 300 (300 to 300) (x 150.0) | 4.0 (4.0 to 4.0) (x 2.0) |"),
            "{text}"
        );
        assert!(text.contains("ns | 100 (100 to 100) | 1,000 (1,000 to 1,000) (x 10.0) | - |"), "{text}");
    }
}
