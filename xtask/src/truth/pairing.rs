//! Which interval of ours is which of the tracer's.
//!
//! Those of a goroutine do not overlap one another, and both sides stamp within some us of the same moment. So two are the same where they overlap,
//! from the park until the goroutine runs again, and neither overlaps its neighbour's partner more.

use std::collections::BTreeMap;

use super::interval::{Interval, Kind};

/// Both sides of a run.
#[derive(Debug, Default)]
pub(super) struct Paired<'i> {
    /// Ours, the tracer's.
    pub(super) pairs: Vec<(&'i Interval, &'i Interval)>,
    pub(super) only_ours: Vec<&'i Interval>,
    pub(super) only_theirs: Vec<&'i Interval>,
}

/// By goroutine and kind.
type Tracks<'i> = BTreeMap<(u64, Kind), (Vec<&'i Interval>, Vec<&'i Interval>)>;

/// Pairs all.
pub(super) fn pair<'i>(ours: &'i [Interval], theirs: &'i [Interval]) -> Paired<'i> {
    let mut tracks = Tracks::new();
    ours.iter().for_each(|one| tracks.entry((one.goid, one.kind)).or_default().0.push(one));
    theirs.iter().for_each(|one| tracks.entry((one.goid, one.kind)).or_default().1.push(one));
    let mut paired = Paired::default();
    for (mut ours, mut theirs) in tracks.into_values() {
        ours.sort_by_key(|one| one.start_ns);
        theirs.sort_by_key(|one| one.start_ns);
        pair_track(&ours, &theirs, &mut paired);
    }
    paired
}

fn pair_track<'i>(mut ours: &[&'i Interval], mut theirs: &[&'i Interval], paired: &mut Paired<'i>) {
    while let ([our, our_rest @ ..], [their, their_rest @ ..]) = (ours, theirs) {
        let overlap_ns = our.overlap_ns(their);
        let is_better =
            |one: Option<&&Interval>, other: &Interval| one.is_some_and(|one| one.overlap_ns(other) > overlap_ns);
        if overlap_ns < 0 && our.run_ns < their.start_ns || is_better(our_rest.first(), their) {
            paired.only_ours.push(our);
            ours = our_rest;
        } else if overlap_ns < 0 || is_better(their_rest.first(), our) {
            paired.only_theirs.push(their);
            theirs = their_rest;
        } else {
            paired.pairs.push((our, their));
            (ours, theirs) = (our_rest, their_rest);
        }
    }
    paired.only_ours.extend(ours);
    paired.only_theirs.extend(theirs);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parks(goid: u64, spans: &[(i64, i64)]) -> Vec<Interval> {
        let park = |&(start_ns, run_ns): &(i64, i64)| Interval {
            kind: Kind::Park,
            goid,
            start_ns,
            ready_ns: None,
            run_ns,
            reason: String::new(),
            waker: None,
            is_coroutine: false,
            has_stack: true,
            is_announced: true,
        };
        spans.iter().map(park).collect()
    }

    fn starts(paired: &Paired<'_>) -> (Vec<(i64, i64)>, Vec<i64>, Vec<i64>) {
        let pairs = paired.pairs.iter().map(|(our, their)| (our.start_ns, their.start_ns));
        let start = |one: &&Interval| one.start_ns;
        (pairs.collect(), paired.only_ours.iter().map(start).collect(), paired.only_theirs.iter().map(start).collect())
    }

    #[test]
    fn what_overlaps_is_a_pair_and_the_rest_is_missing() {
        let ours = parks(1, &[(10, 20), (30, 40), (50, 60)]);
        let theirs = parks(1, &[(11, 21), (51, 61), (70, 80)]);
        assert_eq!(starts(&pair(&ours, &theirs)), (vec![(10, 11), (50, 51)], vec![30], vec![70]));
        assert_eq!(starts(&pair(&theirs, &ours)), (vec![(11, 10), (51, 50)], vec![70], vec![30]));
    }

    #[test]
    fn one_that_touches_two_goes_with_the_one_it_overlaps_more() {
        let ours = parks(1, &[(12, 30)]);
        let theirs = parks(1, &[(0, 14), (16, 30)]);
        assert_eq!(starts(&pair(&ours, &theirs)), (vec![(12, 16)], vec![], vec![0]));
        assert_eq!(starts(&pair(&theirs, &ours)), (vec![(16, 12)], vec![0], vec![]));
    }

    #[test]
    fn goroutines_are_not_mixed() {
        let (ours, theirs) = (parks(1, &[(10, 20)]), parks(2, &[(10, 20)]));
        assert_eq!(starts(&pair(&ours, &theirs)), (vec![], vec![10], vec![10]));
    }
}
