//! The view `skew_now`.

use syncline_store::LowCardinality;
use syncline_store::rows::*;

use super::timeline::{US, insert_maps, run_of};
use super::{Fixture, base_ns};

/// The end of a node's segment, `at` ns after [`base_ns`] on its region's REF, its wall clock `wall` ns ahead of that.
struct End {
    region: &'static str,
    node: &'static str,
    boot: u64,
    at: i64,
    wall: i64,
    rate_ppb: i64,
    err: u64,
    status: ClockStatus,
}

const END: End =
    End { region: "eu", node: "a", boot: 1, at: 0, wall: 0, rate_ppb: 0, err: 10, status: ClockStatus::Synchronized };

async fn insert(fixture: &Fixture, end: &End, token: &str) {
    let mono = 1_000_000_000_000 + end.boot;
    let off = base_ns() + end.at - i64::try_from(mono).unwrap();
    let rows = ClockSegmentRows {
        region: LowCardinality::constant(end.region, 1),
        node: LowCardinality::constant(end.node, 1),
        boot: vec![end.boot],
        ref_run: vec![run_of(end.region)],
        epoch: vec![3],
        mono_from: vec![mono - 1000],
        mono_to: vec![mono],
        ref_off: vec![off],
        ref_off_to: vec![off],
        rate_ppb: vec![end.rate_ppb],
        err_from_ns: vec![1],
        err_to_ns: vec![end.err],
        bound_class: vec![BoundClass::Hard],
        wall_off: vec![off + end.wall],
        status: vec![end.status],
        rev: vec![1],
    };
    fixture.store.insert(rows.into_block().unwrap(), token).await.unwrap();
}

async fn insert_probe(fixture: &Fixture, region: &str, node: &str, t2: i64) {
    let rows = ClockProbeRows {
        region: LowCardinality::constant(region, 1),
        node: LowCardinality::constant(node, 1),
        boot: vec![1],
        t1: vec![0],
        t2: vec![base_ns() + t2],
        t3: vec![base_ns() + t2],
        t4: vec![100],
        rtt_ns: vec![100],
        kind: vec![ProbeKind::Grpc],
        used: vec![1],
        before_mono: vec![1],
        before_raw_off: vec![2],
        before_wall_off: vec![3],
        before_bracket_ns: vec![4],
        after_mono: vec![5],
        after_raw_off: vec![6],
        after_wall_off: vec![7],
        after_bracket_ns: vec![8],
        ref_run: vec![9],
    };
    fixture.store.insert(rows.into_block().unwrap(), &format!("{region}/{node}/{t2}")).await.unwrap();
}

async fn skew(fixture: &Fixture) -> String {
    let base = base_ns();
    let sql = format!(
        "SELECT region, node, boot, epoch, status, wall_offset_ns, err_ns, drift_ppb, toUnixTimestamp64Nano(as_of) - {base},
            probe_age_ms BETWEEN 0 AND 60000, toUnixTimestamp64Nano(last_probe) - {base}, region_err_ns
         FROM skew_now ORDER BY region, node"
    );
    fixture.ask(&sql).await
}

/// The history of the ten seconds around, without what is of probes.
async fn history(fixture: &Fixture) -> String {
    let base = base_ns();
    let moment = |seconds: i64| format!("fromUnixTimestamp64Nano({}, 'UTC')", base + seconds * 1_000_000_000);
    let sql = format!(
        "SELECT region, node, boot, epoch, status, wall_offset_ns, err_ns, drift_ppb, toUnixTimestamp64Nano(at) - {base}, region_err_ns
         FROM skew_history(t0 = {}, t1 = {}) ORDER BY region, node, at",
        moment(-5),
        moment(5)
    );
    fixture.ask(&sql).await
}

pub(super) async fn the_newest_of_each_node_on_the_fleets_clock() {
    let fixture = Fixture::migrated().await;
    insert_maps(&fixture, &[US]).await;
    let half = 500_000_000;
    let free = ClockStatus::FreeRunning;
    let ends = [
        End { wall: 1, at: 10, ..END },
        // A node that was started again: its mono is smaller, its time is not.
        End { boot: 0, wall: -40_000_000, at: 20, rate_ppb: 12_000, ..END },
        // Older news that arrives late.
        End { boot: 1, wall: 5, at: 15, ..END },
        End { region: "us", wall: 40_000_000, at: half, rate_ppb: -30_000, err: 300, ..END },
        End { region: "us", node: "b", wall: 0, at: 2_500_000_000, err: 400, status: free, ..END },
        End { region: "us", node: "c", at: 0, err: UNBOUNDED_NS, status: ClockStatus::Unknown, ..END },
        End { region: "ap", node: "d", at: 0, ..END },
    ];
    for (number, end) in ends.iter().enumerate() {
        insert(&fixture, end, &number.to_string()).await;
    }
    insert_probe(&fixture, "eu", "a", 30).await;
    insert_probe(&fixture, "eu", "a", 25).await;
    insert_probe(&fixture, "us", "a", half).await;
    let none = "\\N";
    let max = u64::MAX;
    let expected = [
        format!("ap\td\t1\t3\tsynchronized\t0\t{max}\t0\t0\t{none}\t{none}\t{max}"),
        "eu\ta\t0\t3\tsynchronized\t-40000000\t10\t-12000\t20\t1\t30\t0".to_owned(),
        // 40 ms ahead of us, which is 5,000,500 behind the root; drift 30,000 fast against us, which loses 1000.
        format!("us\ta\t1\t3\tsynchronized\t34999500\t2301\t29000\t{}\t1\t{half}\t2000", half + 5_000_500),
        format!(
            "us\tb\t1\t3\tfree_running\t-5002500\t2701\t-1000\t{}\t{none}\t{none}\t2300",
            2_500_000_000i64 + 5_002_500
        ),
        format!("us\tc\t1\t3\tunknown\t-5000000\t{max}\t-1000\t5000000\t{none}\t{none}\t2000"),
    ];
    assert_eq!(skew(&fixture).await, expected.join("\n"));

    let told = history(&fixture).await;
    let told: Vec<&str> = told.lines().collect();
    // Two of them are one segment, of which the later word counts.
    assert_eq!(told.len(), ends.len() - 1, "{told:#?}");
    for newest in &expected {
        let cells: Vec<&str> = newest.split('\t').collect();
        let row = [&cells[..9], &cells[11..]].concat().join("\t");
        assert!(told.contains(&row.as_str()), "{row} is not in {told:#?}");
    }
    assert!(told.contains(&"eu\ta\t1\t3\tsynchronized\t5\t10\t0\t15\t0"), "{told:#?}");
}

pub(super) async fn one_region_needs_no_map() {
    let fixture = Fixture::migrated().await;
    insert(&fixture, &End { region: "us", wall: 7, ..END }, "1").await;
    assert_eq!(skew(&fixture).await, "us\ta\t1\t3\tsynchronized\t7\t10\t0\t0\t\\N\t\\N\t0");
}
