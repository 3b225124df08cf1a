-- Disruptions of clocks that no column of another table tells: those of nodes that their agents noticed and told of, which no probe need show,
-- and those of regions' references, as aggregators see them that probe one another.

CREATE TABLE IF NOT EXISTS clock_disruptions (
    region    LowCardinality(String) COMMENT 'region of the node, or of the aggregator that saw it',
    node      LowCardinality(String) COMMENT 'name of the node; empty = of two regions'' references, one against the other',
    boot      UInt64 COMMENT 'first 8 bytes of the boot id; of references: run of the region''s own' CODEC(ZSTD(1)),
    peer      LowCardinality(String) COMMENT 'of references: region of the other; which of the two was disrupted is not known',
    ref_run   UInt64 COMMENT 'run of the reference that the clock is measured against' CODEC(ZSTD(1)),
    mono_from UInt64 COMMENT 'until then it had not happened; mono, ns; of references: REF of the region' CODEC(Delta(8), ZSTD(1)),
    mono_to   UInt64 COMMENT 'by then it had; likewise' CODEC(Delta(8), ZSTD(1)),
    at        DateTime64(9, 'UTC') COMMENT 'that moment; REF of the region' CODEC(Delta(8), ZSTD(1)),
    batch     UInt64 COMMENT 'number of the batch that told, of which another may tell again if the agent takes it for lost; 0 = of references' CODEC(DoubleDelta, ZSTD(1)),
    sign      Enum8('hypervisor' = 1, 'probe' = 2, 'both_ways' = 3, 'other' = 4) COMMENT 'how it showed: hypervisor = its marker in VMClock, probe = one contradicted the bounds, both_ways = both ways moved against each other, other = in a way that a later version knows'
) ENGINE = MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (region, node, boot, mono_from)
TTL toDateTime(at) + INTERVAL 90 DAY DELETE
SETTINGS non_replicated_deduplication_window = 100000, ttl_only_drop_parts = 1
COMMENT 'Disruptions that agents told of, and those of regions'' references';
