-- The ledger: which batches are in the store with all of their rows, what agents say of all that they have captured, and which of their
-- batches will never come. From it follows, of each node and run, that captured = stored + lost by cause, or where that is not so.
--
-- A row of ingest_ledger is written after all other rows of its batch. Numbers of batches grow by one within a run of an agent, from
-- run_seq on; so one that is missing between two others was dropped, is still on its way, or is lost.

ALTER TABLE short_waits ADD COLUMN IF NOT EXISTS batch UInt64 DEFAULT 0 COMMENT 'number of the batch that told; 0 = not known' CODEC(DoubleDelta, ZSTD(1));
ALTER TABLE losses ADD COLUMN IF NOT EXISTS batch UInt64 DEFAULT 0 COMMENT 'number of the batch that told, or of the dropped batch that had it; 0 = not known' CODEC(DoubleDelta, ZSTD(1));

CREATE TABLE IF NOT EXISTS ingest_ledger (
    bucket        DateTime('UTC') COMMENT 'start of the batch''s minute; s since 1970' CODEC(Delta(4), ZSTD(1)),
    region        LowCardinality(String) COMMENT 'region of the node',
    node          LowCardinality(String) COMMENT 'name of the node',
    boot          UInt64 COMMENT 'first 8 bytes of the boot id' CODEC(ZSTD(1)),
    run_seq       UInt64 COMMENT 'first event number of the agent''s run' CODEC(ZSTD(1)),
    batch         UInt64 COMMENT 'number of the batch; (node, boot, batch) is its identity' CODEC(DoubleDelta, ZSTD(1)),
    sealed_ns     UInt64 COMMENT 'when the agent sealed it; mono, ns' CODEC(DoubleDelta, ZSTD(1)),
    first_seq     UInt64 COMMENT 'number of its first event' CODEC(DoubleDelta, ZSTD(1)),
    events        UInt64 COMMENT 'events in it' CODEC(T64, ZSTD(1)),
    first_bucket  DateTime('UTC') COMMENT 'the earliest bucket of its events; s since 1970' CODEC(Delta(4), ZSTD(1)),
    short_waits   UInt64 COMMENT 'waits in its sums' CODEC(T64, ZSTD(1)),
    losses        UInt64 COMMENT 'waits that it says are lost, but for those of dropped batches' CODEC(T64, ZSTD(1)),
    has_account   UInt8 COMMENT '1 = the columns below are known; older agents do not tell' CODEC(ZSTD(1)),
    captured      UInt64 COMMENT 'waits that the run''s agent captured so far, in the kernel' CODEC(DoubleDelta, ZSTD(1)),
    left_out      UInt64 COMMENT 'of these, not kept as is wanted: threads without work of Go''s scheduler, processes that are left out, waits that began before their window of observation' CODEC(DoubleDelta, ZSTD(1)),
    waiting       Int64 COMMENT 'of these, going on or between the kernel and a batch' CODEC(DoubleDelta, ZSTD(1)),
    open          Int64 COMMENT 'in the last batch of a run: waits that went on, counted one by one, which waiting must be; else -1' CODEC(ZSTD(1)),
    stored_at     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'when this row was written; the store''s clock' CODEC(Delta(8), ZSTD(1))
) ENGINE = MergeTree
PARTITION BY toDate(bucket)
ORDER BY (bucket, region, node, boot, batch)
TTL bucket + INTERVAL 14 DAY DELETE
SETTINGS non_replicated_deduplication_window = 100000, ttl_only_drop_parts = 1
COMMENT 'One row per batch whose rows are all in the store, with the agent''s account of what it captured';

CREATE TABLE IF NOT EXISTS dropped_batches (
    bucket      DateTime('UTC') COMMENT 'start of the minute of the batch that told of it; s since 1970' CODEC(Delta(4), ZSTD(1)),
    region      LowCardinality(String) COMMENT 'region of the node',
    node        LowCardinality(String) COMMENT 'name of the node',
    boot        UInt64 COMMENT 'first 8 bytes of the boot id' CODEC(ZSTD(1)),
    run_seq     UInt64 COMMENT 'first event number of its run' CODEC(ZSTD(1)),
    batch       UInt64 COMMENT 'its number' CODEC(DoubleDelta, ZSTD(1)),
    cause       LowCardinality(String) COMMENT 'why it will never be stored, as in losses',
    events      UInt64 COMMENT 'events that were in it' CODEC(T64, ZSTD(1)),
    short_waits UInt64 COMMENT 'waits that were in its sums' CODEC(T64, ZSTD(1))
) ENGINE = MergeTree
PARTITION BY toDate(bucket)
ORDER BY (bucket, region, node, boot, batch)
TTL bucket + INTERVAL 14 DAY DELETE
SETTINGS non_replicated_deduplication_window = 100000, ttl_only_drop_parts = 1
COMMENT 'Batches that agents made and gave up; what was in them is in losses, under their numbers';

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
        WHERE bucket >= toStartOfMinute({t0:DateTime64(9, 'UTC')}) AND bucket < {t1:DateTime64(9, 'UTC')}
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
        WHERE bucket >= toStartOfMinute({t0:DateTime64(9, 'UTC')}) AND l.batch >= r.lowest + r.begins_within AND l.batch <= r.newest
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
            WHERE bucket >= toStartOfMinute({t0:DateTime64(9, 'UTC')})
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
        WHERE bucket >= toStartOfMinute({t0:DateTime64(9, 'UTC')}) AND bucket < {t1:DateTime64(9, 'UTC')}
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
        WHERE bucket >= toStartOfMinute({t0:DateTime64(9, 'UTC')}) AND bucket < {t1:DateTime64(9, 'UTC')}
        GROUP BY region, node, boot, batch
    ),
    of_losses AS (
        -- Of a batch that was given up and stored all the same, what others told of it is not its own.
        SELECT region, node, boot, batch, sum(count) AS found FROM losses
        WHERE bucket >= toStartOfMinute({t0:DateTime64(9, 'UTC')}) AND bucket < {t1:DateTime64(9, 'UTC')}
            AND (region, node, boot, batch) NOT IN (SELECT region, node, boot, batch FROM dropped_batches WHERE bucket >= toStartOfMinute({t0:DateTime64(9, 'UTC')}))
        GROUP BY region, node, boot, batch
    )
SELECT
    t.region AS region, t.node AS node, t.boot AS boot, t.run_seq AS run_seq, t.batch AS batch, t.first_seq AS first_seq,
    t.events AS events, e.found AS found_events, e.distinct_events AS distinct_events,
    t.short_waits AS short_waits, s.found AS found_short_waits, t.losses AS losses, l.found AS found_losses,
    events = found_events AND events = distinct_events AND short_waits = found_short_waits
        AND (losses = found_losses OR (region, node, boot, batch) IN (SELECT region, node, boot, batch FROM dropped_batches WHERE bucket >= toStartOfMinute({t0:DateTime64(9, 'UTC')}))) AS is_whole
FROM told AS t
LEFT JOIN of_events AS e USING (region, node, boot, batch)
LEFT JOIN of_short AS s USING (region, node, boot, batch)
LEFT JOIN of_losses AS l USING (region, node, boot, batch);
