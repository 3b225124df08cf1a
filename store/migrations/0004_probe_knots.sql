-- The node's clocks beside each probe: with them the stored probes are a node's whole clock stream, and can be replayed.

ALTER TABLE clock_probes
    ADD COLUMN IF NOT EXISTS before_mono Int64 DEFAULT 0 COMMENT 'last reading of the node''s clocks before t1; mono, ns; 0 = there is none' CODEC(Delta(8), ZSTD(1)),
    ADD COLUMN IF NOT EXISTS before_raw_off Int64 DEFAULT 0 COMMENT 'raw - mono at before_mono, ns' CODEC(Delta(8), ZSTD(1)),
    ADD COLUMN IF NOT EXISTS before_wall_off Int64 DEFAULT 0 COMMENT 'wall - mono at before_mono, ns' CODEC(Delta(8), ZSTD(1)),
    ADD COLUMN IF NOT EXISTS before_bracket_ns UInt64 DEFAULT 0 COMMENT 'how long that reading took, ns' CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS after_mono Int64 DEFAULT 0 COMMENT 'first reading of the node''s clocks after t4; mono, ns; 0 = there is none' CODEC(Delta(8), ZSTD(1)),
    ADD COLUMN IF NOT EXISTS after_raw_off Int64 DEFAULT 0 COMMENT 'raw - mono at after_mono, ns' CODEC(Delta(8), ZSTD(1)),
    ADD COLUMN IF NOT EXISTS after_wall_off Int64 DEFAULT 0 COMMENT 'wall - mono at after_mono, ns' CODEC(Delta(8), ZSTD(1)),
    ADD COLUMN IF NOT EXISTS after_bracket_ns UInt64 DEFAULT 0 COMMENT 'how long that reading took, ns' CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS ref_run UInt64 DEFAULT 0 COMMENT 'run of the reference that answered' CODEC(ZSTD(1));
