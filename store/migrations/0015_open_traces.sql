-- The trace that a wait belongs to while it goes on, as events have it.

ALTER TABLE open_waits
    ADD COLUMN IF NOT EXISTS trace_id FixedString(16) COMMENT 'trace that it belongs to, by the labels of its goroutine (runtime/pprof), 16 bytes; zeros = none known' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS span_id UInt64 COMMENT 'span that it belongs to, by the same; 0 = none known' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS trace String ALIAS if(trace_id = toFixedString('', 16), '', lower(hex(trace_id))) COMMENT 'trace_id in 32 hexadecimal digits; empty = none known',
    ADD COLUMN IF NOT EXISTS span String ALIAS if(span_id = 0, '', leftPad(lower(hex(span_id)), 16, '0')) COMMENT 'span_id in 16 hexadecimal digits; empty = none known';

-- open_waits_now: the waits that go on now, as far as is known, each with what was told of it last. Those that have ended, by an event
-- or with their process, are left out.
--
-- since, err_ns    its begin on the region's clock, and the half width of the bound of it
-- seen, open_ns    when it was looked at last, and how long it had gone on then
-- is_current       0: it should have been told of again since and was not: its agent, or the way from there, has stopped
-- stack            the innermost function that is not Go's own way of waiting, as in timeline
-- trace, span      as in events
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
            argMax(o.err_ns, o.dur_ns) AS err_ns,
            argMax(o.trace_id, o.dur_ns) AS trace_id, argMax(o.span_id, o.dur_ns) AS span_id, argMax(o.trace, o.dur_ns) AS trace, argMax(o.span, o.dur_ns) AS span
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
    t.peer_address AS peer_address, t.peer_port AS peer_port, t.address AS address, t.flags AS flags, t.mono_ns AS mono_ns,
    t.trace_id AS trace_id, t.span_id AS span_id, t.trace AS trace, t.span AS span
FROM (
    SELECT * FROM told
    WHERE (region, node, boot, pid, kind, goid, tid, mono_ns) NOT IN (SELECT region, node, boot, pid, kind, goid, tid, mono_ns FROM ended)
) AS t
LEFT JOIN tops AS s ON t.stack_id = s.stack_id;
