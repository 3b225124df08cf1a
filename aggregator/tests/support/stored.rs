//! What the store has, against what was sent.

use std::collections::{BTreeMap, BTreeSet};

use syncline_store::Store;

use super::eventually;
use super::program::ask;

pub(crate) async fn number(store: &Store, sql: &str) -> u64 {
    ask(store, sql).await.parse().unwrap()
}

/// That the store has these batches, each once and whole, and no others.
pub(crate) async fn holds(store: &Store, batches: &BTreeMap<String, BTreeSet<u64>>, events: u64) {
    let all: u64 = batches.values().map(|numbers| numbers.len() as u64).sum();
    eventually("all are stored", async || {
        number(store, "SELECT uniqExact(node, boot, batch) FROM ingest_ledger").await >= all
    })
    .await;
    for (node, numbers) in batches {
        let told = ask(store, &format!("SELECT batch FROM ingest_ledger WHERE node = '{node}' ORDER BY batch")).await;
        let told: Vec<u64> = told.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(told, numbers.iter().copied().collect::<Vec<_>>(), "the ledger of {node}");
    }
    let counts = ask(store, "SELECT count(), uniqExact(node, boot, seq) FROM events").await;
    assert_eq!(counts, format!("{events}\t{events}"), "rows, and different ones");
    let whole = "SELECT count(), countIf(is_whole) FROM batch_audit(t0 = now() - 7200, t1 = now() + 86400)";
    assert_eq!(ask(store, whole).await, format!("{all}\t{all}"));
    let repeated = "SELECT count() FROM repeated_rows(t0 = now() - 7200, t1 = now() + 86400)";
    assert_eq!(ask(store, repeated).await, "0", "rows that are there more than once");
}
