//! The aggregator of a region: ingest, clock models, alignment, ClickHouse.
//!
//! ```text
//! agents --- UDP -------------> udp_probes      four-stamp exchanges against the region's `reference`, stamped by the kernels
//! agents --- connections --+--> clock_service   sessions for them, and exchanges over gRPC where UDP does not get through
//!                          '--> ingest --> pipeline (node's clock, align, rows) --> ClickHouse
//! root's aggregator <--------- region_clock ------------------------------------------^
//! ```
//!
//! The binary is a thin shell around [`serve::Aggregator`].

mod alerts;
pub mod allowance;
pub mod budget;
pub mod cli;
pub mod clock_service;
pub mod connections;
pub mod counters;
pub mod delivery;
pub mod ingest;
mod lease;
mod links;
pub mod metrics;
mod naming;
mod pairs;
mod peers;
pub mod pipeline;
pub mod reference;
pub mod region_clock;
mod regions;
mod segment;
pub mod serve;
pub mod settings;
mod state_file;
pub mod stopping;
pub mod udp_probes;
pub mod utc;
