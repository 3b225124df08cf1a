//! What becomes of batches on their way to the aggregator.

use syncline_timebase::{ErrorBound, Instant, Knot, Mono, Offset, Probe, Reference, Wall};

use crate::Random;

use super::forge::falsify;
use super::generate::{Batch, Exchange};
use super::{Disorder, Fault, Scenario, Truth};

/// What a node's discipline says of its wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// When it was read.
    pub at: Instant<Mono>,
    /// REF - WALL, ns, as it claims.
    pub offset: Offset<Wall, Reference>,
    /// How far off it claims to be at most.
    pub bound: ErrorBound,
}

/// A batch as it arrives.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Which reference its probes were made against: an aggregator keeps a model of its own for each.
    pub reference: usize,
    /// When the agent sealed it, true ns.
    pub sealed_ns: i64,
    /// Its knots.
    pub knots: Vec<Knot>,
    /// Its probes.
    pub probes: Vec<Probe>,
    /// For each of the probes when it began and ended, true ns; `None` where that exchange never took place.
    pub lived: Vec<Option<(i64, i64)>>,
    /// What the node's discipline claims.
    pub claims: Vec<Claim>,
}

pub(super) fn deliver(
    scenario: &Scenario,
    batches: Vec<Batch>,
    truth: &mut Truth,
    random: &mut Random,
) -> Vec<Delivery> {
    let mut deliveries: Vec<Delivery> = batches.into_iter().map(Delivery::of).collect();
    for fault in &scenario.faults {
        match *fault {
            Fault::Claims { every_ns, error_ns, bound_ns } => {
                let discipline = Discipline { every_ns, error_ns, bound_ns };
                discipline.claim(scenario, &mut deliveries, truth, random);
            }
            Fault::Delivery(disorder) => deliveries = disorder.befall(deliveries, random),
            _ => deliveries.iter_mut().for_each(|delivery| falsify(delivery, fault, random)),
        }
    }
    deliveries
}

impl Delivery {
    fn of(batch: Batch) -> Self {
        let lived = |exchange: &Exchange| Some((exchange.begun_ns, exchange.ended_ns));
        Self {
            reference: batch.reference,
            sealed_ns: batch.sealed_ns,
            knots: batch.knots,
            lived: batch.exchanges.iter().map(lived).collect(),
            probes: batch.exchanges.iter().map(|exchange| exchange.probe).collect(),
            claims: Vec::new(),
        }
    }

    /// Its probes in another order, some of them more than once.
    fn rearrange(&mut self, order: &[usize]) {
        self.probes = order.iter().filter_map(|place| self.probes.get(*place).copied()).collect();
        self.lived = order.iter().filter_map(|place| self.lived.get(*place).copied()).collect();
    }
}

impl Disorder {
    fn befall(self, mut deliveries: Vec<Delivery>, random: &mut Random) -> Vec<Delivery> {
        match self {
            Self::Repeated(share) => {
                let copies = |delivery: Delivery| {
                    let copies = if random.uniform() < share { 2 } else { 1 };
                    std::iter::repeat_n(delivery, copies)
                };
                deliveries.into_iter().flat_map(copies).collect()
            }
            Self::RepeatedProbes(share) => {
                for delivery in &mut deliveries {
                    let twice = |place| if random.uniform() < share { vec![place, place] } else { vec![place] };
                    let order: Vec<usize> = (0..delivery.probes.len()).flat_map(twice).collect();
                    delivery.rearrange(&order);
                }
                deliveries
            }
            Self::ShuffledProbes => {
                for delivery in &mut deliveries {
                    let mut order: Vec<(f64, usize)> =
                        (0..delivery.probes.len()).map(|place| (random.uniform(), place)).collect();
                    order.sort_by(|a, b| a.0.total_cmp(&b.0));
                    delivery.rearrange(&order.into_iter().map(|(_, place)| place).collect::<Vec<_>>());
                }
                deliveries
            }
            Self::Late { share, by } => {
                let late = |(place, delivery)| {
                    let arrives = if random.uniform() < share { place + by } else { place };
                    // What is late comes after what is in time.
                    ((arrives, arrives > place), delivery)
                };
                let mut arrivals: Vec<_> = deliveries.into_iter().enumerate().map(late).collect();
                arrivals.sort_by_key(|(arrives, _)| *arrives);
                arrivals.into_iter().map(|(_, delivery)| delivery).collect()
            }
            Self::Lost(share) => {
                deliveries.retain(|_| random.uniform() >= share);
                deliveries
            }
        }
    }
}

/// What a node knows of its own wall clock, see [`Fault::Claims`].
struct Discipline {
    every_ns: i64,
    error_ns: f64,
    bound_ns: u64,
}

impl Discipline {
    fn claim(&self, scenario: &Scenario, deliveries: &mut [Delivery], truth: &mut Truth, random: &mut Random) {
        let mut due = 0;
        for delivery in deliveries {
            let now = delivery.sealed_ns;
            if now < due || !truth.is_awake(now) {
                continue;
            }
            due = now + self.every_ns;
            let most = i64::try_from(self.bound_ns).unwrap_or(i64::MAX);
            let error = (random.normal(self.error_ns) as i64).clamp(-most, most);
            let off: i64 = scenario.faults.iter().filter_map(|fault| broken_by(fault, now)).sum();
            let right = truth.wall(now).offset_to(truth.reference(delivery.reference, now));
            delivery.claims.push(Claim {
                at: truth.mono(now),
                offset: Offset::from_ns(right.ns().saturating_add(error).saturating_add(off)),
                bound: ErrorBound::from_ns(self.bound_ns),
            });
        }
    }
}

fn broken_by(fault: &Fault, now_ns: i64) -> Option<i64> {
    match fault {
        Fault::BrokenClaims { from_ns, until_ns, off_ns } if (*from_ns..*until_ns).contains(&now_ns) => Some(*off_ns),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deliveries(count: i64) -> Vec<Delivery> {
        let batch = |sealed_ns| Batch { reference: 0, sealed_ns, knots: Vec::new(), exchanges: Vec::new() };
        (0..count).map(|sealed_ns| Delivery::of(batch(sealed_ns))).collect()
    }

    fn order(disorder: Disorder) -> Vec<i64> {
        let arrived = disorder.befall(deliveries(1_000), &mut Random::seeded(1));
        arrived.into_iter().map(|delivery| delivery.sealed_ns).collect()
    }

    #[test]
    fn batches_are_lost_late_and_twice() {
        let (lost, twice) = (order(Disorder::Lost(0.3)), order(Disorder::Repeated(0.3)));
        assert!((600..800).contains(&lost.len()) && (1_200..1_400).contains(&twice.len()));
        assert!(lost.is_sorted() && twice.is_sorted());
        let late = order(Disorder::Late { share: 0.2, by: 3 });
        assert!(late.len() == 1_000 && !late.is_sorted());
        let (place, _) = late.iter().enumerate().find(|(place, sealed)| **sealed < *place as i64).unwrap();
        assert!(late[place] >= place as i64 - 3);
    }
}
