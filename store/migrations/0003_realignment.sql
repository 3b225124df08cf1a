-- What was stored may be known better later: rows as they would be stored now, and the order of two moments.

-- happened_before(a, b): whether moment a was before moment b, each a pair of a time on one clock and the half width of its bound.
--
--     happened_before((aligned_end, err_end_ns), (other.aligned, other.err_ns))
--
-- 'yes' or 'no' only where the two intervals do not meet, else 'cannot tell'. Times of two regions are on one clock in the view
-- `timeline` only. On one node and boot compare mono_ns instead: that is exact.
CREATE OR REPLACE FUNCTION happened_before AS (a, b) -> multiIf(
    toInt128(toUnixTimestamp64Nano(a.1)) + toInt128(a.2) < toInt128(toUnixTimestamp64Nano(b.1)) - toInt128(b.2), 'yes',
    toInt128(toUnixTimestamp64Nano(b.1)) + toInt128(b.2) < toInt128(toUnixTimestamp64Nano(a.1)) - toInt128(a.2), 'no',
    'cannot tell');

-- events_live(t0, t1): the rows of `events` whose bucket is in [t0, t1), placed by the newest revision of their node's clock model.
--
-- A row is placed when it is stored, and again once its model is settled, by an update that comes some seconds after the new
-- revision. Here the revision counts at once. Columns are those of `events`.
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
    e.bucket AS bucket, e.region AS region, e.service AS service, e.node AS node, e.boot AS boot, e.seq AS seq, e.pid AS pid, e.tid AS tid,
    e.goid AS goid, e.kind AS kind, e.reason AS reason, e.mono_ns AS mono_ns, e.wall_off AS wall_off, e.dur_ns AS dur_ns,
    e.run_delay_ns AS run_delay_ns, e.flags AS flags, e.stack_id AS stack_id, e.waker_goid AS waker_goid,
    s.s_rev > 0 AND e.mono_ns <= s.s_to AS start_is_revised,
    n.s_rev > 0 AND e.mono_ns + e.dur_ns <= n.s_to AS end_is_revised,
    multiIf(start_is_revised, s.s_run, end_is_revised, n.s_run, e.ref_run) AS ref_run,
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
FROM (SELECT * FROM events WHERE bucket >= bucket_from AND bucket < bucket_to) AS e
ASOF LEFT JOIN pieces AS s ON e.region = s.s_region AND e.node = s.s_node AND e.boot = s.s_boot AND e.mono_ns >= s.s_from
ASOF LEFT JOIN pieces AS n ON e.region = n.s_region AND e.node = n.s_node AND e.boot = n.s_boot AND e.mono_ns + e.dur_ns >= n.s_from;
