//! Simulated clocks, paths and faults, for tests, benches and the demo.
