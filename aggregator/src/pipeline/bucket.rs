//! The storage bucket of an event: the minute that partitions and sorts it.
//!
//! It depends on the batch and on nothing else, so that a batch sent again, perhaps to another aggregator with another
//! clock model, puts each row where it was.

use std::ops::RangeInclusive;

use syncline_event::Batch;
use syncline_timebase::{Instant, Mono, Span};

/// An event that started longer before its batch was sealed is put into the bucket of this age. Without that, one
/// batch could touch any number of partitions (days), of which ClickHouse takes 100 an insert.
const OLDEST: Span = Span::from_s(30 * 24 * 3_600);

const MINUTE_S: i64 = 60;
const DAY_S: u32 = 86_400;

/// Start of the minute of an event that started at `start`, in seconds since 1970.
pub(crate) fn of_event(batch: &Batch, start: Instant<Mono>) -> u32 {
    minute(batch, start.max(batch.sealed_at - OLDEST).min(batch.sealed_at))
}

/// Start of the minute in which the batch was sealed.
pub(crate) fn of_batch(batch: &Batch) -> u32 {
    minute(batch, batch.sealed_at)
}

/// The days, since 1970, in which the batch was sealed and its events and connections began.
pub(crate) fn days(batch: &Batch) -> RangeInclusive<u32> {
    let waits = batch.waits.start.iter().chain(&batch.open_waits.start).chain(&batch.messages.at).copied();
    let first = waits.chain(batch.tcp_sessions.iter().map(|session| session.first)).min().unwrap_or(batch.sealed_at);
    of_event(batch, first) / DAY_S..=of_batch(batch) / DAY_S
}

fn minute(batch: &Batch, at: Instant<Mono>) -> u32 {
    let seconds = (at + batch.coarse_reference).ns().div_euclid(1_000_000_000);
    let last = i64::from(u32::MAX) - i64::from(u32::MAX) % MINUTE_S;
    u32::try_from((seconds - seconds.rem_euclid(MINUTE_S)).clamp(0, last)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::samples;
    use syncline_timebase::Offset;

    const BASE_S: i64 = 1_700_000_040; // a full minute

    fn batch(sealed_s: i64) -> Batch {
        let mut batch = samples::batch("n", 1);
        batch.sealed_at = Instant::from_ns(sealed_s * 1_000_000_000);
        batch.coarse_reference = Offset::from_ns(BASE_S * 1_000_000_000);
        batch
    }

    fn of(sealed_s: i64, start_ns: i64) -> i64 {
        i64::from(of_event(&batch(sealed_s), Instant::from_ns(start_ns))) - BASE_S
    }

    #[test]
    fn it_is_the_minute_of_the_start() {
        assert_eq!(of(600, 0), 0);
        assert_eq!(of(600, 59_999_999_999), 0);
        assert_eq!(of(600, 60_000_000_000), 60);
    }

    #[test]
    fn a_batch_touches_a_bounded_number_of_days() {
        let year = 365 * 24 * 3_600;
        assert_eq!(of(year, 0), of(year, (year - 30 * 24 * 3_600) * 1_000_000_000));
        assert_eq!(of(year, i64::MAX), year, "a start in the future is the seal's");
    }

    #[test]
    fn absurd_offsets_stay_in_the_range_of_the_column() {
        let mut batch = batch(600);
        batch.coarse_reference = Offset::from_ns(i64::MIN);
        assert_eq!(of_event(&batch, Instant::from_ns(5)), 0);
        batch.coarse_reference = Offset::from_ns(i64::MAX);
        assert_eq!(of_event(&batch, Instant::from_ns(5)) % 60, 0);
    }
}
