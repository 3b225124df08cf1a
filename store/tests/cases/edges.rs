//! The views `wake_edges` and `lock_sites`.

use super::{Fixture, base_ns, run};

const SECOND: i64 = 1_000_000_000;
const MS: i64 = 1_000_000;

/// A wait from its beginning, ns after the base, on the REF of the only region; mono is 1 s behind it.
pub(super) struct Wait {
    pub(super) node: &'static str,
    pub(super) boot: u64,
    pub(super) pid: u32,
    pub(super) goid: u64,
    pub(super) kind: &'static str,
    pub(super) reason: &'static str,
    pub(super) at: i64,
    pub(super) dur: i64,
    pub(super) flags: u16,
    pub(super) stack: u64,
    pub(super) waker: (u64, u64),
    /// Local and peer.
    pub(super) ends: Option<(&'static str, &'static str)>,
    pub(super) result: i64,
}

pub(super) const WAIT: Wait = Wait {
    node: "a",
    boot: 1,
    pid: 10,
    goid: 5,
    kind: "goroutine",
    reason: "chan receive",
    at: 0,
    dur: 10 * MS,
    flags: 1,
    stack: 7,
    waker: (0, 0),
    ends: None,
    result: 0,
};
/// The network poller made it ready.
pub(super) const READ: Wait = Wait { reason: "IO wait", flags: 3, ends: Some((NEAR, FAR)), ..WAIT };
pub(super) const NEAR: &str = "10.0.0.1:1000";
pub(super) const FAR: &str = "10.0.0.2:80";
/// Each of the waits was ready so long before it ran.
const RUN_DELAY: i64 = MS;

pub(super) fn columns_of(ends: (&str, &str)) -> String {
    let column = |end: &str| {
        let (address, port) = end.rsplit_once(':').unwrap();
        format!("'{address}', {port}")
    };
    format!("{}, {}", column(ends.0), column(ends.1))
}

pub(super) async fn insert_waits(fixture: &Fixture, waits: &[Wait]) {
    for (seq, wait) in (1..).zip(waits) {
        let at = base_ns() + wait.at;
        let ends = wait.ends.map_or("'::', 0, '::', 0".to_owned(), columns_of);
        let Wait { node, boot, pid, goid, kind, reason, dur, flags, stack, waker, result, .. } = wait;
        run(
            &fixture.store,
            &format!(
                "INSERT INTO events (bucket, region, service, node, boot, seq, pid, goid, kind, reason, mono_ns, dur_ns, run_delay_ns, flags, \
                 stack_id, waker_goid, waker_stack_id, local_address, local_port, peer_address, peer_port, result, ref_run, al_off, \
                 al_end_off, err_ns, err_end_ns, address) VALUES ({}, 'eu', 'of-{node}', '{node}', {boot}, {seq}, {pid}, {goid}, '{kind}', '{reason}', \
                 {}, {dur}, {RUN_DELAY}, {flags}, {stack}, {}, {}, {ends}, {result}, 1, {SECOND}, {SECOND}, 3, 4, 77)",
                at / (60 * SECOND) * 60,
                at - SECOND,
                waker.0,
                waker.1,
            ),
        )
        .await;
    }
}

/// A session of a process, from and to ns after the base, on its region's clock.
async fn insert_session(
    fixture: &Fixture,
    (region, node, boot, pid): (&str, &str, u64, u32),
    ends: (&str, &str),
    from: i64,
    to: i64,
) {
    let at = base_ns() + from;
    run(
        &fixture.store,
        &format!(
            "INSERT INTO tcp_sessions (bucket, region, service, node, boot, pid, socket, local_address, local_port, peer_address, peer_port, \
             mono_ns, dur_ns, al_off, al_end_off, ref_run) VALUES ({}, '{region}', 'of-{node}', '{node}', {boot}, {pid}, {pid}, {}, {}, {}, {SECOND}, {SECOND}, 1)",
            at / (60 * SECOND) * 60,
            columns_of(ends),
            at - SECOND,
            to - from,
        ),
    )
    .await;
}

/// A marked message that a goroutine on node b sent.
async fn insert_send(fixture: &Fixture, goid: u64, ends: (&str, &str), sent: i64) {
    let at = base_ns() + sent;
    run(
        &fixture.store,
        &format!(
            "INSERT INTO messages (bucket, region, service, node, boot, pid, goid, direction, local_address, local_port, peer_address, peer_port, \
             mark, marks, mark_shift, mono_ns, ref_run, al_off, err_ns) \
             VALUES ({}, 'eu', 'of-b', 'b', 2, 20, {goid}, 'send', {}, 4096, 1, 12, {}, 1, {SECOND}, 6)",
            at / (60 * SECOND) * 60,
            columns_of(ends),
            at - SECOND,
        ),
    )
    .await;
}

/// Stacks by number: a mutex's in the function of that name.
pub(super) async fn name_stacks(fixture: &Fixture, stacks: &[(u64, &str)]) {
    for (id, function) in stacks {
        run(
            &fixture.store,
            &format!("INSERT INTO stacks (stack_id, build_id, pcs, last_seen) VALUES ({id}, 3, [10, {id}], now())"),
        )
        .await;
        let symbols = format!(
            "(3, 10, 0, 'sync.(*Mutex).Lock', '/go/mutex.go', 2), (3, {id}, 0, '{function}', '/shop/shop.go', 3)"
        );
        run(&fixture.store, &format!("INSERT INTO symbols (build_id, pc, depth, func, file, line) VALUES {symbols}"))
            .await;
    }
}

pub(super) async fn asked(fixture: &Fixture, what: &str, view: &str) -> String {
    let time = |ns: i64| format!("fromUnixTimestamp64Nano({ns}, 'UTC')");
    let (from, to) = (time(base_ns()), time(base_ns() + 20 * SECOND));
    fixture.ask(&format!("SELECT {what} FROM {view}(t0 = {from}, t1 = {to}) ORDER BY ALL")).await
}

pub(super) async fn a_goroutine_that_wakes_another_is_an_edge_within_its_process() {
    let fixture = Fixture::migrated().await;
    name_stacks(&fixture, &[(7, "main.take"), (8, "main.give")]).await;
    let of_poller = Wait { goid: 6, flags: 3, at: SECOND, ..WAIT };
    insert_waits(&fixture, &[Wait { waker: (9, 8), ..WAIT }, of_poller]).await;
    let what = "via, toUnixTimestamp64Nano(at), err_ns, node, pid, goid, stack, waker_node, waker_pid, waker_goid, waker_stack, sent";
    let ready = base_ns() + 10 * MS - RUN_DELAY;
    let expected = format!("goroutine\t{ready}\t4\ta\t10\t5\tmain.take\ta\t10\t9\tmain.give\t\\N");
    assert_eq!(asked(&fixture, what, "wake_edges").await, expected);
}

pub(super) async fn the_other_end_of_a_connection_is_an_edge_across_nodes() {
    let fixture = Fixture::migrated().await;
    let later = Wait { goid: 6, at: SECOND, ..READ };
    let in_call = Wait { goid: 7, kind: "syscall", reason: "read", flags: 1, at: 2 * SECOND, result: 5, ..READ };
    let on_next = Wait { goid: 8, at: 5 * SECOND, ..READ };
    insert_waits(&fixture, &[READ, later, in_call, on_next]).await;
    // Of the same ends one after the other.
    insert_session(&fixture, ("eu", "b", 2, 20), (FAR, NEAR), -SECOND, 3 * SECOND).await;
    insert_session(&fixture, ("eu", "b", 2, 21), (FAR, NEAR), 4 * SECOND + SECOND / 2, 6 * SECOND).await;
    insert_send(&fixture, 90, (FAR, NEAR), -5 * MS).await;
    insert_send(&fixture, 91, (FAR, NEAR), 4 * MS).await;
    // Sent when it ran already.
    insert_send(&fixture, 92, (FAR, NEAR), 2 * SECOND + 10 * MS - RUN_DELAY + 1).await;
    let what = "goid, via, kind, service, waker_service, waker_node, waker_boot, waker_pid, waker_goid, \
        toUnixTimestamp64Nano(sent), sent_err_ns";
    let edge = |goid: u64, kind: &str, pid: u32, rest: &str| {
        format!("{goid}\tnetwork\t{kind}\tof-a\tof-b\tb\t2\t{pid}\t{rest}")
    };
    let none = "0\t\\N\t\\N";
    let expected = [
        edge(5, "goroutine", 20, &format!("91\t{}\t6", base_ns() + 4 * MS)),
        edge(6, "goroutine", 20, none),
        edge(7, "syscall", 20, none),
        edge(8, "goroutine", 21, none),
    ];
    assert_eq!(asked(&fixture, what, "wake_edges").await, expected.join("\n"));
}

pub(super) async fn an_edge_leads_into_a_region_whose_clock_is_another() {
    let fixture = Fixture::migrated().await;
    // Its clock is 10 s ahead of the fleet's.
    let (from, to, off) = (base_ns() - 100 * SECOND, base_ns() + 100 * SECOND, -10 * SECOND);
    run(
        &fixture.store,
        &format!(
            "INSERT INTO region_clock (region, root, ref_run, root_run, ref_from, ref_to, off, off_to) VALUES ('us', 'eu', 1, 1, {from}, {to}, {off}, {off})"
        ),
    )
    .await;
    insert_waits(&fixture, &[READ]).await;
    insert_session(&fixture, ("us", "b", 2, 20), (FAR, NEAR), 9 * SECOND, 13 * SECOND).await;
    assert_eq!(asked(&fixture, "goid, waker_region, waker_pid", "wake_edges").await, "5\tus\t20");
}

pub(super) async fn what_is_no_edge_across_nodes_is_none() {
    let fixture = Fixture::migrated().await;
    let loopback = ("127.0.0.1:1000", "127.0.0.1:80");
    insert_waits(
        &fixture,
        &[
            // Nobody is observed there; it was not ready for reading; the call failed; another machine's loopback; ended long before.
            Wait { ends: Some((NEAR, "10.0.0.3:80")), ..READ },
            Wait { goid: 6, flags: 1, ..READ },
            Wait { goid: 7, kind: "syscall", reason: "read", result: -104, ..READ },
            Wait { goid: 8, ends: Some(loopback), ..READ },
            Wait { goid: 9, ends: Some((NEAR, "10.0.0.4:80")), ..READ },
        ],
    )
    .await;
    insert_session(&fixture, ("eu", "b", 2, 20), (FAR, NEAR), -SECOND, 3 * SECOND).await;
    insert_session(&fixture, ("eu", "b", 2, 21), (loopback.1, loopback.0), -SECOND, 3 * SECOND).await;
    insert_session(&fixture, ("eu", "b", 2, 22), ("10.0.0.4:80", NEAR), -9_000 * SECOND, -7_200 * SECOND).await;
    assert_eq!(asked(&fixture, "*", "wake_edges").await, "");
    insert_session(&fixture, ("eu", "c", 1, 23), (loopback.1, loopback.0), -SECOND, 3 * SECOND).await;
    assert_eq!(asked(&fixture, "goid, waker_node", "wake_edges").await, "8\tc", "of one machine it is one");
}

pub(super) async fn lock_sites_name_who_held_the_locks() {
    let fixture = Fixture::migrated().await;
    name_stacks(&fixture, &[(7, "main.buy"), (8, "main.sell"), (9, "main.restock")]).await;
    let lock = |goid: u64, waker: (u64, u64), dur: i64| Wait { reason: "sync.Mutex.Lock", goid, waker, dur, ..WAIT };
    insert_waits(
        &fixture,
        &[
            lock(1, (5, 8), 10 * MS),
            lock(2, (5, 8), 20 * MS),
            Wait { node: "b", ..lock(3, (6, 9), 30 * MS) },
            lock(4, (0, 0), 40 * MS),
            Wait { kind: "syscall", reason: "futex", ..WAIT },
            // A thread without a goroutine, and what is no lock.
            Wait { kind: "syscall", reason: "futex", goid: 0, ..WAIT },
            Wait { waker: (5, 8), ..WAIT },
        ],
    )
    .await;
    let what = "level, service, reason, site, contentions, waited_ns, max_ns, locks, holders";
    let expected = [
        "futex\tof-a\tfutex\tmain.buy\t1\t10000000\t10000000\t1\t[('',1)]",
        "go\tof-a\tsync.Mutex.Lock\tmain.buy\t3\t70000000\t40000000\t1\t[('main.sell',2),('',1)]",
        "go\tof-b\tsync.Mutex.Lock\tmain.buy\t1\t30000000\t30000000\t1\t[('main.restock',1)]",
    ];
    assert_eq!(asked(&fixture, what, "lock_sites").await, expected.join("\n"));
}

/// C code and the kernel's only carry a wait, as Go's runtime does; a name may have blanks.
pub(super) async fn the_site_stays_the_go_function_where_other_code_waits() {
    let fixture = Fixture::migrated().await;
    let stacks = "INSERT INTO stacks VALUES (11, 1, [1, 2, 3, 4], 1), (12, 1, [1, 5, 3], 1), (13, 1, [5, 6], 1), (14, 1, [2, 1], 1)";
    run(&fixture.store, stacks).await;
    run(
        &fixture.store,
        "INSERT INTO symbols VALUES (1, 1, 0, 'read (kernel)', '', 0), (1, 2, 0, 'nap (libc.so.6)', 'nap.c', 3), \
         (1, 3, 0, 'runtime.cgocall', 'cgocall.go', 1), (1, 4, 0, 'main.f', 'main.go', 2), \
         (1, 5, 0, 'ns::operator/(int, char) (shop)', '', 0), (1, 6, 0, 'main.f[func() (int)]', 'main.go', 3)",
    )
    .await;
    let wait = |stack: u64| Wait { reason: "sync.Mutex.Lock", stack, waker: (9, stack), ..WAIT };
    insert_waits(&fixture, &[wait(11), wait(12), wait(13), wait(14)]).await;
    // Where there is none but Go's own it is that, and where there is none at all it is the innermost.
    let sites = ["main.f", "main.f[func() (int)]", "nap (libc.so.6)", "runtime.cgocall"];
    let pairs = sites.map(|site| format!("{site}\t{site}")).join("\n");
    assert_eq!(asked(&fixture, "stack", "timeline").await, sites.join("\n"));
    assert_eq!(fixture.ask("SELECT t.top FROM stack_tops AS t ORDER BY t.top").await, sites.join("\n"));
    assert_eq!(asked(&fixture, "stack, waker_stack", "wake_edges").await, pairs);
    assert_eq!(asked(&fixture, "site, holders[1].1", "lock_sites").await, pairs);
}
