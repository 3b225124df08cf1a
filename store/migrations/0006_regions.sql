-- Regions against each other: what their aggregators measure of one another and claim of UTC, and what follows from all of it.

CREATE TABLE IF NOT EXISTS region_links (
    region       LowCardinality(String) COMMENT 'region that measures',
    peer         LowCardinality(String) COMMENT 'region that is measured',
    ref_run      UInt64 COMMENT 'run of the region''s own reference' CODEC(ZSTD(1)),
    peer_run     UInt64 COMMENT 'run of the peer''s reference' CODEC(ZSTD(1)),
    ref_at       Int64 COMMENT 'when; REF of the region, ns since 1970' CODEC(Delta(8), ZSTD(1)),
    off          Int64 COMMENT 'REF of peer - REF of region, estimated, ns' CODEC(Delta(8), ZSTD(1)),
    low          Int64 COMMENT 'at least, ns' CODEC(Delta(8), ZSTD(1)),
    high         Int64 COMMENT 'at most, ns' CODEC(Delta(8), ZSTD(1)),
    rate_ppb     Int64 COMMENT 'd(REF of peer - REF of region) / d REF of region in 1e-9' CODEC(T64, ZSTD(1)),
    err_rate_ppb UInt64 COMMENT 'growth of the bound past ref_at in 1e-9' CODEC(T64, ZSTD(1)),
    status       Enum8('unknown' = 0, 'synchronized' = 1, 'free_running' = 2, 'disrupted' = 3) COMMENT 'status at ref_at',
    created      DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'inserted; the database''s own clock' CODEC(Delta(8), ZSTD(1))
) ENGINE = MergeTree
PARTITION BY toDate(created)
ORDER BY (region, peer, created)
TTL toDateTime(created) + INTERVAL 14 DAY DELETE
SETTINGS non_replicated_deduplication_window = 100000, ttl_only_drop_parts = 1
COMMENT 'What regions measure of one another';

CREATE TABLE IF NOT EXISTS region_claims (
    region    LowCardinality(String) COMMENT 'region whose aggregator claims it',
    ref_run   UInt64 COMMENT 'run of the region''s own reference' CODEC(ZSTD(1)),
    ref_at    Int64 COMMENT 'when; REF of the region, ns since 1970' CODEC(Delta(8), ZSTD(1)),
    utc_off   Int64 COMMENT 'UTC - REF of the region as claimed by its kernel or chrony, ns' CODEC(Delta(8), ZSTD(1)),
    bound_ns  UInt64 COMMENT 'half width of that, ns' CODEC(T64, ZSTD(1)),
    created   DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'inserted; the database''s own clock' CODEC(Delta(8), ZSTD(1))
) ENGINE = MergeTree
PARTITION BY toDate(created)
ORDER BY (region, created)
TTL toDateTime(created) + INTERVAL 14 DAY DELETE
SETTINGS non_replicated_deduplication_window = 100000, ttl_only_drop_parts = 1
COMMENT 'What regions claim of UTC';

CREATE TABLE IF NOT EXISTS region_pairs (
    region      LowCardinality(String) COMMENT 'one region',
    peer        LowCardinality(String) COMMENT 'the other; (utc) = UTC, as far as all claims together tell',
    ref_run     UInt64 COMMENT 'run of the region''s reference; aggregators of one region have one each' CODEC(ZSTD(1)),
    peer_run    UInt64 COMMENT 'run of the peer''s reference; 0 = UTC' CODEC(ZSTD(1)),
    at          DateTime64(9, 'UTC') COMMENT 'when; REF of the root' CODEC(Delta(8), ZSTD(1)),
    off         Int64 COMMENT 'REF of peer - REF of region, from all links and claims, ns' CODEC(Delta(8), ZSTD(1)),
    low         Int64 COMMENT 'at least, ns' CODEC(Delta(8), ZSTD(1)),
    high        Int64 COMMENT 'at most, ns' CODEC(Delta(8), ZSTD(1)),
    direct      UInt8 COMMENT '1 = they measure each other, or the region claims it; then the next two are of that alone' CODEC(ZSTD(1)),
    direct_low  Int64 COMMENT 'at least, ns' CODEC(Delta(8), ZSTD(1)),
    direct_high Int64 COMMENT 'at most, ns' CODEC(Delta(8), ZSTD(1)),
    verdict     Enum8('unknown' = 0, 'consistent' = 1, 'doubted' = 2, 'false' = 3) COMMENT 'of the direct link or claim beside all others: doubted = left out as the least likely, false = proved; unknown = there is none',
    off_by_ns   UInt64 COMMENT 'it is off by at least so much, if the others are true, ns' CODEC(T64, ZSTD(1)),
    created     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'inserted; the database''s own clock' CODEC(Delta(8), ZSTD(1))
) ENGINE = MergeTree
PARTITION BY toDate(created)
ORDER BY (region, peer, created)
TTL toDateTime(created) + INTERVAL 14 DAY DELETE
SETTINGS non_replicated_deduplication_window = 100000, ttl_only_drop_parts = 1
COMMENT 'Every two regions, and each and UTC: what follows from all links and claims together';
