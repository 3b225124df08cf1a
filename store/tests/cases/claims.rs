//! Claims of batches, and whether a table has a batch's rows.

use syncline_store::rows::{BatchClaim, LossRows};
use syncline_store::{Block, BlockBuilder, ClaimOfOther, ClaimWriter, Column, LedgerKey, LowCardinality};

use super::{Fixture, base_ns, run};

fn minute() -> u32 {
    u32::try_from(base_ns() / 1_000_000_000).unwrap()
}

fn key(node: &str, batch: u64) -> LedgerKey {
    LedgerKey { bucket: minute(), node: node.to_owned(), boot: 1, batch }
}

pub(super) async fn of_what_a_writer_says_the_highest_version_counts() {
    let fixture = Fixture::migrated().await;
    let [own, other, third] = [7, 8, 9].map(ClaimWriter);
    let keys = [key("n", 1), key("n", 2), key("m", 1)];
    let asked = async || fixture.store.batch_claims("eu", &keys, own).await.unwrap();
    let claim = async |keys: &[LedgerKey], writer, version, state| {
        fixture.store.claim_batches("eu", keys, (writer, version), state).await.unwrap();
    };
    claim(&keys, own, 1, BatchClaim::Claimed).await;
    assert!(asked().await.is_empty(), "one's own are none of others");
    claim(&keys[..2], other, 5, BatchClaim::Claimed).await;
    claim(&keys[..1], third, 1, BatchClaim::Claimed).await;
    let is = |writer, version, is_claimed| ClaimOfOther { writer, version, is_claimed };
    let mut told = asked().await;
    told.get_mut(&keys[0]).unwrap().sort_by_key(|claim| claim.writer);
    assert_eq!((&told[&keys[0]], told.len()), (&vec![is(other, 5, true), is(third, 1, true)], 2));
    assert_eq!(told[&keys[1]], [is(other, 5, true)]);
    // What was said before arrives later.
    claim(&keys[1..2], other, 7, BatchClaim::Withdrawn).await;
    claim(&keys[1..2], other, 6, BatchClaim::Claimed).await;
    assert_eq!(asked().await[&keys[1]], [is(other, 7, false)]);
    // The store's clock was set back by days in between: the version counts.
    let stepped = "INSERT INTO batch_claims (bucket, region, node, boot, batch, writer, version, state, claimed_at) SELECT bucket, region, node, boot, batch, \
         writer, 8, 'claimed', claimed_at - INTERVAL 3 DAY FROM batch_claims WHERE batch = 2 AND version = 7";
    run(&fixture.store, stepped).await;
    assert_eq!(asked().await[&keys[1]], [is(other, 8, true)]);
}

pub(super) async fn a_table_tells_of_which_batches_it_has_rows() {
    let fixture = Fixture::migrated().await;
    let events = |node: &str, seq: u64| {
        let names = |name: &str| Column::LowCardinality(LowCardinality::constant(name, 2));
        let events = BlockBuilder::new("events").column("bucket", Column::DateTime(vec![minute(); 2]));
        let events = events.column("region", names("eu")).column("node", names(node));
        events.column("boot", Column::U64(vec![1; 2])).column("seq", Column::U64(vec![seq, seq + 1])).build().unwrap()
    };
    let losses = |batch: u64| {
        let rows = LossRows {
            bucket: vec![minute()],
            region: LowCardinality::constant("eu", 1),
            node: LowCardinality::constant("n", 1),
            boot: vec![1],
            run_seq: vec![2],
            cause: LowCardinality::constant("queue_full", 1),
            count: vec![3],
            batch: vec![batch],
        };
        rows.into_block().unwrap()
    };
    let (here, elsewhere, missing) = (events("n", 10), events("m", 10), events("n", 12));
    fixture.store.insert(here.clone(), "here").await.unwrap();
    fixture.store.insert(losses(5), "losses").await.unwrap();
    let found = async |table: &str, blocks: &[&Block]| {
        let marks: Vec<_> = blocks.iter().map(|block| block.mark().unwrap()).collect();
        let found = fixture.store.marks_found("eu", table, &marks).await.unwrap();
        marks.iter().map(|mark| found.contains(*mark)).collect::<Vec<_>>()
    };
    assert_eq!(found("events", &[&here, &elsewhere, &missing]).await, [true, false, false]);
    assert_eq!(found("losses", &[&losses(4), &losses(5)]).await, [false, true]);
    assert!(fixture.store.marks_found("us", "events", &[here.mark().unwrap()]).await.unwrap().is_empty());
}

pub(super) async fn the_columns_by_which_rows_are_found_are_there() {
    let fixture = Fixture::migrated().await;
    let tables =
        fixture.ask("SELECT name FROM system.tables WHERE database = 'syncline' AND engine = 'MergeTree'").await;
    let asked = syncline_store::marked_tables();
    for table in &asked {
        let (columns, known) = (table.1.join("', '"), table.1.len());
        let sql = format!(
            "SELECT count() FROM system.columns WHERE database = 'syncline' AND table = '{}' AND name IN ('{columns}', 'node', 'region')",
            table.0
        );
        assert_eq!(fixture.ask(&sql).await, (known + 2).to_string(), "{table:?}");
    }
    // What is of no batch, is read back by its key, or is believed by each.
    let others = [
        "schema_migrations",
        "ingest_ledger",
        "clock_segments_log",
        "region_links",
        "region_claims",
        "region_pairs",
        "skew_alerts",
        "skew_incidents",
    ];
    for table in tables.lines().filter(|table| !others.contains(table)) {
        assert!(asked.iter().any(|(name, _)| *name == table), "{table} would have rows of a batch twice");
    }
}
