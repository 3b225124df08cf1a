//! The wire: protobuf messages, and the only place where they become checked types and back.
