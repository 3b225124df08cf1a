-- The first schema: waits, stacks, nodes, clocks, and the views people query.
--
-- Scales. mono = a node's CLOCK_MONOTONIC, raw = its CLOCK_MONOTONIC_RAW, wall = its CLOCK_REALTIME, REF = the reference clock
-- of the node's region. The fleet's one clock is the REF of the root region. Tables keep REF of the row's own region; the views
-- `timeline` and `skew_now` add the region's map to the root.
-- Bounds. err_* is a half width in ns: the true value is within +- it. 18446744073709551615 means nothing is known.
-- Identity. (node, boot, seq) is an event. `bucket` is the event's minute, stamped once by the agent and never recomputed, so
-- that a retried insert lands in the same partition and is recognised. Everything that alignment may change later is outside
-- the sorting key.
-- Every table has a deduplication window: an insert repeated with the same token within the last 100,000 inserts into that
-- table stores nothing.
-- Runs. ref_run names one continuous run of a region's reference: another boot of the aggregator's host is another run, and times of
-- two runs cannot be compared.

------------------------------------------------------------------------------------------------------------------------------
-- Waits
------------------------------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS events (
    bucket       DateTime('UTC') COMMENT 'start of the minute of the park, stamped once; s since 1970' CODEC(Delta(4), ZSTD(1)),
    region       LowCardinality(String) COMMENT 'region of the node',
    service      LowCardinality(String) COMMENT 'service of the process',
    node         LowCardinality(String) COMMENT 'name of the node',
    boot         UInt64 COMMENT 'first 8 bytes of the boot id' CODEC(ZSTD(1)),
    seq          UInt64 COMMENT 'number of the event; (node, boot, seq) is its identity' CODEC(DoubleDelta, ZSTD(1)),
    pid          UInt32 COMMENT 'process id in the host''s namespace' CODEC(T64, ZSTD(1)),
    tid          UInt32 COMMENT 'thread it parked on' CODEC(T64, ZSTD(1)),
    goid         UInt64 COMMENT 'goroutine id; 0 = none' CODEC(T64, ZSTD(1)),
    kind         Enum8('goroutine' = 1, 'syscall' = 2, 'off_cpu' = 3, 'cgo' = 4) COMMENT 'what waited',
    reason       LowCardinality(String) COMMENT 'Go''s text of the wait reason, such as "chan receive"',
    mono_ns      UInt64 COMMENT 'park; mono, ns' CODEC(DoubleDelta, ZSTD(1)),
    wall_off     Int64 COMMENT 'wall - mono at park, ns' CODEC(Delta(8), ZSTD(1)),
    dur_ns       UInt64 COMMENT 'park to running again; ns of mono' CODEC(T64, ZSTD(1)),
    run_delay_ns UInt64 COMMENT 'ready to running, a part of dur_ns; 0 unless flags has bit 0' CODEC(T64, ZSTD(1)),
    flags        UInt16 COMMENT 'bit 0 (1): the ready was seen; bit 1 (2): woken by the network poller; bit 2 (4): the stack was cut; bit 3 (8): a frame of it could not be read' CODEC(T64, ZSTD(1)),
    stack_id     UInt64 COMMENT 'stacks.stack_id; 0 = no stack' CODEC(ZSTD(1)),
    waker_goid   UInt64 COMMENT 'goroutine that made it ready; 0 = not known' CODEC(T64, ZSTD(1)),
    ref_run      UInt64 COMMENT 'run of the reference that al_off leads to' CODEC(ZSTD(1)),
    al_off       Int64 COMMENT 'REF - mono at park, ns (may be re-aligned)' CODEC(Delta(8), ZSTD(1)),
    al_end_off   Int64 COMMENT 'REF - mono when running again, ns (may be re-aligned)' CODEC(Delta(8), ZSTD(1)),
    err_ns       UInt64 COMMENT 'half width of the bound at park, ns; 18446744073709551615 = unbounded' CODEC(T64, ZSTD(1)),
    err_end_ns   UInt64 COMMENT 'half width of the bound when running again, ns; the same' CODEC(T64, ZSTD(1)),
    bound_class  Enum8('unknown' = 0, 'hard' = 1, 'tight' = 2, 'budgeted' = 3) COMMENT 'what the bounds assume',
    clock_status Enum8('unknown' = 0, 'synchronized' = 1, 'free_running' = 2, 'disrupted' = 3) COMMENT 'status of the node''s clock estimate',
    epoch        UInt32 COMMENT 'disruption generation within the boot' CODEC(T64, ZSTD(1)),
    model_rev    UInt32 COMMENT 'revision of the clock model that aligned the row' CODEC(T64, ZSTD(1)),
    aligned      DateTime64(9, 'UTC') ALIAS fromUnixTimestamp64Nano(toInt64(mono_ns) + al_off, 'UTC') COMMENT 'park; REF of the region',
    aligned_end  DateTime64(9, 'UTC') ALIAS fromUnixTimestamp64Nano(toInt64(mono_ns + dur_ns) + al_end_off, 'UTC') COMMENT 'running again; REF of the region',
    wall         DateTime64(9, 'UTC') ALIAS fromUnixTimestamp64Nano(toInt64(mono_ns) + wall_off, 'UTC') COMMENT 'park; the node''s own wall clock'
) ENGINE = MergeTree
PARTITION BY toDate(bucket)
ORDER BY (bucket, region, service, node, boot, mono_ns)
TTL bucket + INTERVAL 14 DAY DELETE
SETTINGS non_replicated_deduplication_window = 100000, ttl_only_drop_parts = 1,
    enable_block_number_column = 1, enable_block_offset_column = 1 -- for lightweight updates by re-alignment
COMMENT 'One row per finished wait at or above the capture threshold';

CREATE TABLE IF NOT EXISTS short_waits (
    bucket   DateTime('UTC') COMMENT 'start of the batch''s minute; s since 1970' CODEC(Delta(4), ZSTD(1)),
    region   LowCardinality(String) COMMENT 'region of the node',
    service  LowCardinality(String) COMMENT 'service of the process',
    node     LowCardinality(String) COMMENT 'name of the node',
    boot     UInt64 COMMENT 'first 8 bytes of the boot id' CODEC(ZSTD(1)),
    pid      UInt32 COMMENT 'process id in the host''s namespace' CODEC(T64, ZSTD(1)),
    reason   LowCardinality(String) COMMENT 'Go''s text of the wait reason',
    count    UInt64 COMMENT 'waits since the previous row' CODEC(T64, ZSTD(1)),
    total_ns UInt64 COMMENT 'sum of their durations; ns of mono' CODEC(T64, ZSTD(1)),
    hist     Array(UInt64) COMMENT 'element k (from 0) counts the waits of [2^k, 2^(k+1)) ns' CODEC(ZSTD(1))
) ENGINE = MergeTree
PARTITION BY toDate(bucket)
ORDER BY (bucket, region, service, node, boot, pid, reason)
TTL bucket + INTERVAL 14 DAY DELETE
SETTINGS non_replicated_deduplication_window = 100000, ttl_only_drop_parts = 1
COMMENT 'Waits below the capture threshold, counted in the kernel';

CREATE TABLE IF NOT EXISTS losses (
    bucket  DateTime('UTC') COMMENT 'start of the batch''s minute; s since 1970' CODEC(Delta(4), ZSTD(1)),
    region  LowCardinality(String) COMMENT 'region of the node',
    node    LowCardinality(String) COMMENT 'name of the node',
    boot    UInt64 COMMENT 'first 8 bytes of the boot id' CODEC(ZSTD(1)),
    run_seq UInt64 COMMENT 'first event number of the agent''s run' CODEC(ZSTD(1)),
    cause   LowCardinality(String) COMMENT 'why the events were not stored',
    count   UInt64 COMMENT 'events lost since the previous row of the same run and cause' CODEC(T64, ZSTD(1))
) ENGINE = MergeTree
PARTITION BY toDate(bucket)
ORDER BY (bucket, region, node, boot, run_seq, cause)
TTL bucket + INTERVAL 14 DAY DELETE
SETTINGS non_replicated_deduplication_window = 100000, ttl_only_drop_parts = 1
COMMENT 'Events that were not stored, by cause: captured = stored + the sum of these';

------------------------------------------------------------------------------------------------------------------------------
-- Stacks
------------------------------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS stacks (
    stack_id  UInt64 COMMENT 'hash of build and addresses' CODEC(ZSTD(1)),
    build_id  UInt64 COMMENT 'hash of the executable''s build id' CODEC(ZSTD(1)),
    pcs       Array(UInt64) COMMENT 'addresses in the executable, innermost first' CODEC(Delta(8), ZSTD(3)),
    last_seen DateTime('UTC') COMMENT 's since 1970' CODEC(Delta(4), ZSTD(1))
) ENGINE = ReplacingMergeTree(last_seen)
ORDER BY stack_id
SETTINGS non_replicated_deduplication_window = 100000
COMMENT 'Call stacks by id';

CREATE TABLE IF NOT EXISTS symbols (
    build_id UInt64 COMMENT 'hash of the executable''s build id' CODEC(ZSTD(1)),
    pc       UInt64 COMMENT 'address in the executable' CODEC(Delta(8), ZSTD(1)),
    depth    UInt8 COMMENT '0 = the innermost inlined call at the address, rising outwards',
    func     String COMMENT 'function' CODEC(ZSTD(3)),
    file     LowCardinality(String) COMMENT 'source file',
    line     UInt32 COMMENT 'line in the file; 0 = not known' CODEC(T64, ZSTD(1))
) ENGINE = ReplacingMergeTree
ORDER BY (build_id, pc, depth)
SETTINGS non_replicated_deduplication_window = 100000
COMMENT 'Names of addresses; an address inside inlined calls has one row per call';

------------------------------------------------------------------------------------------------------------------------------
-- Nodes
------------------------------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS nodes (
    region        LowCardinality(String) COMMENT 'region of the node',
    node          LowCardinality(String) COMMENT 'name of the node',
    boot          UInt64 COMMENT 'first 8 bytes of the boot id',
    kernel        SimpleAggregateFunction(anyLast, String) COMMENT 'kernel release',
    agent_version SimpleAggregateFunction(anyLast, String) COMMENT 'version of the agent',
    first_seen    SimpleAggregateFunction(min, DateTime64(9, 'UTC')) COMMENT 'first batch of this boot; REF of the region',
    last_seen     SimpleAggregateFunction(max, DateTime64(9, 'UTC')) COMMENT 'newest batch of this boot, to within half a minute; REF of the region'
) ENGINE = AggregatingMergeTree
ORDER BY (region, node, boot)
SETTINGS non_replicated_deduplication_window = 100000
COMMENT 'Nodes and their boots; query with FINAL';

------------------------------------------------------------------------------------------------------------------------------
-- Clocks
------------------------------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS clock_probes (
    region   LowCardinality(String) COMMENT 'region of the node',
    node     LowCardinality(String) COMMENT 'name of the node',
    boot     UInt64 COMMENT 'first 8 bytes of the boot id' CODEC(ZSTD(1)),
    t1       Int64 COMMENT 'sent by the node; mono, ns' CODEC(Delta(8), ZSTD(1)),
    t2       Int64 COMMENT 'received by the aggregator; REF, ns since 1970' CODEC(Delta(8), ZSTD(1)),
    t3       Int64 COMMENT 'answered by the aggregator; REF, ns since 1970' CODEC(Delta(8), ZSTD(1)),
    t4       Int64 COMMENT 'answer received by the node; mono, ns' CODEC(Delta(8), ZSTD(1)),
    rtt_ns   UInt64 COMMENT '(t4 - t1) - (t3 - t2)' CODEC(T64, ZSTD(1)),
    kind     Enum8('udp' = 1, 'grpc' = 2, 'ptp' = 3, 'hardware' = 4) COMMENT 'path of the exchange',
    used     UInt8 COMMENT '1 = taken by the estimator, 0 = rejected',
    at       DateTime64(9, 'UTC') MATERIALIZED fromUnixTimestamp64Nano(t2, 'UTC') COMMENT 't2' CODEC(Delta(8), ZSTD(1)),
    received DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'inserted; the database''s own clock' CODEC(Delta(8), ZSTD(1))
) ENGINE = MergeTree
PARTITION BY toDate(at)
ORDER BY (region, node, boot, t2)
TTL toDateTime(at) + INTERVAL 3 DAY DELETE
SETTINGS non_replicated_deduplication_window = 100000, ttl_only_drop_parts = 1
COMMENT 'Finished four-stamp exchanges between nodes and their region''s aggregator';

CREATE TABLE IF NOT EXISTS probe_now (
    region     LowCardinality(String) COMMENT 'region of the node',
    node       LowCardinality(String) COMMENT 'name of the node',
    last_probe SimpleAggregateFunction(max, DateTime64(9, 'UTC')) COMMENT 'newest probe; REF of the region',
    received   SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'when it was inserted; the database''s own clock'
) ENGINE = AggregatingMergeTree
ORDER BY (region, node)
SETTINGS non_replicated_deduplication_window = 100000
COMMENT 'The newest probe of each node; query with FINAL';

CREATE MATERIALIZED VIEW IF NOT EXISTS probe_now_mv TO probe_now AS
SELECT region, node, max(fromUnixTimestamp64Nano(t2, 'UTC')) AS last_probe, max(clock_probes.received) AS received
FROM clock_probes
GROUP BY region, node;

-- A segment is linear from (mono_from, ref_off) to (mono_to, ref_off_to).
CREATE TABLE IF NOT EXISTS clock_segments_log (
    region      LowCardinality(String) COMMENT 'region of the node',
    node        LowCardinality(String) COMMENT 'name of the node',
    boot        UInt64 COMMENT 'first 8 bytes of the boot id' CODEC(ZSTD(1)),
    ref_run     UInt64 COMMENT 'run of the reference that ref_off leads to' CODEC(ZSTD(1)),
    epoch       UInt32 COMMENT 'disruption generation within the boot' CODEC(T64, ZSTD(1)),
    mono_from   UInt64 COMMENT 'start; mono, ns' CODEC(Delta(8), ZSTD(1)),
    mono_to     UInt64 COMMENT 'end; mono, ns' CODEC(Delta(8), ZSTD(1)),
    ref_off     Int64 COMMENT 'REF - mono at mono_from, ns' CODEC(Delta(8), ZSTD(1)),
    ref_off_to  Int64 COMMENT 'REF - mono at mono_to, ns' CODEC(Delta(8), ZSTD(1)),
    rate_ppb    Int64 COMMENT 'frequency error: d(REF - raw) / d raw in 1e-9; positive = the node''s oscillator is slow' CODEC(T64, ZSTD(1)),
    err_from_ns UInt64 COMMENT 'half width of the bound at mono_from, ns' CODEC(T64, ZSTD(1)),
    err_to_ns   UInt64 COMMENT 'half width of the bound at mono_to, ns' CODEC(T64, ZSTD(1)),
    bound_class Enum8('unknown' = 0, 'hard' = 1, 'tight' = 2, 'budgeted' = 3) COMMENT 'what the bounds assume',
    wall_off    Int64 COMMENT 'wall - mono at mono_to, ns' CODEC(Delta(8), ZSTD(1)),
    status      Enum8('unknown' = 0, 'synchronized' = 1, 'free_running' = 2, 'disrupted' = 3) COMMENT 'status at mono_to',
    rev         UInt32 COMMENT 'revision of the model' CODEC(T64, ZSTD(1)),
    created     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'inserted; the database''s own clock' CODEC(Delta(8), ZSTD(1)),
    as_of       DateTime64(9, 'UTC') MATERIALIZED fromUnixTimestamp64Nano(toInt64(mono_to) + ref_off_to, 'UTC') COMMENT 'end; REF of the region' CODEC(Delta(8), ZSTD(1))
) ENGINE = MergeTree
PARTITION BY toDate(as_of)
ORDER BY (region, node, boot, epoch, mono_from, rev)
TTL toDateTime(as_of) + INTERVAL 14 DAY DELETE
SETTINGS non_replicated_deduplication_window = 100000, ttl_only_drop_parts = 1
COMMENT 'All revisions of the nodes'' clock models: what was believed when';

CREATE TABLE IF NOT EXISTS clock_segments (
    region      LowCardinality(String) COMMENT 'region of the node',
    node        LowCardinality(String) COMMENT 'name of the node',
    boot        UInt64 COMMENT 'first 8 bytes of the boot id' CODEC(ZSTD(1)),
    ref_run     UInt64 COMMENT 'run of the reference that ref_off leads to' CODEC(ZSTD(1)),
    epoch       UInt32 COMMENT 'disruption generation within the boot' CODEC(T64, ZSTD(1)),
    mono_from   UInt64 COMMENT 'start; mono, ns' CODEC(Delta(8), ZSTD(1)),
    mono_to     UInt64 COMMENT 'end; mono, ns' CODEC(Delta(8), ZSTD(1)),
    ref_off     Int64 COMMENT 'REF - mono at mono_from, ns' CODEC(Delta(8), ZSTD(1)),
    ref_off_to  Int64 COMMENT 'REF - mono at mono_to, ns' CODEC(Delta(8), ZSTD(1)),
    rate_ppb    Int64 COMMENT 'frequency error: d(REF - raw) / d raw in 1e-9' CODEC(T64, ZSTD(1)),
    err_from_ns UInt64 COMMENT 'half width of the bound at mono_from, ns' CODEC(T64, ZSTD(1)),
    err_to_ns   UInt64 COMMENT 'half width of the bound at mono_to, ns' CODEC(T64, ZSTD(1)),
    bound_class Enum8('unknown' = 0, 'hard' = 1, 'tight' = 2, 'budgeted' = 3) COMMENT 'what the bounds assume',
    wall_off    Int64 COMMENT 'wall - mono at mono_to, ns' CODEC(Delta(8), ZSTD(1)),
    status      Enum8('unknown' = 0, 'synchronized' = 1, 'free_running' = 2, 'disrupted' = 3) COMMENT 'status at mono_to',
    rev         UInt32 COMMENT 'revision of the model; the highest wins' CODEC(T64, ZSTD(1)),
    created     DateTime64(3, 'UTC') COMMENT 'inserted; the database''s own clock' CODEC(Delta(8), ZSTD(1)),
    as_of       DateTime64(9, 'UTC') COMMENT 'end; REF of the region' CODEC(Delta(8), ZSTD(1))
) ENGINE = ReplacingMergeTree(rev)
PARTITION BY toDate(as_of)
ORDER BY (region, node, boot, epoch, mono_from)
TTL toDateTime(as_of) + INTERVAL 14 DAY DELETE
SETTINGS non_replicated_deduplication_window = 100000, ttl_only_drop_parts = 1
COMMENT 'The newest revision of each segment; query with FINAL';

CREATE MATERIALIZED VIEW IF NOT EXISTS clock_segments_mv TO clock_segments AS
SELECT region, node, boot, ref_run, epoch, mono_from, mono_to, ref_off, ref_off_to, rate_ppb, err_from_ns, err_to_ns, bound_class,
    wall_off, status, rev, created, fromUnixTimestamp64Nano(toInt64(mono_to) + ref_off_to, 'UTC') AS as_of
FROM clock_segments_log;

CREATE TABLE IF NOT EXISTS clock_now (
    region      LowCardinality(String) COMMENT 'region of the node',
    node        LowCardinality(String) COMMENT 'name of the node',
    boot        UInt64 COMMENT 'first 8 bytes of the boot id',
    ref_run     UInt64 COMMENT 'run of the reference that ref_off_to leads to',
    epoch       UInt32 COMMENT 'disruption generation within the boot',
    mono_to     UInt64 COMMENT 'end of the segment; mono, ns',
    ref_off_to  Int64 COMMENT 'REF - mono at mono_to, ns',
    rate_ppb    Int64 COMMENT 'frequency error: d(REF - raw) / d raw in 1e-9',
    err_to_ns   UInt64 COMMENT 'half width of the bound at mono_to, ns',
    bound_class Enum8('unknown' = 0, 'hard' = 1, 'tight' = 2, 'budgeted' = 3) COMMENT 'what the bound assumes',
    wall_off    Int64 COMMENT 'wall - mono at mono_to, ns',
    status      Enum8('unknown' = 0, 'synchronized' = 1, 'free_running' = 2, 'disrupted' = 3) COMMENT 'status at mono_to',
    rev         UInt32 COMMENT 'revision of the model',
    created     DateTime64(3, 'UTC') COMMENT 'inserted; the database''s own clock',
    as_of       DateTime64(9, 'UTC') COMMENT 'end of the segment; REF of the region; the newest of a run wins'
) ENGINE = ReplacingMergeTree(as_of)
ORDER BY (region, node, ref_run)
SETTINGS non_replicated_deduplication_window = 100000
COMMENT 'The newest end of a segment of each node and run of the reference; query with FINAL';

CREATE MATERIALIZED VIEW IF NOT EXISTS clock_now_mv TO clock_now AS
SELECT region, node, boot, ref_run, epoch, mono_to, ref_off_to, rate_ppb, err_to_ns, bound_class, wall_off, status, rev, created,
    fromUnixTimestamp64Nano(toInt64(mono_to) + ref_off_to, 'UTC') AS as_of
FROM clock_segments_log;

-- A segment is linear from (ref_from, off) to (ref_to, off_to). Past ref_to it goes on at rate_ppb, its bound grows at
-- err_rate_ppb, until a later segment starts, but for no more than 256 s: an oscillator wanders on, and a bound that grows
-- evenly is too small after that. Before the first segment of a run of a region nothing is known.
CREATE TABLE IF NOT EXISTS region_clock (
    region       LowCardinality(String) COMMENT 'region mapped',
    root         LowCardinality(String) COMMENT 'region whose REF is the fleet''s clock; it needs no row of its own',
    ref_run      UInt64 COMMENT 'run of the region''s own reference' CODEC(ZSTD(1)),
    root_run     UInt64 COMMENT 'run of the root''s reference' CODEC(ZSTD(1)),
    ref_from     Int64 COMMENT 'start; REF of the region, ns since 1970' CODEC(Delta(8), ZSTD(1)),
    ref_to       Int64 COMMENT 'end; REF of the region, ns since 1970' CODEC(Delta(8), ZSTD(1)),
    off          Int64 COMMENT 'REF of root - REF of region at ref_from, ns' CODEC(Delta(8), ZSTD(1)),
    off_to       Int64 COMMENT 'REF of root - REF of region at ref_to, ns' CODEC(Delta(8), ZSTD(1)),
    rate_ppb     Int64 COMMENT 'd(REF of root - REF of region) / d REF of region in 1e-9' CODEC(T64, ZSTD(1)),
    err_ns       UInt64 COMMENT 'half width of the bound at ref_from, ns' CODEC(T64, ZSTD(1)),
    err_to_ns    UInt64 COMMENT 'half width of the bound at ref_to, ns' CODEC(T64, ZSTD(1)),
    err_rate_ppb UInt64 COMMENT 'growth of the bound past ref_to in 1e-9' CODEC(T64, ZSTD(1)),
    bound_class  Enum8('unknown' = 0, 'hard' = 1, 'tight' = 2, 'budgeted' = 3) COMMENT 'what the bounds assume',
    status       Enum8('unknown' = 0, 'synchronized' = 1, 'free_running' = 2, 'disrupted' = 3) COMMENT 'status at ref_to',
    rev          UInt32 COMMENT 'revision; of two segments with the same start the highest wins' CODEC(T64, ZSTD(1)),
    created      DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'inserted; the database''s own clock' CODEC(Delta(8), ZSTD(1))
) ENGINE = ReplacingMergeTree(rev)
PARTITION BY toDate(fromUnixTimestamp64Nano(ref_from, 'UTC'))
ORDER BY (region, ref_run, ref_from)
TTL toDateTime(fromUnixTimestamp64Nano(ref_from, 'UTC')) + INTERVAL 14 DAY DELETE
SETTINGS non_replicated_deduplication_window = 100000, ttl_only_drop_parts = 1
COMMENT 'Maps from the regions'' clocks to the root region''s; query with FINAL';

CREATE TABLE IF NOT EXISTS clock_steps (
    region  LowCardinality(String) COMMENT 'region of the node',
    node    LowCardinality(String) COMMENT 'name of the node',
    boot    UInt64 COMMENT 'first 8 bytes of the boot id' CODEC(ZSTD(1)),
    mono_ns UInt64 COMMENT 'when; mono, ns' CODEC(Delta(8), ZSTD(1)),
    at      DateTime64(9, 'UTC') COMMENT 'when; REF of the region' CODEC(Delta(8), ZSTD(1)),
    size_ns Int64 COMMENT 'by how much, ns; positive = forward' CODEC(ZSTD(1)),
    scale   Enum8('mono' = 1, 'raw' = 2, 'wall' = 3) COMMENT 'which clock'
) ENGINE = MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (region, node, boot, mono_ns)
TTL toDateTime(at) + INTERVAL 90 DAY DELETE
SETTINGS non_replicated_deduplication_window = 100000, ttl_only_drop_parts = 1
COMMENT 'Steps of the nodes'' clocks';

------------------------------------------------------------------------------------------------------------------------------
-- Views
------------------------------------------------------------------------------------------------------------------------------

-- stacks_named: frames as text, innermost first; "func file:line", or the address where there is no symbol.
CREATE OR REPLACE VIEW stacks_named AS
SELECT
    stack_id,
    arrayMap(f -> f.3, arraySort(f -> (f.1, f.2), groupArray((position, depth, frame)))) AS frames
FROM (
    SELECT
        s.stack_id AS stack_id, s.position AS position, y.depth AS depth,
        if(y.func = '', concat('0x', lower(hex(s.pc))), concat(y.func, ' ', y.file, ':', toString(y.line))) AS frame
    FROM (
        SELECT stack_id, build_id, pc, position
        FROM (SELECT stack_id, build_id, pcs FROM stacks FINAL)
        ARRAY JOIN pcs AS pc, arrayEnumerate(pcs) AS position
    ) AS s
    LEFT JOIN (SELECT build_id, pc, depth, func, file, line FROM symbols FINAL) AS y
        ON s.build_id = y.build_id AND s.pc = y.pc
)
GROUP BY stack_id;

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
    3600000000000 AS hour_ns,
    (SELECT toInt64(max(greatest(abs(off), abs(off_to)))) + 1000000000 FROM region_clock) AS apart_ns,
    256000000000 AS longest_carry_ns,
    (SELECT argMax(toString(root), created) FROM region_clock) AS the_root,
    (SELECT argMax(root_run, created) FROM region_clock) AS the_root_run,
    (SELECT uniqExact(region) <= 1 FROM nodes) AS one_region,
    toStartOfMinute(toDateTime(intDiv(t0_ns - apart_ns, 1000000000) - 30, 'UTC')) AS bucket_from,
    toDateTime(intDiv(t1_ns + apart_ns, 1000000000) + 30, 'UTC') AS bucket_to,
    (SELECT argMax(ref_run, (bucket, seq)) FROM events WHERE bucket >= bucket_from AND bucket <= bucket_to) AS lone_run,
    maps AS (
        SELECT region AS map_region, ref_run AS map_run, ref_from, ref_to, off, off_to, rate_ppb, greatest(err_ns, err_to_ns) AS err_in_ns, err_to_ns, err_rate_ppb, 1 AS mapped
        FROM region_clock FINAL
        WHERE root = the_root AND root_run = the_root_run AND ref_from + off >= t0_ns - hour_ns AND ref_from + off < t1_ns + hour_ns
        UNION ALL
        SELECT region AS map_region, ref_run AS map_run, ref_from, ref_to, off, off_to, rate_ppb, greatest(err_ns, err_to_ns) AS err_in_ns, err_to_ns, err_rate_ppb, 1 AS mapped
        FROM region_clock FINAL
        WHERE root = the_root AND root_run = the_root_run AND ref_from + off < t0_ns - hour_ns
        ORDER BY ref_from DESC
        LIMIT 1 BY map_region, map_run
    ),
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
            waker_goid, err_ns, err_end_ns, bound_class, clock_status, epoch, model_rev, ref_run,
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
    stack_id, waker_goid, kind, tid, flags, boot, seq, mono_ns, wall, bound_class, clock_status, epoch, model_rev,
    region_off_ns, region_err_ns,
    -- Beyond 3e18 ns (95 years) a half width leaves what DateTime64(9) can hold.
    fromUnixTimestamp64Nano(if(err_ns > 3000000000000000000, -2208988800000000000, aligned_ns - toInt64(err_ns)), 'UTC') AS earliest,
    fromUnixTimestamp64Nano(if(err_ns > 3000000000000000000, 9223372036854775807, aligned_ns + toInt64(err_ns)), 'UTC') AS latest,
    fromUnixTimestamp64Nano(if(err_end_ns > 3000000000000000000, -2208988800000000000, aligned_end_ns - toInt64(err_end_ns)), 'UTC') AS earliest_end,
    fromUnixTimestamp64Nano(if(err_end_ns > 3000000000000000000, 9223372036854775807, aligned_end_ns + toInt64(err_end_ns)), 'UTC') AS latest_end
FROM summed;

-- skew_now: for each node, the newest that is known about its clocks.
--
-- wall_offset_ns   its wall clock - the fleet's clock, within +- err_ns (the node's bound plus the region's), at as_of
-- drift_ppb        how fast its oscillator runs against the fleet's clock, in 1e-9; positive = fast
-- as_of            the time it holds for; the fleet's clock. What the node's clocks did since is not known.
-- status           free_running where no probe has come for 16 s, whatever it was before
-- probe_age_ms     since its newest probe was inserted, by the database's own clock; NULL if there was none
-- region_err_ns    the region's part of err_ns. Two nodes of one region are apart by at most the rest.
CREATE OR REPLACE VIEW skew_now AS
WITH
    18446744073709551615 AS unbounded,
    256000000000 AS longest_carry_ns,
    (SELECT argMax(toString(root), created) FROM region_clock) AS the_root,
    (SELECT argMax(root_run, created) FROM region_clock) AS the_root_run,
    (SELECT uniqExact(region) <= 1 FROM clock_now) AS one_region,
    (SELECT argMax(ref_run, created) FROM clock_now) AS lone_run,
    c AS (
        SELECT
            *, toUnixTimestamp64Nano(as_of) AS ref_ns,
            if(the_root = '', one_region AND ref_run = lone_run, region = the_root AND ref_run = the_root_run) AS is_root
        FROM clock_now FINAL
        ORDER BY created DESC
        LIMIT 1 BY region, node
    ),
    located AS (
        SELECT
            c.*, p.last_probe AS last_probe, p.received AS received, p.probed AS probed,
            multiIf(is_root OR m.mapped = 0, 0,
                ref_ns <= m.ref_to, m.off + toInt64(round((m.off_to - m.off) * ((ref_ns - m.ref_from) / greatest(m.ref_to - m.ref_from, 1)))),
                m.off_to + toInt64(round(m.map_rate_ppb * ((ref_ns - m.ref_to) / 1e9)))) AS region_off_ns,
            multiIf(is_root, 0, m.mapped = 0, unbounded, ref_ns <= m.ref_to, m.err_in_ns,
                m.map_err_to_ns > toUInt64(4000000000000000000) OR ref_ns - m.ref_to > longest_carry_ns, unbounded,
                m.map_err_to_ns + toUInt64(ceil(m.err_rate_ppb * ((ref_ns - m.ref_to) / 1e9)))) AS region_err_ns,
            if(is_root OR m.mapped = 0, 0, m.map_rate_ppb) AS region_rate_ppb
        FROM c
        ASOF LEFT JOIN (
            SELECT region AS map_region, ref_run AS map_run, ref_from, ref_to, off, off_to, rate_ppb AS map_rate_ppb, greatest(err_ns, err_to_ns) AS err_in_ns,
                err_to_ns AS map_err_to_ns, err_rate_ppb, 1 AS mapped
            FROM region_clock FINAL
            WHERE root = the_root AND root_run = the_root_run
        ) AS m ON c.region = m.map_region AND c.ref_run = m.map_run AND c.ref_ns >= m.ref_from
        ANY LEFT JOIN (
            SELECT region AS probe_region, node AS probe_node, last_probe, received, 1 AS probed FROM probe_now FINAL
        ) AS p ON c.region = p.probe_region AND c.node = p.probe_node
    )
SELECT
    region, node, boot, epoch,
    if(probed = 1 AND dateDiff('second', received, now64(3, 'UTC')) > 16 AND status = 'synchronized', 'free_running', toString(status)) AS status,
    wall_off - ref_off_to - region_off_ns AS wall_offset_ns,
    -- bitNot(x) is the largest number less x: see timeline.
    multiIf(err_to_ns > 9000000000000000000, unbounded, err_to_ns + intDiv(err_to_ns + 1999, 2000) > bitNot(region_err_ns), unbounded,
        err_to_ns + if(is_root, 0, intDiv(err_to_ns + 1999, 2000)) + region_err_ns) AS err_ns,
    -rate_ppb - region_rate_ppb AS drift_ppb,
    bound_class,
    fromUnixTimestamp64Nano(ref_ns + region_off_ns, 'UTC') AS as_of,
    if(probed = 1, dateDiff('millisecond', received, now64(3, 'UTC')), NULL) AS probe_age_ms,
    if(probed = 1, last_probe, NULL) AS last_probe,
    region_off_ns, region_err_ns, rev
FROM located;
