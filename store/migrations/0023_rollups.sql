-- What is left of waits when their rows are gone, and two questions that people ask: where waiting costs most, and how clocks ran.

CREATE TABLE IF NOT EXISTS wait_hours (
    hour       DateTime('UTC') COMMENT 'start of the hour of their buckets; s since 1970' CODEC(Delta(4), ZSTD(1)),
    region     LowCardinality(String) COMMENT 'region of the nodes',
    service    LowCardinality(String) COMMENT 'service of the processes',
    kind       Enum8('goroutine' = 1, 'syscall' = 2, 'off_cpu' = 3, 'cgo' = 4) COMMENT 'what waited, as in events',
    reason     LowCardinality(String) COMMENT 'what for, as in events',
    stack_id   UInt64 COMMENT 'stacks.stack_id; 0 = no stack, as all short waits' CODEC(ZSTD(1)),
    waits      SimpleAggregateFunction(sum, Float64) COMMENT 'how many began, each by its weight' CODEC(ZSTD(1)),
    blocked_ns SimpleAggregateFunction(sum, Float64) COMMENT 'how long they were together, each by its weight, ns' CODEC(ZSTD(1)),
    seen_ns    SimpleAggregateFunction(sum, UInt64) COMMENT 'what was seen of that itself, ns' CODEC(T64, ZSTD(1)),
    max_ns     SimpleAggregateFunction(max, UInt64) COMMENT 'the longest that was an event, ns' CODEC(T64, ZSTD(1))
) ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (service, hour, region, kind, reason, stack_id)
TTL hour + INTERVAL 400 DAY DELETE
SETTINGS non_replicated_deduplication_window = 100000;

CREATE MATERIALIZED VIEW IF NOT EXISTS wait_hours_mv TO wait_hours AS
SELECT
    toStartOfHour(bucket) AS hour, region, service, kind, reason, stack_id,
    sum(if(bitTest(flags, 7), 0, weight_milli / 1000)) AS waits, sum(dur_ns * (weight_milli / 1000)) AS blocked_ns, sum(dur_ns) AS seen_ns,
    max(dur_ns) AS max_ns
FROM events
GROUP BY hour, region, service, kind, reason, stack_id;

CREATE MATERIALIZED VIEW IF NOT EXISTS wait_hours_short_mv TO wait_hours AS
SELECT
    toStartOfHour(bucket) AS hour, region, service, kind, reason, toUInt64(0) AS stack_id,
    sum(count * (weight_milli / 1000)) AS waits, sum(total_ns * (weight_milli / 1000)) AS blocked_ns, sum(total_ns) AS seen_ns, toUInt64(0) AS max_ns
FROM short_waits
GROUP BY hour, region, service, kind, reason;

-- top_blockers(t0, t1): the places in the code where goroutines waited, of the waits that began in [t0, t1).
CREATE OR REPLACE VIEW top_blockers AS
SELECT
    service, reason, stack AS site, toUInt64(round(sum(if(bitTest(flags, 7), 0, weight)))) AS waits, toUInt64(round(sum(dur_ns * weight))) AS blocked_ns,
    sum(dur_ns * weight) / sum(sum(dur_ns * weight)) OVER (PARTITION BY service) AS share,
    quantilesExactWeighted(0.5, 0.99)(dur_ns, toUInt64(round(1000 * weight)))[1] AS p50_ns,
    quantilesExactWeighted(0.5, 0.99)(dur_ns, toUInt64(round(1000 * weight)))[2] AS p99_ns,
    max(dur_ns) AS max_ns, uniqExact(region, node) AS nodes, uniqExact(region, node, boot, pid, goid) AS goroutines,
    argMax(stack_id, dur_ns) AS longest_stack_id
FROM timeline(t0 = {t0:DateTime64(9, 'UTC')}, t1 = {t1:DateTime64(9, 'UTC')})
WHERE kind = 'goroutine' AND NOT startsWith(stack, 'runtime.')
GROUP BY service, reason, site;

-- skew_history(t0, t1): what is known of a node's clocks at the end of each segment of its clock model in [t0, t1) of the fleet's clock. As in timeline,
-- the fleet's clock is the present run of the root's reference.
CREATE OR REPLACE VIEW skew_history AS
WITH
    toUnixTimestamp64Nano({t0:DateTime64(9, 'UTC')}) AS t0_ns,
    toUnixTimestamp64Nano({t1:DateTime64(9, 'UTC')}) AS t1_ns,
    18446744073709551615 AS unbounded,
    256000000000 AS longest_carry_ns,
    (SELECT toInt64(max(greatest(abs(off), abs(off_to)))) + 1000000000 FROM region_clock) AS apart_ns,
    (SELECT argMax(toString(root), created) FROM region_clock) AS the_root,
    (SELECT argMax(root_run, created) FROM region_clock) AS the_root_run,
    (SELECT uniqExact(region) <= 1 FROM clock_now) AS one_region,
    (SELECT argMax(ref_run, created) FROM clock_now) AS lone_run,
    maps AS (SELECT * FROM region_maps(t0 = {t0:DateTime64(9, 'UTC')}, t1 = {t1:DateTime64(9, 'UTC')})),
    c AS (
        SELECT
            *, toUnixTimestamp64Nano(as_of) AS ref_ns,
            if(the_root = '', one_region AND ref_run = lone_run, region = the_root AND ref_run = the_root_run) AS is_root
        FROM clock_segments FINAL
        WHERE as_of >= fromUnixTimestamp64Nano(t0_ns - apart_ns, 'UTC') AND as_of < fromUnixTimestamp64Nano(t1_ns + apart_ns, 'UTC')
    ),
    located AS (
        SELECT
            c.*,
            multiIf(is_root OR m.mapped = 0, 0,
                ref_ns <= m.ref_to, m.off + toInt64(round((m.off_to - m.off) * ((ref_ns - m.ref_from) / greatest(m.ref_to - m.ref_from, 1)))),
                m.off_to + toInt64(round(m.rate_ppb * ((ref_ns - m.ref_to) / 1e9)))) AS region_off_ns,
            multiIf(is_root, 0, m.mapped = 0, unbounded, ref_ns <= m.ref_to, m.err_in_ns,
                m.err_to_ns > toUInt64(4000000000000000000) OR ref_ns - m.ref_to > longest_carry_ns, unbounded,
                m.err_to_ns + toUInt64(ceil(m.err_rate_ppb * ((ref_ns - m.ref_to) / 1e9)))) AS region_err_ns,
            if(is_root OR m.mapped = 0, 0, m.rate_ppb) AS region_rate_ppb
        FROM c
        ASOF LEFT JOIN maps AS m ON c.region = m.map_region AND c.ref_run = m.map_run AND c.ref_ns >= m.ref_from
    )
SELECT
    fromUnixTimestamp64Nano(ref_ns + region_off_ns, 'UTC') AS at,
    region, node, boot, epoch, toString(status) AS status, wall_off - ref_off_to - region_off_ns AS wall_offset_ns,
    -- As in skew_now.
    multiIf(located.err_to_ns > 9000000000000000000, unbounded,
        located.err_to_ns + intDiv(located.err_to_ns + 1999, 2000) > bitNot(region_err_ns), unbounded,
        located.err_to_ns + if(is_root, 0, intDiv(located.err_to_ns + 1999, 2000)) + region_err_ns) AS err_ns,
    -located.rate_ppb - region_rate_ppb AS drift_ppb,
    bound_class, region_off_ns, region_err_ns, rev
FROM located
WHERE ref_ns + region_off_ns >= t0_ns AND ref_ns + region_off_ns < t1_ns;
