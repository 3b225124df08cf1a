//! Any bytes as a spool: it opens, everything can be read, and it goes on. `cargo xtask fuzz spool` tries more of them, and begins with the corpus
//! here, `fuzz/corpus/spool`, whose seeds `SYNCLINE_WRITE_SEEDS=1` writes anew.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod support;

use std::path::PathBuf;

use proptest::prelude::*;
use support::arbitrary::{exercise, samples};

fn corpus() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/spool"))
}

#[test]
fn the_seeds_are_what_is_written_now() {
    let write = std::env::var_os("SYNCLINE_WRITE_SEEDS").is_some();
    for (index, sample) in samples().into_iter().enumerate() {
        let path = corpus().join(format!("seed-{index}"));
        if write {
            std::fs::write(&path, &sample).unwrap();
        }
        let seed = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(seed == sample, "{} is old: run this test with SYNCLINE_WRITE_SEEDS=1", path.display());
    }
}

#[test]
fn every_file_of_the_corpus_is_taken() {
    for entry in std::fs::read_dir(corpus()).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        exercise(&std::fs::read(path).unwrap());
    }
}

#[derive(Clone, Debug)]
enum Change {
    Byte(prop::sample::Index, u8),
    /// The second takes the place of the first, as far as there is room.
    Copy(prop::sample::Index, prop::sample::Index, usize),
    Cut(prop::sample::Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (index(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        2 => (index(), index(), 1..200_usize).prop_map(|(to, from, bytes)| Change::Copy(to, from, bytes)),
        1 => (index(), 1..100_usize).prop_map(|(at, bytes)| Change::Cut(at, bytes)),
    ]
}

fn apply(input: &mut Vec<u8>, change: &Change) {
    let length = input.len();
    match change {
        _ if length == 0 => {}
        Change::Byte(at, byte) => input[at.index(length)] = *byte,
        Change::Copy(to, from, bytes) => {
            let (to, from) = (to.index(length), from.index(length));
            let bytes = *bytes.min(&(length - to.max(from)));
            input.copy_within(from..from + bytes, to);
        }
        Change::Cut(at, bytes) => {
            let at = at.index(length);
            input.drain(at..length.min(at + bytes));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn changed_spools_are_taken(which in 0..4_usize, changes in prop::collection::vec(change(), 0..6)) {
        let mut input = samples().swap_remove(which);
        changes.iter().for_each(|change| apply(&mut input, change));
        exercise(&input);
    }

    #[test]
    fn bytes_by_chance_are_taken(input in prop::collection::vec(any::<u8>(), 0..600)) {
        exercise(&input);
    }
}
