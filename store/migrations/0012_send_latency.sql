-- Send latency of TCP connections, and the goroutines that waited on them.
--
-- A send is one call that hands bytes to the kernel. Its latency goes from the call, stamped before any byte can have left, to the
-- acknowledgement of its last byte by the peer's kernel as it arrives: buffering by the own kernel, the way there, what is sent
-- again and the way back are in it; that the peer's program reads the bytes is not.

ALTER TABLE tcp_sessions
    ADD COLUMN IF NOT EXISTS sends_watched UInt8 DEFAULT 0 COMMENT '1 = sends were counted, 0 = they were not, and the columns below are 0' CODEC(ZSTD(1)) AFTER err_end_ns,
    ADD COLUMN IF NOT EXISTS sends UInt64 DEFAULT 0 COMMENT 'sends whose latency was measured' CODEC(T64, ZSTD(1)) AFTER sends_watched,
    ADD COLUMN IF NOT EXISTS send_total_ns UInt64 DEFAULT 0 COMMENT 'sum of their latencies, from the call to the peer''s acknowledgement of its last byte; ns of mono' CODEC(T64, ZSTD(1)) AFTER sends,
    ADD COLUMN IF NOT EXISTS send_max_ns UInt64 DEFAULT 0 COMMENT 'the longest of them, ns' CODEC(T64, ZSTD(1)) AFTER send_total_ns,
    ADD COLUMN IF NOT EXISTS send_hist Array(UInt64) DEFAULT [] COMMENT 'element k (from 0) counts the sends of [2^k, 2^(k+1)) ns' CODEC(ZSTD(1)) AFTER send_max_ns,
    ADD COLUMN IF NOT EXISTS sends_unmeasured UInt64 DEFAULT 0 COMMENT 'sends of which it could not be seen when they began, where they ended or when that was acknowledged' CODEC(T64, ZSTD(1)) AFTER send_hist,
    ADD COLUMN IF NOT EXISTS sends_unacknowledged UInt64 DEFAULT 0 COMMENT 'sends that were not acknowledged when the connection ended' CODEC(T64, ZSTD(1)) AFTER sends_unmeasured;

-- tcp_send_latency(t0, t1): how long what was sent took to be acknowledged, by service and who it was sent to, of the connections that
-- were there in [t0, t1). The figures are those of their whole lives.
--
-- opener          who opened the connections
-- peer_address    the other end
-- port            that of the end that was connected to: the other end's where this end opened it, this end's where the other did,
--                 and the lower one where that is not known
-- sessions        how many of the connections had their sends counted
-- sends           that were measured; p50, p90, p99: so many per cent of them took no longer, by the upper end of a power of two (so
--                 up to twice what they took); avg_ns and max_ns are exact
-- unmeasured, unacknowledged  not among sends
CREATE OR REPLACE VIEW tcp_send_latency AS
WITH
    -- Sessions are on their region's own clock.
    (SELECT toInt64(max(greatest(abs(off), abs(off_to)))) + 1000000000 FROM region_clock) AS apart_ns,
    sums AS (
        SELECT
            region, service, opener, peer_address,
            multiIf(opener = 'local', peer_port, opener = 'remote', local_port, least(local_port, peer_port)) AS port,
            count() AS sessions, sum(s.sends) AS sends, sum(s.send_total_ns) AS total_ns, max(s.send_max_ns) AS max_ns,
            arrayCumSum(sumForEach(s.send_hist)) AS up_to, sum(s.sends_unmeasured) AS unmeasured, sum(s.sends_unacknowledged) AS unacknowledged
        FROM tcp_sessions AS s FINAL
        WHERE s.sends_watched AND s.aligned < {t1:DateTime64(9, 'UTC')} + toIntervalNanosecond(apart_ns)
            -- Those that are open are told of again within half a minute of what they send.
            AND s.aligned_end + toIntervalSecond(if(s.ended, 0, 60)) >= {t0:DateTime64(9, 'UTC')} - toIntervalNanosecond(apart_ns)
        GROUP BY region, service, opener, peer_address, port
    ),
    placed AS (
        SELECT
            *,
            -- Element k holds what is below 2^k, counted from 1, and the last one also what is longer. Of none, all are 0.
            arrayMap(q -> arrayFirstIndex(n -> n >= q * sends, up_to), [0.5, 0.9, 0.99]) AS elements,
            arrayMap(k -> if(k >= length(up_to), max_ns, least(bitShiftLeft(toUInt64(1), k), max_ns)), elements) AS quantiles
        FROM sums
    )
SELECT
    region, service, opener, peer_address, port, sessions, sends,
    quantiles[1] AS p50_ns, quantiles[2] AS p90_ns, quantiles[3] AS p99_ns, max_ns, if(sends = 0, 0, intDiv(total_ns, sends)) AS avg_ns, unmeasured, unacknowledged
FROM placed;

-- tcp_session_waits(t0, t1): the waits of goroutines that began in [t0, t1) for a TCP connection that is in `tcp_sessions`: connects, reads,
-- writes. Connections that are open are there once they have been for as long as --tcp-open says.
--
-- session_*       the connection: (node, boot, session_mono_ns, socket) is its identity, session_service and session_pid its owner
-- sends, send_max_ns  of its whole life, as in tcp_sessions
-- The rest as in `timeline`.
--
-- Both are of one node, so they are held against each other on its raw clock: of connections that had the same ends one after the other, a wait
-- is that one's that had begun last when the wait ended. Ends in two network namespaces of a node that have the same addresses are
-- not told apart.
CREATE OR REPLACE VIEW tcp_session_waits AS
WITH
    waits AS (
        SELECT *, mono_ns + dur_ns AS mono_end_ns
        FROM timeline(t0 = {t0:DateTime64(9, 'UTC')}, t1 = {t1:DateTime64(9, 'UTC')})
        WHERE peer_port != 0 AND goid != 0
    ),
    sessions AS (
        SELECT
            region, node, boot, mono_ns, socket, service, pid, opener, ended, dur_ns, sends, send_max_ns,
            local_address, local_port, peer_address, peer_port
        FROM tcp_sessions FINAL
        WHERE (local_address, local_port, peer_address, peer_port) IN (SELECT local_address, local_port, peer_address, peer_port FROM waits)
    )
SELECT
    w.region AS region, w.node AS node, w.boot AS boot, s.mono_ns AS session_mono_ns, s.socket AS socket, s.service AS session_service,
    s.pid AS session_pid, s.opener AS opener, s.ended AS ended, s.dur_ns AS session_dur_ns, s.sends AS sends, s.send_max_ns AS send_max_ns,
    w.local_address AS local_address, w.local_port AS local_port, w.peer_address AS peer_address, w.peer_port AS peer_port,
    w.service AS service, w.pid AS pid, w.goid AS goid, w.tid AS tid, w.kind AS kind, w.reason AS reason, w.aligned AS aligned, w.err_ns AS err_ns,
    w.mono_ns AS mono_ns, w.dur_ns AS dur_ns, w.run_delay_ns AS run_delay_ns, w.stack AS stack, w.stack_id AS stack_id, w.trace AS trace, w.span AS span
FROM waits AS w
ASOF JOIN sessions AS s
    ON w.region = s.region AND w.node = s.node AND w.boot = s.boot AND w.local_address = s.local_address AND w.local_port = s.local_port
    AND w.peer_address = s.peer_address AND w.peer_port = s.peer_port AND w.mono_end_ns >= s.mono_ns
WHERE NOT s.ended OR w.mono_ns <= s.mono_ns + s.dur_ns;
