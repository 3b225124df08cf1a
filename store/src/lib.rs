//! The ClickHouse store: embedded engine, schema, Native blocks, queries.
//!
//! One code path serves both deployments. A [`Store`] speaks HTTP to a ClickHouse: either a server named by its URL, or the
//! [`EmbeddedEngine`], a child process that opens ClickHouse's own HTTP handler on a loopback port.
//!
//! - [`open`] finds or starts what a [`Location`] names; [`Store::migrate`] brings the schema up to date.
//! - [`rows`] has one struct of columns per table; each becomes a [`Block`], and [`Store::insert`] writes it exactly once per
//!   token.
//! - [`Store::query_text`] and [`Store::query_to`] answer SQL in any ClickHouse format.
//!
//! The tables and views are in `migrations/`, documented column by column.

mod alert_states;
mod answered;
mod batch_claims;
mod binaries;
mod clock_state;
mod deliveries;
mod engine;
mod error;
mod health;
mod json;
mod leases;
mod ledger;
mod marks;
mod native;
mod open;
mod pairs;
mod regions;
mod rounds;
pub mod rows;
mod schema;
mod settle;
mod silences;
mod stacks;
mod store;
mod users;

pub use alert_states::AlertsLeft;
pub use batch_claims::{ClaimOfOther, ClaimWriter};
pub use binaries::{ADDRESSES_AT_ONCE, Binary, MOST_BINARY_BYTES, Names};
pub use clock_state::ClockState;
pub use deliveries::{Delivery, RememberedAlerts, ToldIncident};
pub use engine::{
    EmbeddedConfig, EmbeddedEngine, default_max_memory_bytes, libchdb_path, new_password, run_engine_if_child,
};
pub use error::StoreError;
pub use health::Health;
pub use leases::LeaseRow;
pub use ledger::LedgerKey;
pub use marks::{Mark, marked_tables};
pub use native::{Arrays, Block, BlockBuilder, Column, LowCardinality, MAX_BLOCK_ROWS};
pub use open::{Location, OpenOptions, OpenStore, Role, open};
pub use pairs::ViolatedPair;
pub use regions::{RegionClaim, RegionLink};
pub use rounds::Rounds;
pub use schema::{ClusterStatement, MigrationPlan, MigrationReport};
pub use settle::{SettledPiece, Settlement};
pub use silences::DeclaredSilence;
pub use store::{DEFAULT_DATABASE, Store};
pub use users::{ReaderLimits, Users};
