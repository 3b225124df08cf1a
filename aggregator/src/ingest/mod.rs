//! Batches from outside.

pub mod grpc;
