//! The views `timeline` and `stacks_named`.

use syncline_store::rows::*;
use syncline_store::{Arrays, LowCardinality};

use super::{Fixture, base_ns};

const SECOND: i64 = 1_000_000_000;

/// One wait: where, and when on its region's REF (ns after [`base_ns`]).
#[derive(Clone, Copy)]
pub(super) struct Wait {
    pub(super) region: &'static str,
    pub(super) goid: u64,
    pub(super) at: i64,
    pub(super) dur: u64,
    pub(super) err: u64,
    pub(super) err_end: u64,
    pub(super) stack_id: u64,
    /// Placed on a later run of the region's reference.
    pub(super) is_of_next_run: bool,
}

pub(super) const WAIT: Wait =
    Wait { region: "eu", goid: 0, at: 0, dur: 1000, err: 0, err_end: 0, stack_id: 0, is_of_next_run: false };
/// REF - mono changes by this between park and running again.
const STRETCH: i64 = 7;

pub(super) async fn insert_waits(fixture: &Fixture, waits: &[Wait]) {
    let n = waits.len();
    let each = |value: fn(&Wait) -> u64| waits.iter().map(value).collect::<Vec<u64>>();
    // Every node's mono starts somewhere else.
    let mono = |wait: &Wait| 5_000 * 1_000_000_000 + wait.goid * 1_000_000_000;
    let offset = |wait: &Wait| base_ns() + wait.at - i64::try_from(mono(wait)).unwrap();
    let rows = EventRows {
        bucket: waits.iter().map(|wait| u32::try_from((base_ns() + wait.at) / (60 * SECOND) * 60).unwrap()).collect(),
        region: waits.iter().map(|wait| wait.region).collect(),
        service: LowCardinality::constant("shop", n),
        node: waits.iter().map(|wait| format!("{}-1", wait.region)).collect(),
        boot: vec![1; n],
        seq: each(|wait| wait.goid),
        pid: vec![42; n],
        tid: vec![43; n],
        goid: each(|wait| wait.goid),
        kind: vec![EventKind::Goroutine; n],
        reason: LowCardinality::constant("chan receive", n),
        mono_ns: waits.iter().map(mono).collect(),
        wall_off: vec![0; n],
        dur_ns: each(|wait| wait.dur),
        run_delay_ns: vec![5; n],
        flags: vec![FLAG_READY_SEEN; n],
        stack_id: each(|wait| wait.stack_id),
        waker_goid: vec![0; n],
        waker_stack_id: vec![0; n],
        address: vec![0; n],
        result: vec![0; n],
        fd: vec![-1; n],
        fd_type: LowCardinality::constant("", n),
        local_address: vec![[0; 16]; n],
        local_port: vec![0; n],
        peer_address: vec![[0; 16]; n],
        peer_port: vec![0; n],
        ref_run: each(|wait| run_of(wait.region) + u64::from(wait.is_of_next_run)),
        al_off: waits.iter().map(offset).collect(),
        al_end_off: waits.iter().map(|wait| offset(wait) + STRETCH).collect(),
        err_ns: each(|wait| wait.err),
        err_end_ns: each(|wait| wait.err_end),
        bound_class: vec![BoundClass::Hard; n],
        clock_status: vec![ClockStatus::Synchronized; n],
        epoch: vec![0; n],
        model_rev: vec![1; n],
        trace_id: vec![[0; 16]; n],
        span_id: vec![0; n],
        weight_milli: vec![1_000; n],
    };
    let token = format!("{:?}", waits.iter().map(|wait| (wait.region, wait.goid)).collect::<Vec<_>>());
    fixture.store.insert(rows.into_block().unwrap(), &token).await.unwrap();
}

/// The run of a region's reference.
pub(super) fn run_of(region: &str) -> u64 {
    region.bytes().map(u64::from).sum()
}

/// A map of one region onto the root `eu`; times in ns after [`base_ns`].
pub(super) struct Map {
    pub(super) region: &'static str,
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) off: i64,
    pub(super) off_to: i64,
    pub(super) rate_ppb: i64,
    pub(super) err: u64,
    pub(super) err_to: u64,
    pub(super) err_rate_ppb: u64,
    pub(super) rev: u32,
}

pub(super) async fn insert_maps(fixture: &Fixture, maps: &[Map]) {
    let n = maps.len();
    let rows = RegionClockRows {
        region: maps.iter().map(|map| map.region).collect(),
        root: LowCardinality::constant("eu", n),
        ref_run: maps.iter().map(|map| run_of(map.region)).collect(),
        root_run: vec![run_of("eu"); n],
        ref_from: maps.iter().map(|map| base_ns() + map.from).collect(),
        ref_to: maps.iter().map(|map| base_ns() + map.to).collect(),
        off: maps.iter().map(|map| map.off).collect(),
        off_to: maps.iter().map(|map| map.off_to).collect(),
        rate_ppb: maps.iter().map(|map| map.rate_ppb).collect(),
        err_ns: maps.iter().map(|map| map.err).collect(),
        err_to_ns: maps.iter().map(|map| map.err_to).collect(),
        err_rate_ppb: maps.iter().map(|map| map.err_rate_ppb).collect(),
        bound_class: vec![BoundClass::Hard; n],
        status: vec![ClockStatus::Synchronized; n],
        rev: maps.iter().map(|map| map.rev).collect(),
    };
    let token = format!("{:?}", maps.iter().map(|map| (map.region, map.from, map.rev)).collect::<Vec<_>>());
    fixture.store.insert(rows.into_block().unwrap(), &token).await.unwrap();
}

/// The region `us`: 5 ms behind the root at 0 s, 1 us more after a second, then losing 1000 ns/s with a bound growing 200 ns/s.
pub(super) const US: Map = Map {
    region: "us",
    from: 0,
    to: SECOND,
    off: 5_000_000,
    off_to: 5_001_000,
    rate_ppb: 1000,
    err: 1000,
    err_to: 2000,
    err_rate_ppb: 200,
    rev: 2,
};

/// `columns` of the timeline of [from, to) ns after [`base_ns`], in order of goid.
async fn timeline(fixture: &Fixture, columns: &str, from: i64, to: i64) -> String {
    let time = |at: i64| format!("fromUnixTimestamp64Nano({})", base_ns() + at);
    let (from, to) =
        (fixture.ask(&format!("SELECT {}", time(from))).await, fixture.ask(&format!("SELECT {}", time(to))).await);
    fixture.ask(&format!("SELECT {columns} FROM timeline(t0 = '{from}', t1 = '{to}') ORDER BY goid")).await
}

fn times() -> String {
    let base = base_ns();
    format!(
        "goid, toUnixTimestamp64Nano(aligned) - {base}, toUnixTimestamp64Nano(aligned_end) - {base}, err_ns, err_end_ns, region_err_ns"
    )
}

pub(super) async fn regions_are_mapped_and_bounds_add() {
    let fixture = Fixture::migrated().await;
    let superseded = Map { rev: 1, off: 77, off_to: 77, err: 0, err_to: 0, ..US };
    insert_maps(&fixture, &[US]).await;
    insert_maps(&fixture, &[superseded]).await;
    insert_maps(&fixture, &[Map { from: 10 * SECOND, to: 11 * SECOND, off: 6_000_000, off_to: 6_000_000, ..US }]).await;
    let half = SECOND / 2;
    insert_waits(
        &fixture,
        &[
            // The root: as it is.
            Wait { goid: 1, at: half, dur: 2_000_000, err: 100, err_end: 150, ..WAIT },
            // In the middle of the first segment; runs again 1.5 s past its end.
            Wait {
                region: "us",
                goid: 2,
                at: half,
                dur: 2_000_000_000 - STRETCH as u64,
                err: 300,
                err_end: 400,
                ..WAIT
            },
            // Runs again under the second segment.
            Wait { region: "us", goid: 3, at: 0, dur: 10_500_000_000 - STRETCH as u64, err: 1, err_end: 2, ..WAIT },
        ],
    )
    .await;
    let expected = [
        format!("1\t{half}\t{}\t100\t150\t0", half + 2_000_000 + STRETCH),
        format!("2\t{}\t{}\t2301\t2701\t2000", half + 5_000_500, half + 2 * SECOND + 5_001_000 + 1500),
        format!("3\t5000000\t{}\t2002\t2003\t2000", 10 * SECOND + half + 6_000_000),
    ];
    assert_eq!(timeline(&fixture, &times(), 0, 60 * SECOND).await, expected.join("\n"));
    let rest = "region, service, node, pid, reason, dur_ns, run_delay_ns, toTypeName(reason), toTypeName(err_ns), toTypeName(aligned)";
    let first = timeline(&fixture, rest, 0, 60 * SECOND).await.lines().next().unwrap().to_owned();
    assert_eq!(
        first,
        "eu\tshop\teu-1\t42\tchan receive\t2000000\t5\tLowCardinality(String)\tUInt64\tDateTime64(9, \\'UTC\\')"
    );
}

pub(super) async fn the_window_is_on_the_fleets_clock() {
    let fixture = Fixture::migrated().await;
    let hour = 3600 * SECOND;
    // `ap` runs an hour ahead, `sa` two hours behind and was last mapped a day ago.
    insert_maps(
        &fixture,
        &[
            US,
            Map { region: "ap", from: 0, to: 2 * hour, off: -hour, off_to: -hour, ..US },
            Map { region: "sa", from: -26 * hour, to: -25 * hour, off: 2 * hour, off_to: 2 * hour, rate_ppb: 0, ..US },
        ],
    )
    .await;
    insert_waits(
        &fixture,
        &[
            Wait { goid: 1, at: -1, ..WAIT },
            Wait { goid: 2, at: 0, ..WAIT },
            Wait { goid: 3, at: SECOND - 1, ..WAIT },
            Wait { goid: 4, at: SECOND, ..WAIT },
            // Here the map adds 5,000,995.
            Wait { region: "us", goid: 5, at: SECOND - 5_000_995, ..WAIT },
            Wait { region: "us", goid: 6, at: SECOND - 5_000_996, ..WAIT },
            Wait { region: "ap", goid: 7, at: hour, ..WAIT },
            Wait { region: "ap", goid: 8, at: 0, ..WAIT },
            Wait { region: "sa", goid: 9, at: -2 * hour, ..WAIT },
        ],
    )
    .await;
    assert_eq!(timeline(&fixture, "goid", 0, SECOND).await, "2\n3\n6\n7\n9");
    // 23 hours past the end of the map nothing is known any more.
    let sa = timeline(&fixture, "if(region = 'sa', toString(region_err_ns), '')", 0, SECOND).await;
    assert_eq!(sa.trim(), u64::MAX.to_string());
}

pub(super) async fn without_a_map_nothing_is_claimed() {
    let unbounded = u64::MAX.to_string();
    let fixture = Fixture::migrated().await;
    insert_maps(&fixture, &[US]).await;
    insert_waits(
        &fixture,
        &[
            // Before the region's first segment; runs again inside it.
            Wait { region: "us", goid: 1, at: -SECOND / 2, dur: 1_000_000_000, err: 1, err_end: 1, ..WAIT },
            // A region nobody mapped.
            Wait { region: "ap", goid: 2, at: 0, err: 1, err_end: 1, ..WAIT },
            // A node without an estimate.
            Wait { region: "us", goid: 3, at: 0, err: u64::MAX, err_end: u64::MAX, ..WAIT },
            Wait { goid: 4, at: 0, err: u64::MAX, err_end: 3, ..WAIT },
        ],
    )
    .await;
    let answer =
        timeline(&fixture, "goid, err_ns, err_end_ns, toYear(earliest), toYear(latest)", -SECOND, SECOND).await;
    let expected = [
        format!("1\t{unbounded}\t2002\t1900\t2262"),
        format!("2\t{unbounded}\t{unbounded}\t1900\t2262"),
        format!("3\t{unbounded}\t{unbounded}\t1900\t2262"),
        format!("4\t{unbounded}\t3\t1900\t2262"),
    ];
    assert_eq!(answer, expected.join("\n"));

    // One region alone is the root without saying so.
    let alone = Fixture::migrated().await;
    insert_waits(&alone, &[Wait { region: "us", goid: 1, err: 9, err_end: 9, ..WAIT }]).await;
    assert_eq!(timeline(&alone, "goid, err_ns", 0, SECOND).await, "1\t9");
    // Two without any map are not.
    super::run(&alone.store, "INSERT INTO nodes (region, node, boot) VALUES ('us', 'us-1', 1), ('eu', 'eu-1', 1)")
        .await;
    assert_eq!(timeline(&alone, "goid, err_ns", 0, SECOND).await, format!("1\t{unbounded}"));
}

pub(super) async fn order_is_proved_only_by_disjoint_intervals() {
    let fixture = Fixture::migrated().await;
    insert_maps(&fixture, &[US]).await;
    // Ends at 1000 + 7, within 500. The others begin within 2000 + 100 at 5,000,000 more than their own clock says.
    let first = Wait { goid: 1, at: 0, dur: 1000, err_end: 500, ..WAIT };
    let us = |goid, at: i64| Wait { region: "us", goid, at: at - 5_000_000, err: 100, ..WAIT };
    let early = Map { from: -SECOND, to: SECOND, off: 5_000_000, off_to: 5_000_000, ..US };
    insert_maps(&fixture, &[early]).await;
    // ... and 1 more, since the map may slope by 500 ppm over those 100.
    let apart = 1007 + 500 + 2101;
    insert_waits(&fixture, &[first, us(2, apart), us(3, apart + 1)]).await;
    let base = base_ns();
    let window = format!(
        "timeline(t0 = '{}', t1 = '{}')",
        fixture.ask(&format!("SELECT fromUnixTimestamp64Nano({base})")).await,
        fixture.ask(&format!("SELECT fromUnixTimestamp64Nano({base} + 1000000000)")).await
    );
    let sql = format!(
        "SELECT a.goid, b.goid FROM {window} AS a CROSS JOIN {window} AS b WHERE a.latest_end < b.earliest ORDER BY ALL"
    );
    assert_eq!(fixture.ask(&sql).await, "1\t3");
}

pub(super) async fn stacks_are_named() {
    let fixture = Fixture::migrated().await;
    let stacks = StackRows {
        stack_id: vec![11, 12, 13, 11, 14],
        build_id: vec![1, 1, 2, 1, 1],
        pcs: Arrays::from_iter([&[0x10, 0x20, 0xff][..], &[0x10], &[0x20], &[0x10, 0x20, 0xff], &[0x30, 0x40, 0x10]]),
        last_seen: vec![1, 1, 1, 2, 1],
    };
    fixture.store.insert(stacks.into_block().unwrap(), "s").await.unwrap();
    let symbols = [
        (0x10, 0, "runtime.gopark", "proc.go", 398),
        (0x20, 0, "main.inner", "main.go", 7),
        (0x20, 1, "main.outer", "main.go", 20),
        (0x30, 0, "read (kernel)", "", 0),
        (0x40, 0, "nap (libc.so.6)", "nap.c", 0),
    ];
    let rows = SymbolRows {
        build_id: vec![1; 5],
        pc: symbols.iter().map(|symbol| symbol.0).collect(),
        depth: symbols.iter().map(|symbol| symbol.1).collect(),
        func: symbols.iter().map(|symbol| symbol.2.to_owned()).collect(),
        file: symbols.iter().map(|symbol| symbol.3).collect(),
        line: symbols.iter().map(|symbol| symbol.4).collect(),
    };
    fixture.store.insert(rows.into_block().unwrap(), "y").await.unwrap();
    assert_eq!(
        fixture.ask("SELECT stack_id, frames FROM stacks_named ORDER BY stack_id").await,
        "11\t['runtime.gopark proc.go:398','main.inner main.go:7','main.outer main.go:20','0xff']\n\
         12\t['runtime.gopark proc.go:398']\n\
         13\t['0x20']\n\
         14\t['read (kernel)','nap (libc.so.6) nap.c','runtime.gopark proc.go:398']"
    );
    let waits = [(1, 11), (2, 12), (3, 13), (4, 0)].map(|(goid, stack_id)| Wait { goid, stack_id, ..WAIT });
    insert_waits(&fixture, &waits).await;
    assert_eq!(timeline(&fixture, "stack, goid", 0, SECOND).await, "main.inner\t1\nruntime.gopark\t2\n0x20\t3\n\t4");
}

pub(super) async fn another_run_or_another_root_is_not_compared() {
    let unbounded = u64::MAX.to_string();
    let fixture = Fixture::migrated().await;
    insert_maps(&fixture, &[US]).await;
    insert_waits(&fixture, &[Wait { goid: 1, err: 9, err_end: 9, ..WAIT }]).await;
    insert_waits(&fixture, &[Wait { region: "us", goid: 2, err: 9, err_end: 9, ..WAIT }]).await;
    assert_eq!(timeline(&fixture, "goid, err_ns", 0, SECOND).await, "1\t9\n2\t2010");
    // The root's host was booted again: what was measured against its old reference says nothing of the new one.
    let newer = |root: &str, root_run: u64| {
        format!(
            "INSERT INTO region_clock (region, root, ref_run, root_run, ref_from, created)
             VALUES ('us', '{root}', {run}, {root_run}, {at}, now64(3) + 3600)",
            run = run_of("us"),
            at = base_ns() + 50 * SECOND
        )
    };
    super::run(&fixture.store, &newer("eu", 4711)).await;
    let both = format!("1\t{unbounded}\n2\t{unbounded}");
    assert_eq!(timeline(&fixture, "goid, err_ns", 0, SECOND).await, both);
    // The fleet got another root: maps to the old one lead nowhere.
    let other = Fixture::migrated().await;
    insert_maps(&other, &[US]).await;
    insert_waits(&other, &[Wait { region: "us", goid: 2, err: 9, err_end: 9, ..WAIT }]).await;
    super::run(&other.store, &newer("ap", 1)).await;
    assert_eq!(timeline(&other, "goid, err_ns", 0, SECOND).await, format!("2\t{unbounded}"));
}
