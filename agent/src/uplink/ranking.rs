//! In which order a node prefers the aggregators of its region.
//!
//! Rendezvous hashing (Thaler and Ravishankar, "A Name-Based Mapping Scheme for Rendezvous", 1996): each node ranks all
//! aggregators by a hash of its own name and theirs. So nodes spread evenly without talking to one another, every start of an
//! agent with the same list makes the same choice, and where one aggregator goes only its own nodes move, evenly, to the others.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

use crate::endpoint::Aggregator;

/// The aggregators of a region, the preferred one first. Never empty.
#[derive(Clone, Debug)]
pub struct Ranking(Vec<Aggregator>);

impl Ranking {
    /// How `node` ranks `aggregators`, in whatever order and however often they are named; `None` where there are none.
    pub fn of(node: &str, mut aggregators: Vec<Aggregator>) -> Option<Self> {
        aggregators.sort_by_cached_key(|aggregator| {
            let address = aggregator.address();
            (std::cmp::Reverse(score(node, &address)), address)
        });
        aggregators.dedup_by_key(|aggregator| aggregator.address());
        (!aggregators.is_empty()).then_some(Self(aggregators))
    }

    /// How many there are.
    #[allow(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The aggregator of `rank`, counted from 0 and around.
    pub fn at(&self, rank: usize) -> &Aggregator {
        &self.0[rank % self.0.len()]
    }
}

impl From<Aggregator> for Ranking {
    fn from(only: Aggregator) -> Self {
        Self(vec![only])
    }
}

impl fmt::Display for Ranking {
    /// Their URLs, the preferred one first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&urls.join(", "))
    }
}

/// What lies between the two is in neither name.
fn score(node: &str, address: &str) -> u64 {
    xxh3_64(format!("{node}\n{address}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const NODES: usize = 3_000;

    fn aggregators(count: usize) -> Vec<Aggregator> {
        (0..count).map(|number| format!("http://aggregator-{number}:7700").parse().unwrap()).collect()
    }

    fn order(node: &str, aggregators: Vec<Aggregator>) -> Vec<String> {
        let ranking = Ranking::of(node, aggregators).unwrap();
        (0..ranking.len()).map(|rank| ranking.at(rank).to_string()).collect()
    }

    fn shares(chosen: impl Iterator<Item = String>) -> HashMap<String, usize> {
        let mut shares = HashMap::new();
        chosen.for_each(|aggregator| *shares.entry(aggregator).or_default() += 1);
        shares
    }

    #[test]
    fn the_choice_depends_on_the_names_alone() {
        let backwards = aggregators(5).into_iter().rev().chain(aggregators(3)).collect();
        assert_eq!(order("web-17", aggregators(5)), order("web-17", backwards));
        let slashed = vec!["http://a:1/".parse().unwrap(), "http://a:1".parse().unwrap()];
        assert_eq!(order("web-17", slashed).len(), 1, "one aggregator");
        assert!(Ranking::of("web-17", Vec::new()).is_none());
    }

    #[test]
    fn nodes_are_spread_evenly() {
        let firsts = (0..NODES).map(|node| order(&format!("node-{node}"), aggregators(3)).swap_remove(0));
        let shares = shares(firsts);
        // Three standard deviations of a fair choice are 77.
        assert!(shares.len() == 3 && shares.values().all(|share| share.abs_diff(NODES / 3) < 100), "{shares:?}");
    }

    #[test]
    fn where_one_goes_only_its_nodes_move_and_they_move_evenly() {
        let mut moved = Vec::new();
        for node in 0..NODES {
            let node = format!("node-{node}");
            let [all, fewer] = [aggregators(4), aggregators(3)].map(|list| order(&node, list));
            let without: Vec<_> = all.iter().filter(|aggregator| !aggregator.contains("-3")).cloned().collect();
            assert_eq!(without, fewer);
            if all[0] != fewer[0] {
                assert!(all[0].contains("-3"));
                moved.push(fewer[0].clone());
            }
        }
        assert!(moved.len().abs_diff(NODES / 4) < 100, "{}", moved.len());
        let (fair, shares) = (moved.len() / 3, shares(moved.into_iter()));
        assert!(shares.len() == 3 && shares.values().all(|share| share.abs_diff(fair) < 60), "{shares:?}");
    }
}
