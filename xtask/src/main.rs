//! Everything a developer types: demo, test, ci.

fn main() {}
