//! The store against the real embedded engine.
//!
//! No standard harness: the process must be able to become the engine's child, or a holder that a test kills, before anything
//! else. Cases run one after another; arguments select them by parts of their names, as usual. Without libchdb the cases are
//! skipped, or fail when `SYNCLINE_REQUIRE_ENGINE=1`.

// Without the standard harness clippy.toml does not know these for tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cases;

use std::process::ExitCode;

use cases::Case;

fn main() -> ExitCode {
    syncline_store::run_engine_if_child();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, dir] = arguments.as_slice()
        && first == cases::HOLD_ARGUMENT
    {
        runtime.block_on(cases::hold(dir));
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let is_selected =
        |case: &&Case| filters.is_empty() || filters.iter().any(|filter| case.name.contains(filter.as_str()));
    let selected: Vec<&Case> = cases::ALL.iter().filter(is_selected).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        selected.iter().for_each(|case| println!("{}: test", case.name));
        return ExitCode::SUCCESS;
    }
    let path = syncline_store::libchdb_path();
    if !path.is_file() {
        return without_engine(&path.display().to_string(), selected.len());
    }
    run(&runtime, &selected)
}

fn without_engine(path: &str, cases: usize) -> ExitCode {
    println!("skipped: {cases} tests of the store, since libchdb is not at {path} (cargo xtask fetch libchdb)");
    let required = std::env::var("SYNCLINE_REQUIRE_ENGINE").is_ok_and(|value| value == "1");
    if required { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn run(runtime: &tokio::runtime::Runtime, cases: &[&Case]) -> ExitCode {
    let mut failed = Vec::new();
    for case in cases {
        let started = std::time::Instant::now();
        let outcome = runtime.block_on(async { tokio::spawn((case.run)()).await });
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("test {} ... {word} ({:.2} s)", case.name, started.elapsed().as_secs_f64());
        if outcome.is_err() {
            failed.push(case.name);
        }
    }
    println!("\n{} passed, {} failed {failed:?}", cases.len() - failed.len(), failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
