-- Clock models across restarts: an aggregator that does not know a node goes on with what the last one knew.

CREATE TABLE IF NOT EXISTS clock_states (
    region      LowCardinality(String) COMMENT 'region of the node',
    node        LowCardinality(String) COMMENT 'name of the node',
    boot        UInt64 COMMENT 'first 8 bytes of the boot id' CODEC(ZSTD(1)),
    ref_run     UInt64 COMMENT 'run of the reference that the model speaks of' CODEC(ZSTD(1)),
    batch       UInt64 COMMENT 'newest batch that the model has seen; the highest wins' CODEC(ZSTD(1)),
    segment_end UInt64 COMMENT 'where its last segment in clock_segments_log ends; mono, ns; 0 = it has none' CODEC(ZSTD(1)),
    state       String COMMENT 'the model, as this version of the program writes it' CODEC(ZSTD(1)),
    saved       DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'inserted; the database''s own clock' CODEC(Delta(8), ZSTD(1))
) ENGINE = ReplacingMergeTree(batch)
ORDER BY (region, node, boot)
TTL toDateTime(saved) + INTERVAL 1 DAY DELETE
SETTINGS non_replicated_deduplication_window = 100000
COMMENT 'The clock models as they were lately, for the aggregator that takes a node over; query with FINAL';
