//! Makes sure that what the build, the tests and the demo need is here: by the ordinary package clients, pinned,
//! checked, and cached outside the tree.

mod apt;
mod cargo_tool;
pub(crate) mod chrony;
mod clang;
mod deb;
pub(crate) mod formats;
mod go;
pub(crate) mod libchdb;
mod npm;
pub(crate) mod prometheus;

use anyhow::Result;
use clap::ValueEnum;

pub(crate) use cargo_tool::cargo_tool;
pub(crate) use go::{NEWEST as NEWEST_GO, VERSIONS as GO_VERSIONS};

/// What can be made sure of.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Part {
    /// The embedded ClickHouse engine
    Libchdb,
    /// The Go toolchains that the test programs and the demo are built with
    Go,
    /// The compiler and headers of the eBPF programs
    Clang,
    /// A chronyd for the tests of what it claims
    Chrony,
    /// A Prometheus and an Alertmanager for the tests of metrics and alerts
    Prometheus,
    /// What Perfetto and speedscope publish of their formats, for the tests of exports
    Formats,
    /// All of them
    All,
}

/// # Errors
/// One line on what is missing and how to mend it.
pub(crate) fn run(part: Part) -> Result<()> {
    match part {
        Part::Libchdb => libchdb::ensure(),
        Part::Go => go::ensure(),
        Part::Clang => clang::ensure(),
        Part::Chrony => {
            chrony::ensure();
            Ok(())
        }
        Part::Prometheus => {
            prometheus::ensure();
            Ok(())
        }
        Part::Formats => {
            formats::ensure();
            Ok(())
        }
        Part::All => {
            clang::ensure()?;
            go::ensure()?;
            libchdb::ensure()?;
            chrony::ensure();
            prometheus::ensure();
            formats::ensure();
            Ok(())
        }
    }
}
