-- What was delivered of incidents, so that nothing is told twice.

CREATE TABLE IF NOT EXISTS alert_deliveries (
    target   LowCardinality(String) COMMENT 'name of the webhook',
    incident UInt64 COMMENT 'number of the incident; 0 = none: the target is told of what is so from `at` on' CODEC(T64, ZSTD(1)),
    kind     Enum8('opened' = 1, 'resolved' = 2) COMMENT 'which word on it',
    outcome  Enum8('delivered' = 1, 'refused' = 2, 'expired' = 3) COMMENT 'what came of it: refused = the target will never take it; expired = it was over for a day before it could be told',
    attempts UInt32 COMMENT 'how often it was tried' CODEC(T64, ZSTD(1)),
    at       DateTime64(9, 'UTC') COMMENT 'when; the aggregator''s wall clock' CODEC(Delta(8), ZSTD(1)),
    note     String COMMENT 'why it was refused' CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree(at)
ORDER BY (target, incident, kind)
SETTINGS non_replicated_deduplication_window = 100000
COMMENT 'What webhooks were told of incidents, each word once; query with FINAL';
