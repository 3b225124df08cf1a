-- Waits that go on: a goroutine that is stuck is in no finished wait.

CREATE TABLE IF NOT EXISTS open_waits (
    bucket        DateTime('UTC') COMMENT 'start of the minute in which it was looked at, stamped once; s since 1970' CODEC(Delta(4), ZSTD(1)),
    region        LowCardinality(String) COMMENT 'region of the node',
    service       LowCardinality(String) COMMENT 'service of the process',
    node          LowCardinality(String) COMMENT 'name of the node',
    boot          UInt64 COMMENT 'first 8 bytes of the boot id' CODEC(ZSTD(1)),
    pid           UInt32 COMMENT 'process id in the host''s namespace' CODEC(T64, ZSTD(1)),
    tid           UInt32 COMMENT 'thread that waits, or that the goroutine parked on' CODEC(T64, ZSTD(1)),
    goid          UInt64 COMMENT 'goroutine id' CODEC(T64, ZSTD(1)),
    kind          Enum8('goroutine' = 1, 'syscall' = 2, 'off_cpu' = 3, 'cgo' = 4) COMMENT 'what waits',
    reason        LowCardinality(String) COMMENT 'Go''s text of the wait reason, such as "chan receive"; of a system call its name, such as "read"',
    mono_ns       UInt64 COMMENT 'begin; mono, ns. (node, boot, pid, kind, goid, tid, mono_ns) is its identity, here and in events when it has ended' CODEC(DoubleDelta, ZSTD(1)),
    wall_off      Int64 COMMENT 'wall - mono at its begin, ns' CODEC(Delta(8), ZSTD(1)),
    dur_ns        UInt64 COMMENT 'how long it had gone on when it was looked at, or until its process ended; ns of mono' CODEC(T64, ZSTD(1)),
    run_delay_ns  UInt64 COMMENT 'since when it was ready and did not run, a part of dur_ns; 0 unless flags has bit 0' CODEC(T64, ZSTD(1)),
    flags         UInt16 COMMENT 'bits 0 to 5 as in events; bit 6 (64): it never ended, its process did' CODEC(T64, ZSTD(1)),
    stack_id      UInt64 COMMENT 'stacks.stack_id; 0 = no stack' CODEC(ZSTD(1)),
    waker_goid    UInt64 COMMENT 'goroutine that made it ready; 0 = not known' CODEC(T64, ZSTD(1)),
    address       UInt64 COMMENT 'what it waits on, in the memory of the process; 0 = not known' CODEC(ZSTD(1)),
    fd            Int32 COMMENT 'file descriptor it waits for; -1 = none, or not known' CODEC(T64, ZSTD(1)),
    fd_type       LowCardinality(String) COMMENT 'what the descriptor stands for: tcp, pipe, file, ...; "socket" = one that is not TCP; empty = not known',
    local_address IPv6 COMMENT 'this end of its connection (network.local.address); IPv4 as ::ffff:a.b.c.d' CODEC(ZSTD(1)),
    local_port    UInt16 COMMENT 'port of this end (network.local.port); 0 = no connection' CODEC(T64, ZSTD(1)),
    peer_address  IPv6 COMMENT 'the other end (network.peer.address); IPv4 as ::ffff:a.b.c.d' CODEC(ZSTD(1)),
    peer_port     UInt16 COMMENT 'port of the other end (network.peer.port); 0 = not connected' CODEC(T64, ZSTD(1)),
    ref_run       UInt64 COMMENT 'run of the reference that al_off leads to' CODEC(ZSTD(1)),
    al_off        Int64 COMMENT 'REF - mono at its begin, ns' CODEC(Delta(8), ZSTD(1)),
    al_end_off    Int64 COMMENT 'REF - mono when it was looked at, ns' CODEC(Delta(8), ZSTD(1)),
    err_ns        UInt64 COMMENT 'half width of the bound of the begin, ns; 18446744073709551615 = unbounded' CODEC(T64, ZSTD(1)),
    err_end_ns    UInt64 COMMENT 'half width of the bound of the look, ns; the same' CODEC(T64, ZSTD(1)),
    aligned       DateTime64(9, 'UTC') ALIAS fromUnixTimestamp64Nano(toInt64(mono_ns) + al_off, 'UTC') COMMENT 'begin; REF of the region',
    aligned_end   DateTime64(9, 'UTC') ALIAS fromUnixTimestamp64Nano(toInt64(mono_ns + dur_ns) + al_end_off, 'UTC') COMMENT 'the look; REF of the region'
) ENGINE = MergeTree
PARTITION BY toDate(bucket)
ORDER BY (bucket, region, service, node, boot, mono_ns)
TTL bucket + INTERVAL 3 DAY DELETE
SETTINGS non_replicated_deduplication_window = 100000, ttl_only_drop_parts = 1
COMMENT 'Waits that go on: a row at an age of --open-after, at each age four times the last, every hour, and when the process ends before the wait';

-- stack_tops: of each stack the innermost function that is not Go's own way of waiting, as in timeline. Ask for some by stack_id.
CREATE OR REPLACE VIEW stack_tops AS
SELECT
    stack_id,
    arrayFirst(f -> position(f, ' ') > 0 AND NOT match(f, '^(runtime[./]|internal/|sync[.]|sync/atomic[.]|syscall[.]|time[.]Sleep|net[.][(][*]netFD[)]|golang[.]org/x/sync/)'), frames) AS outside,
    splitByChar(' ', if(outside != '', outside, frames[1]))[1] AS top
FROM stacks_named;

-- open_waits_now: the waits that go on now, as far as is known, each with what was told of it last. Those that have ended, by an event
-- or with their process, are left out.
--
-- since, err_ns    its begin on the region's clock, and the half width of the bound of it
-- seen, open_ns    when it was looked at last, and how long it had gone on then
-- is_current       0: it should have been told of again since and was not: its agent, or the way from there, has stopped
-- stack            the innermost function that is not Go's own way of waiting, as in timeline
--
-- Whatever goes on is told of within an hour, so older rows need not be read.
CREATE OR REPLACE VIEW open_waits_now AS
WITH
    told AS (
        SELECT
            region, node, boot, pid, kind, goid, tid, mono_ns, max(o.dur_ns) AS open_ns,
            argMax(o.service, o.dur_ns) AS service, argMax(o.reason, o.dur_ns) AS reason, argMax(o.flags, o.dur_ns) AS flags,
            argMax(o.stack_id, o.dur_ns) AS stack_id, argMax(o.address, o.dur_ns) AS address, argMax(o.fd, o.dur_ns) AS fd,
            argMax(o.fd_type, o.dur_ns) AS fd_type, argMax(o.local_address, o.dur_ns) AS local_address,
            argMax(o.local_port, o.dur_ns) AS local_port, argMax(o.peer_address, o.dur_ns) AS peer_address,
            argMax(o.peer_port, o.dur_ns) AS peer_port, argMax(o.aligned, o.dur_ns) AS since, argMax(o.aligned_end, o.dur_ns) AS seen,
            argMax(o.err_ns, o.dur_ns) AS err_ns
        FROM open_waits AS o
        WHERE bucket >= now('UTC') - INTERVAL 70 MINUTE
        GROUP BY region, node, boot, pid, kind, goid, tid, mono_ns
        HAVING max(bitAnd(o.flags, 64)) = 0
    ),
    -- An event's bucket is the minute of its begin, by a coarse idea of the clock.
    ended AS (
        SELECT region, node, boot, pid, kind, goid, tid, mono_ns
        FROM events
        WHERE bucket IN (SELECT arrayJoin([m - 60, m, m + 60]) FROM (SELECT DISTINCT toStartOfMinute(toDateTime(since, 'UTC')) AS m FROM told))
            AND (node, boot, mono_ns) IN (SELECT node, boot, mono_ns FROM told)
    ),
    tops AS (SELECT stack_id, top FROM stack_tops WHERE stack_id IN (SELECT stack_id FROM told))
SELECT
    t.region AS region, t.service AS service, t.node AS node, t.boot AS boot, t.pid AS pid, t.goid AS goid, t.tid AS tid, t.kind AS kind,
    t.reason AS reason, t.since AS since, t.err_ns AS err_ns, t.seen AS seen, t.open_ns AS open_ns,
    toUInt8(now64(9, 'UTC') < addNanoseconds(t.seen, least(3 * t.open_ns, 3600000000000) + 120000000000)) AS is_current,
    s.top AS stack, t.stack_id AS stack_id, t.fd AS fd, t.fd_type AS fd_type, t.local_address AS local_address, t.local_port AS local_port,
    t.peer_address AS peer_address, t.peer_port AS peer_port, t.address AS address, t.flags AS flags, t.mono_ns AS mono_ns
FROM (
    SELECT * FROM told
    WHERE (region, node, boot, pid, kind, goid, tid, mono_ns) NOT IN (SELECT region, node, boot, pid, kind, goid, tid, mono_ns FROM ended)
) AS t
LEFT JOIN tops AS s ON t.stack_id = s.stack_id;
