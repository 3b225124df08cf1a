//! Metrics for Prometheus: what there is ([`Family`]), what it is now ([`Source`], [`Samples`]), and the door ([`serve`]).
//!
//! A family is described once, as a constant: the exposition and the table of docs/metrics.md are both made of it. Values are read when Prometheus
//! asks and kept nowhere. Names have units and suffixes as in the field: `_seconds`, `_bytes`, `_total`.

mod exposition;
mod family;
mod histogram;
mod server;

pub use exposition::{Samples, Source, text};
pub use family::{Family, Kind, table};
pub use histogram::{Durations, Histogram};
pub use server::{listen, serve};
