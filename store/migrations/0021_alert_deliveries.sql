-- What was delivered of incidents, so that nothing is told twice.

CREATE TABLE IF NOT EXISTS alert_deliveries (
    target   LowCardinality(String) COMMENT 'name of the webhook',
    incident UInt64 COMMENT 'number of the incident; 0 = none: the target is told of what is so from `at` on' CODEC(T64, ZSTD(1)),
    kind     Enum8('opened' = 1, 'resolved' = 2) COMMENT 'which word on it',
    outcome  Enum8('delivered' = 1, 'refused' = 2, 'expired' = 3) COMMENT 'what came of it: refused = the target will never take it; expired = it was over for a day before it could be told',
    attempts UInt32 COMMENT 'how often it was tried' CODEC(T64, ZSTD(1)),
    at       DateTime64(9, 'UTC') COMMENT 'when; the database''s own clock' CODEC(Delta(8), ZSTD(1)),
    note     String COMMENT 'why it was refused' CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree(at)
ORDER BY (target, incident, kind)
-- Twice as long as incidents are kept: none is told again because this was forgotten first.
TTL toDateTime(at) + INTERVAL 180 DAY DELETE WHERE incident > 0
SETTINGS non_replicated_deduplication_window = 100000
COMMENT 'What webhooks were told of incidents, each word once; query with FINAL';

CREATE TABLE IF NOT EXISTS alert_silences (
    number  UInt64 COMMENT 'number of the silence; the row declared last counts' CODEC(T64, ZSTD(1)),
    region  String COMMENT 'regular expression for the whole name of the region; empty = any' CODEC(ZSTD(1)),
    node    String COMMENT 'regular expression for the whole name of the node; empty = any' CODEC(ZSTD(1)),
    rules   String COMMENT 'the rules, separated by commas; empty = all' CODEC(ZSTD(1)),
    since   DateTime64(3, 'UTC') COMMENT 'from when on alerts are not told; the database''s own clock' CODEC(Delta(8), ZSTD(1)),
    until   DateTime64(3, 'UTC') COMMENT 'until when' CODEC(Delta(8), ZSTD(1)),
    comment String COMMENT 'why, and who says so' CODEC(ZSTD(1)),
    created DateTime64(3, 'UTC') COMMENT 'when it was declared, or ended before its time; the database''s own clock' CODEC(Delta(8), ZSTD(1))
) ENGINE = ReplacingMergeTree(created)
ORDER BY number
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Maintenance declared by `syncline alerts silence`: alerts of it are listed and not told; query with FINAL';
