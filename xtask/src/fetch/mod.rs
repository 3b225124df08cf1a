//! Makes sure that what the build, the tests and the demo need is here: by the ordinary package clients, checked, and
//! cached outside the tree. All is pinned but for Debian packages that are only built or linked
//! with, which are those of this system's release, signed by their archive.

mod apt;
mod cargo_tool;
pub(crate) mod chrony;
mod clang;
pub(crate) mod collector;
mod deb;
pub(crate) mod formats;
mod go;
pub(crate) mod kafka;
pub(crate) mod libchdb;
mod npm;
pub(crate) mod overhead;
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
    /// Apache Kafka, for the tests and the demo of the way over it
    Kafka,
    /// What `bench overhead` measures beside and under: bpftrace and wrk
    Overhead,
    /// All that the build, the tests and the demo need
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
        Part::Kafka => kafka::required().map(|dir| println!("have Apache Kafka ({})", dir.display())),
        Part::Overhead => {
            for tool in [overhead::bpftrace()?, overhead::wrk()?] {
                println!("have {tool}");
            }
            Ok(())
        }
        Part::All => {
            clang::ensure()?;
            go::ensure()?;
            libchdb::ensure()?;
            chrony::ensure();
            prometheus::ensure();
            formats::ensure();
            kafka::ensure();
            Ok(())
        }
    }
}
