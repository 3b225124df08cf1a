//! `syncline bias`: what Go's block profile sees of a program, and what it does not.
//!
//! ```text
//! Program, Telling ─> Bench: run after run (Running, Watching) ─> Run ─> Report ─> text, document (JSON), picture (SVG)
//! ```
//!
//! What a profile is compared with was captured in the same run: programs differ from run to run, and by what observing costs them.
//! The comparison itself is `syncline_insight::bias`.

mod args;
mod document;
mod events;
mod interrupt;
mod launch;
mod measure;
mod picture;
mod program;
mod report;
mod telling;
mod text;
mod watching;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use syncline_insight::bias::{Bands, bias_svg};

pub(crate) use args::BiasArgs;
use measure::{Bench, Run, Way};
use program::Program;
use report::Report;
use telling::Telling;

use crate::output::{Output, check_distinct, to_standard_output};

pub(crate) fn run(args: &BiasArgs) -> Result<ExitCode> {
    let program = Program::find(&args.command)?;
    let telling = Telling::new(args, &program)?;
    let agent = watching::find(args.agent.as_deref())?;
    interrupt::listen()?;
    let is_text_wanted = to_standard_output(args.svg.iter().chain(&args.json))? == 0;
    // Before the runs, which take minutes and should not end in what cannot be written.
    let create = |option, path: &Option<PathBuf>| path.as_deref().map(|path| Output::create(option, path)).transpose();
    let (svg, json) = (create("--svg", &args.svg)?, create("--json", &args.json)?);
    check_distinct(&svg.iter().chain(&json).collect::<Vec<_>>())?;
    let mut rates = args.rates.clone();
    rates.sort_unstable();
    rates.dedup();
    let bands = Bands::of_rates(&rates);
    let bench = Bench { args, program: &program, agent: &agent, telling, bands: bands.clone() };
    let runs = all_runs(&bench, &ways(&rates, args.without_cost), args.runs)?;
    let report = Report { program: &program, rates_ns: rates, bands, repetitions: args.runs, runs };
    if is_text_wanted {
        io::stdout().lock().write_all(text::text(&report).as_bytes())?;
    }
    if let Some(json) = json {
        write(json, &(serde_json::to_string_pretty(&document::document(&report))? + "\n"))?;
    }
    if let Some(svg) = svg {
        write(svg, &bias_svg(&picture::plot(&report)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write(mut output: Output, text: &str) -> Result<()> {
    output.write(|out| out.write_all(text.as_bytes()))?;
    output.complete()
}

/// All ways to run it. First the one that shows most of what may be wrong.
fn ways(rates_ns: &[u64], without_cost: bool) -> Vec<Way> {
    let of = |is_captured| move |&rate_ns: &u64| Way { rate_ns: Some(rate_ns), is_captured };
    let compared = rates_ns.iter().map(of(true));
    let neither = Way { rate_ns: None, is_captured: false };
    let alone =
        std::iter::once(neither).chain(rates_ns.iter().map(of(false))).chain([Way { is_captured: true, ..neither }]);
    if without_cost { compared.collect() } else { compared.chain(alone).collect() }
}

/// The ways in turn, so that what changes on the machine changes for all of them.
fn all_runs(bench: &Bench<'_>, ways: &[Way], repetitions: u16) -> Result<Vec<Run>> {
    let all = ways.len() * usize::from(repetitions);
    let mut runs = Vec::with_capacity(all);
    for _ in 0..repetitions {
        for way in ways {
            show_progress(&format!("run {} of {all}: {}", runs.len() + 1, way.name()));
            let run = bench.run(*way);
            show_progress("");
            runs.push(run?);
        }
    }
    Ok(runs)
}

/// In one line of a terminal, where there is one.
fn show_progress(text: &str) {
    let mut out = io::stderr().lock();
    if out.is_terminal() {
        // Nobody may be there any more.
        let _ = write!(out, "\r\x1b[K{text}").and_then(|()| out.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rate_is_compared_and_costs_are_of_each_way_alone() {
        let names =
            |without_cost| -> Vec<String> { ways(&[1, 10_000], without_cost).into_iter().map(Way::name).collect() };
        assert_eq!(names(true), ["rate 1, captured", "rate 10.0 µs, captured"]);
        assert_eq!(names(false)[2..], ["neither", "rate 1", "rate 10.0 µs", "captured"]);
    }
}
