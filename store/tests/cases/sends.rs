//! The views `tcp_send_latency` and `tcp_session_waits`.

use super::edges::{FAR, NEAR, READ, WAIT, Wait, asked, columns_of, insert_waits, name_stacks};
use super::{Fixture, base_ns, run};

const SECOND: i64 = 1_000_000_000;
const MS: i64 = 1_000_000;

/// A session from and to ns after the base, on the REF of the only region; mono is 1 s behind it.
struct Session {
    node: &'static str,
    boot: u64,
    socket: u64,
    opener: &'static str,
    ends: (&'static str, &'static str),
    from: i64,
    to: i64,
    is_watched: bool,
    /// Number, sum, longest and histogram.
    sends: (u64, u64, u64, &'static str),
    /// Not measured, and not acknowledged.
    others: (u64, u64),
}

const SESSION: Session = Session {
    node: "a",
    boot: 1,
    socket: 1,
    opener: "local",
    ends: (NEAR, FAR),
    from: 0,
    to: SECOND,
    is_watched: true,
    sends: (0, 0, 0, "[]"),
    others: (0, 0),
};

async fn insert_sessions(fixture: &Fixture, sessions: &[Session]) {
    for session in sessions {
        let Session { node, boot, socket, opener, ends, from, to, is_watched, sends, others } = session;
        let at = base_ns() + from;
        run(
            &fixture.store,
            &format!(
                "INSERT INTO tcp_sessions (bucket, region, service, node, boot, pid, socket, opener, local_address, local_port, peer_address, \
                 peer_port, mono_ns, dur_ns, ended, al_off, al_end_off, ref_run, sends_watched, sends, send_total_ns, send_max_ns, send_hist, \
                 sends_unmeasured, sends_unacknowledged) VALUES ({}, 'eu', 'of-{node}', '{node}', {boot}, 10, {socket}, '{opener}', {}, {}, {}, 1, \
                 {SECOND}, {SECOND}, 1, {is_watched}, {}, {}, {}, {}, {}, {})",
                at / (60 * SECOND) * 60,
                columns_of(*ends),
                at - SECOND,
                to - from,
                sends.0,
                sends.1,
                sends.2,
                sends.3,
                others.0,
                others.1,
            ),
        )
        .await;
    }
}

pub(super) async fn latency_is_summed_by_service_and_who_it_was_sent_to() {
    let fixture = Fixture::migrated().await;
    // 90 below 8 ns and one of 70: one in a hundred is not the tail of 99 per cent of 91.
    let short = Session { sends: (90, 540, 7, "[0, 0, 90]"), others: (4, 0), ..SESSION };
    let long = Session { socket: 2, sends: (1, 70, 70, "[0, 0, 0, 0, 0, 0, 1]"), others: (0, 5), ..SESSION };
    // What this end took from others, on one port of its own: each comes from another port.
    let taken =
        |socket, port, sends| Session { socket, opener: "remote", ends: ("fd00::1:443", port), sends, ..SESSION };
    let one = taken(3, "fd00::2:50001", (1, 1_000, 1_000, "[0, 0, 0, 0, 0, 0, 0, 0, 0, 1]"));
    let other = taken(4, "fd00::2:50002", (1, 3_000, 3_000, "[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]"));
    // Not counted, not then, and one that sent nothing.
    let off = Session { socket: 5, is_watched: false, ..SESSION };
    let before = Session { socket: 6, from: -30 * SECOND, to: -20 * SECOND, sends: (9, 9, 9, "[9]"), ..SESSION };
    let silent = Session { socket: 7, opener: "unknown", ..SESSION };
    insert_sessions(&fixture, &[short, long, one, other, off, before, silent]).await;
    let what = "service, opener, peer_address, port, sessions, sends, p50_ns, p90_ns, p99_ns, max_ns, avg_ns, unmeasured, unacknowledged";
    let rows = asked(&fixture, what, "tcp_send_latency").await;
    let expected = [
        "of-a\tunknown\t::ffff:10.0.0.2\t80\t1\t0\t0\t0\t0\t0\t0\t0\t0",
        "of-a\tlocal\t::ffff:10.0.0.2\t80\t2\t91\t8\t8\t70\t70\t6\t4\t5",
        "of-a\tremote\tfd00::2\t443\t2\t2\t1024\t3000\t3000\t3000\t2000\t0\t0",
    ];
    assert_eq!(rows.lines().collect::<Vec<_>>(), expected);
}

/// The question of docs/schema.md.
fn goroutines_by_connection() -> &'static str {
    let schema = include_str!("../../../docs/schema.md");
    let (_, after) = schema.split_once("### Which goroutines waited on which connections").unwrap();
    after.split_once("```sql\n").unwrap().1.split_once("```").unwrap().0
}

pub(super) async fn waits_find_the_connection_that_they_were_for() {
    let fixture = Fixture::migrated().await;
    let six: (&str, &str) = ("fd00::1:1000", "fd00::2:80");
    let waits = [
        // Began before connect() did and ended in the first session; in the second one; and after it had ended.
        Wait { goid: 1, kind: "syscall", reason: "connect", at: 0, dur: 20 * MS, ..READ },
        Wait { goid: 2, at: 2_500 * MS, ..READ },
        Wait { goid: 3, at: 5_000 * MS, ..READ },
        // Over IPv6, of a session that is open: as it was last told, it was shorter.
        Wait { goid: 4, at: 9_000 * MS, ends: Some(six), ..READ },
        // Of another node, of another boot, for no connection, and of no goroutine.
        Wait { goid: 5, node: "b", at: 100 * MS, ..READ },
        Wait { goid: 6, boot: 3, at: 100 * MS, ..READ },
        Wait { goid: 7, at: 100 * MS, ..WAIT },
        Wait { goid: 0, kind: "syscall", at: 100 * MS, ..READ },
    ];
    insert_waits(&fixture, &waits).await;
    name_stacks(&fixture, &[(7, "shop.load")]).await;
    let first = Session { from: 5 * MS, sends: (3, 30, 11, "[0, 0, 0, 3]"), ..SESSION };
    let second = Session { socket: 2, from: 2_000 * MS, to: 4_000 * MS, ..SESSION };
    let open = Session { socket: 3, from: 3_000 * MS, to: 4_000 * MS, ends: six, ..SESSION };
    insert_sessions(&fixture, &[first, second, open]).await;
    // Of the open one the row says that it is not over.
    let not_over = "INSERT INTO tcp_sessions SELECT * REPLACE(0 AS ended, dur_ns + 1 AS dur_ns) FROM tcp_sessions WHERE socket = 3";
    run(&fixture.store, not_over).await;
    let what = "goid, socket, ended, session_pid, reason, dur_ns, sends, send_max_ns, peer_address, stack";
    let rows = asked(&fixture, what, "tcp_session_waits").await;
    let expected = [
        "1\t1\t1\t10\tconnect\t20000000\t3\t11\t::ffff:10.0.0.2\tshop.load",
        "2\t2\t1\t10\tIO wait\t10000000\t0\t0\t::ffff:10.0.0.2\tshop.load",
        "4\t3\t0\t10\tIO wait\t10000000\t0\t0\tfd00::2\tshop.load",
    ];
    assert_eq!(rows.lines().collect::<Vec<_>>(), expected);
    let window = format!("t0 = fromUnixTimestamp64Nano({}, 'UTC')", base_ns());
    let question = goroutines_by_connection().replace("t0 = now64(9) - 600", &window);
    let question =
        question.replace("t1 = now64(9)", &format!("t1 = fromUnixTimestamp64Nano({}, 'UTC')", base_ns() + 20 * SECOND));
    let rows = fixture.ask(&question).await;
    assert_eq!(rows.lines().next(), Some("a\tof-a\t10\t1\t::ffff:10.0.0.2\t80\t1\t1\t0.02\t0\t0\t0"), "{rows}");
    assert_eq!(rows.lines().count(), 3, "{rows}");
}
