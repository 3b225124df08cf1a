//! What regions said of one another lately.

use clickhouse::Client;
use serde::Deserialize;

use crate::{Store, StoreError, json};

/// What one region measured of another.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RegionLink {
    /// Region that measures.
    pub region: String,
    /// Region that is measured.
    pub peer: String,
    /// Run of `region`'s own reference.
    pub ref_run: u64,
    /// Run of `peer`'s reference.
    pub peer_run: u64,
    /// When: REF of `region`, ns since 1970.
    pub ref_at: i64,
    /// REF of peer - REF of region, ns.
    pub off: i64,
    /// At least.
    pub low: i64,
    /// At most.
    pub high: i64,
    /// Rate of `off`, in 10^-9.
    pub rate_ppb: i64,
    /// How fast the bound grows past `ref_at`, in 10^-9.
    pub err_rate_ppb: u64,
}

/// What a region claimed of UTC.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RegionClaim {
    /// The region.
    pub region: String,
    /// Run of its own reference.
    pub ref_run: u64,
    /// When: its REF, ns since 1970.
    pub ref_at: i64,
    /// UTC - REF, ns.
    pub utc_off: i64,
    /// Half width of that, ns.
    pub bound_ns: u64,
}

/// The newest of each of the last minute, by its own reference: where the database's clock was set back, what was said before is of times to come.
/// Aggregators of one region have references of their own.
const LINKS: &str = "SELECT toString(region) AS region, toString(peer) AS peer, ref_run, peer_run, ref_at, off, low, high, \
    rate_ppb, err_rate_ppb FROM region_links WHERE created > now64(3, 'UTC') - INTERVAL 1 MINUTE \
    ORDER BY ref_at DESC LIMIT 1 BY region, peer, ref_run, peer_run";

const CLAIMS: &str = "SELECT toString(region) AS region, ref_run, ref_at, utc_off, bound_ns FROM region_claims \
    WHERE created > now64(3, 'UTC') - INTERVAL 1 MINUTE ORDER BY ref_at DESC LIMIT 1 BY region, ref_run";

impl Store {
    /// The newest links and claims of the regions, each of the last minute.
    ///
    /// # Errors
    /// [`StoreError::Sql`] and [`StoreError::Network`] from ClickHouse; [`StoreError::Protocol`] for an answer that is none.
    pub async fn regions_said(&self) -> Result<(Vec<RegionLink>, Vec<RegionClaim>), StoreError> {
        Ok((rows(self.client(), LINKS).await?, rows(self.client(), CLAIMS).await?))
    }
}

async fn rows<T: serde::de::DeserializeOwned>(client: &Client, sql: &str) -> Result<Vec<T>, StoreError> {
    let answer = client.query(sql).fetch_bytes("JSONEachRow")?.collect().await?;
    json::rows(&answer, "regions")
}
