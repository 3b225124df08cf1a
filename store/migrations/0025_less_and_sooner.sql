-- A row of events takes less, and timeline answers sooner.

-- What changes evenly is told by its differences, and what is one of a few values is compressed as well. Rows that are there are written anew as their
-- parts are merged.
ALTER TABLE events
    MODIFY COLUMN region CODEC(ZSTD(1)),
    MODIFY COLUMN service CODEC(ZSTD(1)),
    MODIFY COLUMN node CODEC(ZSTD(1)),
    MODIFY COLUMN boot CODEC(Delta(8), ZSTD(1)),
    MODIFY COLUMN kind CODEC(ZSTD(1)),
    MODIFY COLUMN reason CODEC(ZSTD(1)),
    MODIFY COLUMN mono_ns CODEC(Delta(8), ZSTD(1)),
    MODIFY COLUMN wall_off CODEC(DoubleDelta, ZSTD(1)),
    MODIFY COLUMN ref_run CODEC(Delta(8), ZSTD(1)),
    MODIFY COLUMN err_ns CODEC(Delta(8), ZSTD(1)),
    MODIFY COLUMN bound_class CODEC(ZSTD(1)),
    MODIFY COLUMN clock_status CODEC(ZSTD(1)),
    MODIFY COLUMN fd_type CODEC(ZSTD(1));

-- timeline as it was, planned and answered in three quarters of the time: each part that ClickHouse plans and each scalar that it asks first counts, where
-- the answer itself is a matter of milliseconds. Stacks are named in one pass; the run of a lone region's reference is looked for only where there is
-- no root; and the maps of regions are those whose segment ends a day before the window or later, so that a region which has not been measured
-- for longer is shown as one without a map. It was unbounded before, too.
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
    (SELECT argMax(ref_run, (bucket, seq)) FROM events WHERE the_root = '' AND bucket >= bucket_from AND bucket <= bucket_to) AS lone_run,
    maps AS (
        SELECT
            region AS map_region, ref_run AS map_run, ref_from, ref_to, off, off_to, rate_ppb,
            greatest(err_ns, err_to_ns) AS err_in_ns, err_to_ns, err_rate_ppb, 1 AS mapped
        FROM region_clock FINAL
        WHERE root = the_root AND root_run = the_root_run AND ref_from + off < t1_ns + 3600000000000 AND ref_to + off >= t0_ns - 86400000000000
    ),
    tops AS (
        SELECT
            stack_id AS top_stack_id,
            multiIf(countIf(outside) > 0, argMinIf(name, (position, depth), outside), countIf(NOT foreign) > 0, argMinIf(name, (position, depth), NOT foreign),
                argMin(name, (position, depth))) AS top
        FROM (
            SELECT
                s.stack_id AS stack_id, s.position AS position, y.depth AS depth,
                if(y.func = '', concat('0x', lower(hex(s.pc))), y.func) AS name,
                match(y.func, '^([^ ]| +[^ /])* +[(][^()/]*[)]( |$)') AS foreign,
                y.func != '' AND NOT foreign
                    AND NOT match(y.func, '^(runtime[./]|internal/|sync[.]|sync/atomic[.]|syscall[.]|time[.]Sleep|net[.][(][*]netFD[)]|golang[.]org/x/sync/)') AS outside
            FROM (
                SELECT stack_id, build_id, pc, position
                FROM stacks ARRAY JOIN pcs AS pc, arrayEnumerate(pcs) AS position
                WHERE stack_id IN (SELECT stack_id FROM events WHERE bucket >= bucket_from AND bucket <= bucket_to)
            ) AS s
            LEFT JOIN (
                SELECT build_id, pc, depth, func FROM symbols
                WHERE (build_id, pc) IN (
                    SELECT build_id, arrayJoin(pcs) FROM stacks
                    WHERE stack_id IN (SELECT stack_id FROM events WHERE bucket >= bucket_from AND bucket <= bucket_to)
                )
            ) AS y ON s.build_id = y.build_id AND s.pc = y.pc
        )
        GROUP BY stack_id
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
