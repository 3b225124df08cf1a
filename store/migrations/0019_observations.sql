-- How processes were observed, and what that leaves to be said of what was seen of them: a process is observed inside a budget of its CPU time,
-- and where that is not enough in windows of time. What is seen in a window stands for the time since the window before, too: by its weight.

ALTER TABLE events
    ADD COLUMN IF NOT EXISTS weight_milli UInt32 DEFAULT 1000 COMMENT 'how many such waits it stands for, in thousandths: 1000, but more where its process was observed in windows' CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS weight Float64 ALIAS weight_milli / 1000 COMMENT 'how many such waits it stands for: sum(weight) counts waits, sum(dur_ns * weight) their time',
    COMMENT COLUMN IF EXISTS flags 'bit 0 (1): the ready was seen; bit 1 (2): woken by the network poller; bit 2 (4): the stack was cut; bit 3 (8): a frame of it could not be read; bit 4 (16): the thread ran no goroutine; bit 5 (32): whether it ran one is not known; bit 7 (128): it was found going on when the observation, or a window of it, began, and is longer: no count of waits has it';

ALTER TABLE short_waits
    ADD COLUMN IF NOT EXISTS weight_milli UInt32 DEFAULT 1000 COMMENT 'how many such sums it stands for, in thousandths' CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS weight Float64 ALIAS weight_milli / 1000 COMMENT 'how many such sums it stands for: sum(count * weight) counts waits, sum(total_ns * weight) their time',
    ADD COLUMN IF NOT EXISTS is_parts UInt8 DEFAULT 0 COMMENT '1 = parts of waits of any length, as far as they lay in windows: count has those that began in one, hist none' CODEC(ZSTD(1));

CREATE TABLE IF NOT EXISTS observations (
    bucket        DateTime('UTC') COMMENT 'start of the minute in which it began; s since 1970' CODEC(Delta(4), ZSTD(1)),
    region        LowCardinality(String) COMMENT 'region of the node',
    service       LowCardinality(String) COMMENT 'service of the process',
    node          LowCardinality(String) COMMENT 'name of the node',
    boot          UInt64 COMMENT 'first 8 bytes of the boot id' CODEC(ZSTD(1)),
    pid           UInt32 COMMENT 'process id in the host''s namespace' CODEC(T64, ZSTD(1)),
    mono_ns       UInt64 COMMENT 'begin, the end of the one before; mono, ns' CODEC(DoubleDelta, ZSTD(1)),
    dur_ns        UInt64 COMMENT 'length; ns of mono' CODEC(T64, ZSTD(1)),
    observed_ns   UInt64 COMMENT 'of that it was observed; ns' CODEC(T64, ZSTD(1)),
    windows       UInt32 COMMENT 'in so many windows; 0 = all the time, or not at all' CODEC(T64, ZSTD(1)),
    stage         Enum8('full' = 1, 'raised' = 2, 'lean' = 3, 'windows' = 4, 'off' = 5) COMMENT 'with all that was asked for, with a higher threshold, without what is dear, as lean and in windows, or with TCP sessions alone',
    reason        Enum8('began' = 1, 'over_budget' = 2, 'affordable' = 3, 'rested' = 4) COMMENT 'why in that stage',
    threshold_ns  UInt64 COMMENT 'shortest wait that became an event; ns' CODEC(T64, ZSTD(1)),
    without       LowCardinality(String) COMMENT 'kinds that were not captured, separated by commas',
    budget_ppm    UInt32 COMMENT 'what observing might cost, in millionths of the process''s CPU time' CODEC(T64, ZSTD(1)),
    cost_ns       UInt64 COMMENT 'what it cost; ns of CPU time' CODEC(T64, ZSTD(1)),
    cpu_ns        UInt64 COMMENT 'CPU time of the process; ns' CODEC(T64, ZSTD(1)),
    ref_run       UInt64 COMMENT 'run of the reference that al_off leads to' CODEC(ZSTD(1)),
    al_off        Int64 COMMENT 'REF - mono at mono_ns, as it was known when stored, ns' CODEC(Delta(8), ZSTD(1)),
    aligned       DateTime64(9, 'UTC') ALIAS fromUnixTimestamp64Nano(toInt64(mono_ns) + al_off, 'UTC') COMMENT 'begin; REF of the region'
) ENGINE = MergeTree
PARTITION BY toDate(bucket)
ORDER BY (bucket, region, service, node, boot, pid, mono_ns)
TTL bucket + INTERVAL 14 DAY DELETE
SETTINGS non_replicated_deduplication_window = 100000, ttl_only_drop_parts = 1
COMMENT 'How processes were observed, interval by interval: those whose observation has a budget. A process without rows was observed all the time';

-- blocked_time(t0, t1): how often and how long in all the processes of services waited, by kind and reason, in buckets from t0 to t1, whatever was
-- not seen: events, short waits and parts of waits, each by its weight. Kinds overlap: a system call lies in the wait of its goroutine, or beside it.
--
-- seen_ns   of that time, what was seen itself: how much the rest rests on
CREATE OR REPLACE VIEW blocked_time AS
WITH
    toStartOfMinute(toDateTime({t0:DateTime64(9, 'UTC')}, 'UTC')) AS bucket_from,
    toDateTime({t1:DateTime64(9, 'UTC')}, 'UTC') AS bucket_to
SELECT
    region, service, kind, reason, toUInt64(round(sum(times))) AS waits, toUInt64(round(sum(ns * w))) AS blocked_ns, toUInt64(sum(ns)) AS seen_ns
FROM (
    SELECT region, service, kind, reason, weight AS w, if(bitTest(flags, 7), 0, weight) AS times, dur_ns AS ns
    FROM events WHERE bucket >= bucket_from AND bucket < bucket_to
    UNION ALL
    SELECT region, service, kind, reason, weight AS w, count * weight AS times, total_ns AS ns
    FROM short_waits WHERE bucket >= bucket_from AND bucket < bucket_to
)
GROUP BY region, service, kind, reason;

-- timeline(t0, t1): the waits that began in [t0, t1) on the fleet's one clock, of all regions.
--
-- aligned, aligned_end   park and running again on the fleet's clock
-- err_ns, err_end_ns     half widths: the node's bound plus the region's
-- earliest, latest       aligned -+ err_ns; earliest_end, latest_end likewise for the end. So
--                            a.latest_end < b.earliest
--                        proves that a ended before b began, whatever nodes and regions they are of. An unbounded time has
--                        earliest = 1900 and latest = 2262 and so is never ordered. On one node and boot, compare mono_ns
--                        instead: that is exact.
-- stack                  the site: the innermost Go function that is not Go's own way of waiting (runtime, sync, poller, system calls); C code and
--                        the kernel are called by it
--
-- weight                 how many such waits it stands for: 1, but more where its process was observed in windows; sums and counts go by it
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
            multiIf(countIf(outside) > 0, argMinIf(name, (position, depth), outside), countIf(NOT foreign) > 0, argMinIf(name, (position, depth), NOT foreign),
                argMin(name, (position, depth))) AS top
        FROM (
            SELECT
                s.stack_id AS stack_id, s.position AS position, y.depth AS depth,
                if(y.func = '', concat('0x', lower(hex(s.pc))), y.func) AS name,
                match(y.func, '^([^ ]| +[^ /])* +[(][^()/]*[)]( |$)') AS foreign,
                y.func != '' AND NOT foreign
                    AND NOT match(y.func, '^(runtime[./]|internal/|sync[.]|sync/atomic[.]|syscall[.]|time[.]Sleep|net[.][(][*]netFD[)]|golang[.]org/x/sync/)') AS outside
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
            trace, span, weight, err_ns, err_end_ns, bound_class, clock_status, epoch, model_rev, ref_run,
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
    fromUnixTimestamp64Nano(if(err_end_ns > 3000000000000000000, 9223372036854775807, aligned_end_ns + toInt64(err_end_ns)), 'UTC') AS latest_end,
    weight
FROM summed;

-- lock_sites(t0, t1): where goroutines waited for locks in [t0, t1), by place.
--
-- level        'go': sync.Mutex and sync.RWMutex, which park the goroutine and mostly never reach the kernel; 'futex': a thread in futex(2) on
--              behalf of a goroutine, as for the runtime's own locks, and those of C code. One does not contain the other
-- contentions  waits of at least the agent's threshold; shorter ones, and those that windows of observation cut, are in short_waits, without a
--              place. Each counts by its weight
-- locks        how many locks were waited for: of Go's, those of the runtime's lists of waiters, which some locks share
-- holders      who unlocked, of Go's: place and how often, the most frequent first, ten at most; '' = not seen
CREATE OR REPLACE VIEW lock_sites AS
WITH
    waits AS (
        SELECT *, if(kind = 'goroutine', 'go', 'futex') AS level
        FROM timeline(t0 = {t0:DateTime64(9, 'UTC')}, t1 = {t1:DateTime64(9, 'UTC')})
        WHERE kind = 'goroutine' AND match(reason, '^sync[.](RW)?Mutex[.]') OR kind = 'syscall' AND startsWith(reason, 'futex') AND goid != 0
    ),
    tops AS (SELECT stack_id, top FROM stack_tops WHERE stack_id IN (SELECT waker_stack_id FROM waits WHERE waker_stack_id != 0)),
    by_holder AS (
        SELECT
            w.region AS region, w.service AS service, w.level AS level, w.reason AS reason, w.stack AS site, s.top AS holder, toUInt64(round(sum(w.weight))) AS times,
            toUInt64(round(sum(w.dur_ns * w.weight))) AS waited_ns, max(w.dur_ns) AS longest_ns,
            quantilesExactWeightedState(0.5, 0.99)(w.dur_ns, toUInt64(round(1000 * w.weight))) AS quantiles,
            uniqExactState(w.node, w.boot, w.pid, w.address) AS addresses, uniqExactState(w.node) AS of_nodes
        FROM waits AS w LEFT JOIN tops AS s ON w.waker_stack_id = s.stack_id
        GROUP BY region, service, level, reason, site, holder
    )
SELECT
    region, service, level, reason, site, sum(times) AS contentions, sum(waited_ns) AS waited_ns,
    quantilesExactWeightedMerge(0.5, 0.99)(quantiles)[1] AS p50_ns, quantilesExactWeightedMerge(0.5, 0.99)(quantiles)[2] AS p99_ns,
    max(longest_ns) AS max_ns, uniqExactMerge(addresses) AS locks, uniqExactMerge(of_nodes) AS nodes,
    arraySlice(arrayReverseSort(h -> (h.2, h.1), groupArray((holder, times))), 1, 10) AS holders
FROM by_holder
GROUP BY region, service, level, reason, site;

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
FROM (SELECT *, trace, span, weight FROM events WHERE bucket >= bucket_from AND bucket < bucket_to) AS e
ASOF LEFT JOIN pieces AS s ON e.region = s.s_region AND e.node = s.s_node AND e.boot = s.s_boot AND e.ref_run = s.s_run AND e.mono_ns >= s.s_from
ASOF LEFT JOIN pieces AS n ON e.region = n.s_region AND e.node = n.s_node AND e.boot = n.s_boot AND e.ref_run = n.s_run AND e.mono_ns + e.dur_ns >= n.s_from;
