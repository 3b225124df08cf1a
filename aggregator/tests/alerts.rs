//! Alerts, evaluated by the real program on what is in a real store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use support::program::{Program, ask, store};
use support::relay::{Mode, Relay};
use support::{engine_is_here, eventually, prometheus};
use syncline_alerts::{Engine, Policy, Round};
use syncline_store::DeclaredSilence;

const MS: i64 = 1_000_000;
const EVERY_MS: i64 = 15_000;
const ROUNDS: i64 = 20;

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// What an aggregator left that was stopped `ROUNDS` rounds ago, and what was stored since: four nodes, of which one was set by 400 ms. When
/// it was stopped, ms.
async fn leave_behind(dir: &Path) -> i64 {
    let begin_ms = now_ms().div_euclid(EVERY_MS) * EVERY_MS - ROUNDS * EVERY_MS;
    let program = Program::engine_for_others(dir);
    let opened = store(dir).await;
    let mut engine = Engine::new(Policy::default()).unwrap().numbered_after(41);
    engine.evaluate(&Round { at_ns: begin_ms * MS, ..Round::default() }, &[]).unwrap();
    let left = engine.snapshot().unwrap();
    let at = |ms: i64| format!("fromUnixTimestamp64Milli({ms}, 'UTC')");
    let mut rows = vec![format!("INSERT INTO alert_states VALUES ('us', {}, '{left}')", at(begin_ms))];
    for round in 0..ROUNDS {
        for node in 1..=4 {
            let (created, off) = (begin_ms + round * EVERY_MS + 4_000, (begin_ms - 9_000_000) * MS);
            let (mono, wall_ms) = (created - begin_ms + 9_000_000, if node == 1 && round >= 10 { 400 } else { 0 });
            rows.push(format!(
                "INSERT INTO clock_segments_log (region, node, boot, ref_run, epoch, mono_from, mono_to, ref_off, ref_off_to, rate_ppb, \
                 err_from_ns, err_to_ns, bound_class, wall_off, status, rev, created) VALUES ('us', 'us-{node}', 7, 9, 0, {}, {}, {off}, {off}, 0, \
                 90000, 90000, 'hard', {}, 'synchronized', 1, {})",
                (mono - EVERY_MS) * MS,
                mono * MS,
                off + wall_ms * MS,
                at(created),
            ));
        }
    }
    let stepped_ms = begin_ms + 10 * EVERY_MS + 2_000;
    rows.push(format!(
        "INSERT INTO clock_steps (region, node, boot, mono_ns, at, size_ns, scale) VALUES ('us', 'us-1', 7, {}, {}, 400000000, 'wall')",
        (stepped_ms - begin_ms + 9_000_000) * MS,
        at(stepped_ms),
    ));
    for sql in &rows {
        opened.query_text(sql, "Null").await.unwrap();
    }
    assert!(program.terminate().success());
    begin_ms
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_while_no_aggregator_ran_is_evaluated_and_told_once() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let begin_ms = leave_behind(dir.path()).await;
    let program = Program::embedded(dir.path());
    let store = store(dir.path()).await;
    let told = "SELECT incident, kind, rule, subject FROM skew_incidents";
    eventually("an incident is told", async || !ask(&store, told).await.is_empty()).await;
    assert_eq!(ask(&store, told).await, "42\topened\tstep\tus/us-1");
    let firing =
        "SELECT rule FROM skew_alerts WHERE state = 'firing' AND node = 'us-1' AND incident = 42 ORDER BY rule";
    assert_eq!(ask(&store, firing).await, "offset\nstep");
    let at = format!("SELECT (toUnixTimestamp64Milli(min(at)) - {begin_ms}) / {EVERY_MS} FROM skew_alerts");
    assert_eq!(ask(&store, &at).await, "11", "in the round that it was stored in");
    let left = format!("SELECT toUnixTimestamp64Milli(max(at)) > {begin_ms} FROM alert_states");
    eventually("its state is left", async || ask(&store, &left).await == "1").await;
    assert!(program.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_lasted_for_long_is_written_again_before_it_is_forgotten() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    leave_behind(dir.path()).await;
    let program = Program::engine_for_others(dir.path());
    let old = "INSERT INTO skew_incidents (at, incident, kind, severity, rule, subject, subjects, text) \
               VALUES (now64(9) - INTERVAL 40 DAY, 7, 'opened', 'warning', 'offset', 'us/us-9', 'us/us-9', 'it is off')";
    store(dir.path()).await.query_text(old, "Null").await.unwrap();
    assert!(program.terminate().success());
    let program = Program::embedded(dir.path());
    let store = store(dir.path()).await;
    let kept = "SELECT count(), countIf(kept > now() - 3600), uniqExact(at) FROM skew_incidents WHERE incident = 7";
    eventually("it is written again", async || ask(&store, kept).await == "2\t1\t1").await;
    assert!(program.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_maintenance_was_declared_of_is_listed_and_not_told() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let begin_ms = leave_behind(dir.path()).await;
    let program = Program::engine_for_others(dir.path());
    let silence = DeclaredSilence {
        number: 5,
        node: "us-1".to_owned(),
        from_ms: begin_ms,
        until_ms: now_ms() + 3_600_000,
        comment: "new disks".to_owned(),
        ..DeclaredSilence::default()
    };
    store(dir.path()).await.declare(&silence).await.unwrap();
    assert!(program.terminate().success());

    let program = Program::embedded(dir.path());
    let store = store(dir.path()).await;
    let firing = "SELECT rule, silenced FROM skew_alerts WHERE state = 'firing' AND node = 'us-1' ORDER BY rule";
    eventually("they fire", async || ask(&store, firing).await == "offset\t1\nstep\t1").await;
    // What is told of a round is stored before its state.
    let is_over =
        "SELECT (SELECT max(at) FROM alert_states) >= (SELECT max(at) FROM skew_alerts WHERE state = 'firing')";
    eventually("that round is over", async || ask(&store, is_over).await == "1").await;
    assert_eq!(ask(&store, "SELECT count() FROM skew_incidents").await, "0");
    assert!(program.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_remembers_ends_and_begins_anew_where_it_still_is_so() {
    if !engine_is_here() {
        return;
    }
    for left in [None, Some("no state"), Some("{\"version\": 999999}")] {
        let dir = tempfile::tempdir().unwrap();
        leave_behind(dir.path()).await;
        let program = Program::engine_for_others(dir.path());
        let opened = store(dir.path()).await;
        let run = async |sql: &str| drop(opened.query_text(sql, "Null").await.unwrap());
        run("TRUNCATE TABLE alert_states").await;
        if let Some(left) = left {
            run(&format!("INSERT INTO alert_states VALUES ('us', now64(9) - 60, '{left}')")).await;
        }
        run("INSERT INTO skew_incidents (at, incident, kind, severity, rule, subject, subjects, text) VALUES \
             (now64(9) - 600, 6, 'opened', 'warning', 'offset', 'us/us-9', 'us/us-9', 'old'), \
             (now64(9) - 500, 6, 'resolved', 'warning', 'offset', 'us/us-9', 'us/us-9', 'over'), \
             (now64(9) - 400, 7, 'opened', 'warning', 'offset', 'us/us-1', 'us/us-1', 'it is off')")
        .await;
        run("INSERT INTO skew_alerts (at, rule, subject, region, node, state, severity, since, unit, incident, text) VALUES \
             (now64(9) - 400, 'offset', 'us/us-1', 'us', 'us-1', 'firing', 'warning', now64(9) - 400, 'ns', 7, 'it is off')").await;
        assert!(program.terminate().success());

        let program = Program::embedded(dir.path());
        let store = store(dir.path()).await;
        let told = "SELECT incident, count(), countIf(text LIKE '%judged anew%') FROM skew_incidents WHERE kind = 'resolved' GROUP BY incident ORDER BY incident";
        eventually("what was open is over", async || ask(&store, told).await == "6\t1\t0\n7\t1\t1").await;
        let open = "SELECT count() FROM (SELECT * FROM skew_alerts ORDER BY at DESC LIMIT 1 BY rule, subject) WHERE state != 'resolved' AND incident = 7";
        assert_eq!(ask(&store, open).await, "0");
        assert!(program.terminate().success());
        // Now there is a state: a start ends nothing.
        let options = ["--region", "us", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--store-dir"];
        let program = Program::start(dir.path(), &[&options[..], &[dir.path().to_str().unwrap()]].concat());
        let store = support::program::store(dir.path()).await;
        let evaluates = || metric(&program, "syncline_alerts_evaluating");
        eventually("it has evaluated a round", async || evaluates() == 1.0).await;
        let evaluated = "SELECT count() FROM alert_states FINAL WHERE state LIKE '{%' AND state NOT LIKE '%999999%'";
        assert_eq!(
            (ask(&store, told).await.as_str(), ask(&store, evaluated).await.as_str()),
            ("6\t1\t0\n7\t1\t1", "1")
        );
        assert!(program.terminate().success());
    }
}

/// The number of a metric without labels.
fn metric(program: &Program, name: &str) -> f64 {
    let text = prometheus::get(&format!("http://{}/metrics", program.says("metrics"))).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_go_on_from_where_the_databases_clock_was_set_back_to() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = Program::engine_for_others(dir.path());
    let left_ms = now_ms().div_euclid(EVERY_MS) * EVERY_MS + 3_600_000;
    let mut engine = Engine::new(Policy::default()).unwrap();
    engine.evaluate(&Round { at_ns: left_ms * MS, ..Round::default() }, &[]).unwrap();
    let left = engine.snapshot().unwrap();
    let left = format!("INSERT INTO alert_states VALUES ('us', fromUnixTimestamp64Milli({left_ms}, 'UTC'), '{left}')");
    store(dir.path()).await.query_text(&left, "Null").await.unwrap();
    assert!(program.terminate().success());

    let options = ["--region", "us", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--store-dir"];
    let start = || Program::start(dir.path(), &[&options[..], &[dir.path().to_str().unwrap()]].concat());
    let set_back = |program: &Program| metric(program, "syncline_alert_clock_set_back_total");
    let program = start();
    let opened = store(dir.path()).await;
    let newer = format!("SELECT max(toUnixTimestamp64Milli(at)) > {left_ms} FROM alert_states");
    eventually("it evaluates, and leaves a state after that one", async || ask(&opened, &newer).await == "1").await;
    assert_eq!(set_back(&program), 1.0);
    assert_eq!(program.log().matches("the clock of the database was set back").count(), 1, "{}", program.log());
    let evaluated_ms = metric(&program, "syncline_alerts_evaluated_timestamp_seconds") * 1e3;
    assert!(evaluated_ms < (left_ms - 3_000_000) as f64, "by the clock as it is now");
    assert!(program.terminate().success());

    let program = start();
    eventually("the next one goes on", async || metric(&program, "syncline_alerts_evaluating") == 1.0).await;
    assert_eq!(set_back(&program), 0.0, "from where that one was");
    assert!(program.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_cut_off_from_the_store_does_not_say_that_another_one_evaluates() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let owner = Program::engine_for_others(dir.path());
    let ((relay, url), state) = (Relay::to_engine_in(dir.path()).await, dir.path().join("state"));
    let options = ["--region", "us", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--clickhouse-url", &url];
    let program = Program::start(dir.path(), &[&options[..], &["--state-dir", state.to_str().unwrap()]].concat());
    let evaluates = || metric(&program, "syncline_alerts_evaluating");
    let failures = || metric(&program, "syncline_alert_evaluation_failures_total");
    eventually("it is its turn", async || evaluates() == 1.0).await;

    relay.set(Mode::Cut);
    let cut_ms = now_ms();
    eventually("its turn is over", async || evaluates() == 0.0).await;
    let before = failures();
    eventually("failures are counted on", async || failures() >= before + 2.0).await;
    let evaluated_ms = metric(&program, "syncline_alerts_evaluated_timestamp_seconds") * 1e3;
    assert!(evaluated_ms <= cut_ms as f64, "nothing was evaluated since, and nothing says so");
    assert_eq!(program.log().matches("alerts are not evaluated").count(), 1, "it is told once");

    relay.set(Mode::Pass);
    eventually("it goes on", async || evaluates() == 1.0).await;
    assert!(program.terminate().success() && owner.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_started_as_another_root_ends_no_incidents() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = Program::embedded(dir.path());
    let store = store(dir.path()).await;
    eventually("it evaluates", async || ask(&store, "SELECT count() FROM alert_states").await != "0").await;
    let opened = "INSERT INTO skew_incidents (at, incident, kind, severity, rule, subject, subjects, text) VALUES \
                  (now64(9), 7, 'opened', 'warning', 'offset', 'us/us-1', 'us/us-1', 'it is off')";
    store.query_text(opened, "Null").await.unwrap();
    let (url, state) = (support::program::engine_url(dir.path()), dir.path().join("state"));
    let options = ["--region", "eu", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--clickhouse-url", &url];
    let other = Program::start(dir.path(), &[&options[..], &["--state-dir", state.to_str().unwrap()]].concat());
    let stood_by = || metric(&other, "syncline_alerts_evaluated_timestamp_seconds");
    let begun = stood_by();
    eventually("it waits for its turn", async || stood_by() > begun).await;
    assert_eq!(metric(&other, "syncline_alerts_evaluating"), 0.0);
    assert_eq!(ask(&store, "SELECT count() FROM skew_incidents WHERE kind = 'resolved'").await, "0");
    assert!(other.terminate().success() && program.terminate().success());
}

/// An aggregator of `region` on the engine at `url`, with more `options`.
fn beside(dir: &Path, (region, url): (&str, &str), options: &[&str]) -> Program {
    let state = dir.join(format!("state-{region}"));
    std::fs::create_dir_all(&state).unwrap();
    let usual = ["--region", region, "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--clickhouse-url", url];
    Program::start(&state, &[&usual[..], &["--state-dir", state.to_str().unwrap()], options].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_measured_against_the_root_evaluates_while_there_is_no_root() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    leave_behind(dir.path()).await;
    let owner = Program::engine_for_others(dir.path());
    let (url, store) = (support::program::engine_url(dir.path()), store(dir.path()).await);
    let root = beside(dir.path(), ("us", &url), &[]);
    let evaluates = |program: &Program| metric(program, "syncline_alerts_evaluating");
    eventually("the root evaluates", async || evaluates(&root) == 1.0).await;
    // Nothing comes from the nodes any more, which is told once the test has taken long enough.
    let told = "SELECT incident, kind, rule, subject FROM skew_incidents WHERE rule != 'silence' ORDER BY at, incident";
    eventually("an incident is told", async || !ask(&store, told).await.is_empty()).await;
    let other = beside(dir.path(), ("eu", &url), &["--root", "http://127.0.0.1:9"]);
    let waits = |program: &Program| program.log().matches("name=\"evaluation\"").count() == 0;
    // What a root that is killed leaves is a lease that nobody gave back.
    root.kill();
    eventually("the other one takes over", async || evaluates(&other) == 1.0).await;
    let newest = "SELECT toUnixTimestamp64Milli(max(at)) FROM alert_states";
    let evaluated_ms = || metric(&other, "syncline_alerts_evaluated_timestamp_seconds") * 1e3;
    let before: f64 = ask(&store, newest).await.parse().unwrap();
    eventually("it goes on", async || evaluated_ms() > before).await;
    assert_eq!(ask(&store, told).await, "42\topened\tstep\tus/us-1", "nothing is told twice, and nothing has ended");
    let known = ["syncline_incidents_open", "syncline_alerts{state=\"firing\"}"].map(|name| metric(&other, name));
    assert!(known[0] >= 1.0 && known[1] >= 2.0, "it knows what the root knew: {known:?}");

    let third = beside(dir.path(), ("ap", &url), &["--root", "http://127.0.0.1:9"]);
    let by_root = async || ask(&store, "SELECT max(number) FROM alert_leases WHERE name = 'evaluation/root'").await;
    let before = by_root().await;
    let root = beside(dir.path(), ("us", &url), &[]);
    eventually("that there is a root is known", async || by_root().await != before).await;
    eventually("the root evaluates again", async || evaluates(&root) == 1.0).await;
    eventually("and the other one does not", async || evaluates(&other) == 0.0).await;
    assert!(waits(&third), "it is not its turn while there is a root: {}", third.log());
    assert_eq!(ask(&store, told).await, "42\topened\tstep\tus/us-1");
    let regions = "SELECT DISTINCT region FROM alert_states";
    assert_eq!(ask(&store, regions).await, "us", "it told under the root's name");
    for program in [root, other, third, owner] {
        assert!(program.terminate().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_region_left_is_gone_on_with_and_its_numbers_are_not_given_again() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    leave_behind(dir.path()).await;
    let owner = Program::engine_for_others(dir.path());
    let (url, store) = (support::program::engine_url(dir.path()), store(dir.path()).await);
    // What was told by one whose state is lost, under a number that the state which is left does not know.
    let lost = "INSERT INTO skew_incidents (at, incident, kind, severity, rule, subject, subjects, text) SELECT at - 60, 77, 'opened', \
                'warning', 'offset', 'us/us-9', 'us/us-9', 'it is off' FROM alert_states";
    store.query_text(lost, "Null").await.unwrap();
    let other = beside(dir.path(), ("eu", &url), &[]);
    let told = "SELECT incident, kind, rule, subject FROM skew_incidents WHERE incident > 77";
    eventually("an incident is told", async || ask(&store, told).await == "78\topened\tstep\tus/us-1").await;
    let roots = "SELECT groupUniqArray(region) FROM alert_states";
    assert_eq!(ask(&store, roots).await, "['us']", "under another name all that is open would be told again");
    assert!(other.terminate().success() && owner.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_did_not_answer_once_is_asked_again_whose_turn_it_is() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let owner = Program::engine_for_others(dir.path());
    let ((relay, url), state) = (Relay::to_engine_in(dir.path()).await, dir.path().join("state"));
    let options = ["--region", "us", "--listen", "127.0.0.1:0", "--clickhouse-url", &url, "--state-dir"];
    let program = Program::start(dir.path(), &[&options[..], &[state.to_str().unwrap()]].concat());
    let store = store(dir.path()).await;
    let number = async || {
        let number = ask(&store, "SELECT max(number) FROM alert_leases WHERE name = 'evaluation'").await;
        number.parse::<u64>().unwrap()
    };
    eventually("it is its turn", async || number().await > 0).await;
    relay.set(Mode::Stall);
    eventually("nobody answers", async || program.log().contains("does not say whose the lease is")).await;
    let before = number().await;
    relay.set(Mode::Pass);
    eventually("the lease is renewed", async || number().await > before).await;
    program.kill();
    assert!(owner.terminate().success());
}
