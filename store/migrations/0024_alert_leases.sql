-- Which of several aggregators does what must be done by one at a time.

CREATE TABLE IF NOT EXISTS alert_leases (
    name     String COMMENT 'what is done: evaluation, evaluation/root (by the root''s, which goes before others), or webhook/NAME' CODEC(ZSTD(1)),
    number   UInt64 COMMENT 'one more each time it is taken, renewed or given back; of two who insert the same number, the first is stored' CODEC(ZSTD(1)),
    holder   String COMMENT 'the process that has it; empty = it was given back' CODEC(ZSTD(1)),
    lasts_ms UInt64 COMMENT 'who sees this number for so long, and none after it, may take it' CODEC(ZSTD(1)),
    at       DateTime64(9, 'UTC') COMMENT 'when, to be looked at only; the database''s own clock' CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree(number)
ORDER BY name
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Who of several aggregators evaluates alerts, and who tells each webhook; query with FINAL';

-- One state of the whole store: whoever evaluates next goes on from the newest.
ALTER TABLE alert_states
    COMMENT COLUMN IF EXISTS region 'the region that tells alerts: the root, as far as it is known; the newest row of all counts';
