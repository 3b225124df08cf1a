-- TCP: connections of observed processes, calls whose bytes both ends can name, and the check of the clocks by them.
--
-- A mark is a sequence number of a connection that is a multiple of a power of two. A call that moved bytes with marks among
-- them is a message: stamped at the sender before any of its bytes can have left, at the receiver after all were copied. So of
-- one mark the send was before the receipt, whatever the clocks say.

CREATE TABLE IF NOT EXISTS messages (
    bucket       DateTime('UTC') COMMENT 'start of the minute of the message, stamped once; s since 1970' CODEC(Delta(4), ZSTD(1)),
    region       LowCardinality(String) COMMENT 'region of the node',
    service      LowCardinality(String) COMMENT 'service of the process',
    node         LowCardinality(String) COMMENT 'name of the node',
    boot         UInt64 COMMENT 'first 8 bytes of the boot id' CODEC(ZSTD(1)),
    pid          UInt32 COMMENT 'process id in the host''s namespace' CODEC(T64, ZSTD(1)),
    tid          UInt32 COMMENT 'thread that made the call' CODEC(T64, ZSTD(1)),
    goid         UInt64 COMMENT 'goroutine that made the call; 0 = not known' CODEC(T64, ZSTD(1)),
    direction    Enum8('send' = 1, 'receive' = 2) COMMENT 'send: stamped before any of the bytes can have left; receive: after all were copied to the caller',
    local_address IPv6 COMMENT 'this end (network.local.address); IPv4 as ::ffff:a.b.c.d' CODEC(ZSTD(1)),
    local_port   UInt16 COMMENT 'port of this end (network.local.port)' CODEC(T64, ZSTD(1)),
    peer_address IPv6 COMMENT 'the other end (network.peer.address); IPv4 as ::ffff:a.b.c.d' CODEC(ZSTD(1)),
    peer_port    UInt16 COMMENT 'port of the other end (network.peer.port)' CODEC(T64, ZSTD(1)),
    netns        UInt32 COMMENT 'inode number of the network namespace' CODEC(T64, ZSTD(1)),
    mark         UInt32 COMMENT 'first mark among the bytes: a sequence number' CODEC(ZSTD(1)),
    marks        UInt32 COMMENT 'how many marks, each 2^mark_shift further, modulo 2^32' CODEC(T64, ZSTD(1)),
    mark_shift   UInt8 COMMENT 'spacing of marks is 2 to this' CODEC(ZSTD(1)),
    mono_ns      UInt64 COMMENT 'when; mono, ns' CODEC(DoubleDelta, ZSTD(1)),
    wall_off     Int64 COMMENT 'wall - mono then, ns' CODEC(Delta(8), ZSTD(1)),
    ref_run      UInt64 COMMENT 'run of the reference that al_off leads to' CODEC(ZSTD(1)),
    al_off       Int64 COMMENT 'REF - mono, as it was known when stored, ns; messages_live has it newer' CODEC(Delta(8), ZSTD(1)),
    err_ns       UInt64 COMMENT 'half width of the bound, ns; 18446744073709551615 = unbounded' CODEC(T64, ZSTD(1)),
    bound_class  Enum8('unknown' = 0, 'hard' = 1, 'tight' = 2, 'budgeted' = 3) COMMENT 'what the bound assumes',
    clock_status Enum8('unknown' = 0, 'synchronized' = 1, 'free_running' = 2, 'disrupted' = 3) COMMENT 'status of the node''s clock estimate',
    epoch        UInt32 COMMENT 'disruption generation within the boot' CODEC(T64, ZSTD(1)),
    model_rev    UInt32 COMMENT 'revision of the clock model that aligned the row' CODEC(T64, ZSTD(1)),
    aligned      DateTime64(9, 'UTC') ALIAS fromUnixTimestamp64Nano(toInt64(mono_ns) + al_off, 'UTC') COMMENT 'when; REF of the region',
    wall         DateTime64(9, 'UTC') ALIAS fromUnixTimestamp64Nano(toInt64(mono_ns) + wall_off, 'UTC') COMMENT 'when; the node''s own wall clock'
) ENGINE = MergeTree
PARTITION BY toDate(bucket)
ORDER BY (bucket, region, node, boot, mono_ns)
TTL bucket + INTERVAL 14 DAY DELETE
SETTINGS non_replicated_deduplication_window = 100000, ttl_only_drop_parts = 1
COMMENT 'Calls that sent or received marked bytes of a TCP connection';

-- What is told of a session later replaces what was told before.
CREATE TABLE IF NOT EXISTS tcp_sessions (
    bucket         DateTime('UTC') COMMENT 'start of the minute in which it was first seen; s since 1970' CODEC(Delta(4), ZSTD(1)),
    region         LowCardinality(String) COMMENT 'region of the node',
    service        LowCardinality(String) COMMENT 'service of the process',
    node           LowCardinality(String) COMMENT 'name of the node',
    boot           UInt64 COMMENT 'first 8 bytes of the boot id' CODEC(ZSTD(1)),
    pid            UInt32 COMMENT 'process id in the host''s namespace' CODEC(T64, ZSTD(1)),
    tid            UInt32 COMMENT 'thread that opened it, or was seen with it first' CODEC(T64, ZSTD(1)),
    goid           UInt64 COMMENT 'goroutine of the same; 0 = not known' CODEC(T64, ZSTD(1)),
    stack_id       UInt64 COMMENT 'stacks.stack_id of its connect(); 0 = none' CODEC(ZSTD(1)),
    socket         UInt64 COMMENT 'number of the socket; (node, boot, mono_ns, socket) is the identity' CODEC(ZSTD(1)),
    opener         Enum8('unknown' = 0, 'local' = 1, 'remote' = 2) COMMENT 'who opened it; unknown = it was there before the agent could see it, and so is its start',
    local_address  IPv6 COMMENT 'this end (network.local.address); IPv4 as ::ffff:a.b.c.d' CODEC(ZSTD(1)),
    local_port     UInt16 COMMENT 'port of this end (network.local.port)' CODEC(T64, ZSTD(1)),
    peer_address   IPv6 COMMENT 'the other end (network.peer.address); IPv4 as ::ffff:a.b.c.d' CODEC(ZSTD(1)),
    peer_port      UInt16 COMMENT 'port of the other end (network.peer.port)' CODEC(T64, ZSTD(1)),
    netns          UInt32 COMMENT 'inode number of the network namespace' CODEC(T64, ZSTD(1)),
    mono_ns        UInt64 COMMENT 'its start: connect(), or the end of the handshake of one that was accepted; where the opener is unknown, when it was first seen; mono, ns' CODEC(DoubleDelta, ZSTD(1)),
    wall_off       Int64 COMMENT 'wall - mono then, ns' CODEC(Delta(8), ZSTD(1)),
    handshake_ns   UInt64 COMMENT 'connect() to the end of the handshake, ns of mono; 0 = not seen' CODEC(T64, ZSTD(1)),
    dur_ns         UInt64 COMMENT 'from mono_ns to its end, or to when the numbers were taken while it was open; ns of mono' CODEC(T64, ZSTD(1)),
    ended          UInt8 COMMENT '1 = it has ended, 0 = it was open' CODEC(ZSTD(1)),
    last_state     LowCardinality(String) COMMENT 'TCP state that it was in before it was closed; empty while it is open',
    error          UInt16 COMMENT 'errno of the socket at its end; 0 = none' CODEC(T64, ZSTD(1)),
    bytes_sent     UInt64 COMMENT 'payload sent that the peer has acknowledged; where the opener is unknown it may be one too many' CODEC(T64, ZSTD(1)),
    bytes_received UInt64 COMMENT 'payload received in order' CODEC(T64, ZSTD(1)),
    retransmits    UInt32 COMMENT 'segments sent again' CODEC(T64, ZSTD(1)),
    srtt_us        UInt32 COMMENT 'smoothed round trip, us; 0 = never measured' CODEC(T64, ZSTD(1)),
    min_rtt_us     UInt32 COMMENT 'least round trip of the last minutes, us; 4294967295 = never measured' CODEC(T64, ZSTD(1)),
    ref_run        UInt64 COMMENT 'run of the reference that al_off leads to' CODEC(ZSTD(1)),
    al_off         Int64 COMMENT 'REF - mono at mono_ns, as it was known when stored, ns' CODEC(Delta(8), ZSTD(1)),
    al_end_off     Int64 COMMENT 'REF - mono at mono_ns + dur_ns, ns' CODEC(Delta(8), ZSTD(1)),
    err_ns         UInt64 COMMENT 'half width of the bound at mono_ns, ns; 18446744073709551615 = unbounded' CODEC(T64, ZSTD(1)),
    err_end_ns     UInt64 COMMENT 'half width of the bound at mono_ns + dur_ns, ns; the same' CODEC(T64, ZSTD(1)),
    aligned        DateTime64(9, 'UTC') ALIAS fromUnixTimestamp64Nano(toInt64(mono_ns) + al_off, 'UTC') COMMENT 'mono_ns; REF of the region',
    aligned_end    DateTime64(9, 'UTC') ALIAS fromUnixTimestamp64Nano(toInt64(mono_ns + dur_ns) + al_end_off, 'UTC') COMMENT 'mono_ns + dur_ns; REF of the region',
    wall           DateTime64(9, 'UTC') ALIAS fromUnixTimestamp64Nano(toInt64(mono_ns) + wall_off, 'UTC') COMMENT 'mono_ns; the node''s own wall clock'
) ENGINE = ReplacingMergeTree(dur_ns)
ORDER BY (region, node, boot, mono_ns, socket)
TTL bucket + INTERVAL 14 DAY DELETE
SETTINGS non_replicated_deduplication_window = 100000
COMMENT 'TCP connections of observed processes; query with FINAL';

CREATE TABLE IF NOT EXISTS tcp_losses (
    bucket  DateTime('UTC') COMMENT 'start of the batch''s minute; s since 1970' CODEC(Delta(4), ZSTD(1)),
    region  LowCardinality(String) COMMENT 'region of the node',
    node    LowCardinality(String) COMMENT 'name of the node',
    boot    UInt64 COMMENT 'first 8 bytes of the boot id' CODEC(ZSTD(1)),
    run_seq UInt64 COMMENT 'first event number of the agent''s run' CODEC(ZSTD(1)),
    cause   LowCardinality(String) COMMENT 'why a session or message is missing or lacks something',
    count   UInt64 COMMENT 'how many since the previous row of the same run and cause' CODEC(T64, ZSTD(1))
) ENGINE = MergeTree
PARTITION BY toDate(bucket)
ORDER BY (bucket, region, node, boot, run_seq, cause)
TTL bucket + INTERVAL 14 DAY DELETE
SETTINGS non_replicated_deduplication_window = 100000, ttl_only_drop_parts = 1
COMMENT 'TCP sessions and messages that were not stored, by cause; beside `losses`, whose sum speaks of waits';

-- A minute that is checked again replaces what was found before.
CREATE TABLE IF NOT EXISTS pair_checks (
    minute       DateTime('UTC') COMMENT 'start of the minute of the sends; the fleet''s clock' CODEC(Delta(4), ZSTD(1)),
    src_region   LowCardinality(String) COMMENT 'region of the sender',
    src_node     LowCardinality(String) COMMENT 'node of the sender',
    dst_region   LowCardinality(String) COMMENT 'region of the receiver',
    dst_node     LowCardinality(String) COMMENT 'node of the receiver',
    pairs        UInt64 COMMENT 'marks of which both the send and the receipt are known' CODEC(T64, ZSTD(1)),
    violated     UInt64 COMMENT 'of these, the receipt is proved to be before the send: a clock is wrong beyond its bound' CODEC(T64, ZSTD(1)),
    cannot_tell  UInt64 COMMENT 'of these, the bounds meet' CODEC(T64, ZSTD(1)),
    ambiguous    UInt64 COMMENT 'marks that were seen more than once at an end; not among pairs' CODEC(T64, ZSTD(1)),
    least_gap_ns Int64 COMMENT 'least receipt - send, ns; negative = estimates in the wrong order, perhaps within their bounds' CODEC(ZSTD(1)),
    slack_ns     Int64 COMMENT 'least of the most that receipt - send can be, ns; negative = a violation, and by how much' CODEC(ZSTD(1)),
    gap_p50_ns   Int64 COMMENT 'receipt - send, median, ns' CODEC(ZSTD(1)),
    gap_p90_ns   Int64 COMMENT 'the same, 90 % are less, ns' CODEC(ZSTD(1)),
    gap_p99_ns   Int64 COMMENT 'the same, 99 % are less, ns' CODEC(ZSTD(1)),
    settled      UInt8 COMMENT '1 = by the settled clock models; 0 = it will be checked once more' CODEC(ZSTD(1)),
    checked      DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'when; the database''s own clock; the newest wins' CODEC(Delta(8), ZSTD(1))
) ENGINE = ReplacingMergeTree(checked)
PARTITION BY toYYYYMM(minute)
ORDER BY (minute, src_region, src_node, dst_region, dst_node)
TTL minute + INTERVAL 90 DAY DELETE
SETTINGS non_replicated_deduplication_window = 100000
COMMENT 'Sends and their receipts held against the clocks, by pair of nodes; query with FINAL';

-- messages_live(t0, t1): the messages in [t0, t1) on the fleet's one clock, of all regions, by the newest revision of their nodes'
-- clock models.
--
-- at, err_ns            when, on the fleet's clock, and the half width: the node's bound plus the region's
-- ref_ns, node_err_ns   the same on the clock of the row's own region, where the region's bound is not in it
-- The rest as in `messages`. How regions are mapped and buckets searched: see `timeline`.
CREATE OR REPLACE VIEW messages_live AS
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
    (SELECT argMax(ref_run, (bucket, mono_ns)) FROM messages WHERE bucket >= bucket_from AND bucket <= bucket_to) AS lone_run,
    maps AS (SELECT * FROM region_maps(t0 = {t0:DateTime64(9, 'UTC')}, t1 = {t1:DateTime64(9, 'UTC')})),
    pieces AS (
        SELECT
            region AS s_region, node AS s_node, boot AS s_boot, mono_from AS s_from, mono_to AS s_to, ref_run AS s_run, ref_off AS s_off,
            ref_off_to AS s_off_to, greatest(err_from_ns, err_to_ns) AS s_err, status AS s_status, epoch AS s_epoch, rev AS s_rev
        FROM clock_segments FINAL
        WHERE rev > 1 AND as_of >= toDateTime64(bucket_from, 9, 'UTC') - 3600
    ),
    revised AS (
        SELECT
            m.bucket AS bucket, m.region AS region, m.service AS service, m.node AS node, m.boot AS boot, m.pid AS pid, m.tid AS tid, m.goid AS goid,
            m.direction AS direction, m.local_address AS local_address, m.local_port AS local_port, m.peer_address AS peer_address, m.peer_port AS peer_port,
            m.netns AS netns, m.mark AS mark, m.marks AS marks, m.mark_shift AS mark_shift, m.mono_ns AS mono_ns, m.wall_off AS wall_off, m.ref_run AS ref_run,
            s.s_rev > 0 AND m.mono_ns <= s.s_to AS is_revised,
            toInt64(m.mono_ns) + if(is_revised, s.s_off + toInt64(round((s.s_off_to - s.s_off) * ((m.mono_ns - s.s_from) / greatest(s.s_to - s.s_from, 1)))), m.al_off) AS ref_ns,
            if(is_revised, s.s_err, m.err_ns) AS node_err_ns,
            if(is_revised, s.s_status, m.clock_status) AS clock_status,
            if(is_revised, s.s_epoch, m.epoch) AS epoch,
            if(is_revised, s.s_rev, m.model_rev) AS model_rev,
            if(the_root = '', one_region AND ref_run = lone_run, region = the_root AND ref_run = the_root_run) AS is_root
        FROM (SELECT * FROM messages WHERE bucket >= bucket_from AND bucket <= bucket_to) AS m
        ASOF LEFT JOIN pieces AS s ON m.region = s.s_region AND m.node = s.s_node AND m.boot = s.s_boot AND m.ref_run = s.s_run AND m.mono_ns >= s.s_from
    ),
    located AS (
        SELECT
            r.*,
            multiIf(is_root OR n.mapped = 0, 0,
                ref_ns <= n.ref_to, n.off + toInt64(round((n.off_to - n.off) * ((ref_ns - n.ref_from) / greatest(n.ref_to - n.ref_from, 1)))),
                n.off_to + toInt64(round(n.rate_ppb * ((ref_ns - n.ref_to) / 1e9)))) AS region_off_ns,
            multiIf(is_root, 0, n.mapped = 0, unbounded, ref_ns <= n.ref_to, n.err_in_ns,
                n.err_to_ns > toUInt64(4000000000000000000) OR ref_ns - n.ref_to > longest_carry_ns, unbounded,
                n.err_to_ns + toUInt64(ceil(n.err_rate_ppb * ((ref_ns - n.ref_to) / 1e9)))) AS region_err_ns
        FROM revised AS r
        ASOF LEFT JOIN maps AS n ON r.region = n.map_region AND r.ref_run = n.map_run AND r.ref_ns >= n.ref_from
    ),
    summed AS (
        SELECT
            *,
            multiIf(is_root, node_err_ns, node_err_ns > 9000000000000000000, unbounded, node_err_ns + intDiv(node_err_ns + 1999, 2000)) AS sloped_err_ns,
            ref_ns + region_off_ns AS at_ns,
            -- bitNot(x) is the largest number less x: see timeline.
            if(sloped_err_ns > bitNot(region_err_ns), unbounded, sloped_err_ns + region_err_ns) AS err_ns
        FROM located
        WHERE ref_ns + region_off_ns >= t0_ns AND ref_ns + region_off_ns < t1_ns
    )
SELECT
    fromUnixTimestamp64Nano(at_ns, 'UTC') AS at, err_ns, region, service, node, pid, goid, direction, local_address, local_port, peer_address, peer_port,
    netns, mark, marks, mark_shift, tid, boot, mono_ns, fromUnixTimestamp64Nano(toInt64(mono_ns) + wall_off, 'UTC') AS wall, clock_status, epoch,
    model_rev, is_revised, ref_run, ref_ns, node_err_ns
FROM summed;

-- causal_pairs(t0, t1): the sends in [t0, t1) of the fleet's clock with their receipts, found by the connection's two ends and the mark,
-- across nodes and regions; receipts up to 10 s later or earlier are searched.
--
-- gap_ns              receipt - send, estimated: on one node and boot exactly, in one region on its clock, else on the fleet's
-- least_ns, most_ns   what it is at least and at most, by the bounds; NULL where one is unbounded
-- verdict             'right': the send is proved to be before the receipt. 'violated': it is proved to be after it, which cannot
--                     be: a clock is wrong beyond its bound. 'cannot tell' else. 'ambiguous': the mark was seen more than once at
--                     an end (two connections with the same ends, or 4 GiB on one within seconds), and the rest means nothing.
--
-- A pair needs both ends observed. Addresses of the loopback count as one only on one boot and network namespace. Not found: what
-- passes an address translation or a proxy.
CREATE OR REPLACE VIEW causal_pairs AS
WITH
    toUnixTimestamp64Nano({t0:DateTime64(9, 'UTC')}) AS t0_ns,
    toUnixTimestamp64Nano({t1:DateTime64(9, 'UTC')}) AS t1_ns,
    18446744073709551615 AS unbounded,
    ends AS (
        SELECT
            direction = 'send' AS is_send,
            arrayJoin(arrayMap(i -> toUInt32(bitAnd(toUInt64(mark) + bitShiftLeft(toUInt64(i), mark_shift), 4294967295)), range(marks))) AS the_mark,
            if(is_send, local_address, peer_address) AS from_address, if(is_send, local_port, peer_port) AS from_port,
            if(is_send, peer_address, local_address) AS to_address, if(is_send, peer_port, local_port) AS to_port,
            local_address = toIPv6('::1') OR local_address BETWEEN toIPv6('::ffff:127.0.0.0') AND toIPv6('::ffff:127.255.255.255') AS is_loopback,
            if(is_loopback, boot, 0) AS only_boot,
            if(is_loopback, netns, 0) AS only_netns,
            toUnixTimestamp64Nano(at) AS at_ns,
            (region, node, boot, ref_run, service, pid, goid, at_ns, err_ns, mono_ns, ref_ns, node_err_ns) AS what
        FROM messages_live(t0 = toDateTime64({t0:DateTime64(9, 'UTC')} - 10, 9, 'UTC'), t1 = toDateTime64({t1:DateTime64(9, 'UTC')} + 10, 9, 'UTC'))
    ),
    met AS (
        SELECT
            from_address, from_port, to_address, to_port, the_mark, countIf(is_send) AS sends, countIf(NOT is_send) AS receipts,
            anyIf(what, is_send) AS s, anyIf(what, NOT is_send) AS r
        FROM ends
        GROUP BY from_address, from_port, to_address, to_port, the_mark, only_boot, only_netns
        HAVING sends > 0 AND receipts > 0 AND s.8 >= t0_ns AND s.8 < t1_ns
    ),
    judged AS (
        SELECT
            *,
            s.2 = r.2 AND s.1 = r.1 AND s.3 = r.3 AS same_clock,
            s.1 = r.1 AND s.4 = r.4 AS same_region,
            multiIf(same_clock, toInt64(r.10) - toInt64(s.10), same_region, r.11 - s.11, r.8 - s.8) AS gap_ns,
            multiIf(same_clock, 0, same_region, s.12, s.9) AS send_err_ns,
            multiIf(same_clock, 0, same_region, r.12, r.9) AS receipt_err_ns,
            send_err_ns > 2000000000000000000 OR receipt_err_ns > 2000000000000000000 AS nothing_known,
            if(nothing_known, NULL, gap_ns - toInt64(send_err_ns) - toInt64(receipt_err_ns)) AS least_ns,
            if(nothing_known, NULL, gap_ns + toInt64(send_err_ns) + toInt64(receipt_err_ns)) AS most_ns
        FROM met
    )
SELECT
    fromUnixTimestamp64Nano(s.8, 'UTC') AS sent, fromUnixTimestamp64Nano(r.8, 'UTC') AS received, gap_ns, least_ns, most_ns,
    multiIf(sends > 1 OR receipts > 1, 'ambiguous', nothing_known, 'cannot tell', least_ns > 0, 'right', most_ns < 0, 'violated', 'cannot tell') AS verdict,
    s.1 AS src_region, s.2 AS src_node, s.5 AS src_service, s.6 AS src_pid, s.7 AS src_goid,
    r.1 AS dst_region, r.2 AS dst_node, r.5 AS dst_service, r.6 AS dst_pid, r.7 AS dst_goid,
    from_address, from_port, to_address, to_port, the_mark AS mark, send_err_ns, receipt_err_ns, same_clock
FROM judged;

-- pair_sums(t0, t1): the pairs of `causal_pairs` by sender and receiver, as `pair_checks` has them of a minute.
--
-- least_gap_ns, slack_ns, gap_*_ns   of no meaning where pairs = 0; a slack of 9223372036854775807 = no pair has a bound
CREATE OR REPLACE VIEW pair_sums AS
SELECT
    src_region, src_node, dst_region, dst_node, countIf(verdict != 'ambiguous') AS pairs, countIf(verdict = 'violated') AS violated,
    countIf(verdict = 'cannot tell') AS cannot_tell, countIf(verdict = 'ambiguous') AS ambiguous,
    minIf(gap_ns, verdict != 'ambiguous') AS least_gap_ns,
    min(if(verdict = 'ambiguous' OR most_ns IS NULL, 9223372036854775807, assumeNotNull(most_ns))) AS slack_ns,
    quantileExactIf(0.5)(gap_ns, verdict != 'ambiguous') AS gap_p50_ns, quantileExactIf(0.9)(gap_ns, verdict != 'ambiguous') AS gap_p90_ns,
    quantileExactIf(0.99)(gap_ns, verdict != 'ambiguous') AS gap_p99_ns
FROM causal_pairs(t0 = {t0:DateTime64(9, 'UTC')}, t1 = {t1:DateTime64(9, 'UTC')})
GROUP BY src_region, src_node, dst_region, dst_node;
