//! Blocks in, text out.

use std::collections::BTreeSet;

use syncline_store::rows::*;
use syncline_store::{Arrays, BlockBuilder, Column, LowCardinality, StoreError};

use super::{Fixture, base_ns, run};

pub(super) async fn every_column_type_survives_with_its_extremes() {
    let fixture = Fixture::migrated().await;
    run(
        &fixture.store,
        "CREATE TABLE extremes (n UInt8, u8 UInt8, u16 UInt16, u32 UInt32, u64 UInt64, u128 UInt128, i8 Int8, i16 Int16, i32 Int32,
            i64 Int64, s String, lc LowCardinality(String), plain_to_lc LowCardinality(String), a Array(UInt64), d DateTime('UTC'),
            d64 DateTime64(9, 'UTC'), e Enum8('low' = -128, 'zero' = 0, 'high' = 127), m Map(String, UInt64),
            f FixedString(16))
         ENGINE = MergeTree ORDER BY n",
    )
    .await;
    let long = "é".repeat(100);
    let strings = vec![String::new(), "tab\tnul\0".to_owned(), long.clone()];
    let block = BlockBuilder::new("extremes")
        .column("n", Column::U8(vec![0, 1, 2]))
        .column("u8", Column::U8(vec![0, 1, u8::MAX]))
        .column("u16", Column::U16(vec![0, 1, u16::MAX]))
        .column("u32", Column::U32(vec![0, 1, u32::MAX]))
        .column("u64", Column::U64(vec![0, 1, u64::MAX]))
        .column("u128", Column::U128(vec![0, 1, u128::MAX]))
        .column("i8", Column::I8(vec![i8::MIN, -1, i8::MAX]))
        .column("i16", Column::I16(vec![i16::MIN, -1, i16::MAX]))
        .column("i32", Column::I32(vec![i32::MIN, -1, i32::MAX]))
        .column("i64", Column::I64(vec![i64::MIN, -1, i64::MAX]))
        .column("s", Column::String(strings.clone()))
        .column("lc", Column::LowCardinality(strings.iter().collect()))
        .column("plain_to_lc", Column::String(strings))
        .column("a", Column::ArrayU64([&[][..], &[u64::MAX], &[1, 2, 3]].into_iter().collect()))
        .column("d", Column::DateTime(vec![0, 1, u32::MAX]))
        .column("d64", Column::DateTime64(vec![-1, 1, i64::MAX]))
        .column("e", Column::Enum8(vec![-128, 0, 127]))
        .column("m", Column::MapU64(vec![vec![], vec![("k".into(), u64::MAX)], vec![("a".into(), 1), ("b".into(), 2)]]))
        .column("f", Column::FixedString16(vec![[0; 16], *b"0123456789abcdef", [b'z'; 16]]))
        .build()
        .unwrap();
    fixture.store.insert(block, "1").await.unwrap();
    let expected = [
        "0\t0\t0\t0\t0\t0\t-128\t-32768\t-2147483648\t-9223372036854775808\t\t\t\t[]\t1970-01-01 00:00:00\t1969-12-31 23:59:59.999999999\tlow\t{}\t".to_owned() + &"\\0".repeat(16),
        "1\t1\t1\t1\t1\t1\t-1\t-1\t-1\t-1\ttab\\tnul\\0\ttab\\tnul\\0\ttab\\tnul\\0\t[18446744073709551615]\t1970-01-01 00:00:01\t1970-01-01 00:00:00.000000001\tzero\t{'k':18446744073709551615}\t0123456789abcdef".to_owned(),
        format!("2\t255\t65535\t4294967295\t18446744073709551615\t340282366920938463463374607431768211455\t127\t32767\t2147483647\t9223372036854775807\t{long}\t{long}\t{long}\t[1,2,3]\t2106-02-07 06:28:15\t2262-04-11 23:47:16.854775807\thigh\t{{'a':1,'b':2}}\tzzzzzzzzzzzzzzzz"),
    ];
    assert_eq!(fixture.ask("SELECT * FROM extremes ORDER BY n").await, expected.join("\n"));
}

/// More than 256 distinct values need wide indexes.
pub(super) async fn many_distinct_strings_survive() {
    let fixture = Fixture::migrated().await;
    run(&fixture.store, "CREATE TABLE t (n UInt32, lc LowCardinality(String)) ENGINE = MergeTree ORDER BY n").await;
    let strings: LowCardinality = (0..1000).map(|n| format!("value {}", n % 700)).collect();
    let block = BlockBuilder::new("t")
        .column("n", Column::U32((0..1000).collect()))
        .column("lc", Column::LowCardinality(strings))
        .build()
        .unwrap();
    fixture.store.insert(block, "1").await.unwrap();
    let sql = "SELECT count(), uniqExact(lc), countIf(lc = concat('value ', toString(n % 700))) FROM t";
    assert_eq!(fixture.ask(sql).await, "1000\t700\t1000");
}

pub(super) async fn the_same_token_stores_once() {
    let fixture = Fixture::migrated().await;
    let losses = |count| LossRows {
        bucket: vec![u32::try_from(base_ns() / 1_000_000_000).unwrap()],
        region: LowCardinality::constant("eu", 1),
        node: LowCardinality::constant("n1", 1),
        boot: vec![1],
        run_seq: vec![2],
        cause: LowCardinality::constant("ring buffer full", 1),
        count: vec![count],
        batch: vec![8],
    };
    for (count, token) in [(1, "n1/1/10"), (1, "n1/1/10"), (7, "n1/1/10"), (1, "n1/1/20")] {
        fixture.store.insert(losses(count).into_block().unwrap(), token).await.unwrap();
    }
    assert_eq!(fixture.ask("SELECT count(), sum(count) FROM losses").await, "2\t2");

    // Materialised views behind a table neither miss nor repeat anything.
    for token in ["a", "a", "b"] {
        fixture.store.insert(segments().into_block().unwrap(), token).await.unwrap();
    }
    let sql = "SELECT (SELECT count() FROM clock_segments_log), (SELECT count() FROM clock_segments FINAL), (SELECT count() FROM clock_now FINAL)";
    assert_eq!(fixture.ask(sql).await, "2\t1\t1");
}

fn segments() -> ClockSegmentRows {
    ClockSegmentRows {
        region: LowCardinality::constant("eu", 1),
        node: LowCardinality::constant("n1", 1),
        boot: vec![1],
        ref_run: vec![1],
        epoch: vec![0],
        mono_from: vec![10],
        mono_to: vec![20],
        ref_off: vec![base_ns()],
        ref_off_to: vec![base_ns()],
        rate_ppb: vec![-1],
        err_from_ns: vec![1],
        err_to_ns: vec![UNBOUNDED_NS],
        bound_class: vec![BoundClass::Hard],
        wall_off: vec![3],
        status: vec![ClockStatus::Synchronized],
        rev: vec![1],
    }
}

pub(super) async fn every_table_takes_its_rows() {
    let fixture = Fixture::migrated().await;
    let one = || LowCardinality::constant("x", 1);
    let bucket = || vec![u32::try_from(base_ns() / 1_000_000_000).unwrap()];
    let blocks = [
        EventRows {
            bucket: bucket(),
            region: one(),
            service: one(),
            node: one(),
            boot: vec![u64::MAX],
            seq: vec![u64::MAX],
            pid: vec![1],
            tid: vec![2],
            goid: vec![3],
            kind: vec![EventKind::Cgo],
            reason: one(),
            mono_ns: vec![4],
            wall_off: vec![-5],
            dur_ns: vec![6],
            run_delay_ns: vec![7],
            flags: vec![FLAG_READY_SEEN | FLAG_WOKEN_BY_NETPOLL],
            stack_id: vec![8],
            waker_goid: vec![9],
            waker_stack_id: vec![17],
            address: vec![18],
            result: vec![-19],
            fd: vec![-1],
            fd_type: one(),
            local_address: vec![[0xff; 16]],
            local_port: vec![u16::MAX],
            peer_address: vec![[0; 16]],
            peer_port: vec![0],
            ref_run: vec![16],
            al_off: vec![10],
            al_end_off: vec![11],
            err_ns: vec![UNBOUNDED_NS],
            err_end_ns: vec![12],
            bound_class: vec![BoundClass::Budgeted],
            clock_status: vec![ClockStatus::Disrupted],
            epoch: vec![13],
            model_rev: vec![14],
            trace_id: vec![*b"0123456789abcdef"],
            span_id: vec![15],
            weight_milli: vec![1_000],
        }
        .into_block(),
        OpenWaitRows {
            bucket: bucket(),
            region: one(),
            service: one(),
            node: one(),
            boot: vec![1],
            pid: vec![2],
            tid: vec![3],
            goid: vec![4],
            kind: vec![EventKind::Goroutine],
            reason: one(),
            mono_ns: vec![5],
            wall_off: vec![-6],
            dur_ns: vec![7],
            run_delay_ns: vec![0],
            flags: vec![FLAG_ABANDONED],
            stack_id: vec![8],
            waker_goid: vec![0],
            address: vec![9],
            fd: vec![-1],
            fd_type: one(),
            local_address: vec![[0xff; 16]],
            local_port: vec![u16::MAX],
            peer_address: vec![[0; 16]],
            peer_port: vec![0],
            ref_run: vec![10],
            al_off: vec![11],
            al_end_off: vec![12],
            err_ns: vec![UNBOUNDED_NS],
            err_end_ns: vec![13],
            trace_id: vec![*b"fedcba9876543210"],
            span_id: vec![15],
        }
        .into_block(),
        ShortWaitRows {
            bucket: bucket(),
            region: one(),
            service: one(),
            node: one(),
            boot: vec![1],
            pid: vec![2],
            kind: vec![EventKind::Syscall],
            reason: one(),
            count: vec![3],
            total_ns: vec![4],
            hist: Arrays::from_iter([&[0, 3][..]]),
            batch: vec![7],
            weight_milli: vec![2_500],
            is_parts: vec![1],
        }
        .into_block(),
        ObservationRows {
            bucket: bucket(),
            region: one(),
            service: one(),
            node: one(),
            boot: vec![1],
            pid: vec![2],
            mono_ns: vec![3],
            dur_ns: vec![4],
            observed_ns: vec![5],
            windows: vec![6],
            stage: vec![ObservationStage::Windows],
            reason: vec![ObservationReason::OverBudget],
            threshold_ns: vec![7],
            without: one(),
            budget_ppm: vec![8],
            cost_ns: vec![9],
            cpu_ns: vec![10],
            ref_run: vec![11],
            al_off: vec![-12],
        }
        .into_block(),
        StackRows { stack_id: vec![1], build_id: vec![2], pcs: Arrays::from_iter([&[3][..]]), last_seen: vec![4] }
            .into_block(),
        SymbolRows {
            build_id: vec![1],
            pc: vec![2],
            depth: vec![3],
            func: vec!["f".into()],
            file: one(),
            line: vec![4],
        }
        .into_block(),
        NodeRows {
            region: one(),
            node: one(),
            boot: vec![1],
            kernel: vec!["6.1".into()],
            agent_version: vec!["0.1".into()],
            first_seen: vec![base_ns()],
            last_seen: vec![base_ns() + 1],
        }
        .into_block(),
        ProcessRows {
            region: one(),
            node: one(),
            boot: vec![1],
            pid: vec![2],
            since_mono_ns: vec![3],
            build_id: vec![4],
            service: one(),
            executable: one(),
            go_version: one(),
            container_runtime: one(),
            container_id: vec!["3f".into()],
            container_name: one(),
            k8s_pod_name: one(),
            k8s_pod_uid: vec!["0b".into()],
            k8s_namespace: one(),
            seen: bucket(),
        }
        .into_block(),
        ClockClaimRows {
            region: one(),
            node: one(),
            boot: vec![1],
            mono_ns: vec![2],
            at: vec![base_ns()],
            source: vec![ClaimSource::Chrony],
            synchronized: vec![1],
            utc_wall_ns: vec![-5],
            bound_ns: vec![6],
            verdict: vec![ClaimVerdict::Contradicted],
            claimed_low_ns: vec![-11],
            claimed_high_ns: vec![1],
            measured_low_ns: vec![7],
            measured_high_ns: vec![9],
        }
        .into_block(),
        ClockStateRows {
            region: one(),
            node: one(),
            boot: vec![1],
            ref_run: vec![2],
            batch: vec![3],
            segment_end: vec![4],
            state: vec![vec![0, 255, 10, 9]],
        }
        .into_block(),
        ClockProbeRows {
            region: one(),
            node: one(),
            boot: vec![1],
            t1: vec![-1],
            t2: vec![base_ns()],
            t3: vec![base_ns() + 1],
            t4: vec![5],
            rtt_ns: vec![5],
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
        }
        .into_block(),
        RegionClockRows {
            region: one(),
            root: one(),
            ref_run: vec![11],
            root_run: vec![12],
            ref_from: vec![base_ns()],
            ref_to: vec![base_ns() + 1],
            off: vec![-1],
            off_to: vec![1],
            rate_ppb: vec![2],
            err_ns: vec![3],
            err_to_ns: vec![4],
            err_rate_ppb: vec![5],
            bound_class: vec![BoundClass::Tight],
            status: vec![ClockStatus::FreeRunning],
            rev: vec![6],
        }
        .into_block(),
        ClockStepRows {
            region: one(),
            node: one(),
            boot: vec![1],
            mono_ns: vec![2],
            at: vec![base_ns()],
            size_ns: vec![-3],
            scale: vec![ClockScale::Wall],
        }
        .into_block(),
        LossRows {
            bucket: bucket(),
            region: one(),
            node: one(),
            boot: vec![1],
            run_seq: vec![2],
            cause: one(),
            count: vec![3],
            batch: vec![4],
        }
        .into_block(),
        DroppedBatchRows {
            bucket: bucket(),
            region: one(),
            node: one(),
            boot: vec![1],
            run_seq: vec![2],
            batch: vec![3],
            cause: one(),
            events: vec![4],
            short_waits: vec![5],
        }
        .into_block(),
        ProcessStateRows {
            bucket: bucket(),
            region: one(),
            service: one(),
            node: one(),
            boot: vec![1],
            pid: vec![2],
            mono_ns: vec![3],
            dur_ns: vec![4],
            running_ns: vec![5],
            runnable_ns: vec![6],
            syscall_ns: vec![7],
            cgo_ns: vec![8],
            blocked_ns: vec![9],
            blocked_by: vec![vec![("select".to_owned(), 1)]],
            blocked_times: vec![vec![("select".to_owned(), 2)]],
            goroutines: vec![10],
            started: vec![11],
            ended: vec![12],
            runs: vec![13],
            handoffs: vec![14],
            ref_run: vec![15],
            al_off: vec![16],
            al_end_off: vec![17],
            err_ns: vec![18],
            err_end_ns: vec![19],
        }
        .into_block(),
        MessageRows {
            bucket: bucket(),
            region: one(),
            service: one(),
            node: one(),
            boot: vec![1],
            pid: vec![2],
            tid: vec![3],
            goid: vec![4],
            direction: vec![MessageDirection::Send],
            local_address: vec![[0xff; 16]],
            local_port: vec![5],
            peer_address: vec![[0; 16]],
            peer_port: vec![6],
            netns: vec![7],
            mark: vec![8],
            marks: vec![9],
            mark_shift: vec![10],
            mono_ns: vec![11],
            wall_off: vec![-12],
            ref_run: vec![13],
            al_off: vec![14],
            err_ns: vec![15],
            bound_class: vec![BoundClass::Tight],
            clock_status: vec![ClockStatus::FreeRunning],
            epoch: vec![16],
            model_rev: vec![17],
        }
        .into_block(),
        TcpLossRows {
            bucket: bucket(),
            region: one(),
            node: one(),
            boot: vec![1],
            run_seq: vec![2],
            cause: one(),
            count: vec![3],
            batch: vec![4],
        }
        .into_block(),
        ClockDisruptionRows {
            region: one(),
            node: one(),
            boot: vec![1],
            peer: one(),
            ref_run: vec![2],
            mono_from: vec![3],
            mono_to: vec![4],
            at: vec![base_ns()],
            batch: vec![5],
            sign: vec![DisruptionSign::BothWays],
        }
        .into_block(),
        segments().into_block(),
    ];
    let mut marked = BTreeSet::new();
    for block in blocks {
        let block = block.unwrap();
        let (table, mark) = (block.table().to_owned(), block.mark().cloned());
        let found = async |region: &str| match &mark {
            Some(mark) => fixture.store.marks_found(region, &table, &[mark]).await.unwrap().contains(mark),
            None => false,
        };
        assert!(!found("x").await, "{table} has nothing yet");
        fixture.store.insert(block, "1").await.unwrap_or_else(|error| panic!("{table}: {error}"));
        assert_eq!(fixture.ask(&format!("SELECT count() FROM {table}")).await, "1", "{table}");
        if mark.is_some() {
            assert!(found("x").await && !found("y").await, "{table} does not tell that it has the row");
            marked.insert(table);
        }
    }
    let all: BTreeSet<_> = syncline_store::marked_tables().into_iter().map(|(table, _)| table.to_owned()).collect();
    assert_eq!(marked, all, "rows of these tables are found as they are inserted");
    let event = fixture.ask("SELECT * EXCEPT (bucket) FROM events").await;
    let expected = "x\tx\tx\t18446744073709551615\t18446744073709551615\t1\t2\t3\tcgo\tx\t4\t-5\t6\t7\t3\t8\t9\t16\t10\t11\t18446744073709551615\t12\tbudgeted\tdisrupted\t13\t14\t17\t18\t-19\t-1\tx\tffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\t65535\t::\t0\t0123456789abcdef\t15\t1000";
    assert_eq!(event, expected);
}

pub(super) async fn sql_errors_are_clickhouses_own() {
    let fixture = Fixture::migrated().await;
    let error = fixture.store.query_text("SELECT nosuch FROM events", "TSV").await.unwrap_err();
    assert!(matches!(error, StoreError::Sql { code: 47, .. }) && !error.is_retryable(), "{error}");
    assert!(error.to_string().contains("`nosuch`") && error.to_string().lines().count() <= 4, "{error}");
    assert!(!error.to_string().contains("(version"), "{error}");

    let late = "SELECT throwIf(number = 3000000, 'too far') FROM numbers(4000000)";
    let error = fixture.store.query_to(late, "TSV", &mut tokio::io::sink()).await.unwrap_err();
    assert!(error.to_string().contains("too far"), "an error after the answer began: {error}");

    let block = BlockBuilder::new("events").column("nosuch", Column::U8(vec![1])).build().unwrap();
    let error = fixture.store.insert(block, "1").await.unwrap_err();
    assert!(matches!(error, StoreError::Sql { .. }) && !error.is_retryable(), "{error}");
}

pub(super) async fn large_answers_stream() {
    let fixture = Fixture::migrated().await;
    let mut out = Vec::new();
    let sql = "SELECT number FROM numbers(500000) FORMAT RowBinary";
    assert_eq!(fixture.store.query_to(sql, "TSV", &mut out).await.unwrap(), 4_000_000);
    assert_eq!(out.len(), 4_000_000);
    assert_eq!(out[out.len() - 8..], 499_999u64.to_le_bytes());
}

pub(super) async fn a_question_mark_of_a_query_stays_one() {
    let fixture = Fixture::migrated().await;
    assert_eq!(fixture.ask("SELECT '?', 1 = 1 ? 'a' : 'b'").await, "?\ta");
}
