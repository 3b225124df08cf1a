//! What each peer address may still ask for, in bounded room.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use syncline_timebase::{Instant, Reference as ReferenceScale, Span};

use crate::allowance::{Allowance, Rate};

/// Between two searches for entries that say nothing any more: with very many that takes long.
const SWEPT_EVERY: Span = Span::from_s(1);
/// Whoever has one address of an IPv6 network has all of its /64.
const V6_NETWORK: u128 = u128::MAX << 64;

/// An allowance for each address. One that is whole again is as good as a new one, and gives its place up.
#[derive(Debug)]
pub(crate) struct PeerAllowances {
    rate: Rate,
    capacity: usize,
    known: HashMap<Option<IpAddr>, Allowance>,
    swept: Option<Instant<ReferenceScale>>,
}

impl PeerAllowances {
    /// `rate` for each address, `capacity` addresses at once.
    pub(crate) fn new(rate: Rate, capacity: usize) -> Self {
        Self { rate, capacity: capacity.max(1), known: HashMap::new(), swept: None }
    }

    /// Whether `peer` may ask once more; peers without an address are one. Nobody new may where there is no room.
    pub(crate) fn take(&mut self, peer: Option<IpAddr>, now: Instant<ReferenceScale>) -> bool {
        let peer = peer.map(network);
        if !self.known.contains_key(&peer) && !self.has_room(now) {
            return false;
        }
        self.known.entry(peer).or_insert_with(|| Allowance::new(self.rate, now)).take(now)
    }

    fn has_room(&mut self, now: Instant<ReferenceScale>) -> bool {
        let is_due = self.swept.is_none_or(|swept| now - swept >= SWEPT_EVERY);
        if self.known.len() >= self.capacity && is_due {
            self.swept = Some(now);
            self.known.retain(|_, allowance| !allowance.is_whole(now));
        }
        self.known.len() < self.capacity
    }
}

/// What one peer has of addresses.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & V6_NETWORK).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Instant<ReferenceScale> {
        Instant::from_ns(ms * 1_000_000)
    }

    fn peer(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn allowances(capacity: usize) -> PeerAllowances {
        PeerAllowances::new(Rate { per_second: 10, burst: 2 }, capacity)
    }

    #[test]
    fn each_address_has_its_own_allowance() {
        let mut peers = allowances(10);
        let taken = |peers: &mut PeerAllowances, text| (0..5).filter(|_| peers.take(peer(text), at(0))).count();
        assert_eq!([taken(&mut peers, "10.0.0.1"), taken(&mut peers, "10.0.0.2")], [2, 2]);
        assert_eq!(taken(&mut peers, "::ffff:10.0.0.1"), 0, "the same over a socket of both families");
        assert!(peers.take(peer("10.0.0.1"), at(100)));
        assert_eq!([taken(&mut peers, "fd00::1"), taken(&mut peers, "fd00::2")], [2, 0], "one network");
        assert_eq!((0..5).filter(|_| peers.take(None, at(0))).count(), 2);
    }

    #[test]
    fn addresses_that_are_whole_again_make_room_and_others_do_not() {
        let mut peers = allowances(2);
        assert!(peers.take(peer("10.0.0.1"), at(0)) && peers.take(peer("10.0.0.2"), at(150)));
        assert!(!peers.take(peer("10.0.0.3"), at(0)));
        assert!(peers.take(peer("10.0.0.2"), at(1_050)), "known ones go on");
        assert!(peers.take(peer("10.0.0.3"), at(1_100)), "the first is whole again");
        assert!(!peers.take(peer("10.0.0.1"), at(1_100)));
    }
}
