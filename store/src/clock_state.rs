//! What an aggregator left behind of a node's clock model.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::{Store, StoreError};

/// A clock model as it was saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockState {
    /// The run of the reference that it speaks of; 0 before the first probe.
    pub ref_run: u64,
    /// The newest batch that it has seen.
    pub batch: u64,
    /// Where its last segment ends: mono, ns; 0 if it has none.
    pub segment_end: u64,
    /// The model.
    pub state: Vec<u8>,
}

impl Store {
    /// The newest state of a node's clock model in one boot, if one was saved within the last day.
    ///
    /// # Errors
    /// [`StoreError::Sql`] and [`StoreError::Network`] from ClickHouse; [`StoreError::Protocol`] for an answer that is none.
    pub async fn clock_state(&self, region: &str, node: &str, boot: u64) -> Result<Option<ClockState>, StoreError> {
        let query = self
            .client()
            .query(
                "SELECT ref_run, batch, segment_end, base64Encode(state) FROM clock_states
                 WHERE region = {region:String} AND node = {node:String} AND boot = {boot:UInt64} ORDER BY batch DESC LIMIT 1",
            )
            .param("region", region)
            .param("node", node)
            .param("boot", boot);
        let answer = query.fetch_bytes("TSV")?.collect().await?;
        let text = String::from_utf8_lossy(&answer);
        let Some(line) = text.lines().next() else { return Ok(None) };
        parse(line).map(Some).ok_or_else(|| StoreError::Protocol { reason: "clock_states holds no state".to_owned() })
    }
}

fn parse(line: &str) -> Option<ClockState> {
    let mut fields = line.split('\t');
    let mut number = || fields.next()?.parse().ok();
    let (ref_run, batch, segment_end) = (number()?, number()?, number()?);
    Some(ClockState { ref_run, batch, segment_end, state: BASE64.decode(fields.next()?).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_state_or_nothing() {
        let state = ClockState { ref_run: 7, batch: 9, segment_end: 0, state: vec![0, 255, 10] };
        assert_eq!(parse("7\t9\t0\tAP8K"), Some(state));
        assert!(["", "7\t9\t0", "7\t9\tx\tAP8K", "7\t9\t0\t?"].iter().all(|line| parse(line).is_none()));
    }
}
