//! In whatever batches samples come, they lead to the same.

use std::collections::BTreeMap;

use proptest::prelude::*;
use syncline_clock::{NodeClock, Refusal, Tolerance};
use syncline_sim::scenario::{self, Scenario};
use syncline_timebase::{Instant, Knot, Probe};

/// Quiet, overlapping exchanges, a jump, rare knots, wide knots, other boots, a wrap, everything.
const SCENARIOS: [u16; 8] = [1, 14, 44, 76, 77, 85, 86, 101];

#[derive(Clone, Copy, Debug)]
enum Sample {
    Probe(Probe),
    Knot(Knot),
}

/// What a run against the first reference brings, in order of MONO.
fn samples(scenario: &Scenario, seed: u64) -> Vec<Sample> {
    let deliveries = scenario.generate(seed).deliveries;
    let first = || deliveries.iter().filter(|delivery| delivery.reference == 0);
    let probes = first().flat_map(|delivery| delivery.probes.iter().copied().map(Sample::Probe));
    let knots = first().flat_map(|delivery| delivery.knots.iter().copied().map(Sample::Knot));
    let mut samples: Vec<Sample> = probes.chain(knots).collect();
    samples.sort_by_key(|sample| match sample {
        Sample::Probe(probe) => probe.returned,
        Sample::Knot(knot) => knot.mono,
    });
    samples
}

fn observed(batches: impl Iterator<Item = Vec<Sample>>) -> (NodeClock, BTreeMap<Refusal, u64>, usize) {
    let mut clock = NodeClock::new(Tolerance::default());
    let (mut refused, mut disruptions) = (BTreeMap::new(), 0);
    for batch in batches {
        let knots = batch.iter().filter_map(|sample| if let Sample::Knot(knot) = sample { Some(*knot) } else { None });
        let probes = batch.iter().filter_map(|sample| if let Sample::Probe(p) = sample { Some(*p) } else { None });
        let observed = clock.observe(&knots.collect::<Vec<_>>(), &probes.collect::<Vec<_>>());
        observed.refused.iter().for_each(|(cause, count)| *refused.entry(*cause).or_default() += count);
        disruptions += observed.disruptions.len();
    }
    (clock, refused, disruptions)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn batches_are_as_good_as_single_samples(
        which in 0..SCENARIOS.len(), seed in 0..50u64, sizes in prop::collection::vec(1..60usize, 1..40),
    ) {
        let all = scenario::all();
        let scenario = all.iter().find(|scenario| scenario.number == SCENARIOS[which]).unwrap();
        let samples = samples(scenario, seed);
        let mut rest = samples.as_slice();
        let cut = sizes.iter().cycle().map_while(|size| {
            let batch;
            (batch, rest) = rest.split_at(rest.len().min(*size));
            (!batch.is_empty()).then(|| batch.to_vec())
        });
        let batches = observed(cut);
        let singles = observed(samples.iter().map(|sample| vec![*sample]));
        prop_assert_eq!((&batches.1, batches.2), (&singles.1, singles.2));
        for second in (0..900).step_by(7) {
            let mono = Instant::from_ns(scenario.node.uptime_ns + second * 1_000_000_000);
            prop_assert_eq!(batches.0.estimate(mono), singles.0.estimate(mono));
            prop_assert_eq!(batches.0.bounds(mono), singles.0.bounds(mono));
        }
    }
}
