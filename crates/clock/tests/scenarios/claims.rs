//! What nodes claim of their own clocks, in the scenarios that have claims.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use syncline_clock::{Claim, ClaimVerdict, NodeClock, Tolerance};
use syncline_sim::scenario;

/// Claims of scenario `number` that the probes contradict, and that they do not; after half a minute.
fn judged(number: u16, seed: u64) -> [u32; 2] {
    let scenario = scenario::all().into_iter().find(|scenario| scenario.number == number).unwrap();
    let mut clock = NodeClock::new(Tolerance::default());
    let mut counts = [0, 0];
    for delivery in scenario.generate(seed).deliveries {
        clock.observe(&delivery.knots, &delivery.probes);
        for claim in delivery.claims.iter().filter(|_| delivery.sealed_ns > 30_000_000_000) {
            let claim = Claim { at: claim.at, offset: claim.offset, bound: claim.bound };
            match clock.judge(&claim) {
                ClaimVerdict::Contradicted { .. } => counts[0] += 1,
                ClaimVerdict::Consistent => counts[1] += 1,
                ClaimVerdict::Unknown => panic!("after half a minute both are known: {claim:?}"),
            }
        }
    }
    counts
}

#[test]
fn true_claims_are_never_contradicted_and_false_ones_are_where_it_can_be_told() {
    for seed in [1, 2, 3] {
        let [contradicted, consistent] = judged(98, seed);
        assert!(contradicted == 0 && consistent > 20, "{contradicted} of {consistent} true claims");
        let [contradicted, _] = judged(99, seed);
        assert!((11..=14).contains(&contradicted), "one every 16 s for 200 s, not {contradicted}");
        let [contradicted, consistent] = judged(100, seed);
        assert!(
            contradicted == 0 && consistent > 20,
            "50 us too many are inside the bound of half a round trip: it cannot be told"
        );
    }
}
