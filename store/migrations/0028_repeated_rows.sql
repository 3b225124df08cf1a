-- What the ledger does not look at.

-- repeated_rows(t0, t1): of the tables that would have rows of a batch twice and that batch_audit does not look at, where rows are there more than once,
-- by all that their batch told: of the minutes from that of t0 to before t1. Alignment may differ between them.
--
-- table      which
-- repeated   how many rows there are more than different ones
CREATE OR REPLACE VIEW repeated_rows AS
WITH
    toStartOfMinute(toDateTime(intDiv(toUnixTimestamp64Nano({t0:DateTime64(9, 'UTC')}), 1000000000), 'UTC')) AS bucket_from,
    toDateTime(intDiv(toUnixTimestamp64Nano({t1:DateTime64(9, 'UTC')}), 1000000000), 'UTC') AS bucket_to
SELECT table, region, node, boot, repeated
FROM (
    SELECT 'open_waits' AS table, region, node, boot, count() - uniqExact(pid, tid, goid, kind, reason, mono_ns, dur_ns, address) AS repeated
    FROM open_waits WHERE bucket >= bucket_from AND bucket < bucket_to GROUP BY region, node, boot
    UNION ALL
    SELECT 'observations' AS table, region, node, boot, count() - uniqExact(service, pid, mono_ns, dur_ns) AS repeated
    FROM observations WHERE bucket >= bucket_from AND bucket < bucket_to GROUP BY region, node, boot
    UNION ALL
    SELECT 'process_states' AS table, region, node, boot, count() - uniqExact(service, pid, mono_ns, dur_ns) AS repeated
    FROM process_states WHERE bucket >= bucket_from AND bucket < bucket_to GROUP BY region, node, boot
    UNION ALL
    SELECT
        'messages' AS table, region, node, boot,
        count() - uniqExact(pid, tid, goid, direction, local_address, local_port, peer_address, peer_port, mark, mono_ns) AS repeated
    FROM messages WHERE bucket >= bucket_from AND bucket < bucket_to GROUP BY region, node, boot
    UNION ALL
    -- Of older aggregators the batch is not known.
    SELECT 'tcp_losses' AS table, region, node, boot, countIf(batch != 0) - uniqExactIf((batch, cause), batch != 0) AS repeated
    FROM tcp_losses WHERE bucket >= bucket_from AND bucket < bucket_to GROUP BY region, node, boot
    UNION ALL
    SELECT 'clock_probes' AS table, region, node, boot, count() - uniqExact(t1, t2, t3, t4) AS repeated
    FROM clock_probes WHERE at >= bucket_from AND at < bucket_to GROUP BY region, node, boot
    UNION ALL
    SELECT 'clock_steps' AS table, region, node, boot, count() - uniqExact(mono_ns, scale, size_ns) AS repeated
    FROM clock_steps WHERE at >= bucket_from AND at < bucket_to GROUP BY region, node, boot
    UNION ALL
    SELECT 'clock_claims' AS table, region, node, boot, count() - uniqExact(source, mono_ns, utc_wall_ns) AS repeated
    FROM clock_claims WHERE at >= bucket_from AND at < bucket_to GROUP BY region, node, boot
    UNION ALL
    SELECT 'clock_disruptions' AS table, region, node, boot, count() - uniqExact(peer, batch, mono_from, mono_to, sign) AS repeated
    FROM clock_disruptions WHERE at >= bucket_from AND at < bucket_to GROUP BY region, node, boot
)
WHERE repeated > 0;
