//! The cases.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use serde_json::Value;

use crate::fixture::Fixture;

/// A name and what is done under it.
pub(crate) type Case = (&'static str, fn(&Fixture));

macro_rules! cases {
    ($($case:ident),+ $(,)?) => { &[$((stringify!($case), $case)),+] };
}
pub(crate) use cases;

pub(crate) const ALL: &[Case] = cases![
    a_store_that_nobody_holds_is_opened_and_left_usable,
    a_held_store_answers_through_its_holder,
    sql_speaks_all_formats,
    sql_reads_standard_input_and_parameters,
    sql_cannot_write,
    what_one_query_may_take_is_limited,
    sql_errors_are_one_line,
    sql_stops_silently_when_its_reader_goes,
    sql_fails_when_an_answer_breaks_off,
    timeline_shows_both_regions_on_one_clock,
    timeline_takes_windows_and_filters,
    timeline_json_has_all_that_is_known,
    skew_shows_nodes_and_regions,
    skew_of_regions_shows_every_two_and_names_what_is_false,
    skew_of_pairs_shows_what_contradicts_the_clocks_and_ends_with_3,
    another_database_is_named_in_the_error,
    doctor_sees_the_holder,
];

fn a_store_that_nobody_holds_is_opened_and_left_usable(fixture: &Fixture) {
    for _ in 0..2 {
        assert_eq!(fixture.answer(&["sql", "SELECT count() AS n FROM events"]), "n\n5\n");
    }
    assert!(!fixture.path().join("endpoint.json").exists(), "the engine was left running");
}

fn a_held_store_answers_through_its_holder(fixture: &Fixture) {
    let store = fixture.hold();
    assert_eq!(fixture.answer(&["sql", "SELECT count() FROM events FORMAT TSV"]), "5\n");
    fixture.release(store);
}

fn sql_speaks_all_formats(fixture: &Fixture) {
    let store = fixture.hold();
    let sql = "SELECT region, count() AS n FROM events GROUP BY region ORDER BY region";
    let format = |name: &str| fixture.answer(&["sql", "--format", name, sql]);
    assert_eq!(fixture.answer(&["sql", sql]), "region\tn\neu-west\t2\nus-east\t3\n");
    assert_eq!(format("tsv"), "region\tn\neu-west\t2\nus-east\t3\n");
    assert_eq!(format("csv"), "\"region\",\"n\"\n\"eu-west\",2\n\"us-east\",3\n");
    assert_eq!(format("jsonl").lines().next(), Some("{\"region\":\"eu-west\",\"n\":2}"));
    let json: Value = serde_json::from_str(&format("json")).unwrap();
    assert_eq!(json["data"][1]["region"], "us-east");
    assert!(format("pretty").contains('│') && format("vertical").contains("Row 1:"));
    assert!(format("Markdown").starts_with("| region | n |"));
    let parquet = fixture.run(&["sql", "--format", "parquet", sql]).stdout;
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
    fixture.release(store);
}

fn sql_reads_standard_input_and_parameters(fixture: &Fixture) {
    let store = fixture.hold();
    let arguments = ["sql", "-", "--param", "r=eu-west", "--param", "text=a\\b\t'c'", "--param", "ids=[1,2]"];
    let mut child = fixture.command(&arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let sql =
        b"SELECT count(), {text:String} = 'a\\\\b\\t\\'c\\'' AS same, '?' AS q, {ids:Array(UInt8)}[2] AS second\n\
        FROM events WHERE region = {r:String};\n";
    child.stdin.take().unwrap().write_all(sql).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "count()\tsame\tq\tsecond\n2\t1\t?\t2\n");
    fixture.release(store);
}

fn sql_cannot_write(fixture: &Fixture) {
    let store = fixture.hold();
    for sql in [
        "INSERT INTO events (seq) VALUES (1)",
        "DROP TABLE events",
        "TRUNCATE TABLE events",
        "CREATE TABLE t (a Int8) ENGINE = Memory",
        "ALTER TABLE events DELETE WHERE 1",
        "SYSTEM STOP LISTEN HTTP",
        "SET readonly = 0",
        "SELECT 1 SETTINGS readonly = 0",
        "INSERT INTO FUNCTION file('x.csv', 'CSV', 'a Int8') VALUES (1)",
        "INSERT INTO FUNCTION url('http://127.0.0.1:1/', 'CSV', 'a Int8') VALUES (1)",
        "INSERT INTO FUNCTION remote('127.0.0.1:1', 'syncline', 'events') (seq) VALUES (1)",
        "WITH 1 AS one INSERT INTO events (seq) SELECT one",
        "CREATE TEMPORARY TABLE t (a Int8)",
        "CREATE USER u",
        "SELECT * FROM file('/etc/hostname', 'LineAsString')",
        "SELECT 1 SETTINGS max_memory_usage_for_user = 0",
    ] {
        let error = fixture.refusal(&["sql", sql], 1);
        assert!(error.contains("ClickHouse error"), "{sql}: {error}");
        let is_limit = error.contains("constraint") || error.contains("should not be changed");
        assert!(error.contains("only reads the store's tables and views") || is_limit, "{sql}: {error}");
    }
    assert!(fixture.refusal(&["sql", "SELECT 1 INTO OUTFILE 'x'"], 1).contains("ClickHouse error"));
    assert!(fixture.refusal(&["sql", "SELECT 1", "--setting", "readonly=0"], 2).contains("always read-only"));
    let threads = ["sql", "SELECT getSetting('max_threads') FORMAT TSV", "--setting", "max_threads=1"];
    assert_eq!(fixture.answer(&threads), "1\n");
    assert_eq!(fixture.answer(&["sql", "SELECT count() FROM events FORMAT TSV"]), "5\n");
    fixture.release(store);
}

fn what_one_query_may_take_is_limited(fixture: &Fixture) {
    let store = fixture.hold();
    for (sql, limit) in [
        ("SELECT length(groupArray(number)) FROM numbers(1000000000)", "memory"),
        ("SELECT sum(number) FROM numbers(100000000000)", "rows"),
        (
            "SELECT sum(sleepEachRow(0.1)) FROM numbers(1000) SETTINGS max_execution_time = 1, max_block_size = 1",
            "imeout",
        ),
    ] {
        let error = fixture.refusal(&["sql", sql], 1);
        assert!(error.contains(limit) && error.contains("ask for a shorter time, or for less"), "{sql}: {error}");
    }
    let beyond = fixture.refusal(&["sql", "SELECT 1", "--setting", "max_execution_time=100000"], 1);
    assert!(beyond.contains("max_execution_time shouldn't be greater than 3600"), "{beyond}");
    assert!(fixture.refusal(&["sql", "SELECT 1", "--setting", "max_memory_usage=0"], 1).contains("max_memory_usage"));
    fixture.release(store);
}

fn sql_errors_are_one_line(fixture: &Fixture) {
    let store = fixture.hold();
    let error = fixture.refusal(&["sql", "SELECT nothing FROM\n  events"], 1);
    assert!(error.contains("ClickHouse error 47") && error.contains("nothing"), "{error}");
    assert!(!error.contains("DB::Exception"), "{error}");
    let error = fixture.refusal(&["sql", "SELECT 1", "--format", "Nonsense"], 2);
    assert!(error.contains("Nonsense"), "{error}");
    assert!(fixture.refusal(&["sql", "SELECT {x:Int8}"], 1).contains("`x`"));
    fixture.release(store);
}

fn sql_stops_silently_when_its_reader_goes(fixture: &Fixture) {
    let store = fixture.hold();
    let sql = "SELECT number FROM numbers(100000000) FORMAT TSV";
    let mut child = fixture.command(&["sql", sql]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "0\n");
    let mut error = String::new();
    child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(error, "");
    fixture.release(store);
}

fn sql_fails_when_an_answer_breaks_off(fixture: &Fixture) {
    let store = fixture.hold();
    let sql = "SELECT throwIf(number = 3000000, 'broken off') FROM numbers(4000000)";
    let output = fixture.run(&["sql", sql, "--setting", "max_block_size=10000"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("broken off") && output.stdout.len() > 1000, "{error}");
    fixture.release(store);
}

fn timeline_shows_both_regions_on_one_clock(fixture: &Fixture) {
    let picture = fixture.answer(&["timeline", "--width", "130"]);
    let line =
        |text: &str| picture.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("{text}: {picture}"));
    assert_eq!(line("eu-west  times"), "eu-west  times within ±120 µs");
    // The node's bound and the region's add.
    assert_eq!(line("us-east  times"), "us-east  times within ±110 µs, 1 of unknown time error");
    assert!(line("  eu-1 cart/4711 g18 ").contains('█'), "{picture}");
    let row = line("sync.Mutex.Lock in main.(*Cart).Add");
    assert!(row.contains("400 ms") && row.contains("±120 µs") && row.contains("eu-1"), "{row}");
    let ascii = fixture.answer(&["timeline", "--ascii", "--width", "60"]);
    assert!(ascii.is_ascii() && ascii.contains('#'), "{ascii}");
}

fn timeline_takes_windows_and_filters(fixture: &Fixture) {
    let store = fixture.hold();
    let time = |ms: i64| (fixture.base_ns + ms * 1_000_000).to_string();
    let goroutines = |arguments: &[&str]| -> Vec<u64> {
        let json = fixture.answer(&[&["timeline", "--format", "json"], arguments].concat());
        let document: Value = serde_json::from_str(&json).unwrap();
        document["events"].as_array().unwrap().iter().map(|event| event["goid"].as_u64().unwrap()).collect()
    };
    let (from, to) = (time(0), time(1000));
    let window = ["--from", &from, "--to", &to];
    assert_eq!(goroutines(&window), [8, 18, 7, 9, 19]);
    assert_eq!(goroutines(&["--from", &time(40), "--to", &time(150)]), [8, 18, 7]);
    assert_eq!(goroutines(&["--from", &time(51), "--to", &time(99)]), [18]);
    let filtered = |filter: &[&str]| goroutines(&[&window, filter].concat());
    assert_eq!(filtered(&["--region", "us-east"]), [8, 7, 9]);
    assert_eq!(filtered(&["--service", "cart"]), [18, 19]);
    assert_eq!(filtered(&["--node", "us-2"]), [9]);
    assert_eq!(filtered(&["--reason", "MUTEX"]), [18]);
    assert_eq!(filtered(&["--min-duration", "300ms"]), [8, 18, 7]);
    assert_eq!(filtered(&["--limit", "2"]), [8, 18]);
    assert_eq!(goroutines(&[]), [8, 18, 7, 9, 19], "the last 10 s of data");
    assert_eq!(goroutines(&["--from", "-10s"]), [0; 0]);
    assert!(fixture.answer(&["timeline", "--from", "-10s"]).contains("no waits in this window"));
    fixture.release(store);
}

fn timeline_json_has_all_that_is_known(fixture: &Fixture) {
    let json = fixture.answer(&["timeline", "--format", "json", "--limit", "3"]);
    let document: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(document["matched"], 5);
    let events = document["events"].as_array().unwrap();
    let event = |goid: u64| events.iter().find(|event| event["goid"] == goid).unwrap();
    assert_eq!(event(18)["start_ns"], fixture.base_ns);
    assert_eq!(event(18)["bound_ns"], 120_000);
    assert_eq!(event(18)["frame"], "main.(*Cart).Add");
    assert_eq!(event(18)["stack"][0], "runtime.gopark proc.go:1");
    // The region's offset is added: without it this would begin 5 ms earlier.
    assert_eq!(event(7)["start_ns"], fixture.base_ns + 100_000_000);
    // 80 us of the node, 30 us of the region, and what its map may slope by within those 80 us.
    assert_eq!(event(7)["bound_ns"], 110_040);
    assert_eq!(event(7)["run_delay_ns"], 1000);
}

fn skew_of_regions_shows_every_two_and_names_what_is_false(fixture: &Fixture) {
    let text = fixture.answer(&["skew", "--regions"]);
    assert_eq!(text.lines().filter(|line| line.starts_with("eu-west  us-east")).count(), 1, "{text}");
    assert!(text.contains("what us-east claims of UTC is false: it is off by at least 70.0 ms"), "{text}");
    let json: Value = serde_json::from_str(&fixture.answer(&["skew", "--regions", "--format", "json"])).unwrap();
    assert_eq!(json[1]["peer"], "us-east");
    assert_eq!(json[1]["high_ns"].as_i64().unwrap() - json[1]["low_ns"].as_i64().unwrap(), 600_000);
}

fn skew_of_pairs_shows_what_contradicts_the_clocks_and_ends_with_3(fixture: &Fixture) {
    let output = fixture.run(&["skew", "--pairs", "--since", "-2h"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3), "{text}");
    let row = |peer: &str| {
        let row = text.lines().find(|line| line.split_whitespace().nth(1) == Some(peer));
        row.unwrap_or_else(|| panic!("{peer}: {text}")).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("eu-west/eu-2"), "eu-west/eu-1 eu-west/eu-2 1 1 0 -7.00 ms - - -5.00 ms contradicted");
    assert_eq!(row("us-east/us-1"), "eu-west/eu-1 us-east/us-1 90 0 30 7.00 ms 3.00 ms 10.0 ms 3.30 ms consistent");
    let json = fixture.answer(&["skew", "--pairs", "--since", "-2h", "--node", "us-1", "--format", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json.as_array().unwrap().len(), &json[0]["sum_ns"]), (1, &10_000_000.into()));
    assert_eq!((&json[0]["messages"], &json[0]["ambiguous"]), (&90.into(), &2.into()));
    let longer = fixture.run(&["skew", "--pairs", "--since", "-48h", "--node", "us-1"]);
    assert_eq!(longer.status.code(), Some(3), "yesterday's is found too");
    assert!(
        fixture.answer(&["skew", "--pairs", "--since", "-1m"]).starts_with("no message is known at both of its ends")
    );
    assert!(fixture.refusal(&["skew", "--pairs", "--since", "soon"], 2).contains("--since"));
}

fn skew_shows_nodes_and_regions(fixture: &Fixture) {
    let text = fixture.answer(&["skew"]);
    let row = |node: &str| {
        let row = text.lines().find(|line| line.split_whitespace().nth(1) == Some(node));
        row.unwrap_or_else(|| panic!("{node}: {text}")).to_owned()
    };
    let eu = row("eu-1");
    for part in ["+3.00012 s", "±150 µs", "-12.345 ppm", "synchronized", "ago"] {
        assert!(eu.contains(part), "{part}: {eu}");
    }
    assert!(row("us-1").contains("free_running") && row("us-1").contains("never"), "{text}");
    let json: Value = serde_json::from_str(&fixture.answer(&["skew", "--format", "json"])).unwrap();
    assert_eq!(json["nodes"][0]["offset_ns"], 3_000_123_456i64);
    assert_eq!(json["nodes"][1]["offset_ns"], -7_000_000, "5 ms of the region's are added to the node's own 2 ms");
    assert_eq!(json["nodes"][1]["bound_ns"], 80_025, "50 us and 30 us, and 500 ppm of the 50");
    assert_eq!(json["regions"][0]["region"], "us-east");
    assert_eq!(json["regions"][0]["offset_ns"], -5_000_000);
    let false_claim = text.lines().find(|line| line.contains("what chrony said of the wall clock at")).unwrap();
    assert!(
        false_claim.starts_with("eu-1: ") && false_claim.contains("+1.0 ms ±3.00 ms by its claim"),
        "{false_claim}"
    );
    assert!(false_claim.contains("-3.00015 s ±150 µs as measured"), "{false_claim}");
    let claims = json["false_claims"].as_array().unwrap();
    assert_eq!((claims.len(), &claims[0]["source"]), (1, &"chrony".into()), "the newer one of us-1 may be true");
}

fn another_database_is_named_in_the_error(fixture: &Fixture) {
    for command in [&["skew"][..], &["timeline"], &["sql", "SELECT 1"]] {
        let error = fixture.refusal(&[&["--database", "elsewhere"], command].concat(), 1);
        assert!(error.contains("no tables of Syncline in database `elsewhere`"), "{error}");
    }
}

fn doctor_sees_the_holder(fixture: &Fixture) {
    let store = fixture.hold();
    let report = fixture.run(&["doctor", "--json"]);
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["can_store"], true);
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["check"] == "store").unwrap();
    let holder = format!("served by process {}", std::process::id());
    assert!(check["found"].as_str().unwrap().ends_with(&holder), "{check}");
    fixture.release(store);
}
