//! Incidents told to a real Alertmanager and to webhooks, by the real program on a real store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::time::Duration;

use support::hook::{Hook, RETRY_AFTER_S};
use support::program::{Program, ask, store};
use support::relay::{Mode, Relay};
use support::{engine_is_here, eventually, prometheus};
use syncline_store::Store;

/// A row of `skew_incidents`, `minutes` ago.
async fn told(store: &Store, incident: u64, kind: &str, minutes: u32) {
    let sql = format!(
        "INSERT INTO skew_incidents (at, incident, kind, severity, rule, subject, subjects, text) VALUES \
         (now64(9) - INTERVAL {minutes} MINUTE, {incident}, '{kind}', 'warning', 'step', 'eu/web-{incident}', 'eu/web-{incident}', 'text of {incident}')"
    );
    store.query_text(&sql, "Null").await.unwrap();
}

/// An aggregator with these `[alerts]` in its file.
fn aggregator(dir: &Path, alerts: &str) -> Program {
    let (file, store) = (dir.join("aggregator.toml"), dir.join("store"));
    std::fs::create_dir_all(&store).unwrap();
    let text =
        format!("region = \"us\"\nlisten = \"127.0.0.1:0\"\nstore_dir = {:?}\n{alerts}", store.to_str().unwrap());
    std::fs::write(&file, text).unwrap();
    Program::start(dir, &["--config", file.to_str().unwrap()])
}

/// The store, once alerts are evaluated: what is told before has come to nothing, as nobody remembers it.
async fn evaluated(dir: &Path) -> Store {
    let store = store(dir).await;
    eventually("alerts are evaluated", async || ask(&store, "SELECT count() FROM alert_states").await != "0").await;
    store
}

fn keys(hook: &Hook) -> Vec<String> {
    hook.posted().iter().map(|posted| posted.header("Idempotency-Key").unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_told_each_word_once_also_over_a_restart() {
    if !engine_is_here() {
        return;
    }
    let (dir, hook) = (tempfile::tempdir().unwrap(), Hook::start());
    let alerts = format!(
        "[[alerts.webhook]]\nname = \"chat\"\nurl = {:?}\nheaders = {{ X-Token = \"abc\" }}\n\
         template = '{{\"text\": {{{{ text | tojson }}}}, \"status\": {{{{ status | tojson }}}}}}'\n",
        hook.url
    );
    let program = aggregator(dir.path(), "");
    let opened = evaluated(&dir.path().join("store")).await;
    // What was over before it was there is not told; what lasts is.
    told(&opened, 1, "opened", 60).await;
    told(&opened, 1, "resolved", 50).await;
    told(&opened, 2, "opened", 40).await;
    assert!(program.terminate().success());

    // One answer that is none yet, one that never will be.
    hook.answer_with(&[503, 200, 400]);
    let program = aggregator(dir.path(), &alerts);
    let opened = evaluated(&dir.path().join("store")).await;
    eventually("it is told what lasts", async || keys(&hook) == ["us/2/firing", "us/2/firing"]).await;
    let first = hook.posted().remove(0);
    assert_eq!((first.header("X-Token"), first.header("Content-Type")), (Some("abc"), Some("application/json")));
    assert_eq!(first.body, serde_json::json!({"text": "text of 2", "status": "firing"}));
    told(&opened, 3, "opened", 0).await;
    eventually("of what is new, too", async || keys(&hook).len() == 3).await;
    let outcomes = "SELECT incident, kind, outcome, attempts, note FROM alert_deliveries FINAL WHERE incident > 0 ORDER BY incident, kind";
    let expected = "2\topened\tdelivered\t2\t\n3\topened\trefused\t1\tHTTP 400 Bad Request";
    eventually("and that is remembered", async || ask(&opened, outcomes).await == expected).await;
    assert!(program.terminate().success());

    let program = aggregator(dir.path(), &alerts);
    let opened = evaluated(&dir.path().join("store")).await;
    told(&opened, 2, "resolved", 0).await;
    eventually("the next one goes on", async || keys(&hook).len() == 4).await;
    assert_eq!(keys(&hook)[3], "us/2/resolved");
    eventually("and remembers", async || ask(&opened, outcomes).await.lines().count() == 3).await;
    assert!(program.terminate().success());
    assert_eq!(keys(&hook).len(), 4, "nothing is told twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_that_is_mended_loses_no_word() {
    if !engine_is_here() {
        return;
    }
    let (dir, hook) = (tempfile::tempdir().unwrap(), Hook::start());
    let program = aggregator(dir.path(), &format!("[[alerts.webhook]]\nname = \"chat\"\nurl = {:?}\n", hook.url));
    let opened = evaluated(&dir.path().join("store")).await;
    let begun = "SELECT count() FROM alert_deliveries";
    eventually("it is there", async || ask(&opened, begun).await == "1").await;
    hook.answer_with(&[401, 404]);
    told(&opened, 1, "opened", 0).await;
    eventually("it is told", async || keys(&hook) == ["us/1/firing"; 3]).await;
    let outcomes = "SELECT outcome, attempts, note = '' FROM alert_deliveries FINAL WHERE incident > 0";
    eventually("and that is remembered", async || ask(&opened, outcomes).await == "delivered\t3\t1").await;
    let log = program.log();
    assert_eq!(log.matches("it cannot be told of this alert").count(), 1, "{log}");
    assert!(log.contains("401") && log.contains("another token"), "{log}");
    assert!(program.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_that_is_never_taken_holds_up_none_behind_it() {
    if !engine_is_here() {
        return;
    }
    let (dir, hook) = (tempfile::tempdir().unwrap(), Hook::start());
    let program = aggregator(dir.path(), &format!("[[alerts.webhook]]\nname = \"chat\"\nurl = {:?}\n", hook.url));
    let opened = evaluated(&dir.path().join("store")).await;
    let remembered = async |sql: &str| ask(&opened, &format!("SELECT {sql} FROM alert_deliveries FINAL")).await;
    eventually("it is there", async || remembered("count()").await == "1").await;
    hook.fail_on("us/1/firing");
    hook.fail_on("us/2/firing");
    told(&opened, 1, "opened", 3).await;
    told(&opened, 2, "opened", 3).await;
    told(&opened, 1, "resolved", 0).await;
    told(&opened, 3, "opened", 1).await;
    told(&opened, 3, "resolved", 0).await;
    let taken = "arrayStringConcat(groupArray(format('{}/{}', toString(incident), toString(kind))), ' ')";
    let taken =
        format!("(SELECT {taken} FROM (SELECT * FROM alert_deliveries FINAL WHERE incident > 0 ORDER BY at, kind))");
    let expected = "3/opened 3/resolved";
    eventually("those behind are told", async || ask(&opened, &format!("SELECT {taken}")).await == expected).await;
    let firing = || keys(&hook).iter().filter(|key| *key == "us/1/firing").count();
    eventually("and it is tried again", async || firing() >= 3).await;
    assert!(!keys(&hook).contains(&"us/1/resolved".to_owned()), "that it is over comes after that it began");
    assert!(program.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn when_to_come_again_holds_for_all_words() {
    if !engine_is_here() {
        return;
    }
    let (dir, hook) = (tempfile::tempdir().unwrap(), Hook::start());
    let program = aggregator(dir.path(), &format!("[[alerts.webhook]]\nname = \"chat\"\nurl = {:?}\n", hook.url));
    let opened = evaluated(&dir.path().join("store")).await;
    let begun = "SELECT count() FROM alert_deliveries";
    eventually("it is there", async || ask(&opened, begun).await == "1").await;
    hook.answer_with(&[429]);
    let both = "INSERT INTO skew_incidents (at, incident, kind, severity, rule, subject, subjects, text) SELECT now64(9), number, \
                'opened', 'warning', 'step', 'eu/web', 'eu/web', 'text' FROM numbers(1, 2)";
    opened.query_text(both, "Null").await.unwrap();
    eventually("all are told", async || hook.posted().len() == 3).await;
    let (first, second) = (hook.posted()[0].at, hook.posted()[1].at);
    assert!(second - first >= Duration::from_secs(RETRY_AFTER_S), "{:?}", second - first);
    assert_eq!(keys(&hook)[1], "us/2/firing", "the one that has not failed");
    assert!(program.terminate().success());
}

/// One of several aggregators on one store.
struct One {
    program: Program,
    dir: tempfile::TempDir,
}

impl One {
    fn start(engine: &str, hook: &Hook) -> Self {
        Self::of_region("region = \"us\"", engine, hook)
    }

    fn of_region(region: &str, engine: &str, hook: &Hook) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let text = format!(
            "{region}\nlisten = \"127.0.0.1:0\"\nclickhouse_url = {engine:?}\nstate_dir = {:?}\n\
             [[alerts.webhook]]\nname = \"chat\"\nurl = {:?}\ntimeout = \"1s\"\n",
            dir.path().join("state"),
            hook.url,
        );
        let file = dir.path().join("aggregator.toml");
        std::fs::write(&file, text).unwrap();
        Self { program: Program::start(dir.path(), &["--config", file.to_str().unwrap()]), dir }
    }

    /// How often it became its turn to tell the webhook.
    fn turns(&self) -> usize {
        let log = self.program.log();
        log.lines().filter(|line| line.contains("from now on") && line.contains("webhook/chat")).count()
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.program.pid().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_as_the_store_went_away_is_not_told_again_when_its_turn_was_over_meanwhile() {
    if !engine_is_here() {
        return;
    }
    let (dir, hook) = (tempfile::tempdir().unwrap(), Hook::start());
    let owner = Program::engine_for_others(dir.path());
    let (relay, url) = Relay::to_engine_in(dir.path()).await;
    let relay = std::sync::Arc::new(relay);
    let one = One::start(&url, &hook);
    let opened = evaluated(dir.path()).await;
    let rows = async |of: &str| ask(&opened, &format!("SELECT count() FROM alert_deliveries WHERE {of}")).await;
    eventually("it is its turn", async || rows("incident = 0").await == "1").await;
    let cutting = std::sync::Arc::clone(&relay);
    hook.meanwhile(move || cutting.set(Mode::Cut));
    told(&opened, 1, "opened", 0).await;
    eventually("it is told", async || keys(&hook) == ["us/1/firing"]).await;
    eventually("its turn is over", async || one.program.log().contains("not this one's turn any more")).await;
    assert_eq!(rows("incident = 1").await, "0", "which nobody knows of");
    relay.set(Mode::Pass);
    told(&opened, 2, "opened", 0).await;
    eventually("it goes on", async || keys(&hook).contains(&"us/2/firing".to_owned())).await;
    assert_eq!(keys(&hook), ["us/1/firing", "us/2/firing"], "nothing is told twice");
    eventually("and it is remembered", async || rows("incident IN (1, 2)").await == "2").await;
    assert!(one.program.terminate().success() && owner.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_aggregators_one_tells_and_another_one_does_when_it_stands_still_is_killed_or_ends() {
    if !engine_is_here() {
        return;
    }
    let (dir, hook) = (tempfile::tempdir().unwrap(), Hook::start());
    let owner = Program::engine_for_others(dir.path());
    let (engine, opened) = (support::program::engine_url(dir.path()), store(dir.path()).await);
    let first = One::start(&engine, &hook);
    eventually("it is its turn", async || first.turns() == 1).await;
    evaluated(dir.path()).await;
    // Of another region: what it tells is the root's word all the same.
    let second = One::of_region("region = \"eu\"\nroot = \"http://127.0.0.1:9\"", &engine, &hook);
    let told_are = async |what: &str, expected: &[&str]| eventually(what, async || keys(&hook) == expected).await;
    told(&opened, 1, "opened", 0).await;
    told_are("one tells", &["us/1/firing"]).await;

    first.signal(rustix::process::Signal::STOP);
    told(&opened, 2, "opened", 0).await;
    told_are("the other one takes over", &["us/1/firing", "us/2/firing"]).await;
    first.signal(rustix::process::Signal::CONT);
    let holders = "SELECT count() FROM alert_leases FINAL WHERE holder != ''";
    assert_eq!(ask(&opened, holders).await, "3", "evaluation, that by a root, and webhook");
    told(&opened, 3, "opened", 0).await;
    told_are("the one that stood still does not", &["us/1/firing", "us/2/firing", "us/3/firing"]).await;

    // Who is killed between telling and noting that has it told again.
    let noted = "SELECT count() FROM alert_deliveries FINAL WHERE incident = 3 AND outcome = 'delivered'";
    eventually("and that is remembered", async || ask(&opened, noted).await == "1").await;

    let One { program, dir: _kept } = second;
    program.kill();
    told(&opened, 4, "opened", 0).await;
    told_are("it does after the death of the other", &["us/1/firing", "us/2/firing", "us/3/firing", "us/4/firing"])
        .await;
    assert_eq!(first.turns(), 2);

    let third = One::start(&engine, &hook);
    let begun = std::time::Instant::now();
    assert!(first.program.terminate().success());
    eventually("what is given back is taken at once", async || third.turns() == 1).await;
    assert!(begun.elapsed() < Duration::from_secs(25), "sooner than it would have lasted");
    told(&opened, 4, "resolved", 0).await;
    eventually("and goes on", async || keys(&hook).len() == 5).await;
    assert_eq!(keys(&hook)[4], "us/4/resolved");
    assert!(third.program.terminate().success() && owner.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_alertmanager_tells_each_incident_once_also_when_all_were_restarted() {
    let (dir, hook) = (tempfile::tempdir().unwrap(), Hook::start());
    if !engine_is_here() || prometheus::path("prometheus-alertmanager").is_none() {
        return;
    }
    let port = prometheus::free_port();
    let alerts = format!("[[alerts.alertmanager]]\nurl = \"http://127.0.0.1:{port}\"\n");
    // Nobody is there yet: it is tried again.
    let program = aggregator(dir.path(), &alerts);
    let opened = evaluated(&dir.path().join("store")).await;
    told(&opened, 7, "opened", 1).await;
    eventually("it is tried", async || program.log().contains("cannot be told of alerts")).await;
    let alertmanager = prometheus::alertmanager(dir.path(), &hook.url, Some(port)).await.unwrap();
    let statuses = || -> Vec<String> {
        let alerts = hook.posted().into_iter().flat_map(|posted| posted.body["alerts"].as_array().cloned().unwrap());
        alerts.map(|alert| format!("{} {}", alert["labels"]["incident"], alert["status"]).replace('"', "")).collect()
    };
    eventually("it notifies", async || statuses() == ["7 firing"]).await;
    let alert = hook.posted().remove(0).body["alerts"][0].clone();
    assert_eq!(
        (&alert["labels"]["alertname"], &alert["labels"]["node"]),
        (&"SynclineClockStep".into(), &"web-7".into())
    );
    assert_eq!(alert["annotations"]["summary"], "text of 7");
    let runbook = alert["annotations"]["runbook_url"].as_str().unwrap();
    assert!(runbook.starts_with("https://") && runbook.ends_with("/docs/runbook.md#step"), "{runbook}");

    let ends_at = || {
        let alerts = prometheus::get(&format!("{}/api/v2/alerts", alertmanager.url)).unwrap_or_default();
        let alerts: serde_json::Value = serde_json::from_str(&alerts).unwrap_or_default();
        alerts[0]["endsAt"].as_str().unwrap_or_default().to_owned()
    };
    let before = ends_at();
    assert!(!before.is_empty(), "Alertmanager lists it");
    assert!(program.terminate().success());
    let program = aggregator(dir.path(), &alerts);
    eventually("it goes on, until a little later", async || ends_at() > before).await;
    let opened = evaluated(&dir.path().join("store")).await;
    told(&opened, 8, "opened", 0).await;
    told(&opened, 7, "resolved", 0).await;
    let expected = ["7 firing", "7 resolved", "8 firing"];
    eventually("what is new is told, and what is over", async || {
        let mut statuses = statuses();
        statuses.sort();
        statuses == expected
    })
    .await;
    assert!(program.terminate().success());
}

#[test]
fn a_wrong_file_ends_with_78_and_a_caret() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("aggregator.toml");
    for (text, part) in [
        (
            "regin = \"us\"",
            "aggregator.toml:1:1: unknown key `regin`; did you mean `region`?\n  |\n1 | regin = \"us\"\n  | ^^^^^",
        ),
        ("store_dir = \"/s\"\nclickhouse_url = \"http://c\"", "aggregator.toml:2:1: `store_dir` is given, too"),
        ("probe_interval = \"1\"", "aggregator.toml:1:18: use 50ms to 60s"),
        ("memory_mib = 1", "aggregator.toml:1:14: 1 is not in 256..=1048576"),
        ("[alerts.limits]\nofset = \"1s\"", "aggregator.toml:2:1: unknown key `ofset`; did you mean `offset`?"),
        ("[alerts]\n[alerts.limits]\nstep = 5", "aggregator.toml:3:8: \"5\" is no duration"),
        ("[alert]", "aggregator.toml:1:2: unknown key `alert`; did you mean `alerts`?"),
    ] {
        std::fs::write(&file, text).unwrap();
        for arguments in [&["validate", file.to_str().unwrap()][..], &["--config", file.to_str().unwrap()]] {
            let output = support::program::fails(arguments);
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.code() == Some(78) && stderr.contains(part), "{arguments:?}: {stderr}");
        }
    }
    let help = support::program::command(&["--config", file.to_str().unwrap(), "--help"]).output().unwrap();
    assert!(help.status.success(), "help is given whatever the file says: {help:?}");
    let variable =
        support::program::command(&["--region", "us"]).env("SYNCLINE_AGGREGATOR_MEMORY_MIB", "x").output().unwrap();
    let stderr = String::from_utf8_lossy(&variable.stderr).into_owned();
    assert!(variable.status.code() == Some(78) && stderr.contains("SYNCLINE_AGGREGATOR_MEMORY_MIB: "), "{stderr}");
}
