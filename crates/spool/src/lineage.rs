//! Which segments belong to one another.

use std::collections::BTreeSet;

use crate::frame::NUMBER_LIMIT;
use crate::segment::{SegmentHeader, SegmentId};

/// A file that is called as a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) id: SegmentId,
    /// None if it is damaged.
    pub(crate) header: Option<SegmentHeader>,
    /// Length of the file.
    pub(crate) bytes: u64,
}

/// Ours, in their order, and those that are not.
///
/// Not ours is what says so of itself (another spool, or not what its name says), what a later segment does not know (the one before it has that
/// sequence and another nonce: a copy of an earlier time was put back), and what is out of order.
pub(crate) fn sort(mut candidates: Vec<Candidate>, spool: [u8; 16]) -> (Vec<Candidate>, Vec<SegmentId>) {
    // Only ours know what is ours.
    let is_own = |header: &SegmentHeader, id: SegmentId| header.spool == spool && header.id == id;
    let link = |candidate: &Candidate| {
        let header = candidate.header.filter(|header| is_own(header, candidate.id))?;
        header.previous.filter(|(sequence, _)| *sequence < candidate.id.sequence)
    };
    let chain: BTreeSet<(u64, u64)> = candidates.iter().filter_map(link).collect();
    let is_known = |id: SegmentId| chain.contains(&(id.sequence, id.nonce));
    let has_known = |sequence: u64| chain.range((sequence, 0)..=(sequence, u64::MAX)).next().is_some();
    // Of two with the same sequence the better one comes last, and is looked at first.
    candidates.sort_unstable_by_key(|candidate| {
        let id = candidate.id;
        (id.sequence, is_known(id), candidate.header.is_some(), candidate.bytes, id)
    });
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    let mut after: Option<SegmentId> = None;
    for candidate in candidates.into_iter().rev() {
        let id = candidate.id;
        let says_so = candidate.header.is_none_or(|header| is_own(&header, id));
        let is_in_order = after.is_none_or(|after| id.sequence < after.sequence && id.first <= after.first);
        // There has to be room for others behind it.
        let is_possible = id.sequence < NUMBER_LIMIT / 2;
        if says_so && is_in_order && is_possible && (is_known(id) || !has_known(id.sequence)) {
            after = Some(id);
            ours.push(candidate);
        } else {
            others.push(id);
        }
    }
    ours.reverse();
    (ours, others)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPOOL: [u8; 16] = [1; 16];

    fn of(sequence: u64, first: u64, nonce: u64, previous: Option<(u64, u64)>) -> Candidate {
        let id = SegmentId { sequence, first, nonce };
        Candidate { id, header: Some(SegmentHeader { spool: SPOOL, id, weight_before: 0, previous }), bytes: 128 }
    }

    fn nonces(candidates: Vec<Candidate>) -> (Vec<u64>, Vec<u64>) {
        let (ours, others) = sort(candidates, SPOOL);
        let ours = ours.iter().map(|candidate| candidate.id.nonce).collect();
        (ours, others.iter().map(|id| id.nonce).collect())
    }

    #[test]
    fn segments_are_put_in_order() {
        let all = vec![of(2, 9, 12, Some((1, 11))), of(0, 0, 10, None), of(1, 5, 11, Some((0, 10)))];
        assert_eq!(nonces(all), (vec![10, 11, 12], vec![]));
    }

    #[test]
    fn a_damaged_header_is_no_reason_to_go() {
        let mut all = vec![of(0, 0, 10, None), of(1, 5, 11, Some((0, 10)))];
        all.iter_mut().for_each(|candidate| candidate.header = None);
        assert_eq!(nonces(all), (vec![10, 11], vec![]));
    }

    #[test]
    fn those_of_another_spool_or_another_name_are_not_ours() {
        let mut foreign = of(1, 5, 11, None);
        let mut renamed = of(2, 6, 12, None);
        foreign.header.as_mut().unwrap().spool = [2; 16];
        renamed.header.as_mut().unwrap().id.first = 7;
        assert_eq!(nonces(vec![of(0, 0, 10, None), foreign, renamed]), (vec![10], vec![12, 11]));
    }

    #[test]
    fn a_copy_of_another_past_is_not_ours() {
        let stale = of(1, 3, 99, Some((0, 10)));
        let all = vec![of(0, 0, 10, None), of(1, 5, 11, Some((0, 10))), of(2, 9, 12, Some((1, 11))), stale];
        assert_eq!(nonces(all), (vec![10, 11, 12], vec![99]));
        assert_eq!(nonces(vec![stale, of(2, 9, 12, Some((1, 11)))]), (vec![12], vec![99]));
    }

    #[test]
    fn others_have_no_say_in_what_is_ours() {
        let mut foreign = of(1, 5, 21, Some((0, 20)));
        foreign.header.as_mut().unwrap().spool = [2; 16];
        assert_eq!(nonces(vec![of(0, 0, 10, None), foreign]), (vec![10], vec![21]));
        // One that knows its own successor is no witness either.
        assert_eq!(nonces(vec![of(0, 0, 10, Some((1, 99))), of(1, 5, 11, None)]), (vec![10, 11], vec![]));
    }

    #[test]
    fn numbers_never_go_back() {
        assert_eq!(nonces(vec![of(0, 8, 10, None), of(1, 5, 11, None)]), (vec![11], vec![10]));
        assert_eq!(nonces(vec![of(NUMBER_LIMIT - 1, 8, 10, None)]), (vec![], vec![10]));
    }
}
