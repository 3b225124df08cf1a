-- Alerts on clock skew and drift.

CREATE TABLE IF NOT EXISTS skew_alerts (
    at          DateTime64(9, 'UTC') COMMENT 'end of the round in which the alert got this state; the database''s own clock' CODEC(Delta(8), ZSTD(1)),
    rule        LowCardinality(String) COMMENT 'what is wrong: reference, regions, pause, step, causality, claim, frequency, drift, offset, bound, silence',
    subject     String COMMENT 'with what: fleet, a region, region/node, or two of them' CODEC(ZSTD(1)),
    region      LowCardinality(String) COMMENT 'region of the subject; empty where it is of several',
    node        LowCardinality(String) COMMENT 'node, where the subject is one; else empty',
    state       Enum8('pending' = 1, 'firing' = 2, 'resolved' = 3) COMMENT 'the new state; firing = its rule was met in two rounds on end',
    severity    Enum8('info' = 1, 'warning' = 2, 'critical' = 3) COMMENT 'how much it matters',
    since       DateTime64(9, 'UTC') COMMENT 'since when its rule is met; the database''s own clock' CODEC(Delta(8), ZSTD(1)),
    low         Int64 COMMENT 'the value that met the rule last, at least; in the unit' CODEC(ZSTD(1)),
    high        Int64 COMMENT 'the same, at most' CODEC(ZSTD(1)),
    worst_low   Int64 COMMENT 'the value furthest beyond the limit, at least; in the unit' CODEC(ZSTD(1)),
    worst_high  Int64 COMMENT 'the same, at most' CODEC(ZSTD(1)),
    limit_value UInt64 COMMENT 'the limit that the whole interval is beyond; in the unit' CODEC(T64, ZSTD(1)),
    unit        Enum8('ns' = 1, 'ppb' = 2) COMMENT 'what values and limit are counted in',
    incident    UInt64 COMMENT 'the cause that it is part of, by number; 0 = it never fired' CODEC(T64, ZSTD(1)),
    silenced    UInt8 COMMENT '1 = a declared silence covers it' CODEC(ZSTD(1)),
    text        String COMMENT 'in words' CODEC(ZSTD(1))
) ENGINE = MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (at, rule, subject)
TTL toDateTime(at) + INTERVAL 90 DAY DELETE
SETTINGS non_replicated_deduplication_window = 100000
COMMENT 'Alerts on clock skew and drift: one row for each new state';

CREATE TABLE IF NOT EXISTS skew_incidents (
    at       DateTime64(9, 'UTC') COMMENT 'when it was told; the database''s own clock' CODEC(Delta(8), ZSTD(1)),
    incident UInt64 COMMENT 'number of the incident' CODEC(T64, ZSTD(1)),
    kind     Enum8('opened' = 1, 'resolved' = 2) COMMENT 'whether it began or is over',
    severity Enum8('info' = 1, 'warning' = 2, 'critical' = 3) COMMENT 'how much it matters',
    rule     LowCardinality(String) COMMENT 'rule of the alert that tells why',
    subject  String COMMENT 'what that one is about' CODEC(ZSTD(1)),
    subjects String COMMENT 'all that the incident is about, separated by commas' CODEC(ZSTD(1)),
    text     String COMMENT 'in words' CODEC(ZSTD(1))
) ENGINE = MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (at, incident)
TTL toDateTime(at) + INTERVAL 90 DAY DELETE
SETTINGS non_replicated_deduplication_window = 100000
COMMENT 'What is to be told of alerts: each cause once as it begins and once as it ends';

CREATE TABLE IF NOT EXISTS alert_states (
    region LowCardinality(String) COMMENT 'region of the aggregators that evaluate alerts: the root',
    at     DateTime64(9, 'UTC') COMMENT 'the newest round in it; the database''s own clock' CODEC(Delta(8), ZSTD(1)),
    state  String COMMENT 'all alerts and what is remembered of nodes, as the program writes it (JSON)' CODEC(ZSTD(3))
) ENGINE = ReplacingMergeTree(at)
ORDER BY region
SETTINGS non_replicated_deduplication_window = 100000
COMMENT 'What alerts go on from after a restart; query with FINAL';
