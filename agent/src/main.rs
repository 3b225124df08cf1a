//! The agent of a node: captures goroutine blocking with eBPF, probes the clock, ships batches.

fn main() {}
