//! The aggregator of a region: ingest, clock models, alignment, ClickHouse.
//!
//! ```text
//! agents --- connections --+--> clock_service   four-stamp exchanges against the region's `reference`
//!                          '--> ingest --> pipeline (node's clock, align, rows) --> ClickHouse
//! root's aggregator <--------- region_clock ------------------------------------------^
//! ```
//!
//! The binary is a thin shell around [`serve::Aggregator`].

pub mod budget;
pub mod clock_service;
pub mod connections;
pub mod counters;
pub mod ingest;
pub mod pipeline;
pub mod reference;
pub mod region_clock;
mod segment;
pub mod serve;
pub mod stopping;
