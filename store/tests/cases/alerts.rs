//! What alerts are evaluated on, read back from what is stored, and what they leave.

use syncline_alerts::round::{Contradiction, Step};
use syncline_alerts::{Engine, Interval, Kind, Policy, Round};
use syncline_store::rows::*;
use syncline_store::{LowCardinality, Rounds};

use super::{Fixture, base_ns, run};

const EVERY_MS: i64 = 15_000;
const MS: i64 = 1_000_000;

/// Begin of the first round, by the database's clock. Regions' references are a minute ahead of it.
fn begin_ms() -> i64 {
    base_ns() / MS + 600_000
}

/// A batch of a node: what came of it is inserted `at_ms` after the begin. Its wall clock is `wall_ms` ahead of REF.
async fn batch(fixture: &Fixture, node: &str, at_ms: i64, wall_ms: i64, epoch: u32) {
    let (created, mono) = (begin_ms() + at_ms, 5_000_000 * MS + at_ms * MS);
    let off = (created + 60_000) * MS - mono;
    let sql = format!(
        "INSERT INTO clock_segments_log (region, node, boot, ref_run, epoch, mono_from, mono_to, ref_off, ref_off_to, rate_ppb, err_from_ns, \
         err_to_ns, bound_class, wall_off, status, rev, created) VALUES ('eu', '{node}', 7, 9, {epoch}, {}, {mono}, {off}, {off}, -20000, \
         100000, 100000, 'hard', {}, 'synchronized', 1, fromUnixTimestamp64Milli({created}, 'UTC'))",
        mono - 15_000 * MS,
        off + wall_ms * MS,
    );
    run(&fixture.store, &sql).await;
    let t2 = mono + off;
    let sql = format!(
        "INSERT INTO clock_probes (region, node, boot, t1, t2, t3, t4, rtt_ns, kind, used, received) VALUES ('eu', '{node}', 7, {mono}, {t2}, \
         {t2}, {mono}, 240000, 'udp', 1, fromUnixTimestamp64Milli({created}, 'UTC'))"
    );
    run(&fixture.store, &sql).await;
}

/// A step of `a`, and a false claim, at `at_ms`; and what the root makes of regions then.
async fn happen(fixture: &Fixture, at_ms: i64) {
    let (mono, at) = (5_000_000 * MS + at_ms * MS, (begin_ms() + at_ms + 60_000) * MS);
    let sql = format!(
        "INSERT INTO clock_steps (region, node, boot, mono_ns, at, size_ns, scale) VALUES \
         ('eu', 'a', 7, {mono}, fromUnixTimestamp64Nano({at}, 'UTC'), 300000000, 'wall')"
    );
    run(&fixture.store, &sql).await;
    let sql = format!(
        "INSERT INTO clock_claims (region, node, boot, mono_ns, at, source, synchronized, verdict, claimed_low_ns, claimed_high_ns, \
         measured_low_ns, measured_high_ns) VALUES ('eu', 'a', 7, {mono}, fromUnixTimestamp64Nano({at}, 'UTC'), 'chrony', 1, 'contradicted', -1, 1, \
         -300000001, -300000000), ('eu', 'b', 7, {mono}, fromUnixTimestamp64Nano({at}, 'UTC'), 'kernel', 1, 'consistent', 0, 0, 0, 0), \
         ('eu', 'b', 6, {mono}, fromUnixTimestamp64Nano({at}, 'UTC'), 'kernel', 1, 'contradicted', 5, 6, 7, 8)"
    );
    run(&fixture.store, &sql).await;
}

async fn regions(fixture: &Fixture, at_ms: i64, verdict: &str) {
    let created = begin_ms() + at_ms;
    let sql = format!(
        "INSERT INTO region_pairs (region, peer, ref_run, peer_run, at, off, low, high, direct, verdict, off_by_ns, created) VALUES \
         ('eu', '(utc)', 9, 0, fromUnixTimestamp64Milli({created}, 'UTC'), -60000000000, -60000200000, -59999800000, 1, '{verdict}', 7, \
         fromUnixTimestamp64Milli({created}, 'UTC')), \
         ('eu', 'us', 9, 8, fromUnixTimestamp64Milli({created}, 'UTC'), 5, 1, 9, 1, 'consistent', 0, fromUnixTimestamp64Milli({created}, 'UTC'))"
    );
    run(&fixture.store, &sql).await;
}

async fn fleet() -> Fixture {
    let fixture = Fixture::migrated().await;
    for round in 0..8 {
        for node in ["a", "b", "c", "d"] {
            let stepped_ms = if node == "a" && round >= 3 { 300 } else { 0 };
            batch(&fixture, node, round * EVERY_MS + 5_000, 60_000 - 120_000 + stepped_ms, 0).await;
        }
        regions(&fixture, round * EVERY_MS + 3_000, "consistent").await;
    }
    happen(&fixture, 3 * EVERY_MS + 4_000).await;
    fixture
}

async fn read(fixture: &Fixture, at_once: u32) -> Vec<Round> {
    let mut rounds = Rounds::begin(&fixture.store, begin_ms(), EVERY_MS).await.unwrap();
    let mut all = Vec::new();
    while all.len() < 8 {
        all.extend(rounds.next(&fixture.store, at_once).await.unwrap());
    }
    all
}

pub(super) async fn rounds_are_what_was_known_in_them_however_they_are_read() {
    let fixture = fleet().await;
    let rounds = read(&fixture, 1).await;
    assert_eq!(read(&fixture, 8).await, rounds);
    assert_eq!(rounds[0].at_ns, (begin_ms() + EVERY_MS) * MS);
    let a = rounds[3].nodes.iter().find(|seen| seen.node == "a").unwrap();
    assert_eq!((a.boot, a.run, a.epoch, a.frequency_ppb, a.round_trip_ns), (7, 9, 0, Some(20_000), Some(240_000)));
    assert_eq!(a.skew_ns, Some(Interval::around(-59_700 * MS, 100_000)));
    assert_eq!(a.silent_ns, 10_000_000_000);
    let at_ns = (begin_ms() + 3 * EVERY_MS + 4_000 + 60_000) * MS;
    // The references are a minute ahead of the database's clock, by which it was 11 s before the end of the round.
    assert_eq!(a.steps, [Step { at_ns, size_ns: 300_000_000, ago_ns: 11_000_000_000 }]);
    let said = |node: &str, round: usize| -> Vec<Option<Contradiction>> {
        let seen = rounds[round].nodes.iter().find(|seen| seen.node == node).unwrap();
        seen.claims.iter().map(|claim| claim.contradiction).collect()
    };
    let measured_ns = Interval { low: -300_000_001, high: -300_000_000 };
    assert_eq!(said("a", 3), [Some(Contradiction { claimed_ns: Interval { low: -1, high: 1 }, measured_ns })]);
    assert_eq!((said("b", 3), said("b", 4), said("a", 2)), (vec![None], vec![], vec![]));
    let region = &rounds[3].regions[0];
    // 12 s old, and as much as a round lasts: 50 ppm of 27 s.
    let utc = Interval::around(60_000 * MS, 200_000 + 27 * 50_000);
    assert_eq!((region.run, region.utc_ns, region.false_by_ns), (9, Some(utc), None));
    assert_eq!((rounds[3].links.len(), rounds[3].links[0].apart_ns), (1, Interval { low: 1, high: 9 }));
}

pub(super) async fn a_node_that_says_no_more_is_silent_and_a_false_claim_of_a_region_is_told() {
    let fixture = fleet().await;
    batch(&fixture, "e", 2_000, 0, 0).await;
    regions(&fixture, 7 * EVERY_MS + 9_000, "false").await;
    let rounds = read(&fixture, 8).await;
    let silent = rounds[7].nodes.iter().find(|seen| seen.node == "e").unwrap();
    assert_eq!((silent.silent_ns / 1_000_000_000, silent.skew_ns, silent.boot), (118, None, 7));
    assert_eq!(rounds[7].regions[0].false_by_ns, Some(7));
    // It is known to those that begin later, too, and forgotten in a day.
    let late = begin_ms() + 8 * EVERY_MS;
    let mut later = Rounds::begin(&fixture.store, late, EVERY_MS).await.unwrap();
    let round = later.next(&fixture.store, 1).await.unwrap().remove(0);
    assert_eq!(round.nodes.len(), 5);
    let mut gone = Rounds::begin(&fixture.store, late + 86_400_000, EVERY_MS).await.unwrap();
    assert!(gone.next(&fixture.store, 1).await.unwrap()[0].nodes.is_empty());
}

pub(super) async fn stored_history_leads_to_the_alert_and_its_state_is_left() {
    let fixture = fleet().await;
    let mut engine = Engine::new(Policy::default()).unwrap();
    let mut told = Vec::new();
    for round in read(&fixture, 4).await {
        told.extend(engine.evaluate(&round, &[]).unwrap().notifications);
    }
    let words: Vec<(Kind, String)> = told.iter().map(|told| (told.kind, told.cause.to_string())).collect();
    assert_eq!(words, [(Kind::Opened, "step of eu/a".to_owned())]);
    let (state, at_ms) = (engine.snapshot().unwrap(), begin_ms() + 8 * EVERY_MS);
    let rows = |state: &str, at_ms: i64| AlertStateRows {
        region: LowCardinality::constant("eu", 1),
        at: vec![at_ms * MS],
        state: vec![state.to_owned()],
    };
    assert_eq!(
        (fixture.store.alerts_left().await.unwrap(), fixture.store.alerts_told_by().await.unwrap()),
        (None, None)
    );
    fixture.store.insert(rows("older", at_ms - 1).into_block().unwrap(), "1").await.unwrap();
    fixture.store.insert(rows(&state, at_ms).into_block().unwrap(), "2").await.unwrap();
    let left = syncline_store::AlertsLeft { region: "eu".to_owned(), at_ms, state };
    assert_eq!(fixture.store.alerts_left().await.unwrap(), Some(left));
    assert_eq!(fixture.store.last_incident(i64::MAX).await.unwrap(), 0);
    let told = SkewIncidentRows {
        at: vec![at_ms * MS],
        incident: vec![7],
        kind: vec![IncidentKind::Opened],
        severity: vec![SeverityLevel::Warning],
        rule: LowCardinality::constant("step", 1),
        subject: vec!["eu/a".to_owned()],
        subjects: vec!["eu/a".to_owned()],
        text: vec!["words".to_owned()],
    };
    fixture.store.insert(told.into_block().unwrap(), "7").await.unwrap();
    let last = async |until_ms| fixture.store.last_incident(until_ms).await.unwrap();
    assert_eq!((last(i64::MAX).await, last(at_ms).await, last(at_ms - 1).await), (7, 7, 0));
    // Of another region, which evaluated after that.
    let other = AlertStateRows {
        region: LowCardinality::constant("us", 1),
        at: vec![(at_ms + EVERY_MS) * MS],
        state: vec!["newer".to_owned()],
    };
    fixture.store.insert(other.into_block().unwrap(), "3").await.unwrap();
    assert_eq!(fixture.store.alerts_left().await.unwrap().unwrap().state, "newer", "there is one of the whole store");
    assert_eq!(fixture.store.alerts_told_by().await.unwrap().as_deref(), Some("us"));
}

/// Two alerts and incidents that are open, of which one is remembered; and one that came after that.
pub(super) async fn what_nobody_remembers_is_closed_and_nothing_else() {
    let Fixture { store, .. } = &Fixture::migrated().await;
    let begin_ms = begin_ms();
    let at = |after_ms: i64| format!("fromUnixTimestamp64Milli({}, 'UTC')", begin_ms + after_ms);
    for (number, after_ms) in [(1, 0), (2, 0), (3, 2 * EVERY_MS)] {
        let at = at(after_ms);
        let incident = format!(
            "INSERT INTO skew_incidents (at, incident, kind, severity, rule, subject, subjects, text) VALUES \
             ({at}, {number}, 'opened', 'warning', 'offset', 'eu/{number}', 'eu/{number}', 'it is off')"
        );
        run(store, &incident).await;
        let alert = format!(
            "INSERT INTO skew_alerts (at, rule, subject, region, node, state, severity, since, unit, incident, text) VALUES \
             ({at}, 'offset', 'eu/{number}', 'eu', '{number}', 'firing', 'warning', {at}, 'ns', {number}, 'it is off')"
        );
        run(store, &alert).await;
    }
    let open = async || {
        let told = store.told_incidents(0).await.unwrap();
        let is_over = |number| told.iter().any(|told| told.incident == number && told.is_resolved);
        let open: Vec<u64> = (1..=3).filter(|number| !is_over(*number)).collect();
        let firing = "SELECT groupArray(incident) FROM (SELECT incident FROM (SELECT * FROM skew_alerts ORDER BY at DESC LIMIT 1 BY rule, subject) \
                      WHERE state = 'firing' ORDER BY incident)";
        let firing = store.query_text(firing, "TSV").await.unwrap();
        (open, String::from_utf8_lossy(&firing).trim().to_owned())
    };
    let remembered = syncline_store::RememberedAlerts {
        alerts: vec![("offset".to_owned(), "eu/1".to_owned())],
        incidents: vec![1],
        until_ms: Some(begin_ms + EVERY_MS),
    };
    store.close_alerts(begin_ms + EVERY_MS, &remembered).await.unwrap();
    assert_eq!(open().await, (vec![1, 3], "[1,3]".to_owned()));
    store.close_alerts(begin_ms + 3 * EVERY_MS, &syncline_store::RememberedAlerts::default()).await.unwrap();
    assert_eq!(open().await, (vec![], "[]".to_owned()));
}

/// Of three incidents that began 100 days ago two last, and were written again 31 and 89 days ago; one is over.
pub(super) async fn what_lasts_is_kept_for_longer_than_what_is_over() {
    let Fixture { store, .. } = &Fixture::migrated().await;
    let ago = |days: u32| format!("now64(9) - INTERVAL {days} DAY");
    for (number, kept, kind, state) in [
        (1, ago(31), "opened", "firing"),
        (2, ago(89), "opened", "firing"),
        (3, ago(100), "opened", "firing"),
        (3, ago(99), "resolved", "resolved"),
    ] {
        let at = if kind == "resolved" { ago(99) } else { ago(100) };
        let incident = format!(
            "INSERT INTO skew_incidents (at, incident, kind, severity, rule, subject, subjects, text, kept) VALUES \
             ({at}, {number}, '{kind}', 'warning', 'offset', 'eu/{number}', 'eu/{number}', 'it is off', toDateTime({kept}))"
        );
        run(store, &incident).await;
        let alert = format!(
            "INSERT INTO skew_alerts (at, rule, subject, region, node, state, severity, since, unit, incident, text, kept) VALUES \
             ({at}, 'offset', 'eu/{number}', 'eu', '{number}', '{state}', 'warning', {at}, 'ns', {number}, 'it is off', toDateTime({kept}))"
        );
        run(store, &alert).await;
        let told = format!(
            "INSERT INTO alert_deliveries (target, incident, kind, outcome, attempts, at) VALUES ('chat', {number}, '{kind}', 'delivered', 1, {at})"
        );
        run(store, &told).await;
    }
    let ask = async |sql: &str| {
        let answer = store.query_text(sql, "TSV").await.unwrap();
        String::from_utf8_lossy(&answer).trim().to_owned()
    };
    let now_ms = store.now_ms().await.unwrap();
    for _ in 0..2 {
        store.keep_alerts(now_ms).await.unwrap();
    }
    assert_eq!(
        ask("SELECT count() FROM skew_incidents WHERE incident < 3").await,
        "4",
        "what was written again is not, so soon"
    );
    for table in ["skew_alerts", "skew_incidents"] {
        run(store, &format!("OPTIMIZE TABLE {table} FINAL")).await;
        let left = format!(
            "SELECT arraySort(groupUniqArray(incident)), max(kept) >= now() - 60, max(at) < now() - INTERVAL 99 DAY FROM {table}"
        );
        assert_eq!(ask(&left).await, "[1,2]\t1\t1", "{table}");
    }
    let open: Vec<u64> = store.told_incidents(0).await.unwrap().iter().map(|told| told.incident).collect();
    assert!(open.contains(&1) && open.contains(&2) && !open.contains(&3), "{open:?}");
    let told = ask(
        "SELECT groupArray(incident) FROM (SELECT incident FROM alert_deliveries FINAL WHERE at > now() - 60 ORDER BY incident)",
    );
    assert_eq!(told.await, "[1,2]", "what they were told of is remembered, too");
}

pub(super) async fn a_lease_has_one_holder_however_many_take_it_at_once() {
    let Fixture { store, .. } = &Fixture::migrated().await;
    assert_eq!(store.lease("x").await.unwrap(), syncline_store::LeaseRow::default());
    for number in 0..4 {
        let mut takes = tokio::task::JoinSet::new();
        for one in 0..8 {
            let (store, lasts) = (store.clone(), std::time::Duration::from_secs(30));
            takes.spawn(
                async move { (one, store.take_lease("x", number, &format!("holder-{one}"), lasts).await.unwrap()) },
            );
        }
        let mut taken = takes.join_all().await;
        taken.sort_unstable();
        let taken: Vec<bool> = taken.into_iter().map(|(_, is_taken)| is_taken).collect();
        assert_eq!(taken.iter().filter(|is_taken| **is_taken).count(), 1, "{number}: {taken:?}");
        let holder = format!("holder-{}", taken.iter().position(|is_taken| *is_taken).unwrap());
        let row = store.lease("x").await.unwrap();
        assert_eq!((row.number, row.holder, row.lasts_ms), (number + 1, holder, 30_000));
        assert!(!store.take_lease("x", number, "late", std::time::Duration::ZERO).await.unwrap());
    }
    assert_eq!(store.lease("y").await.unwrap().number, 0, "another one is another matter");
}
