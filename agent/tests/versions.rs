//! What a later or an earlier version has made goes through the spool as it is: an agent that was updated, or set back, sends what the one before left.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod fake;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fake::{Answer, Fake};
use syncline_agent::queue::{BatchId, Entry, Queue, SharedQueue};
use syncline_agent::spooling::{SpoolConfig, Spooling};
use syncline_agent::uplink::Uplink;

/// Batches of each format, from `proto/tests/golden`, and the same with a field that nobody knows yet.
fn batches() -> Vec<Vec<u8>> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/tests/golden");
    let known = [1, 2].map(|format| std::fs::read(golden.join(format!("{format}.batch"))).unwrap());
    let later = known.iter().map(|batch| {
        // A frame of its own after the first: decompressed, they are one message. Field 2002, 5 bytes, uncompressed in a raw block.
        let field = [0x92, 0x7d, 5, b'l', b'a', b't', b'e', b'r'];
        let size = u8::try_from(field.len()).unwrap();
        [&batch[..], &[0x28, 0xb5, 0x2f, 0xfd, 0x20, size, (size << 3) | 1, 0, 0], &field].concat()
    });
    known.iter().cloned().chain(later).collect()
}

fn start(directory: &Path, own: BatchId) -> (Arc<SharedQueue>, Spooling) {
    let config = SpoolConfig { path: directory.to_owned(), most_bytes: 64 << 20, is_required: true };
    let opened = config.open().unwrap().unwrap();
    let queue = Arc::new(SharedQueue::new(opened.queue(1 << 20)));
    let spooling = opened.start(&queue, own).unwrap();
    (queue, spooling)
}

#[tokio::test]
async fn what_an_earlier_run_left_is_sent_byte_by_byte_whichever_version_made_it() {
    let dir = tempfile::tempdir().unwrap();
    let all = batches();
    for bytes in &all {
        let batch = syncline_proto::decode(bytes).unwrap();
        let id = BatchId::of(&batch);
        let (queue, spooling) = start(dir.path(), id);
        assert!(queue.change(|queue| queue.push(Entry::of(&batch, bytes.clone().into()))).is_empty());
        queue.until(|queue| !queue.has_unwritten()).await;
        queue.change(Queue::close);
        spooling.end().await;
    }
    let own = BatchId { run_first_seq: u64::MAX, ..BatchId::of(&syncline_proto::decode(&all[0]).unwrap()) };
    let (queue, spooling) = start(dir.path(), own);
    let fake = Fake::start(|_, _| Answer::Store).await;
    queue.change(Queue::close);
    let uplink = Uplink::new(fake.aggregator().into(), queue).run();
    tokio::time::timeout(Duration::from_secs(20), uplink).await.expect("the uplink did not finish");
    spooling.end().await;
    let arrived: Vec<Vec<u8>> = fake.arrivals().into_iter().map(|arrival| arrival.bytes).collect();
    assert_eq!(arrived, all);
}
