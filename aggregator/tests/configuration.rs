//! Files of settings: what a start would refuse, `validate` refuses; and no secret is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::path::PathBuf;

use support::program::{Program, command, fails};
use support::{engine_is_here, eventually};

/// Exit code and stderr of `validate`, and of a start.
fn refused(text: &str) -> [(Option<i32>, String); 2] {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("aggregator.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap();
    [["validate", path], ["--config", path]].map(|arguments| {
        let output = fails(&arguments);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    })
}

#[test]
fn what_a_start_refuses_validate_refuses_with_78() {
    for (text, part) in [
        ("region = \"us\"\nkafka_group = \"g\"", "aggregator.toml:2:1: options of Kafka without --kafka-brokers"),
        ("region = \"us\"\nkafka_create_topic = 3", "aggregator.toml:2:1: options of Kafka without --kafka-brokers"),
        ("region = \"us\"\nkafka_config = [\"a.b=c\"]", "options of Kafka without --kafka-brokers"),
        ("region = \"us\"\nkafka_brokers = \"k:1\"\nkafka_config = \"no.such=1\"", "librdkafka does not take"),
        (
            "region = \"us\"\nroot = \"us.example\"",
            "aggregator.toml:2:1: cannot use --root us.example: it must be http://host:port",
        ),
        ("region = \"us\"\npeer = [\"http://a:1\", \"b\"]", "aggregator.toml:2:1: cannot use --peer b"),
        ("region = \"us\"\nlisten = \"7700\"", "aggregator.toml:2:1: \"7700\" is no address to listen on"),
        ("region = \"us\"\ndatabase = \"a b\"", "aggregator.toml:2:1: "),
        ("region = \"us\"\nclickhouse_url = \"ftp://c\"", "aggregator.toml:2:1: "),
        ("region = \"us\"\nmetrics = \"9464\"", "aggregator.toml:2:11: "),
        ("region = \"us/1\"", "aggregator.toml:1:10: "),
        ("region = \"us\"\nlisten = \"a b:77\"", "aggregator.toml:2:1: \"a b:77\" is no address to listen on"),
        ("region = \"us\"\nlisten = \"-:77\"", "aggregator.toml:2:1: \"-:77\" is no address to listen on"),
        ("region = \"us\"\n[alerts]\nrunbook = \"nonsense\"", "aggregator.toml:3:11: \"nonsense\" is no URL of a page"),
        (
            "region = \"us\"\n[[alerts.alertmanager]]\nurl = \"http://gw/api/v2/alerts\"",
            "aggregator.toml:3:7: /api/v2/alerts is put behind an Alertmanager's URL",
        ),
    ] {
        for (code, stderr) in refused(text) {
            assert!(code == Some(78) && stderr.contains(part), "{text}: {code:?} {stderr}");
        }
    }
    // To a start it is something that was not typed.
    let [(code, stderr), _] = refused("listen = \"127.0.0.1:0\"");
    assert!(code == Some(78) && stderr.contains("--region"), "{stderr}");
}

#[test]
fn no_secret_is_told() {
    for text in [
        "region = \"us\"\nclickhouse_url = \"ftp://u:hunter2@c\"",
        "region = \"us\"\nclickhouse_url = \"http://u:hunter2@c\"\nstore_dir = \"/s\"",
        "region = \"us\"\nstore_dir = \"/s\"\nclickhouse_url = \"http://u:hunter2@c\"",
        "region = \"us\"\nclickhouse_url = \"http://u:hunter2@c",
        "region = \"us\"\nclickhouse_ulr = \"http://u:hunter2@c\"",
        "region = \"us\"\nclickhouse_url = [\"http://u:hunter2@c\"]",
        "region = \"us\"\nkafka_brokers = \"k:1\"\nkafka_config = [\"sasl.password hunter2\"]",
        "region = \"us\"\nkafka_config = [\n\"sasl.password=hunter2\",\n5,\n]",
        "region = \"us\"\nkafka_brokers = \"k:1\"\nkafka_config = \"no.such=hunter2\"",
        "region = \"us\"\n[[alerts.webhook]]\nname = \"a\"\nurl = \"http://u:hunter2@c\"",
        "region = \"us\"\n[[alerts.webhook]]\nname = \"a\"\nurl = \"hunter2\"",
        "region = \"us\"\n[[alerts.webhook]]\nname = \"a\"\nurl = \"http://a\"\nheaders = { Authorization = [\"hunter2\"] }",
        "region = \"us\"\n[[alerts.webhook]]\nname = \"a\"\nurl = \"http://a\"\nheaders = \"hunter2\"",
        "region = \"us\"\n[[alerts.webhook]]\nname = \"a\"\nurl = \"http://a\"\n[alerts.webhook.headers]\nToken = 5 # hunter2",
    ] {
        for (code, stderr) in refused(text) {
            assert!(code == Some(78) && !stderr.contains("hunter2"), "{text}: {code:?} {stderr}");
            assert!(stderr.contains("aggregator.toml"), "it is told where: {stderr}");
        }
    }
    let output = command(&["--region", "us"]).env("SYNCLINE_AGGREGATOR_KAFKA_CONFIG", "hunter2").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(78) && !stderr.contains("hunter2"), "{stderr}");
}

#[test]
fn variables_that_are_none_or_say_what_cannot_be_are_refused() {
    let refused = |name: &str, value: &str| {
        // It gets as far as to the address that is none of this machine's.
        let mut command = command(&["--region", "us", "--listen", "256.0.0.1:1"]);
        let output = command.env(name, value).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (name, value, told) in [
        ("SYNCLINE_AGGREGATOR_REGIN", "x", "did you mean `SYNCLINE_AGGREGATOR_REGION`?"),
        ("SYNCLINE_AGGREGATOR_ALERTS_LIMITS_OFSET", "5ms", "did you mean `SYNCLINE_AGGREGATOR_ALERTS_LIMITS_OFFSET`?"),
        ("SYNCLINE_AGGREGATOR_ALERTS_LIMITS_OFFSET", "junk", "\"junk\" is no duration"),
        ("SYNCLINE_AGGREGATOR_ALERTS_ROUNDS", "0", "rounds: 0 is not within 1 to 100"),
    ] {
        let (code, stderr) = refused(name, value);
        assert!(code == Some(78) && stderr.contains(&format!("{name}: ")) && stderr.contains(told), "{stderr}");
    }
    // What others set: the agent, the store, Kubernetes for a service of that name.
    for name in [
        "SYNCLINE_AGGREGATOR",
        "SYNCLINE_AGENT_REGON",
        "SYNCLINE_AGGREGATOR_SERVICE_HOST",
        "SYNCLINE_AGGREGATOR_PORT_7700_TCP_ADDR",
        "SYNCLINE_AGGREGATOR_ALERTS_ROUNDS",
    ] {
        let (code, stderr) = refused(name, "3");
        assert!(code == Some(1) && stderr.contains("256.0.0.1"), "{name}: {stderr}");
    }
}

#[test]
fn the_shipped_example_is_taken() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/aggregator.toml");
    let output = command(&["validate", example]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_flag_of_the_file_can_be_typed_off() {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("aggregator.toml");
    std::fs::write(&path, "region = \"us\"\nno_udp_probes = true\nlisten = \"256.0.0.1:1\"\n").unwrap();
    // It gets as far as to the address that is none of this machine's.
    for flag in ["--no-udp-probes=false", "--no-udp-probes=true", "--no-udp-probes"] {
        let output = fails(&["--config", path.to_str().unwrap(), flag]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && stderr.contains("256.0.0.1"), "{flag}: {stderr}");
    }
    let output = fails(&["--config", path.to_str().unwrap(), "--no-udp-probes=maybe"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn the_file_is_not_blamed_for_what_was_typed_or_set() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("aggregator.toml");
    std::fs::write(&path, "region = \"eu\"\nroot = \"http://us:7700\"\n").unwrap();
    let start = ["--config", path.to_str().unwrap()];
    let output = fails(&[&start[..], &["--root", "b"]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && stderr.contains("error: cannot use --root b"), "{stderr}");
    assert!(!stderr.contains("aggregator.toml"), "{stderr}");
    let output = command(&start).env("SYNCLINE_AGGREGATOR_ROOT", "b").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let told = "SYNCLINE_AGGREGATOR_ROOT: cannot use --root b";
    assert!(output.status.code() == Some(78) && stderr.contains(told) && !stderr.contains(".toml"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_says_what_holds_from_the_next_start_on() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (path, store) = (dir.path().join("aggregator.toml"), dir.path().join("store"));
    std::fs::create_dir(&store).unwrap();
    let file = |more: &str| {
        let text = format!("listen = \"127.0.0.1:0\"\nstore_dir = {:?}\n{more}", store.to_str().unwrap());
        std::fs::write(&path, text).unwrap();
    };
    file("memory_mib = 512\n");
    // The region is typed: a start with the same arguments needs none in the file.
    let program = Program::start(dir.path(), &["--region", "us", "--config", path.to_str().unwrap()]);
    let hang_up = || {
        let pid = rustix::process::Pid::from_raw(program.pid().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    };
    let said = async |part: &str| program.log().contains(part);
    hang_up();
    eventually("nothing has changed", async || said("the file says what it said at the start").await).await;
    file("memory_mib = 1024\n[alerts]\nrounds = 3\n");
    hang_up();
    eventually("changed keys are named", async || {
        said("what changed of alerts, memory_mib holds from the next start on").await
    })
    .await;
    file("memory_mib = 1\n");
    hang_up();
    eventually("what is wrong is told", async || said("aggregator.toml:3:14: 1 is not in 256..=1048576").await).await;
    assert_eq!(program.log().matches("A start would fail").count(), 1);
    assert!(program.terminate().success(), "it goes on");
}
