//! Revisions of clock models: the view `events_live`, and rows settled in place.

use syncline_store::rows::*;
use syncline_store::{LowCardinality, SettledPiece, Settlement};

use super::timeline::{WAIT, Wait, insert_waits, run_of};
use super::{Fixture, base_ns};

const SECOND: i64 = 1_000_000_000;
const WAITS: u64 = 20;
/// What nodes' mono starts from in [`insert_waits`], s.
const MONO_S: i64 = 5_000;

/// Waits of 1.5 s, one a second; all but one of the node that is settled, and one of that placed on another run of the reference,
/// which is another clock.
async fn waits(fixture: &Fixture) {
    let wait = |goid| Wait { goid, at: goid as i64 * SECOND, dur: 1_500_000_000, err: 900, err_end: 900, ..WAIT };
    let waits: Vec<Wait> = (0..WAITS).map(wait).collect();
    insert_waits(fixture, &waits).await;
    insert_waits(fixture, &[Wait { region: "us", ..wait(5) }]).await;
    insert_waits(fixture, &[Wait { is_of_next_run: true, ..wait(5) }]).await;
}

/// Pieces of a second each over seconds 3 to 8, whose offset is 1 us more than it was taken for, and 100 ns more each second.
fn pieces() -> Vec<SettledPiece> {
    let piece = |second: i64| {
        let ends = [second, second + 1];
        SettledPiece {
            mono: ends.map(|s| ((MONO_S + s) * SECOND) as u64),
            ref_off: ends.map(|s| base_ns() - MONO_S * SECOND + 1_000 + 100 * s),
            err_ns: 50 + second as u64,
            status: ClockStatus::FreeRunning,
            epoch: 4,
        }
    };
    (3..8).map(piece).collect()
}

fn settlement() -> Settlement {
    let (region, node) = ("eu".to_owned(), "eu-1".to_owned());
    Settlement { region, node, boot: 1, ref_run: run_of("eu"), revision: 2, pieces: pieces() }
}

async fn insert_revision(fixture: &Fixture) {
    let pieces = pieces();
    let n = pieces.len();
    let rows = ClockSegmentRows {
        region: LowCardinality::constant("eu", n),
        node: LowCardinality::constant("eu-1", n),
        boot: vec![1; n],
        ref_run: vec![run_of("eu"); n],
        epoch: vec![4; n],
        mono_from: pieces.iter().map(|piece| piece.mono[0]).collect(),
        mono_to: pieces.iter().map(|piece| piece.mono[1]).collect(),
        ref_off: pieces.iter().map(|piece| piece.ref_off[0]).collect(),
        ref_off_to: pieces.iter().map(|piece| piece.ref_off[1]).collect(),
        rate_ppb: vec![0; n],
        err_from_ns: pieces.iter().map(|piece| piece.err_ns).collect(),
        err_to_ns: pieces.iter().map(|piece| piece.err_ns - 1).collect(),
        bound_class: vec![BoundClass::Hard; n],
        wall_off: vec![0; n],
        status: vec![ClockStatus::FreeRunning; n],
        rev: vec![2; n],
    };
    fixture.store.insert(rows.into_block().unwrap(), "revision").await.unwrap();
}

/// How a wait that starts and ends at these seconds of mono (by quarters) must be placed now: what it is off by from the
/// first placing, the bound, and whether a piece says so.
fn expected(second: f64) -> (i64, u64, bool) {
    if (3.0..=8.0).contains(&second) {
        // The piece that begins last at or before it.
        let piece = (second as u64).min(7);
        (1_000 + (100.0 * second) as i64, 50 + piece, true)
    } else {
        (0, 900, false)
    }
}

/// What rows of `from` say, in the words of [`expected`].
async fn check(fixture: &Fixture, from: &str) {
    let sql = format!(
        "SELECT node, goid, al_off, al_end_off, err_ns, err_end_ns, toString(clock_status), epoch, model_rev, \
         ref_run FROM {from} ORDER BY node, goid, ref_run"
    );
    let answer = fixture.ask(&sql).await;
    let rows: Vec<Vec<&str>> = answer.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len(), WAITS as usize + 2);
    for row in rows {
        let number = |place: usize| row[place].parse::<i64>().unwrap();
        let goid = number(1);
        let first = base_ns() - MONO_S * SECOND;
        let (start, end) = (goid as f64, goid as f64 + 1.5);
        let is_settled = row[0] == "eu-1" && row[9] == run_of("eu").to_string();
        let ((start_off, start_err, start_new), (end_off, end_err, end_new)) =
            if is_settled { (expected(start), expected(end)) } else { ((0, 900, false), (0, 900, false)) };
        assert_eq!((number(2) - first, number(4)), (start_off, start_err as i64), "{row:?} in {from}");
        let stretch = if end_new { 0 } else { 7 };
        assert_eq!((number(3) - first, number(5)), (end_off + stretch, end_err as i64), "{row:?} in {from}");
        assert_eq!((row[6] == "free_running", number(7) == 4), (end_new, end_new), "{row:?} in {from}");
        assert_eq!(number(8), if start_new || end_new { 2 } else { 1 }, "{row:?} in {from}");
    }
}

/// Each by what is known of it, in one update; and what nobody has, or says nothing, changes nothing.
pub(crate) async fn nodes_are_settled_together() {
    let fixture = Fixture::migrated().await;
    waits(&fixture).await;
    let placed = async |node: &str| {
        let columns = "goid, ref_run, al_off, al_end_off, err_ns, err_end_ns, toString(clock_status), epoch, model_rev";
        fixture.ask(&format!("SELECT {columns} FROM events WHERE node = '{node}' ORDER BY goid, ref_run")).await
    };
    let first = base_ns() - MONO_S * SECOND;
    let piece = SettledPiece { ref_off: [first + 7_000; 2], err_ns: 77, epoch: 9, ..pieces()[0] };
    let piece = SettledPiece { mono: [(MONO_S * SECOND) as u64, ((MONO_S + 6) * SECOND) as u64], ..piece };
    let us = Settlement {
        region: "us".to_owned(),
        node: "us-1".to_owned(),
        ref_run: run_of("us"),
        revision: 3,
        pieces: vec![piece],
        ..settlement()
    };
    let nobody = Settlement { node: "nobody's".to_owned(), ..us.clone() };
    let other_boot = Settlement { boot: 2, revision: 4, ..settlement() };
    let silent = Settlement { pieces: Vec::new(), ..us.clone() };
    fixture.store.settle_events(&[settlement()]).await.unwrap();
    let alone = placed("eu-1").await;
    fixture.store.settle_events(&[silent, us, nobody, settlement(), other_boot]).await.unwrap();
    assert_eq!(placed("eu-1").await, alone);
    // Its wait begins in the piece and ends behind it.
    let run = run_of("us");
    assert_eq!(
        placed("us-1").await,
        format!("5\t{run}\t{}\t{}\t77\t900\tsynchronized\t0\t3", first + 7_000, first + 7)
    );
}

/// The window of all waits.
fn live() -> String {
    let second = base_ns() / SECOND;
    format!("events_live(t0 = toDateTime64({second}, 9, 'UTC'), t1 = toDateTime64({}, 9, 'UTC'))", second + 100)
}

pub(crate) async fn rows_are_live_at_once_and_settled_by_an_update() {
    let fixture = Fixture::migrated().await;
    waits(&fixture).await;
    insert_revision(&fixture).await;
    check(&fixture, &live()).await;
    let before = fixture.ask("SELECT max(model_rev) FROM events").await;
    assert_eq!(before, "1", "nothing is settled yet");
    // Twice is as good as once.
    for _ in 0..2 {
        fixture.store.settle_events(&[settlement()]).await.unwrap();
        check(&fixture, "events").await;
    }
    check(&fixture, &live()).await;
    let parts = fixture.ask("SELECT count() FROM system.mutations WHERE table = 'events'").await;
    assert_eq!(parts, "0", "an update was expected, which rewrites nothing");
}

/// As on a server that has no lightweight updates: without these columns a table has none.
pub(crate) async fn where_an_update_does_not_work_the_parts_are_rewritten() {
    let fixture = Fixture::migrated().await;
    let without = "ALTER TABLE events MODIFY SETTING enable_block_number_column = 0, enable_block_offset_column = 0";
    fixture.ask(without).await;
    waits(&fixture).await;
    insert_revision(&fixture).await;
    fixture.store.settle_events(&[settlement()]).await.unwrap();
    let rewritten =
        fixture.ask("SELECT countIf(is_done), countIf(NOT is_done) FROM system.mutations WHERE table = 'events'");
    assert_eq!(rewritten.await, "1\t0", "it is done when settling returns");
    check(&fixture, "events").await;
    check(&fixture, &live()).await;
    fixture.store.settle_events(&[settlement()]).await.unwrap();
    let begun = async || fixture.ask("SELECT count() FROM system.mutations WHERE table = 'events'").await;
    assert_eq!(begun().await, "1", "it was done");
    let other = Settlement { revision: 3, ..settlement() };
    fixture.store.settle_events(std::slice::from_ref(&other)).await.unwrap();
    assert_eq!(begun().await, "2", "of a later revision it was not");
    // While nothing is merged it is not done: whoever asks again waits for the one that is under way.
    fixture.ask("SYSTEM STOP MERGES events").await;
    let last = Settlement { revision: 4, ..settlement() };
    let impatient = async || {
        let settled = fixture.store.settle_events(std::slice::from_ref(&last));
        tokio::time::timeout(std::time::Duration::from_secs(3), settled).await
    };
    assert!(impatient().await.is_err() && impatient().await.is_err(), "it cannot be done");
    assert_eq!(begun().await, "3", "it is begun once");
    fixture.ask("SYSTEM START MERGES events").await;
    fixture.store.settle_events(&[last]).await.unwrap();
    assert_eq!((begun().await, fixture.ask("SELECT max(model_rev) FROM events").await), ("3".into(), "4".into()));
}

/// What an aggregator leaves undone as it dies.
pub(crate) async fn pieces_whose_rows_are_not_settled_are_found() {
    let fixture = Fixture::migrated().await;
    waits(&fixture).await;
    let unsettled = async || fixture.store.unsettled("eu", 2).await.unwrap();
    assert!(unsettled().await.is_empty(), "there is no revision");
    insert_revision(&fixture).await;
    let found = unsettled().await;
    let pieces: Vec<SettledPiece> = found.iter().flat_map(|settlement| settlement.pieces.clone()).collect();
    assert_eq!(pieces, self::pieces());
    assert!(found.iter().all(|found| *found == Settlement { pieces: found.pieces.clone(), ..settlement() }));
    assert!(fixture.store.unsettled("us", 2).await.unwrap().is_empty());
    let two = Settlement { pieces: self::pieces()[..2].to_vec(), ..settlement() };
    fixture.store.settle_events(&[two]).await.unwrap();
    assert_eq!(unsettled().await, found[3..], "every wait of the third begins or ends in the second");
    fixture.store.settle_events(&[settlement()]).await.unwrap();
    assert!(unsettled().await.is_empty());
}

pub(crate) async fn the_order_of_two_moments_is_told_only_where_it_can_be() {
    let fixture = Fixture::start().await;
    fixture.store.migrate().await.unwrap();
    let order = async |a: (i64, u64), b: (i64, u64)| {
        let moment =
            |(at, err): (i64, u64)| format!("(fromUnixTimestamp64Nano({}, 'UTC'), toUInt64({err}))", base_ns() + at);
        fixture.ask(&format!("SELECT happened_before({}, {})", moment(a), moment(b))).await
    };
    assert_eq!(order((0, 5), (11, 5)).await, "yes");
    assert_eq!(order((11, 5), (0, 5)).await, "no");
    assert_eq!(order((0, 5), (10, 5)).await, "cannot tell", "intervals that touch");
    assert_eq!(order((0, UNBOUNDED_NS), (1_000_000, 5)).await, "cannot tell");
}
