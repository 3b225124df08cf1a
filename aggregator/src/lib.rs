//! The aggregator of a region: ingest, clock models, alignment, ClickHouse.
