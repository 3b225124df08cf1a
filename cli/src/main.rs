//! What a person types against a running fleet: sql, timeline, skew, doctor.

fn main() {}
