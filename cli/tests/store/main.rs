//! The program against a real embedded store of two regions.
//!
//! No standard harness: this process makes the store, so it must be able to become its engine before anything else. Without
//! libchdb the cases are skipped, or fail when `SYNCLINE_REQUIRE_ENGINE=1`.

// clippy.toml lets tests unwrap, but knows only the functions marked as tests, and here none is.
#![allow(clippy::unwrap_used, clippy::panic)]

mod alerts;
mod blocked;
mod cases;
mod clock;
mod export;
mod fixture;
mod ledger;
mod observed;
mod questions;
mod sends;
mod states;
mod story;
mod stuck;
mod symbols;
mod traces;

use std::process::ExitCode;

use cases::Case;
use fixture::Fixture;

fn main() -> ExitCode {
    syncline_store::run_engine_if_child();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let selected: Vec<_> = cases::ALL
        .iter()
        .chain(clock::ALL)
        .chain(blocked::ALL)
        .chain(stuck::ALL)
        .chain(states::ALL)
        .chain(story::ALL)
        .chain(sends::ALL)
        .chain(observed::ALL)
        .chain(ledger::ALL)
        .chain(symbols::ALL)
        .chain(alerts::ALL)
        .chain(export::ALL)
        .chain(traces::ALL)
        .chain(questions::ALL)
        .filter(|(name, _)| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str())))
        .collect();
    if arguments.iter().any(|argument| argument == "--list") {
        selected.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let library = syncline_store::libchdb_path();
    if !library.is_file() {
        println!(
            "skipped: {} tests of the program on a store, since libchdb is not at {}",
            selected.len(),
            library.display()
        );
        let required = std::env::var("SYNCLINE_REQUIRE_ENGINE").is_ok_and(|value| value == "1");
        return if required { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    run(&selected)
}

fn run(cases: &[&Case]) -> ExitCode {
    let fixture = Fixture::make();
    let mut failed = Vec::new();
    for (name, case) in cases {
        let outcome = std::panic::catch_unwind(|| case(&fixture));
        println!("test {name} ... {}", if outcome.is_ok() { "ok" } else { "FAILED" });
        if outcome.is_err() {
            failed.push(*name);
        }
    }
    println!("\n{} passed, {} failed {failed:?}", cases.len() - failed.len(), failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
