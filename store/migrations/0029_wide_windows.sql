-- Windows beyond what a DateTime holds, 1970 to 2106: ClickHouse lets the conversion of a DateTime64 wrap around, silently, so that such a window had no
-- rows, or those of another time. That of a whole number stops at the first and the last second.

-- events_live(t0, t1): the rows of `events` whose bucket is in [t0, t1), placed by the newest revision of their node's clock model.
--
-- A row is placed when it is stored, and again once its model is settled, by an update that comes some seconds after the new
-- revision. Here the revision counts at once. Columns are those of `events`, and start_is_revised, end_is_revised. A row is placed by
-- pieces of its own run of the reference alone: those of another one are another clock.
CREATE OR REPLACE VIEW events_live AS
WITH
    toStartOfMinute(toDateTime(intDiv(toUnixTimestamp64Nano({t0:DateTime64(9, 'UTC')}), 1000000000), 'UTC')) AS bucket_from,
    toDateTime(intDiv(toUnixTimestamp64Nano({t1:DateTime64(9, 'UTC')}), 1000000000), 'UTC') AS bucket_to,
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

-- wake_edges(t0, t1): what ended the waits that began in [t0, t1): an edge from a waker to the one that waited.
--
-- via            'goroutine': a goroutine of the same process made it ready: the sender or receiver of a channel, whoever unlocked, ...;
--                'network': the process at the other end of the connection that it waited for
-- at, err_ns     when it could go on, on the fleet's clock, and the half width of the bound
-- dur_ns         how long it had waited; run_delay_ns: part of it, from at on
-- stack          where it waited, and waker_stack where its waker was: the innermost functions that are not Go's own way of waiting
-- waker_*        the waker. Of a network edge the process that was seen with the other end, if one is observed: no edge if none is. Its
--                goroutine is known where a marked message of it (see messages) was sent while the wait went on: sent, sent_err_ns
--
-- Ends are matched by their addresses: what a proxy or a translation of addresses is in between of has no edge across it.
CREATE OR REPLACE VIEW wake_edges AS
WITH
    toIPv6('::1') AS loopback,
    toIPv6('::ffff:127.0.0.0') AS loopback_from,
    toIPv6('::ffff:127.255.255.255') AS loopback_to,
    -- Buckets are on the region's own clock, and stamped before alignment: see timeline.
    (SELECT toInt64(max(greatest(abs(off), abs(off_to)))) + 1000000000 FROM region_clock) AS apart_ns,
    toStartOfMinute(toDateTime(intDiv(toUnixTimestamp64Nano({t0:DateTime64(9, 'UTC')}) - apart_ns, 1000000000) - 30, 'UTC')) AS bucket_from,
    {t1:DateTime64(9, 'UTC')} + toIntervalNanosecond(apart_ns) + toIntervalSecond(30) AS bucket_to,
    far AS (
        SELECT DISTINCT peer_address, peer_port, local_address, local_port
        FROM events WHERE bucket >= bucket_from AND bucket <= bucket_to AND peer_port != 0
    ),
    far_ends AS (
        SELECT
            region, node, boot, service, pid, local_address, local_port, peer_address, peer_port,
            if(local_address = loopback OR local_address BETWEEN loopback_from AND loopback_to, boot, 0) AS only_boot,
            -- On the region's own clock.
            aligned - toIntervalNanosecond(apart_ns) AS from_at, aligned_end + toIntervalNanosecond(apart_ns) + toIntervalHour(1) AS to_at
        FROM tcp_sessions FINAL
        WHERE aligned_end >= {t0:DateTime64(9, 'UTC')} - toIntervalNanosecond(apart_ns) - toIntervalHour(1) AND (local_address, local_port, peer_address, peer_port) IN far
    ),
    sends AS (
        SELECT at, err_ns, node, boot, pid, goid, local_address, local_port, peer_address, peer_port
        FROM messages_live(t0 = {t0:DateTime64(9, 'UTC')}, t1 = {t1:DateTime64(9, 'UTC')})
        WHERE direction = 'send' AND (local_address, local_port, peer_address, peer_port) IN far
    ),
    -- Loopback addresses are of one machine each.
    waits AS (
        SELECT
            *, aligned_end - toIntervalNanosecond(run_delay_ns) AS ready,
            kind = 'goroutine' AND waker_goid != 0 AS by_goroutine,
            peer_port != 0 AND (kind = 'goroutine' AND bitTest(flags, 1) OR kind = 'syscall' AND result >= 0) AS by_network,
            if(peer_address = loopback OR peer_address BETWEEN loopback_from AND loopback_to, boot, 0) AS only_boot
        FROM timeline(t0 = {t0:DateTime64(9, 'UTC')}, t1 = {t1:DateTime64(9, 'UTC')})
        WHERE by_goroutine OR by_network
    ),
    -- Of connections that had the same ends one after the other, the last that began before.
    reached AS (
        SELECT
            w.*, f.region AS far_region, f.node AS far_node, f.boot AS far_boot, f.service AS far_service,
            if(by_network AND w.ready <= f.to_at, f.pid, 0) AS far_pid
        FROM waits AS w
        ASOF LEFT JOIN far_ends AS f
            ON w.peer_address = f.local_address AND w.peer_port = f.local_port AND w.local_address = f.peer_address AND w.local_port = f.peer_port
            AND w.only_boot = f.only_boot AND w.ready >= f.from_at
        WHERE by_goroutine OR far_pid != 0
    ),
    edges AS (
        SELECT r.*, far_pid != 0 AND m.pid = far_pid AND m.at >= r.aligned AS has_sent, m.at AS m_at, m.goid AS m_goid, m.err_ns AS m_err_ns
        FROM reached AS r
        ASOF LEFT JOIN sends AS m
            ON r.peer_address = m.local_address AND r.peer_port = m.local_port AND r.local_address = m.peer_address AND r.local_port = m.peer_port
            AND r.far_node = m.node AND r.far_boot = m.boot AND r.ready >= m.at
    ),
    tops AS (
        SELECT stack_id, top FROM stack_tops
        WHERE stack_id IN (SELECT waker_stack_id FROM events WHERE bucket >= bucket_from AND bucket <= bucket_to AND waker_stack_id != 0)
    )
SELECT
    if(e.by_goroutine, 'goroutine', 'network') AS via, e.ready AS at, e.err_end_ns AS err_ns, e.region AS region, e.node AS node, e.boot AS boot,
    e.service AS service, e.pid AS pid, e.goid AS goid, e.kind AS kind, e.reason AS reason, e.aligned AS since, e.dur_ns AS dur_ns,
    e.run_delay_ns AS run_delay_ns, e.stack AS stack, e.stack_id AS stack_id, e.address AS address,
    if(e.by_goroutine, e.region, e.far_region) AS waker_region, if(e.by_goroutine, e.node, e.far_node) AS waker_node,
    if(e.by_goroutine, e.boot, e.far_boot) AS waker_boot, if(e.by_goroutine, e.service, e.far_service) AS waker_service,
    if(e.by_goroutine, e.pid, e.far_pid) AS waker_pid, multiIf(e.by_goroutine, e.waker_goid, e.has_sent, e.m_goid, 0) AS waker_goid,
    s.top AS waker_stack, e.waker_stack_id AS waker_stack_id, if(e.has_sent, e.m_at, NULL) AS sent, if(e.has_sent, e.m_err_ns, NULL) AS sent_err_ns,
    e.local_address AS local_address, e.local_port AS local_port, e.peer_address AS peer_address, e.peer_port AS peer_port,
    e.trace AS trace, e.span AS span
FROM edges AS e LEFT JOIN tops AS s ON e.waker_stack_id = s.stack_id;

-- run_accounts(t0, t1): of each run of an agent, what it captured and where that went, by the batches that were sealed in the minutes from
-- that of t0 to before t1. Where the first of them is not the run's first, it is where counting begins and is not counted itself.
--
-- from_batch, to_batch  the batches that are counted; there are none where the first number is the larger one
-- captured        waits that the kernel saw; null, as left_out, waiting and unexplained, where the agent is too old to tell
-- events, short_waits   in the stored ones of these batches, by the ledger; batch_audit compares that with the tables themselves
-- lost            by all causes, whoever told of it and when
-- twice           of these, those of batches that were given up and are in the store all the same: they are not lost
-- left_out        not kept, as is wanted
-- waiting         by how much more are going on, or on their way into a batch, than before from_batch
-- unexplained     captured - events - short_waits - (lost - twice) - left_out - waiting: 0, or something is missing (> 0) or counted twice (< 0)
-- batches, dropped, missing   how many of the numbers are in the store, were given up, and neither: those are still on their way, or lost
-- is_ended        the run told that it ended; open: how many waits went on then, counted one by one, which the account's waiting must be:
--                 miscounted is by how much it is not
CREATE OR REPLACE VIEW run_accounts AS
WITH
    told AS (
        SELECT
            region, node, boot, run_seq, batch, any(events) AS events, any(short_waits) AS short_waits, any(has_account) AS has_account,
            any(captured) AS captured, any(left_out) AS left_out, any(waiting) AS waiting, any(open) AS open
        FROM ingest_ledger
        WHERE bucket >= toStartOfMinute(toDateTime(intDiv(toUnixTimestamp64Nano({t0:DateTime64(9, 'UTC')}), 1000000000), 'UTC')) AND bucket < {t1:DateTime64(9, 'UTC')}
        GROUP BY region, node, boot, run_seq, batch
    ),
    runs AS (
        SELECT
            region, node, boot, run_seq, min(batch) AS lowest, max(batch) AS newest, lowest != run_seq AS begins_within,
            argMin((t.events, t.short_waits, t.captured, t.left_out, t.waiting, t.has_account), batch) AS first,
            argMax((t.captured, t.left_out, t.waiting, t.open, t.has_account), batch) AS last,
            sum(t.events) AS all_events, sum(t.short_waits) AS all_short_waits, count() AS all_batches,
            -- The first batches of a run may come before its first account.
            tupleElement(last, 5) AND (NOT begins_within OR tupleElement(first, 6)) AS has_accounts
        FROM told AS t
        GROUP BY region, node, boot, run_seq
    ),
    gone AS (
        SELECT region, node, boot, run_seq, sum(count) AS lost
        FROM losses AS l
        INNER JOIN runs AS r USING (region, node, boot, run_seq)
        WHERE bucket >= toStartOfMinute(toDateTime(intDiv(toUnixTimestamp64Nano({t0:DateTime64(9, 'UTC')}), 1000000000), 'UTC')) AND l.batch >= r.lowest + r.begins_within AND l.batch <= r.newest
        GROUP BY region, node, boot, run_seq
    ),
    dropped AS (
        SELECT
            region, node, boot, run_seq, count() AS dropped, countIf(is_stored) AS stored, sumIf(d.events + d.short_waits, is_stored) AS twice
        FROM (
            SELECT
                region, node, boot, run_seq, batch, any(events) AS events, any(short_waits) AS short_waits,
                (region, node, boot, batch) IN (SELECT region, node, boot, batch FROM told) AS is_stored
            FROM dropped_batches
            WHERE bucket >= toStartOfMinute(toDateTime(intDiv(toUnixTimestamp64Nano({t0:DateTime64(9, 'UTC')}), 1000000000), 'UTC'))
            GROUP BY region, node, boot, run_seq, batch
        ) AS d
        INNER JOIN runs AS r USING (region, node, boot, run_seq)
        WHERE d.batch >= r.lowest + r.begins_within AND d.batch <= r.newest
        GROUP BY region, node, boot, run_seq
    )
SELECT
    r.region AS region, r.node AS node, r.boot AS boot, r.run_seq AS run_seq,
    r.lowest + r.begins_within AS from_batch, r.newest AS to_batch,
    if(r.has_accounts, tupleElement(r.last, 1) - if(r.begins_within, tupleElement(r.first, 3), 0), NULL) AS captured,
    r.all_events - if(r.begins_within, tupleElement(r.first, 1), 0) AS events,
    r.all_short_waits - if(r.begins_within, tupleElement(r.first, 2), 0) AS short_waits,
    g.lost AS lost, d.twice AS twice,
    if(r.has_accounts, tupleElement(r.last, 2) - if(r.begins_within, tupleElement(r.first, 4), 0), NULL) AS left_out,
    if(r.has_accounts, tupleElement(r.last, 3) - if(r.begins_within, tupleElement(r.first, 5), 0), NULL) AS waiting,
    toInt64(captured) - toInt64(events + short_waits) - toInt64(left_out) - (toInt64(lost) - toInt64(twice)) - waiting AS unexplained,
    r.all_batches - r.begins_within AS batches, d.dropped - d.stored AS dropped,
    toInt64(to_batch + 1) - toInt64(from_batch) - toInt64(batches) - toInt64(dropped) AS missing,
    r.has_accounts AND tupleElement(r.last, 4) >= 0 AS is_ended,
    if(is_ended, tupleElement(r.last, 4), NULL) AS open, if(is_ended, tupleElement(r.last, 3) - tupleElement(r.last, 4), NULL) AS miscounted
FROM runs AS r
LEFT JOIN gone AS g USING (region, node, boot, run_seq)
LEFT JOIN dropped AS d USING (region, node, boot, run_seq);

-- batch_audit(t0, t1): of each batch in the ledger that was sealed in the minutes from that of t0 to before t1, whether what it had is in the
-- tables, once. It reads all events of that time, and before it as far back as they began.
--
-- events, short_waits, losses            by the ledger
-- found_events                           rows in events with its numbers
-- distinct_events                        different numbers among them
-- found_short_waits, found_losses        sums of its rows in short_waits and losses
-- is_whole                               all of them are as they must be
CREATE OR REPLACE VIEW batch_audit AS
WITH
    told AS (
        SELECT
            region, node, boot, run_seq, batch, any(first_seq) AS first_seq, any(events) AS events, any(short_waits) AS short_waits,
            any(losses) AS losses, min(first_bucket) AS first_bucket
        FROM ingest_ledger
        WHERE bucket >= toStartOfMinute(toDateTime(intDiv(toUnixTimestamp64Nano({t0:DateTime64(9, 'UTC')}), 1000000000), 'UTC')) AND bucket < {t1:DateTime64(9, 'UTC')}
        GROUP BY region, node, boot, run_seq, batch
    ),
    of_events AS (
        SELECT region, node, boot, batch, count() AS found, groupBitmap(toUInt32(seq - first_seq)) AS distinct_events
        FROM (
            SELECT region, node, boot, seq FROM events
            WHERE bucket >= (SELECT min(first_bucket) FROM told) AND bucket < {t1:DateTime64(9, 'UTC')}
        ) AS e
        ASOF JOIN (SELECT region, node, boot, batch, first_seq, events FROM told WHERE events > 0) AS t
            ON e.region = t.region AND e.node = t.node AND e.boot = t.boot AND e.seq >= t.first_seq
        WHERE e.seq < t.first_seq + t.events
        GROUP BY region, node, boot, batch
    ),
    of_short AS (
        SELECT region, node, boot, batch, sum(count) AS found FROM short_waits
        WHERE bucket >= toStartOfMinute(toDateTime(intDiv(toUnixTimestamp64Nano({t0:DateTime64(9, 'UTC')}), 1000000000), 'UTC')) AND bucket < {t1:DateTime64(9, 'UTC')}
        GROUP BY region, node, boot, batch
    ),
    of_losses AS (
        -- Of a batch that was given up and stored all the same, what others told of it is not its own.
        SELECT region, node, boot, batch, sum(count) AS found FROM losses
        WHERE bucket >= toStartOfMinute(toDateTime(intDiv(toUnixTimestamp64Nano({t0:DateTime64(9, 'UTC')}), 1000000000), 'UTC')) AND bucket < {t1:DateTime64(9, 'UTC')}
            AND (region, node, boot, batch) NOT IN (SELECT region, node, boot, batch FROM dropped_batches WHERE bucket >= toStartOfMinute(toDateTime(intDiv(toUnixTimestamp64Nano({t0:DateTime64(9, 'UTC')}), 1000000000), 'UTC')))
        GROUP BY region, node, boot, batch
    )
SELECT
    t.region AS region, t.node AS node, t.boot AS boot, t.run_seq AS run_seq, t.batch AS batch, t.first_seq AS first_seq,
    t.events AS events, e.found AS found_events, e.distinct_events AS distinct_events,
    t.short_waits AS short_waits, s.found AS found_short_waits, t.losses AS losses, l.found AS found_losses,
    events = found_events AND events = distinct_events AND short_waits = found_short_waits
        AND (losses = found_losses OR (region, node, boot, batch) IN (SELECT region, node, boot, batch FROM dropped_batches WHERE bucket >= toStartOfMinute(toDateTime(intDiv(toUnixTimestamp64Nano({t0:DateTime64(9, 'UTC')}), 1000000000), 'UTC')))) AS is_whole
FROM told AS t
LEFT JOIN of_events AS e USING (region, node, boot, batch)
LEFT JOIN of_short AS s USING (region, node, boot, batch)
LEFT JOIN of_losses AS l USING (region, node, boot, batch);

-- blocked_time(t0, t1): how often and how long in all the processes of services waited, by kind and reason, in buckets from t0 to t1, whatever was
-- not seen: events, short waits and parts of waits, each by its weight. Kinds overlap: a system call lies in the wait of its goroutine, or beside it.
--
-- seen_ns   of that time, what was seen itself: how much the rest rests on
CREATE OR REPLACE VIEW blocked_time AS
WITH
    toStartOfMinute(toDateTime(intDiv(toUnixTimestamp64Nano({t0:DateTime64(9, 'UTC')}), 1000000000), 'UTC')) AS bucket_from,
    toDateTime(intDiv(toUnixTimestamp64Nano({t1:DateTime64(9, 'UTC')}), 1000000000), 'UTC') AS bucket_to
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
