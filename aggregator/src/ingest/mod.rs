//! Batches from outside.

pub mod grpc;
pub mod kafka;
