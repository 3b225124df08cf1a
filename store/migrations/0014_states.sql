-- How goroutines spent their time, by state: of a process all together, and of single ones.

CREATE TABLE IF NOT EXISTS process_states (
    bucket        DateTime('UTC') COMMENT 'start of the minute in which the interval began; s since 1970' CODEC(Delta(4), ZSTD(1)),
    region        LowCardinality(String) COMMENT 'region of the node',
    service       LowCardinality(String) COMMENT 'service of the process',
    node          LowCardinality(String) COMMENT 'name of the node',
    boot          UInt64 COMMENT 'first 8 bytes of the boot id' CODEC(ZSTD(1)),
    pid           UInt32 COMMENT 'process id in the host''s namespace' CODEC(T64, ZSTD(1)),
    mono_ns       UInt64 COMMENT 'begin of the interval, the end of the one before; mono, ns' CODEC(DoubleDelta, ZSTD(1)),
    dur_ns        UInt64 COMMENT 'length of the interval; ns of mono' CODEC(T64, ZSTD(1)),
    running_ns    UInt64 COMMENT 'time that its goroutines ran, all together; ns' CODEC(T64, ZSTD(1)),
    runnable_ns   UInt64 COMMENT 'time that they were ready and did not run; ns' CODEC(T64, ZSTD(1)),
    syscall_ns    UInt64 COMMENT 'time that they were in system calls; ns' CODEC(T64, ZSTD(1)),
    cgo_ns        UInt64 COMMENT 'time that they were in C code; ns' CODEC(T64, ZSTD(1)),
    blocked_ns    UInt64 COMMENT 'time that they were blocked: the sum of blocked_by; ns' CODEC(T64, ZSTD(1)),
    blocked_by    Map(LowCardinality(String), UInt64) COMMENT 'time blocked by reason, Go''s text of it such as "chan receive"; "other" = several; ns' CODEC(ZSTD(1)),
    blocked_times Map(LowCardinality(String), UInt64) COMMENT 'how many times, by the same reasons' CODEC(ZSTD(1)),
    goroutines    UInt64 COMMENT 'goroutines alive at the end of the interval' CODEC(T64, ZSTD(1)),
    started       UInt64 COMMENT 'goroutines that began in it' CODEC(T64, ZSTD(1)),
    ended         UInt64 COMMENT 'goroutines that ended in it' CODEC(T64, ZSTD(1)),
    runs          UInt64 COMMENT 'times that a goroutine began to run' CODEC(T64, ZSTD(1)),
    handoffs      UInt64 COMMENT 'returns from a system call or C code whose P had been handed off meanwhile' CODEC(T64, ZSTD(1)),
    ref_run       UInt64 COMMENT 'run of the reference that al_off leads to' CODEC(ZSTD(1)),
    al_off        Int64 COMMENT 'REF - mono at mono_ns, as it was known when stored, ns' CODEC(Delta(8), ZSTD(1)),
    al_end_off    Int64 COMMENT 'REF - mono at mono_ns + dur_ns, ns' CODEC(Delta(8), ZSTD(1)),
    err_ns        UInt64 COMMENT 'half width of the bound at mono_ns, ns; 18446744073709551615 = unbounded' CODEC(T64, ZSTD(1)),
    err_end_ns    UInt64 COMMENT 'half width of the bound at mono_ns + dur_ns, ns; the same' CODEC(T64, ZSTD(1)),
    aligned       DateTime64(9, 'UTC') ALIAS fromUnixTimestamp64Nano(toInt64(mono_ns) + al_off, 'UTC') COMMENT 'begin; REF of the region',
    aligned_end   DateTime64(9, 'UTC') ALIAS fromUnixTimestamp64Nano(toInt64(mono_ns + dur_ns) + al_end_off, 'UTC') COMMENT 'end; REF of the region'
) ENGINE = MergeTree
PARTITION BY toDate(bucket)
ORDER BY (bucket, region, service, node, boot, pid, mono_ns)
TTL bucket + INTERVAL 14 DAY DELETE
SETTINGS non_replicated_deduplication_window = 100000, ttl_only_drop_parts = 1
COMMENT 'How the goroutines of processes spent their time, interval by interval; the five states sum up to what they lived of it';

-- What is told of a goroutine later replaces what was told before: of each day one row is kept, and FINAL leaves the newest of them.
-- So never ask for buckets up to a moment; ask for those from a moment on.
CREATE TABLE IF NOT EXISTS goroutine_states (
    bucket        DateTime('UTC') COMMENT 'start of the minute as of when this is; s since 1970' CODEC(Delta(4), ZSTD(1)),
    region        LowCardinality(String) COMMENT 'region of the node',
    service       LowCardinality(String) COMMENT 'service of the process',
    node          LowCardinality(String) COMMENT 'name of the node',
    boot          UInt64 COMMENT 'first 8 bytes of the boot id' CODEC(ZSTD(1)),
    pid           UInt32 COMMENT 'process id in the host''s namespace' CODEC(T64, ZSTD(1)),
    goid          UInt64 COMMENT 'goroutine id; (node, boot, pid, goid, mono_ns) is the identity' CODEC(T64, ZSTD(1)),
    mono_ns       UInt64 COMMENT 'when it was first seen; mono, ns' CODEC(DoubleDelta, ZSTD(1)),
    wall_off      Int64 COMMENT 'wall - mono then, ns' CODEC(Delta(8), ZSTD(1)),
    dur_ns        UInt64 COMMENT 'from mono_ns until it ended, or until as of when this is; ns of mono' CODEC(T64, ZSTD(1)),
    start_seen    UInt8 COMMENT '1 = it began at mono_ns; 0 = it was there before' CODEC(ZSTD(1)),
    fate          Enum8('alive' = 0, 'finished' = 1, 'process_ended' = 2) COMMENT 'what became of it; process_ended: its program did',
    state         Enum8('running' = 1, 'runnable' = 2, 'syscall' = 3, 'cgo' = 4, 'blocked' = 5) COMMENT 'what it did then, or last; cgo = in C code',
    reason        LowCardinality(String) COMMENT 'Go''s text of why it was blocked; empty = not known, or another state',
    state_ns      UInt64 COMMENT 'for how long it had done that, a part of dur_ns; ns' CODEC(T64, ZSTD(1)),
    running_ns    UInt64 COMMENT 'time that it ran; ns' CODEC(T64, ZSTD(1)),
    runnable_ns   UInt64 COMMENT 'time that it was ready and did not run; ns' CODEC(T64, ZSTD(1)),
    syscall_ns    UInt64 COMMENT 'time that it was in system calls; ns' CODEC(T64, ZSTD(1)),
    cgo_ns        UInt64 COMMENT 'time that it was in C code; ns' CODEC(T64, ZSTD(1)),
    blocked_ns    UInt64 COMMENT 'time that it was blocked: the sum of blocked_by; ns' CODEC(T64, ZSTD(1)),
    blocked_by    Map(LowCardinality(String), UInt64) COMMENT 'time blocked by reason, Go''s text of it such as "chan receive"; "other" = several; ns' CODEC(ZSTD(1)),
    blocked_times Map(LowCardinality(String), UInt64) COMMENT 'how many times, by the same reasons' CODEC(ZSTD(1)),
    runs          UInt64 COMMENT 'times that it began to run' CODEC(T64, ZSTD(1)),
    handoffs      UInt64 COMMENT 'returns from a system call or C code whose P had been handed off meanwhile' CODEC(T64, ZSTD(1)),
    ref_run       UInt64 COMMENT 'run of the reference that al_off leads to' CODEC(ZSTD(1)),
    al_off        Int64 COMMENT 'REF - mono at mono_ns, as it was known when stored, ns' CODEC(Delta(8), ZSTD(1)),
    al_end_off    Int64 COMMENT 'REF - mono at mono_ns + dur_ns, ns' CODEC(Delta(8), ZSTD(1)),
    err_ns        UInt64 COMMENT 'half width of the bound at mono_ns, ns; 18446744073709551615 = unbounded' CODEC(T64, ZSTD(1)),
    err_end_ns    UInt64 COMMENT 'half width of the bound at mono_ns + dur_ns, ns; the same' CODEC(T64, ZSTD(1)),
    aligned       DateTime64(9, 'UTC') ALIAS fromUnixTimestamp64Nano(toInt64(mono_ns) + al_off, 'UTC') COMMENT 'mono_ns; REF of the region',
    aligned_end   DateTime64(9, 'UTC') ALIAS fromUnixTimestamp64Nano(toInt64(mono_ns + dur_ns) + al_end_off, 'UTC') COMMENT 'mono_ns + dur_ns; REF of the region',
    wall          DateTime64(9, 'UTC') ALIAS fromUnixTimestamp64Nano(toInt64(mono_ns) + wall_off, 'UTC') COMMENT 'mono_ns; the node''s own wall clock'
) ENGINE = ReplacingMergeTree(dur_ns)
PARTITION BY toDate(bucket)
ORDER BY (region, node, boot, pid, goid, mono_ns)
TTL bucket + INTERVAL 14 DAY DELETE
SETTINGS non_replicated_deduplication_window = 100000, ttl_only_drop_parts = 1
COMMENT 'How single goroutines spent their time since they were first seen; the five states sum up to dur_ns; query with FINAL';

-- state_split(t0, t1): how the goroutines of each process spent their time in the intervals that began in [t0, t1) on the fleet's clock:
-- a row for each state, of 'blocked' for each reason.
--
-- total_ns, share  time of all its goroutines in that state, and which part of all their time it is: the shares of a process sum up to 1
-- mean             how many goroutines were in it at a time, on average
-- times            how often: of 'running' how often one began to run, of 'blocked' how often one was blocked; NULL of the others
-- observed_ns      length of the intervals together
-- goroutines       alive at the end of the last; started, ended, runs, handoffs: in all of them
--
-- An interval belongs as a whole to the moment at which it began. How regions are mapped and buckets searched: see timeline.
CREATE OR REPLACE VIEW state_split AS
WITH
    toUnixTimestamp64Nano({t0:DateTime64(9, 'UTC')}) AS t0_ns,
    toUnixTimestamp64Nano({t1:DateTime64(9, 'UTC')}) AS t1_ns,
    (SELECT toInt64(max(greatest(abs(off), abs(off_to)))) + 1000000000 FROM region_clock) AS apart_ns,
    maps AS (SELECT * FROM region_maps(t0 = {t0:DateTime64(9, 'UTC')}, t1 = {t1:DateTime64(9, 'UTC')})),
    intervals AS (
        SELECT *, toInt64(mono_ns) + al_off AS ref_ns
        FROM process_states
        WHERE bucket >= toStartOfMinute(toDateTime(intDiv(t0_ns - apart_ns, 1000000000) - 30, 'UTC'))
            AND bucket <= toDateTime(intDiv(t1_ns + apart_ns, 1000000000) + 30, 'UTC')
    ),
    placed AS (
        SELECT
            i.*,
            ref_ns + multiIf(m.mapped = 0, 0,
                ref_ns <= m.ref_to, m.off + toInt64(round((m.off_to - m.off) * ((ref_ns - m.ref_from) / greatest(m.ref_to - m.ref_from, 1)))),
                m.off_to + toInt64(round(m.rate_ppb * ((ref_ns - m.ref_to) / 1e9)))) AS at_ns
        FROM intervals AS i
        ASOF LEFT JOIN maps AS m ON i.region = m.map_region AND i.ref_run = m.map_run AND i.ref_ns >= m.ref_from
        WHERE at_ns >= t0_ns AND at_ns < t1_ns
    ),
    processes AS (
        SELECT
            region, service, node, boot, pid, sum(p.dur_ns) AS observed_ns,
            sum(p.running_ns) AS running, sum(p.runnable_ns) AS runnable, sum(p.syscall_ns) AS syscall, sum(p.cgo_ns) AS cgo,
            sum(p.blocked_ns) AS blocked, sumMap(p.blocked_by) AS by_reason, sumMap(p.blocked_times) AS times_by_reason,
            argMax(p.goroutines, p.mono_ns + p.dur_ns) AS goroutines, sum(p.started) AS started, sum(p.ended) AS ended, sum(p.runs) AS runs,
            sum(p.handoffs) AS handoffs
        FROM placed AS p
        GROUP BY region, service, node, boot, pid
    )
SELECT
    region, service, node, boot, pid, part.1 AS state, part.2 AS reason, part.3 AS total_ns,
    total_ns / greatest(running + runnable + syscall + cgo + blocked, 1) AS share,
    total_ns / greatest(observed_ns, 1) AS mean,
    part.4 AS times, observed_ns, goroutines, started, ended, runs, handoffs,
    runs / (greatest(observed_ns, 1) / 1e9) AS runs_per_s, handoffs / (greatest(observed_ns, 1) / 1e9) AS handoffs_per_s
FROM processes
ARRAY JOIN arrayConcat(
    [('running', '', running, toNullable(runs)), ('runnable', '', runnable, NULL), ('syscall', '', syscall, NULL), ('cgo', '', cgo, NULL)],
    arrayMap((r, ns) -> ('blocked', toString(r), ns, toNullable(times_by_reason[r])), mapKeys(by_reason), mapValues(by_reason))
) AS part;

-- goroutine_split(t0, t1): the goroutines that lived in [t0, t1), each with all that is known of its life, also before t0 and after t1:
-- ORDER BY runnable_ns DESC, or blocked_ns, ...
--
-- since, err_ns    when it was first seen, on the fleet's clock, and the half width of the node's bound of it
-- told, lived_ns   as of when the rest is, its end if it has ended; and how long that is after `since`: the sum of the five states
-- start_seen       0: it was there before `since`
-- state, reason, state_ns  what it did then, or last, and for how long
-- blocked_most     the reason for which it was blocked longest; blocked_by, blocked_times: all of them
--
-- One that does nothing is not told of again soon. So those that were alive when they were told of last, up to 70 minutes before t0, are
-- among them if their process was observed in the window and nothing newer is known of that goroutine; `told` says how old it is.
CREATE OR REPLACE VIEW goroutine_split AS
WITH
    toUnixTimestamp64Nano({t0:DateTime64(9, 'UTC')}) AS t0_ns,
    toUnixTimestamp64Nano({t1:DateTime64(9, 'UTC')}) AS t1_ns,
    (SELECT toInt64(max(greatest(abs(off), abs(off_to)))) + 1000000000 FROM region_clock) AS apart_ns,
    -- `since` is mapped as `told` is: what a region's clock was off long ago is not looked up.
    maps AS (SELECT * FROM region_maps(t0 = {t0:DateTime64(9, 'UTC')}, t1 = {t1:DateTime64(9, 'UTC')})),
    lives AS (
        SELECT *, toInt64(mono_ns) + al_off AS ref_ns, toInt64(mono_ns + dur_ns) + al_end_off AS ref_end_ns
        FROM goroutine_states FINAL
        WHERE bucket >= toStartOfMinute(toDateTime(intDiv(t0_ns - apart_ns, 1000000000) - 4230, 'UTC'))
    ),
    observed AS (
        SELECT DISTINCT region, node, boot, pid
        FROM process_states
        WHERE bucket >= toStartOfMinute(toDateTime(intDiv(t0_ns - apart_ns, 1000000000) - 30, 'UTC'))
            AND bucket <= toDateTime(intDiv(t1_ns + apart_ns, 1000000000) + 30, 'UTC')
    ),
    -- Of those that may go on since before t0, what is the newest: agents that were started again see a goroutine anew.
    newest AS (
        SELECT region, node, boot, pid, goid, max(g.mono_ns) AS first_ns
        FROM goroutine_states AS g
        WHERE toInt64(g.mono_ns) + g.al_off < t1_ns + apart_ns AND bucket >= toStartOfMinute(toDateTime(intDiv(t0_ns - apart_ns, 1000000000) - 4230, 'UTC'))
            AND (region, node, boot, pid, goid) IN (
                SELECT region, node, boot, pid, goid
                FROM goroutine_states
                WHERE bucket >= toStartOfMinute(toDateTime(intDiv(t0_ns - apart_ns, 1000000000) - 4230, 'UTC'))
                    AND bucket <= toDateTime(intDiv(t0_ns + apart_ns, 1000000000) + 30, 'UTC')
                    AND fate = 'alive' AND (region, node, boot, pid) IN (SELECT region, node, boot, pid FROM observed)
            )
        GROUP BY region, node, boot, pid, goid
    ),
    placed AS (
        SELECT
            l.*,
            fate = 'alive' AND (region, node, boot, pid, goid, mono_ns) IN (SELECT region, node, boot, pid, goid, first_ns FROM newest) AS goes_on,
            multiIf(m.mapped = 0, 0,
                ref_end_ns <= m.ref_to, m.off + toInt64(round((m.off_to - m.off) * ((ref_end_ns - m.ref_from) / greatest(m.ref_to - m.ref_from, 1)))),
                m.off_to + toInt64(round(m.rate_ppb * ((ref_end_ns - m.ref_to) / 1e9)))) AS region_off_ns
        FROM lives AS l
        ASOF LEFT JOIN maps AS m ON l.region = m.map_region AND l.ref_run = m.map_run AND l.ref_end_ns >= m.ref_from
    )
SELECT
    region, service, node, boot, pid, goid, fromUnixTimestamp64Nano(ref_ns + region_off_ns, 'UTC') AS since, err_ns,
    fromUnixTimestamp64Nano(ref_end_ns + region_off_ns, 'UTC') AS told, dur_ns AS lived_ns, start_seen, fate, state, reason, state_ns,
    running_ns, runnable_ns, syscall_ns, cgo_ns, blocked_ns,
    arraySort((r, ns) -> (-toInt64(ns), r), mapKeys(blocked_by), mapValues(blocked_by))[1] AS blocked_most,
    blocked_by, blocked_times, runs, handoffs, mono_ns
FROM placed
WHERE (ref_end_ns + region_off_ns >= t0_ns OR goes_on) AND ref_ns + region_off_ns < t1_ns;
