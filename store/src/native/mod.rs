//! Blocks in ClickHouse's Native format, the fastest it reads over HTTP.

mod block;
mod column;

pub(crate) use block::is_identifier;
pub use block::{Block, BlockBuilder, MAX_BLOCK_ROWS};
pub use column::{Arrays, Column, LowCardinality};
