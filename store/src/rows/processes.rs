//! The observed processes.

use super::rows;
use crate::{Column, LowCardinality};

rows! {
    /// One row per program of a process; a later row of the same one replaces the earlier.
    ProcessRows => "processes" {
        /// Region of the node.
        region: LowCardinality => Column::LowCardinality,
        /// Name of the node.
        node: LowCardinality => Column::LowCardinality,
        /// First 8 bytes of the node's boot id.
        boot: Vec<u64> => Column::U64,
        /// Process id in the host's namespace.
        pid: Vec<u32> => Column::U32,
        /// Since when it runs this program, on the node's mono, ns; 0 when not known.
        since_mono_ns: Vec<u64> => Column::U64,
        /// Hash of the executable's build id.
        build_id: Vec<u64> => Column::U64,
        /// Name of its service.
        service: LowCardinality => Column::LowCardinality,
        /// Path of its executable.
        executable: LowCardinality => Column::LowCardinality,
        /// Go version of its program.
        go_version: LowCardinality => Column::LowCardinality,
        /// What made its container; empty when it is in none, as the texts that follow.
        container_runtime: LowCardinality => Column::LowCardinality,
        /// Id of its container.
        container_id: Vec<String> => Column::String,
        /// Name of its container.
        container_name: LowCardinality => Column::LowCardinality,
        /// Name of its pod.
        k8s_pod_name: LowCardinality => Column::LowCardinality,
        /// Uid of its pod.
        k8s_pod_uid: Vec<String> => Column::String,
        /// Namespace of its pod.
        k8s_namespace: LowCardinality => Column::LowCardinality,
        /// Minute of the batch that told it, in seconds since 1970.
        seen: Vec<u32> => Column::DateTime,
    }
}
