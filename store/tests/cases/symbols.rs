//! Stacks that many agents tell, names of their addresses, and executables that are handed in.

use std::collections::HashSet;

use syncline_store::{ADDRESSES_AT_ONCE, Binary, MOST_BINARY_BYTES};

use super::{Fixture, base_ns, run};

/// Fifty of one stack and one of another, at the same lock.
async fn insert_waits(fixture: &Fixture) {
    let base = base_ns();
    run(
        &fixture.store,
        &format!(
            "INSERT INTO events (bucket, region, service, node, boot, seq, pid, goid, kind, reason, mono_ns, dur_ns, flags, stack_id, \
             waker_stack_id, waker_goid, al_off, al_end_off, ref_run) \
             SELECT {bucket}, 'eu', 'shop', 'n1', 1, number, 42, number, 'goroutine', 'sync.Mutex.Lock', number, 1000000, 1, \
             if(number = 0, 12, 11), 12, 7, {base}, {base}, 1 FROM numbers(51)",
            bucket = base / 1_000_000_000
        ),
    )
    .await;
    run(&fixture.store, "INSERT INTO nodes (region, node, boot) VALUES ('eu', 'n1', 1)").await;
}

/// Both stacks and their symbols, as one agent tells them.
async fn tell(fixture: &Fixture, seen: u32) {
    let sql = format!("INSERT INTO stacks VALUES (11, 7, [16, 32], {seen}), (12, 7, [16, 48], {seen})");
    run(&fixture.store, &sql).await;
    let sql = format!(
        "INSERT INTO symbols SETTINGS insert_deduplication_token = 'of agent {seen}' VALUES (7, 16, 0, 'sync.(*Mutex).Lock', 'mutex.go', 1), (7, 32, 0, 'main.inner', 'main.go', 2), \
               (7, 32, 1, 'main.outer', 'main.go', 3), (7, 48, 0, 'main.holder', 'main.go', 4)"
    );
    run(&fixture.store, &sql).await;
}

/// The questions of the documentation below this heading.
fn documented(heading: &str) -> Vec<&'static str> {
    let (_, section) = include_str!("../../../docs/schema.md").split_once(heading).unwrap();
    let section = section.split("\n### ").next().unwrap();
    section.split("```sql").skip(1).map(|text| text.split("```").next().unwrap()).collect()
}

/// All answers in which a stack that is there more than once could count more than once.
async fn answers(fixture: &Fixture) -> Vec<String> {
    let window = format!(
        "t0 = fromUnixTimestamp64Nano({}), t1 = fromUnixTimestamp64Nano({})",
        base_ns() - 1_000_000_000,
        base_ns() + 1_000_000_000
    );
    let mut questions = vec![
        format!("SELECT stack, count(), sum(dur_ns) FROM timeline({window}) GROUP BY stack ORDER BY stack"),
        format!("SELECT stack, waker_stack, count() FROM wake_edges({window}) GROUP BY ALL ORDER BY ALL"),
        format!("SELECT site, contentions, holders FROM lock_sites({window}) ORDER BY ALL"),
        "SELECT * FROM stacks_named ORDER BY stack_id".to_owned(),
        "SELECT * FROM stack_tops ORDER BY stack_id".to_owned(),
        "SELECT build_id, stacks, addresses, unnamed FROM builds".to_owned(),
        "SELECT count() FROM unnamed_addresses".to_owned(),
    ];
    let locks = documented("### Who waited longest for locks, and where?");
    questions.extend(locks.iter().map(|sql| sql.replace("FORMAT Vertical", "")));
    let mut answers = Vec::new();
    for question in questions {
        answers.push(fixture.ask(&question).await);
    }
    answers
}

pub(super) async fn a_stack_that_many_agents_tell_counts_once() {
    let fixture = Fixture::migrated().await;
    for table in ["stacks", "symbols"] {
        run(&fixture.store, &format!("SYSTEM STOP MERGES {table}")).await;
    }
    insert_waits(&fixture).await;
    tell(&fixture, 1).await;
    let once = answers(&fixture).await;
    assert_eq!(once[0], "main.holder\t1\t1000000\nmain.inner\t50\t50000000");
    assert!(
        once[1].contains("main.inner\tmain.holder\t50") && once[2].contains("main.inner\t50\t[('main.holder',50)]"),
        "{once:?}"
    );
    assert_eq!(once[5], "7\t2\t3\t0");
    assert!(once.last().unwrap().contains("sync.Mutex.Lock\t50\t"), "{once:?}");
    for agent in 2..=5 {
        tell(&fixture, agent).await;
    }
    let rows = "SELECT (SELECT count() FROM stacks), (SELECT count() FROM symbols)";
    assert_eq!(fixture.ask(rows).await, "10\t20", "they were not merged");
    assert_eq!(answers(&fixture).await, once);
    for table in ["stacks", "symbols"] {
        run(&fixture.store, &format!("SYSTEM START MERGES {table}")).await;
        run(&fixture.store, &format!("OPTIMIZE TABLE {table} FINAL")).await;
    }
    assert_eq!(fixture.ask(rows).await, "2\t4", "in the end each is stored once");
    assert_eq!(answers(&fixture).await, once);
}

pub(super) async fn a_stack_is_whole_when_each_of_its_addresses_has_a_name() {
    let fixture = Fixture::migrated().await;
    let whole = async |ids: &[u64]| fixture.store.named_stacks(ids).await.unwrap();
    assert_eq!(whole(&[]).await, HashSet::new());
    assert_eq!(whole(&[11, 12]).await, HashSet::new());
    tell(&fixture, 1).await;
    run(&fixture.store, "INSERT INTO stacks VALUES (13, 7, [16, 99], 1), (14, 8, [16], 1)").await;
    assert_eq!(whole(&[11, 12, 13, 14, 15, u64::MAX]).await, HashSet::from([11, 12]), "another build has other names");
    let many: Vec<u64> = (10..10 + 4_096).collect();
    assert_eq!(whole(&many).await.len(), 2);
    let unnamed = fixture.store.unnamed_addresses(7, None).await.unwrap();
    assert_eq!(
        (unnamed, fixture.ask("SELECT pc FROM unnamed_addresses WHERE build_id = 8").await),
        (vec![99], "16".into())
    );
    assert!(fixture.store.unnamed_addresses_of_kept().await.unwrap().is_empty());
}

pub(super) async fn addresses_without_a_name_come_in_order_and_those_of_one_build_keep_no_other_from_coming() {
    let fixture = Fixture::migrated().await;
    let store = &fixture.store;
    let pages = 11 * ADDRESSES_AT_ONCE as u64 + 5;
    run(store, &format!("INSERT INTO stacks VALUES (1, 7, range({pages}), 1), (2, 8, [3, 1], 1)")).await;
    run(store, "INSERT INTO symbols (build_id, pc, depth, func, file, line) VALUES (7, 2, 0, 'f', '', 1), (8, 0, 0, 'f', '', 1)")
        .await;
    for build_id in [7, 8] {
        assert!(store.keep_binary(&Binary { build_id, ..binary(b"parts") }).await.unwrap());
    }
    let first = store.unnamed_addresses_of_kept().await.unwrap();
    assert_eq!((first[&7].len(), &first[&8]), (ADDRESSES_AT_ONCE, &vec![1, 3]));
    let (mut all, mut last) = (Vec::new(), None);
    while all.len() as u64 <= pages {
        let page = store.unnamed_addresses(7, last).await.unwrap();
        assert!(page.len() <= ADDRESSES_AT_ONCE);
        last = page.last().copied();
        if last.is_none() {
            break;
        }
        all.extend(page);
    }
    assert!(all.iter().copied().eq((0..pages).filter(|pc| *pc != 2)), "{} of {pages}", all.len());
}

fn binary(bytes: &[u8]) -> Binary<'_> {
    Binary { build_id: 7, name: "shop", go_version: "go1.27.3", bytes }
}

pub(super) async fn a_binary_is_kept_once_and_whole_or_not_at_all() {
    let fixture = Fixture::migrated().await;
    let store = &fixture.store;
    // More than one insert, and a last part that is not full.
    let bytes: Vec<u8> = (0..40_000_123_u32).map(|place| (place.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    assert_eq!(store.kept_binary(7).await.unwrap(), None);
    assert!(store.keep_binary(&binary(&bytes)).await.unwrap());
    assert!(store.kept_binary(7).await.unwrap().is_some_and(|kept| kept == bytes));
    assert!(!store.keep_binary(&binary(&bytes)).await.unwrap(), "it is kept already");
    assert!(!store.keep_binary(&binary(b"a stripped copy")).await.unwrap(), "one of a build is enough");
    assert_eq!(fixture.ask("SELECT count(), uniqExact(part) FROM binaries").await, "39\t39");
    assert_eq!(fixture.ask("SELECT build, is_kept, stacks FROM builds").await, "0000000000000007\t1\t0");
    // As after an upload that was broken off.
    run(store, "ALTER TABLE binaries DELETE WHERE part = 20 SETTINGS mutations_sync = 2").await;
    assert_eq!(store.kept_binary(7).await.unwrap(), None);
    assert_eq!(fixture.ask("SELECT is_kept FROM builds").await, "0");
    assert!(store.keep_binary(&binary(&bytes)).await.unwrap());
    assert!(store.kept_binary(7).await.unwrap().is_some_and(|kept| kept == bytes));
    // As after a fault of the disk: what is not as it was handed in is not used.
    run(store, "ALTER TABLE binaries UPDATE bytes = 'x' WHERE part = 3 SETTINGS mutations_sync = 2").await;
    assert_eq!(store.kept_binary(7).await.unwrap(), None);
    assert!(bytes.len() < MOST_BINARY_BYTES);
}

pub(super) async fn builds_tell_who_runs_them_and_what_has_no_name() {
    let fixture = Fixture::migrated().await;
    tell(&fixture, 1).await;
    run(&fixture.store, "INSERT INTO stacks VALUES (13, 7, [16, 99], 1), (14, 8, [16], 1)").await;
    run(
        &fixture.store,
        "INSERT INTO processes (node, pid, build_id, service, executable, go_version, seen) VALUES \
         ('n1', 1, 7, 'shop', '/srv/shop', 'go1.27.3', now()), ('n2', 1, 7, 'shop', '/srv/shop', 'go1.27.3', now()), \
         ('n2', 2, 7, 'admin', '/srv/shop', 'go1.27.3', now()), ('n2', 3, 9, 'idle', '/srv/idle', 'go1.21.1', now())",
    )
    .await;
    let columns = "SELECT build, services, executables, go_versions, stacks, addresses, unnamed, is_kept FROM builds ORDER BY build";
    assert_eq!(
        fixture.ask(columns).await,
        "0000000000000007\t['admin','shop']\t['/srv/shop']\t['go1.27.3']\t3\t4\t1\t0\n\
         0000000000000008\t[]\t[]\t[]\t1\t1\t1\t0\n\
         0000000000000009\t['idle']\t['/srv/idle']\t['go1.21.1']\t0\t0\t0\t0"
    );
}
