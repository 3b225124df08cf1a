//! The way to the aggregator.

mod grpc;

pub use grpc::{Uplink, WINDOW};
