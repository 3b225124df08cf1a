//! What the documentation says of options and metrics is what the program has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../../crates/config/tests/support/page.rs"]
mod page;

use page::assert_documented;
use syncline_agent::{choice, cli, run};

#[test]
fn each_option_is_documented() {
    assert_documented("configuration.md", "agent options", &cli::OPTIONS.table(&cli::run_syntax()));
    assert_documented("configuration.md", "agent rules", &choice::rule_table());
}

#[test]
fn each_metric_is_documented() {
    assert_documented("metrics.md", "agent metrics", &syncline_metrics::table(&run::metric_families()));
}
