//! The ClickHouse store: embedded engine, schema, Native blocks, queries.
