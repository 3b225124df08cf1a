//! The fuzz target's corpus (`fuzz/corpus/gosym`), each file once: what fuzzing has found stays mended.
//!
//! Its seeds are the tiny programs of `support/synthetic`. `SYNCLINE_WRITE_SEEDS=1` writes them anew.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use support::exercise::exercise;
use support::synthetic::all;

/// Far more than any file of this size needs in a slow build on a busy machine.
const DEADLINE: Duration = Duration::from_secs(10);

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/gosym")
}

#[test]
fn the_seeds_are_what_the_builder_makes() {
    let write = std::env::var_os("SYNCLINE_WRITE_SEEDS").is_some();
    for kind in all() {
        let path = corpus().join(format!("seed-{}", kind.name()));
        if write {
            std::fs::write(&path, kind.bytes()).unwrap();
        }
        let seed = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(seed == kind.bytes(), "{} is old: run this test with SYNCLINE_WRITE_SEEDS=1", path.display());
    }
}

#[test]
fn every_file_is_answered_or_refused_in_time() {
    let (mut answered, mut refused) = (0, 0);
    for entry in std::fs::read_dir(corpus()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let start = Instant::now();
        match exercise(&bytes, 64) {
            Ok(_) => answered += 1,
            Err(_) => refused += 1,
        }
        assert!(start.elapsed() < DEADLINE, "{}: {:?}", path.display(), start.elapsed());
    }
    assert!(answered >= all().len(), "{answered} answered");
    println!("{answered} files answered, {refused} refused");
}
