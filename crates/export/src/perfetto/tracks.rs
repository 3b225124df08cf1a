//! Tracks: region, node, process, goroutine, each below the one before.

use std::collections::{HashMap, HashSet};

use xxhash_rust::xxh3::Xxh3;

use super::message::{Counter, EXPLICIT, LEXICOGRAPHIC, TIME_NS, TrackDescriptor};
use crate::wait::Who;

/// Tracks that are remembered as told; then all are told anew, which readers take for the same. Some 16 MB.
const MANY: usize = 1_000_000;
/// Where threads without a goroutine come, behind all goroutines of a process.
const LAST: i32 = i32::MAX;

/// A track is known by a hash of what it is of, so that no memory grows with their number.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    told: HashSet<u64>,
    /// What was told last of the bounds of nodes, by track.
    bounds: HashMap<u64, Told>,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    at_ns: i64,
    value_ns: i64,
}

/// The tracks of one that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ancestry {
    region: u64,
    pub(super) node: u64,
    process: u64,
    /// The goroutine or thread; of a waker that is not known closer than its process, that one.
    pub(super) own: u64,
}

impl Ancestry {
    pub(super) fn of(who: &Who<'_>) -> Self {
        let region = uuid("region", 0, who.region, 0);
        let node = uuid("node", region, who.node, 0);
        let process = uuid("process", uuid("boot", node, who.service, who.boot), who.service, who.pid.into());
        let own = match (who.goid, who.tid) {
            (0, 0) => process,
            (0, tid) => uuid("thread", process, "", tid.into()),
            (goid, _) => uuid("goroutine", process, "", goid),
        };
        Self { region, node, process, own }
    }

    /// A further track of the same one, for waits that lie across each other.
    pub(super) fn lane(self, lane: usize) -> u64 {
        if lane == 0 { self.own } else { uuid("lane", self.own, "", lane as u64) }
    }

    fn bound(self) -> u64 {
        uuid("bound", self.node, "", 0)
    }
}

impl Tracks {
    /// The descriptions of the lane and what is above it, as far as they are to be told yet.
    pub(super) fn describe(&mut self, who: &Who<'_>, ancestry: Ancestry, lane: usize) -> Vec<TrackDescriptor> {
        if self.told.len() >= MANY {
            self.told.clear();
        }
        let track = ancestry.lane(lane);
        if self.told.contains(&track) {
            return Vec::new();
        }
        let (own, rank) = match (who.goid, who.tid) {
            (0, tid) => (format!("thread {tid}"), LAST),
            (goid, _) => (format!("g{goid}"), i32::try_from(goid).unwrap_or(LAST - 1)),
        };
        let own = if lane == 0 { own } else { format!("{own} ({})", lane + 1) };
        let chain = [
            track_of(ancestry.region, None, who.region, LEXICOGRAPHIC),
            track_of(ancestry.node, Some(ancestry.region), who.node, LEXICOGRAPHIC),
            track_of(ancestry.process, Some(ancestry.node), &format!("{} {}", who.service, who.pid), EXPLICIT),
            TrackDescriptor { sibling_order_rank: Some(rank), ..track_of(track, Some(ancestry.process), &own, 0) },
        ];
        // A waker that is not known closer than its process has that one's track.
        let depth = if track == ancestry.process { 3 } else { 4 };
        chain.into_iter().take(depth).filter(|described| self.told.insert(described.uuid)).collect()
    }

    /// The track of the bound of a node's clock with its description if that is to be told, and the value, where there is one to
    /// tell: it is another than before, and some time went by. -1 stands for no bound.
    pub(super) fn bound(
        &mut self,
        ancestry: Ancestry,
        at_ns: i64,
        bound_ns: Option<u64>,
    ) -> Option<(u64, Option<TrackDescriptor>, i64)> {
        const EVERY_NS: i64 = 100_000_000;
        let value_ns = bound_ns.map_or(-1, |ns| i64::try_from(ns).unwrap_or(i64::MAX));
        let track = ancestry.bound();
        let last = self.bounds.get(&track);
        let is_lost_or_found = |last: &Told| (last.value_ns < 0) != (value_ns < 0);
        let is_due = |last: &Told| {
            last.value_ns != value_ns && (is_lost_or_found(last) || at_ns.saturating_sub(last.at_ns) >= EVERY_NS)
        };
        if last.is_some_and(|last| !is_due(last)) {
            return None;
        }
        self.bounds.insert(track, Told { at_ns, value_ns });
        let description = self.told.insert(track).then(|| TrackDescriptor {
            counter: Some(Counter { unit: TIME_NS }),
            ..track_of(track, Some(ancestry.node), "clock: half width of the error bound (-1: none)", 0)
        });
        Some((track, description, value_ns))
    }
}

fn track_of(uuid: u64, parent_uuid: Option<u64>, name: &str, child_ordering: i32) -> TrackDescriptor {
    TrackDescriptor {
        uuid,
        parent_uuid,
        name: name.to_owned(),
        counter: None,
        child_ordering,
        sibling_order_rank: None,
    }
}

/// Never 0, which stands for no track.
fn uuid(kind: &str, parent: u64, name: &str, number: u64) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(kind.as_bytes());
    hash.update(&parent.to_le_bytes());
    hash.update(&number.to_le_bytes());
    hash.update(name.as_bytes());
    hash.digest().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(goid: u64, tid: u32) -> Who<'static> {
        Who { region: "eu", node: "eu-1", boot: 1, service: "cart", pid: 4711, goid, tid }
    }

    fn names(described: &[TrackDescriptor]) -> Vec<&str> {
        described.iter().map(|track| track.name.as_str()).collect()
    }

    #[test]
    fn a_track_is_told_once_below_those_above_it() {
        let mut tracks = Tracks::default();
        let first = tracks.describe(&who(18, 3), Ancestry::of(&who(18, 3)), 0);
        assert_eq!(names(&first), ["eu", "eu-1", "cart 4711", "g18"]);
        for pair in first.windows(2) {
            assert_eq!(pair[1].parent_uuid, Some(pair[0].uuid));
        }
        assert!(tracks.describe(&who(18, 9), Ancestry::of(&who(18, 9)), 0).is_empty(), "whatever its thread");
        assert_eq!(names(&tracks.describe(&who(18, 3), Ancestry::of(&who(18, 3)), 1)), ["g18 (2)"]);
        assert_eq!(names(&tracks.describe(&who(0, 3), Ancestry::of(&who(0, 3)), 0)), ["thread 3"]);
        assert!(tracks.describe(&who(0, 0), Ancestry::of(&who(0, 0)), 0).is_empty(), "the process itself");
    }

    #[test]
    fn a_bound_is_told_when_it_changes_and_at_once_when_it_is_lost() {
        let (mut tracks, of) = (Tracks::default(), Ancestry::of(&who(18, 3)));
        let mut told =
            |at_ns, bound_ns| tracks.bound(of, at_ns, bound_ns).map(|(_, track, value)| (track.is_some(), value));
        assert_eq!(told(0, Some(100)), Some((true, 100)));
        assert_eq!(told(1, Some(101)), None);
        assert_eq!(told(2, None), Some((false, -1)));
        assert_eq!(told(3, None), None);
        assert_eq!(told(4, Some(101)), Some((false, 101)));
        assert_eq!(told(100_000_004, Some(90)), Some((false, 90)));
    }
}
