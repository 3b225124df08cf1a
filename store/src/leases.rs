//! Leases: what one of several processes does at a time.
//!
//! A lease is a row with a number. Who takes it, renews it or gives it back inserts the next number, with a token that everybody would use for
//! that number: of two inserts the first is stored, the other one is taken for a repetition of it. So who reads its own name back has it. No
//! clock of the database or of a machine is believed: who waits for a lease counts from when it saw the number.

use std::time::Duration;

use crate::answered::answered;
use crate::rows::AlertLeaseRows;
use crate::{Store, StoreError};

/// The newest row of a lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseRow {
    /// Its number; 0 where nobody ever had it.
    pub number: u64,
    /// Who has it; empty where nobody has.
    pub holder: String,
    /// Who sees this number for so long, and none after it, may take it, ms.
    pub lasts_ms: u64,
}

const LEASE: &str = "SELECT number, holder, lasts_ms FROM alert_leases WHERE name = {name:String} \
    ORDER BY number DESC LIMIT 1";

impl Store {
    /// The newest row of a lease.
    ///
    /// # Errors
    /// [`StoreError::Sql`] and [`StoreError::Network`] from ClickHouse; [`StoreError::Protocol`] for an answer that is none.
    pub async fn lease(&self, name: &str) -> Result<LeaseRow, StoreError> {
        let answer = self.answer(self.client().query(LEASE).param("name", name), "TSV").await?;
        let text = String::from_utf8_lossy(&answer);
        let Some(line) = text.lines().next() else { return Ok(LeaseRow::default()) };
        let mut fields = line.split('\t');
        let row = (|| {
            let (number, holder) = (fields.next()?.parse().ok()?, fields.next()?.to_owned());
            Some(LeaseRow { number, holder, lasts_ms: fields.next()?.parse().ok()? })
        })();
        row.ok_or_else(|| StoreError::Protocol { reason: format!("{line:?} is no lease") })
    }

    /// Makes `holder` the next one after `number`, if nobody else was made it; whether it is.
    ///
    /// # Errors
    /// As [`Store::lease`]. It may have been made the holder all the same.
    pub async fn take_lease(&self, name: &str, number: u64, holder: &str, lasts: Duration) -> Result<bool, StoreError> {
        let next = LeaseRow {
            number: number.saturating_add(1),
            holder: holder.to_owned(),
            lasts_ms: u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX),
        };
        let rows = AlertLeaseRows {
            name: vec![name.to_owned()],
            number: vec![next.number],
            holder: vec![next.holder.clone()],
            lasts_ms: vec![next.lasts_ms],
            at: vec![self.now_ms().await?.saturating_mul(1_000_000)],
        };
        answered(self.insert(rows.into_block()?, &format!("lease/{name}/{}", next.number))).await?;
        Ok(self.lease(name).await? == next)
    }
}
