-- Which aggregator is about to store which batch. Of several that hold the same one, each says so here before it asks who else has; so one at
-- least sees the other. That a batch is stored says the ledger.

CREATE TABLE IF NOT EXISTS batch_claims (
    bucket     DateTime('UTC') COMMENT 'start of the batch''s minute; s since 1970' CODEC(Delta(4), ZSTD(1)),
    region     LowCardinality(String) COMMENT 'region of the node',
    node       LowCardinality(String) COMMENT 'name of the node',
    boot       UInt64 COMMENT 'first 8 bytes of the boot id' CODEC(ZSTD(1)),
    batch      UInt64 COMMENT 'number of the batch' CODEC(DoubleDelta, ZSTD(1)),
    writer     LowCardinality(String) COMMENT 'the aggregator, by a name of its spool: 32 hexadecimal digits',
    version    UInt64 COMMENT 'one more each time the aggregator says something; its highest counts' CODEC(ZSTD(1)),
    state      Enum8('claimed' = 1, 'withdrawn' = 2) COMMENT 'claimed = it stores the batch, or is about to; withdrawn = it does not, but may have begun to',
    claimed_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'when; the store''s clock. A claim is renewed each 5 s; of one that was not renewed for 30 s, by the clock of whoever waits, others take over the batch' CODEC(Delta(8), ZSTD(1))
) ENGINE = ReplacingMergeTree(version)
PARTITION BY toDate(claimed_at)
ORDER BY (bucket, region, node, boot, batch, writer)
TTL toDateTime(claimed_at) + INTERVAL 14 DAY DELETE
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT 'Which aggregators are about to store a batch, or were; query with FINAL';

-- So that rows of a batch are found in each table.
ALTER TABLE tcp_losses ADD COLUMN IF NOT EXISTS batch UInt64 DEFAULT 0 COMMENT 'number of the batch that told; 0 = not known' CODEC(DoubleDelta, ZSTD(1));
