//! The nodes of the fleet.

use super::rows;
use crate::{Column, LowCardinality};

rows! {
    /// One row per node and boot; later rows complete earlier ones.
    NodeRows => "nodes" {
        /// Region of the node.
        region: LowCardinality => Column::LowCardinality,
        /// Name of the node.
        node: LowCardinality => Column::LowCardinality,
        /// First 8 bytes of the node's boot id.
        boot: Vec<u64> => Column::U64,
        /// The host's own name.
        /// Kernel release.
        kernel: Vec<String> => Column::String,
        /// Version of the agent.
        agent_version: Vec<String> => Column::String,
        /// First batch of this boot: REF in ns since 1970. The smallest of all rows counts.
        first_seen: Vec<i64> => Column::DateTime64,
        /// Newest batch of this boot: REF in ns since 1970. The largest of all rows counts.
        last_seen: Vec<i64> => Column::DateTime64,
    }
}
