-- Waits of all kinds: of goroutines, and of threads in system calls, off their CPU and in C code; with what each was for, and the trace
-- that it belongs to.

ALTER TABLE events
    ADD COLUMN IF NOT EXISTS waker_stack_id UInt64 DEFAULT 0 COMMENT 'stacks.stack_id of where waker_goid made it ready; 0 = not known' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS address UInt64 DEFAULT 0 COMMENT 'what it waited on, in the memory of the process: the lock of a channel, the root of a semaphore, the word of a futex; 0 = not known' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS result Int64 DEFAULT 0 COMMENT 'what the system call returned; minus its errno if negative; 0 for other kinds' CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS fd Int32 DEFAULT -1 COMMENT 'file descriptor it waited for; -1 = none, or not known' CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS fd_type LowCardinality(String) DEFAULT '' COMMENT 'what the descriptor stood for: tcp, udp, unix, pipe, file, epoll, eventfd, ...; empty = not known',
    ADD COLUMN IF NOT EXISTS local_address IPv6 DEFAULT '::' COMMENT 'this end of its connection (network.local.address); IPv4 as ::ffff:a.b.c.d' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS local_port UInt16 DEFAULT 0 COMMENT 'port of this end (network.local.port); 0 = no connection' CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS peer_address IPv6 DEFAULT '::' COMMENT 'the other end (network.peer.address); IPv4 as ::ffff:a.b.c.d' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS peer_port UInt16 DEFAULT 0 COMMENT 'port of the other end (network.peer.port); 0 = not connected' CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS trace_id FixedString(16) COMMENT 'trace that it belongs to, by the labels of its goroutine (runtime/pprof), 16 bytes; zeros = none known' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS span_id UInt64 COMMENT 'span that it belongs to, by the same; 0 = none known' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS trace String ALIAS if(trace_id = toFixedString('', 16), '', lower(hex(trace_id))) COMMENT 'trace_id in 32 hexadecimal digits; empty = none known',
    ADD COLUMN IF NOT EXISTS span String ALIAS if(span_id = 0, '', leftPad(lower(hex(span_id)), 16, '0')) COMMENT 'span_id in 16 hexadecimal digits; empty = none known',
    ADD INDEX IF NOT EXISTS trace_id_bloom trace_id TYPE bloom_filter(0.01) GRANULARITY 4,
    COMMENT COLUMN IF EXISTS tid 'thread that waited, or that the goroutine parked on',
    COMMENT COLUMN IF EXISTS goid 'goroutine id; 0 = none: see flags',
    COMMENT COLUMN IF EXISTS reason 'Go''s text of the wait reason, such as "chan receive"; of a system call its name, such as "read"',
    COMMENT COLUMN IF EXISTS mono_ns 'begin; mono, ns',
    COMMENT COLUMN IF EXISTS dur_ns 'begin to end (running again, back from the call); ns of mono',
    COMMENT COLUMN IF EXISTS flags 'bit 0 (1): the ready was seen; bit 1 (2): woken by the network poller; bit 2 (4): the stack was cut; bit 3 (8): a frame of it could not be read; bit 4 (16): the thread ran no goroutine; bit 5 (32): whether it ran one is not known';

ALTER TABLE short_waits
    ADD COLUMN IF NOT EXISTS kind Enum8('goroutine' = 1, 'syscall' = 2, 'off_cpu' = 3, 'cgo' = 4) DEFAULT 'goroutine' COMMENT 'what waited',
    COMMENT COLUMN IF EXISTS reason 'Go''s text of the wait reason; of a system call its name';

-- region_maps(t0, t1): where the clocks of regions were on the root's, in [t0, t1) of it and before: the map of a moment of a region's
-- clock is the row of the latest ref_from at or before it. The root itself has none.
CREATE OR REPLACE VIEW region_maps AS
WITH
    toUnixTimestamp64Nano({t0:DateTime64(9, 'UTC')}) AS t0_ns,
    toUnixTimestamp64Nano({t1:DateTime64(9, 'UTC')}) AS t1_ns,
    3600000000000 AS hour_ns,
    (SELECT argMax(toString(root), created) FROM region_clock) AS the_root,
    (SELECT argMax(root_run, created) FROM region_clock) AS the_root_run
SELECT * FROM (
    SELECT region AS map_region, ref_run AS map_run, ref_from, ref_to, off, off_to, rate_ppb, greatest(err_ns, err_to_ns) AS err_in_ns, err_to_ns, err_rate_ppb, 1 AS mapped
    FROM region_clock FINAL
    WHERE root = the_root AND root_run = the_root_run AND ref_from + off >= t0_ns - hour_ns AND ref_from + off < t1_ns + hour_ns
    UNION ALL
    SELECT region AS map_region, ref_run AS map_run, ref_from, ref_to, off, off_to, rate_ppb, greatest(err_ns, err_to_ns) AS err_in_ns, err_to_ns, err_rate_ppb, 1 AS mapped
    FROM region_clock FINAL
    WHERE root = the_root AND root_run = the_root_run AND ref_from + off < t0_ns - hour_ns
    ORDER BY ref_from DESC
    LIMIT 1 BY map_region, map_run
);

-- timeline(t0, t1): the waits that began in [t0, t1) on the fleet's one clock, of all regions.
--
-- aligned, aligned_end   park and running again on the fleet's clock
-- err_ns, err_end_ns     half widths: the node's bound plus the region's
-- earliest, latest       aligned -+ err_ns; earliest_end, latest_end likewise for the end. So
--                            a.latest_end < b.earliest
--                        proves that a ended before b began, whatever nodes and regions they are of. An unbounded time has
--                        earliest = 1900 and latest = 2262 and so is never ordered. On one node and boot, compare mono_ns
--                        instead: that is exact.
-- stack                  the innermost function that is not Go's own way of waiting (runtime, sync, poller, system calls)
--
-- A wait that began before t0 is not shown, even if it lasts into the window: begin earlier to see it.
-- The region's map is the segment that has the latest start at or before the event. A region that is neither the root nor
-- mapped is shown with its own clock and unbounded. Buckets are on the region's own clock, and stamped before alignment: they
-- are searched as far around the window as regions are apart, and half a minute more. An event whose node had never been
-- probed and whose wall clock was off by more than that is in `events` but not found here.
CREATE OR REPLACE VIEW timeline AS
WITH
    toUnixTimestamp64Nano({t0:DateTime64(9, 'UTC')}) AS t0_ns,
    toUnixTimestamp64Nano({t1:DateTime64(9, 'UTC')}) AS t1_ns,
    18446744073709551615 AS unbounded,
    (SELECT toInt64(max(greatest(abs(off), abs(off_to)))) + 1000000000 FROM region_clock) AS apart_ns,
    256000000000 AS longest_carry_ns,
    (SELECT argMax(toString(root), created) FROM region_clock) AS the_root,
    (SELECT argMax(root_run, created) FROM region_clock) AS the_root_run,
    (SELECT uniqExact(region) <= 1 FROM nodes) AS one_region,
    toStartOfMinute(toDateTime(intDiv(t0_ns - apart_ns, 1000000000) - 30, 'UTC')) AS bucket_from,
    toDateTime(intDiv(t1_ns + apart_ns, 1000000000) + 30, 'UTC') AS bucket_to,
    (SELECT argMax(ref_run, (bucket, seq)) FROM events WHERE bucket >= bucket_from AND bucket <= bucket_to) AS lone_run,
    maps AS (SELECT * FROM region_maps(t0 = {t0:DateTime64(9, 'UTC')}, t1 = {t1:DateTime64(9, 'UTC')})),
    window_stacks AS (
        SELECT stack_id, any(build_id) AS build_id, any(pcs) AS pcs
        FROM stacks
        WHERE stack_id IN (SELECT stack_id FROM events WHERE bucket >= bucket_from AND bucket <= bucket_to)
        GROUP BY stack_id
    ),
    tops AS (
        SELECT
            f.stack_id AS top_stack_id,
            if(countIf(outside) > 0, argMinIf(name, (position, depth), outside), argMin(name, (position, depth))) AS top
        FROM (
            SELECT
                s.stack_id AS stack_id, s.position AS position, y.depth AS depth,
                if(y.func = '', concat('0x', lower(hex(s.pc))), y.func) AS name,
                y.func != '' AND NOT match(y.func, '^(runtime[./]|internal/|sync[.]|sync/atomic[.]|syscall[.]|time[.]Sleep|net[.][(][*]netFD[)]|golang[.]org/x/sync/)') AS outside
            FROM (SELECT stack_id, build_id, pc, position FROM window_stacks ARRAY JOIN pcs AS pc, arrayEnumerate(pcs) AS position) AS s
            LEFT JOIN (
                SELECT build_id, pc, depth, func FROM symbols
                WHERE (build_id, pc) IN (SELECT build_id, arrayJoin(pcs) FROM window_stacks)
            ) AS y ON s.build_id = y.build_id AND s.pc = y.pc
        ) AS f
        GROUP BY f.stack_id
    ),
    e AS (
        SELECT
            region, service, node, boot, seq, pid, tid, goid, kind, reason, mono_ns, wall, dur_ns, run_delay_ns, flags, stack_id,
            waker_goid, waker_stack_id, address, result, fd, fd_type, local_address, local_port, peer_address, peer_port, trace_id, span_id,
            trace, span, err_ns, err_end_ns, bound_class, clock_status, epoch, model_rev, ref_run,
            toInt64(mono_ns) + al_off AS ref_ns, toInt64(mono_ns + dur_ns) + al_end_off AS ref_end_ns,
            if(the_root = '', one_region AND ref_run = lone_run, region = the_root AND ref_run = the_root_run) AS is_root
        FROM events
        WHERE bucket >= bucket_from AND bucket <= bucket_to
            AND toInt64(mono_ns) + al_off >= t0_ns - apart_ns AND toInt64(mono_ns) + al_off < t1_ns + apart_ns
    ),
    located AS (
        SELECT
            e.*, t.top AS top,
            multiIf(is_root OR m.mapped = 0, 0,
                ref_ns <= m.ref_to, m.off + toInt64(round((m.off_to - m.off) * ((ref_ns - m.ref_from) / greatest(m.ref_to - m.ref_from, 1)))),
                m.off_to + toInt64(round(m.rate_ppb * ((ref_ns - m.ref_to) / 1e9)))) AS region_off_ns,
            multiIf(is_root OR n.mapped = 0, 0,
                ref_end_ns <= n.ref_to, n.off + toInt64(round((n.off_to - n.off) * ((ref_end_ns - n.ref_from) / greatest(n.ref_to - n.ref_from, 1)))),
                n.off_to + toInt64(round(n.rate_ppb * ((ref_end_ns - n.ref_to) / 1e9)))) AS region_end_off_ns,
            multiIf(is_root, 0, m.mapped = 0, unbounded, ref_ns <= m.ref_to, m.err_in_ns,
                m.err_to_ns > toUInt64(4000000000000000000) OR ref_ns - m.ref_to > longest_carry_ns, unbounded,
                m.err_to_ns + toUInt64(ceil(m.err_rate_ppb * ((ref_ns - m.ref_to) / 1e9)))) AS region_err_ns,
            multiIf(is_root, 0, n.mapped = 0, unbounded, ref_end_ns <= n.ref_to, n.err_in_ns,
                n.err_to_ns > toUInt64(4000000000000000000) OR ref_end_ns - n.ref_to > longest_carry_ns, unbounded,
                n.err_to_ns + toUInt64(ceil(n.err_rate_ppb * ((ref_end_ns - n.ref_to) / 1e9)))) AS region_err_end_ns
        FROM e
        ASOF LEFT JOIN maps AS m ON e.region = m.map_region AND e.ref_run = m.map_run AND e.ref_ns >= m.ref_from
        ASOF LEFT JOIN maps AS n ON e.region = n.map_region AND e.ref_run = n.map_run AND e.ref_end_ns >= n.ref_from
        ANY LEFT JOIN tops AS t ON e.stack_id = t.top_stack_id
    ),
    -- The region's map is looked up at a time that may be off by the node's bound, and it may slope by 500 ppm.
    -- bitNot(x) is the largest number less x; a difference of two UInt64 would be an Int64.
    summed AS (
        SELECT
            * EXCEPT (err_ns, err_end_ns),
            multiIf(is_root, located.err_ns, located.err_ns > 9000000000000000000, unbounded, located.err_ns + intDiv(located.err_ns + 1999, 2000)) AS node_err_ns,
            multiIf(is_root, located.err_end_ns, located.err_end_ns > 9000000000000000000, unbounded, located.err_end_ns + intDiv(located.err_end_ns + 1999, 2000)) AS node_err_end_ns,
            ref_ns + region_off_ns AS aligned_ns,
            ref_end_ns + region_end_off_ns AS aligned_end_ns,
            if(node_err_ns > bitNot(region_err_ns), unbounded, node_err_ns + region_err_ns) AS err_ns,
            if(node_err_end_ns > bitNot(region_err_end_ns), unbounded, node_err_end_ns + region_err_end_ns) AS err_end_ns
        FROM located
        WHERE ref_ns + region_off_ns >= t0_ns AND ref_ns + region_off_ns < t1_ns
    )
SELECT
    fromUnixTimestamp64Nano(aligned_ns, 'UTC') AS aligned,
    fromUnixTimestamp64Nano(aligned_end_ns, 'UTC') AS aligned_end,
    err_ns,
    err_end_ns,
    region, service, node, pid, goid, reason, dur_ns, run_delay_ns,
    top AS stack,
    stack_id, waker_goid, waker_stack_id, kind, tid, fd, fd_type, local_address, local_port, peer_address, peer_port, address, result,
    trace_id, span_id, trace, span, flags, boot, seq, mono_ns, wall, bound_class, clock_status, epoch, model_rev,
    region_off_ns, region_err_ns,
    -- Beyond 3e18 ns (95 years) a half width leaves what DateTime64(9) can hold.
    fromUnixTimestamp64Nano(if(err_ns > 3000000000000000000, -2208988800000000000, aligned_ns - toInt64(err_ns)), 'UTC') AS earliest,
    fromUnixTimestamp64Nano(if(err_ns > 3000000000000000000, 9223372036854775807, aligned_ns + toInt64(err_ns)), 'UTC') AS latest,
    fromUnixTimestamp64Nano(if(err_end_ns > 3000000000000000000, -2208988800000000000, aligned_end_ns - toInt64(err_end_ns)), 'UTC') AS earliest_end,
    fromUnixTimestamp64Nano(if(err_end_ns > 3000000000000000000, 9223372036854775807, aligned_end_ns + toInt64(err_end_ns)), 'UTC') AS latest_end
FROM summed;

-- events_live(t0, t1): the rows of `events` whose bucket is in [t0, t1), placed by the newest revision of their node's clock model.
--
-- A row is placed when it is stored, and again once its model is settled, by an update that comes some seconds after the new
-- revision. Here the revision counts at once. Columns are those of `events`, and start_is_revised, end_is_revised. A row is placed by
-- pieces of its own run of the reference alone: those of another one are another clock.
CREATE OR REPLACE VIEW events_live AS
WITH
    toStartOfMinute(toDateTime({t0:DateTime64(9, 'UTC')}, 'UTC')) AS bucket_from,
    toDateTime({t1:DateTime64(9, 'UTC')}, 'UTC') AS bucket_to,
    pieces AS (
        SELECT
            region AS s_region, node AS s_node, boot AS s_boot, mono_from AS s_from, mono_to AS s_to, ref_run AS s_run, ref_off AS s_off,
            ref_off_to AS s_off_to, greatest(err_from_ns, err_to_ns) AS s_err, status AS s_status, epoch AS s_epoch, rev AS s_rev
        FROM clock_segments FINAL
        WHERE rev > 1 AND as_of >= toDateTime64(bucket_from, 9, 'UTC') - 3600
    )
SELECT
    e.* EXCEPT (al_off, al_end_off, err_ns, err_end_ns, bound_class, clock_status, epoch, model_rev),
    s.s_rev > 0 AND e.mono_ns <= s.s_to AS start_is_revised,
    n.s_rev > 0 AND e.mono_ns + e.dur_ns <= n.s_to AS end_is_revised,
    if(start_is_revised, s.s_off + toInt64(round((s.s_off_to - s.s_off) * ((e.mono_ns - s.s_from) / greatest(s.s_to - s.s_from, 1)))), e.al_off) AS al_off,
    if(end_is_revised, n.s_off + toInt64(round((n.s_off_to - n.s_off) * ((e.mono_ns + e.dur_ns - n.s_from) / greatest(n.s_to - n.s_from, 1)))), e.al_end_off) AS al_end_off,
    if(start_is_revised, s.s_err, e.err_ns) AS err_ns,
    if(end_is_revised, n.s_err, e.err_end_ns) AS err_end_ns,
    CAST(if(greatest(err_ns, err_end_ns) = 18446744073709551615, 'unknown', 'hard') AS Enum8('unknown' = 0, 'hard' = 1, 'tight' = 2, 'budgeted' = 3)) AS bound_class,
    if(end_is_revised, n.s_status, e.clock_status) AS clock_status,
    if(end_is_revised, n.s_epoch, e.epoch) AS epoch,
    multiIf(start_is_revised, s.s_rev, end_is_revised, n.s_rev, e.model_rev) AS model_rev,
    fromUnixTimestamp64Nano(toInt64(e.mono_ns) + al_off, 'UTC') AS aligned,
    fromUnixTimestamp64Nano(toInt64(e.mono_ns + e.dur_ns) + al_end_off, 'UTC') AS aligned_end,
    fromUnixTimestamp64Nano(toInt64(e.mono_ns) + e.wall_off, 'UTC') AS wall
FROM (SELECT *, trace, span FROM events WHERE bucket >= bucket_from AND bucket < bucket_to) AS e
ASOF LEFT JOIN pieces AS s ON e.region = s.s_region AND e.node = s.s_node AND e.boot = s.s_boot AND e.ref_run = s.s_run AND e.mono_ns >= s.s_from
ASOF LEFT JOIN pieces AS n ON e.region = n.s_region AND e.node = n.s_node AND e.boot = n.s_boot AND e.ref_run = n.s_run AND e.mono_ns + e.dur_ns >= n.s_from;
