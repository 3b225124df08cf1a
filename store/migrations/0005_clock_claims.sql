-- What nodes say of their own wall clocks, held against what was measured.

CREATE TABLE IF NOT EXISTS clock_claims (
    region           LowCardinality(String) COMMENT 'region of the node',
    node             LowCardinality(String) COMMENT 'name of the node',
    boot             UInt64 COMMENT 'first 8 bytes of the boot id' CODEC(ZSTD(1)),
    mono_ns          UInt64 COMMENT 'when; mono, ns' CODEC(Delta(8), ZSTD(1)),
    at               DateTime64(9, 'UTC') COMMENT 'when; REF of the region, as well as it was known' CODEC(Delta(8), ZSTD(1)),
    source           Enum8('kernel' = 1, 'chrony' = 2) COMMENT 'who says so: the kernel (adjtimex) or chrony (tracking)',
    synchronized     UInt8 COMMENT '0 = it says that it knows nothing; then the next two are 0' CODEC(ZSTD(1)),
    utc_wall_ns      Int64 COMMENT 'UTC - wall as claimed, ns' CODEC(ZSTD(1)),
    bound_ns         UInt64 COMMENT 'half width of that, ns' CODEC(T64, ZSTD(1)),
    verdict          Enum8('unknown' = 0, 'consistent' = 1, 'contradicted' = 2) COMMENT 'contradicted = it cannot be true beside the probes and the aggregator''s own claim; unknown = nothing to hold it against',
    claimed_low_ns   Int64 COMMENT 'REF - wall by the claim, at least, ns; 0 unless contradicted' CODEC(ZSTD(1)),
    claimed_high_ns  Int64 COMMENT 'REF - wall by the claim, at most, ns' CODEC(ZSTD(1)),
    measured_low_ns  Int64 COMMENT 'REF - wall as measured, at least, ns' CODEC(ZSTD(1)),
    measured_high_ns Int64 COMMENT 'REF - wall as measured, at most, ns' CODEC(ZSTD(1))
) ENGINE = MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (region, node, boot, source, mono_ns)
TTL toDateTime(at) + INTERVAL 14 DAY DELETE
SETTINGS non_replicated_deduplication_window = 100000
COMMENT 'Claims of nodes about their wall clocks, and whether they can be true';
