//! Recordings: written, read, damaged, and replayed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod fake;

use std::fs;
use std::path::Path;
use std::time::Duration;

use fake::{Answer, Fake};
use syncline_agent::batch::{Batcher, Sealing};
use syncline_agent::clock::Clocks;
use syncline_agent::recording::{Recorder, Recording};
use syncline_agent::replay::{ReplayConfig, ReplayError, replay};
use syncline_event::{LossCause, Origin};
use syncline_timebase::{BootId, Span};

/// Encoded batches, as a run would make them.
fn batches(count: u64) -> Vec<Vec<u8>> {
    let clocks = Clocks::default();
    let origin = Origin {
        node: "n1".parse().unwrap(),
        region: "eu".to_owned(),
        boot: BootId(9),
        run_first_seq: 1_000,
        agent_version: "test".to_owned(),
        kernel: "6.18".to_owned(),
    };
    let mut batcher = Batcher::new(origin, clocks.knot(), Sealing::behind_probes(Span::from_s(1)));
    let batch = |count| {
        batcher.lose(LossCause::RingBufferFull, count);
        syncline_proto::encode(&batcher.seal_rest(clocks.mono()).unwrap()).unwrap()
    };
    (1..=count).map(batch).collect()
}

fn record(path: &Path, batches: &[Vec<u8>]) {
    let mut recorder = Recorder::create(path).unwrap();
    batches.iter().for_each(|batch| recorder.append(batch).unwrap());
}

fn first_error(path: &Path) -> String {
    let mut recording = match Recording::open(path) {
        Ok(recording) => recording,
        Err(error) => return error.to_string(),
    };
    loop {
        match recording.next_batch() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the damage was not seen"),
            Err(error) => return error.to_string(),
        }
    }
}

#[test]
fn what_was_written_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let (path, batches) = (dir.path().join("run.syncrec"), batches(3));
    record(&path, &batches);
    let mut recording = Recording::open(&path).unwrap();
    for (bytes, number) in batches.iter().zip(1_000..) {
        let recorded = recording.next_batch().unwrap().unwrap();
        assert_eq!((&recorded.bytes, recorded.batch.number), (bytes, number));
    }
    assert!(recording.next_batch().unwrap().is_none());
}

#[test]
fn damage_is_named_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let (path, batches) = (dir.path().join("run.syncrec"), batches(2));
    record(&path, &batches);
    let sound = fs::read(&path).unwrap();
    let second = 8 + 12 + batches[0].len();
    let damage = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = sound.clone();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        first_error(&path)
    };
    let at_second = format!("at byte {second}");
    for (error, parts) in [
        (damage(&|bytes| bytes[0] = b'X'), ["at byte 0", "SYNCREC1"]),
        (damage(&|bytes| bytes.truncate(3)), ["at byte 0", "SYNCREC1"]),
        (damage(&|bytes| bytes[second + 20] ^= 1), [at_second.as_str(), "checksum"]),
        (damage(&|bytes| bytes[second + 3] = 0xff), [at_second.as_str(), "more than a batch can have"]),
        (damage(&|bytes| bytes.truncate(bytes.len() - 1)), [at_second.as_str(), "cut off"]),
        (damage(&|bytes| bytes.truncate(second + 5)), [at_second.as_str(), "cut off"]),
    ] {
        assert!(parts.iter().all(|part| error.contains(part)), "{parts:?} not in: {error}");
        assert_eq!(error.lines().count(), 1);
    }
}

#[test]
fn no_damage_makes_it_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.syncrec");
    record(&path, &batches(1));
    let sound = fs::read(&path).unwrap();
    for place in 0..sound.len() {
        let mut bytes = sound.clone();
        bytes[place] ^= 0x55;
        fs::write(&path, &bytes).unwrap();
        first_error(&path);
    }
}

fn config(path: &Path, fake: &Fake) -> ReplayConfig {
    ReplayConfig { file: path.to_owned(), aggregator: fake.aggregator(), patience: Duration::from_secs(5) }
}

#[tokio::test]
async fn a_replay_sends_the_recorded_bytes_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (path, batches) = (dir.path().join("run.syncrec"), batches(40));
    record(&path, &batches);
    let fake = Fake::start(|_, _| Answer::Store).await;
    let fate = replay(config(&path, &fake)).await.unwrap();
    assert_eq!(fate.stored_batches, 40);
    let arrived: Vec<_> = fake.arrivals().into_iter().map(|arrival| arrival.bytes).collect();
    assert_eq!(arrived, batches);
}

#[tokio::test]
async fn a_damaged_recording_sends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.syncrec");
    record(&path, &batches(3));
    let mut bytes = fs::read(&path).unwrap();
    bytes.pop();
    fs::write(&path, bytes).unwrap();
    let fake = Fake::start(|_, _| Answer::Store).await;
    assert!(matches!(replay(config(&path, &fake)).await, Err(ReplayError::Recording(_))));
    assert!(fake.arrivals().is_empty());
}

#[tokio::test]
async fn a_refusal_fails_the_replay_and_silence_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.syncrec");
    record(&path, &batches(3));
    let refusing = Fake::start(|_, number| if number == 1_001 { Answer::Refuse } else { Answer::Store }).await;
    assert!(matches!(replay(config(&path, &refusing)).await, Err(ReplayError::Refused { refused: 1, all: 3, .. })));
    let silent = Fake::start(|_, _| Answer::KeepSilent).await;
    let impatient = ReplayConfig { patience: Duration::from_millis(200), ..config(&path, &silent) };
    assert!(matches!(replay(impatient).await, Err(ReplayError::Stuck { stored: 0, .. })));
}
