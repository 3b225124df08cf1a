//! What happens when: a seed and a length give all of it. Where everything does:
//!
//! - Each second to three one program is killed, any of them, or where that one does not serve, which has served for longest. One in eight is killed
//!   also while it starts.
//! - Each ten seconds one stands still for a while, and goes on: agents, aggregators, or ClickHouse.
//! - From the middle on the network is cut, for a tenth of the time, at most 2 minutes; then 5 % of it is lost, to the end.

use std::time::Duration;

use clap::ValueEnum;

use super::relay::Mode;
use crate::soak::Chance;

/// What can be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The modelled nodes.
    Nodes,
    /// The agent that observes a program.
    Agent,
    /// The aggregator that has the store.
    StoreAggregator,
    /// The other one.
    Aggregator,
    ClickHouse,
    Broker,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Deed {
    /// SIGKILL; early: also while it starts.
    Kill {
        target: Target,
        early: bool,
    },
    /// SIGSTOP, and SIGCONT so much later.
    Stop {
        target: Target,
        lasts: Duration,
    },
    Network(Mode),
}

/// What a run is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Everything is killed, stopped and cut off
    Everything,
    /// ClickHouse stands still for two thirds of the time, and nothing else happens
    Stall,
}

const STOP_EVERY: Duration = Duration::from_secs(10);
const CUT_AT_MOST: Duration = Duration::from_secs(120);
const LOSS: f64 = 0.05;

/// All of it, in order.
pub(crate) struct Plan {
    deeds: std::collections::VecDeque<(Duration, Deed)>,
}

impl Plan {
    pub(crate) fn new(scenario: Scenario, seed: u64, lasts: Duration, targets: &[Target]) -> Self {
        match scenario {
            Scenario::Everything => Self::everything(seed, lasts, targets),
            Scenario::Stall => {
                let stall = Deed::Stop { target: Target::ClickHouse, lasts: lasts * 2 / 3 };
                Self { deeds: [(lasts / 6, stall)].into() }
            }
        }
    }

    fn everything(seed: u64, lasts: Duration, targets: &[Target]) -> Self {
        let mut chance = Chance(seed);
        let mut deeds = kills(&mut chance, lasts, targets);
        deeds.extend(stops(&mut chance, lasts, targets));
        let (cut, length) = (lasts / 2, (lasts / 10).min(CUT_AT_MOST));
        deeds.push((cut, Deed::Network(Mode::Cut)));
        deeds.push((cut + length, Deed::Network(Mode::Lossy(LOSS))));
        deeds.sort_by_key(|(at, _)| *at);
        Self { deeds: deeds.into() }
    }

    /// What is due by then and was not given before.
    pub(crate) fn due(&mut self, now: Duration) -> Vec<Deed> {
        let due = self.deeds.partition_point(|(at, _)| *at <= now);
        self.deeds.drain(..due).map(|(_, deed)| deed).collect()
    }
}

fn kills(chance: &mut Chance, lasts: Duration, targets: &[Target]) -> Vec<(Duration, Deed)> {
    let (mut deeds, mut at) = (Vec::new(), Duration::ZERO);
    loop {
        at += Duration::from_millis(1_000 + chance.below(2_000));
        if at >= lasts {
            return deeds;
        }
        let target = targets[usize::try_from(chance.below(targets.len() as u64)).unwrap_or(0)];
        deeds.push((at, Deed::Kill { target, early: chance.below(8) == 0 }));
    }
}

/// Aggregators long enough to be thrown out of their group, and to be given up by agents.
fn stops(chance: &mut Chance, lasts: Duration, targets: &[Target]) -> Vec<(Duration, Deed)> {
    let stoppable: Vec<Target> = targets.iter().copied().filter(|target| *target != Target::Broker).collect();
    let (mut deeds, mut at) = (Vec::new(), STOP_EVERY / 2);
    while at < lasts && !stoppable.is_empty() {
        let target = stoppable[usize::try_from(chance.below(stoppable.len() as u64)).unwrap_or(0)];
        let most_ms = match target {
            Target::StoreAggregator | Target::Aggregator => 18_000,
            Target::ClickHouse => 8_000,
            Target::Nodes | Target::Agent | Target::Broker => 3_000,
        };
        deeds.push((at, Deed::Stop { target, lasts: Duration::from_millis(1_000 + chance.below(most_ms)) }));
        at += STOP_EVERY;
    }
    deeds
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Target; 3] = [Target::Nodes, Target::Aggregator, Target::ClickHouse];

    fn all(seed: u64, seconds: u64) -> Vec<Deed> {
        Plan::new(Scenario::Everything, seed, Duration::from_secs(seconds), &ALL).due(Duration::MAX)
    }

    #[test]
    fn a_seed_names_a_run() {
        assert_eq!(all(7, 600), all(7, 600));
        assert_ne!(all(7, 600), all(8, 600));
    }

    #[test]
    fn something_is_killed_each_one_to_three_seconds_and_each_target_is() {
        let deeds = all(1, 1_800);
        let kills: Vec<_> = deeds.iter().filter(|deed| matches!(deed, Deed::Kill { .. })).collect();
        assert!((600..=1_800).contains(&kills.len()), "{}", kills.len());
        for wanted in ALL {
            let is_it = |deed: &&&Deed| matches!(deed, Deed::Kill { target, .. } if *target == wanted);
            assert!(kills.iter().filter(is_it).count() > 200, "{wanted:?}");
        }
    }

    #[test]
    fn what_is_due_is_given_once_and_the_network_is_cut_and_then_loses() {
        let mut plan = Plan::new(Scenario::Everything, 3, Duration::from_secs(600), &ALL);
        let first = plan.due(Duration::from_secs(299));
        assert!(!first.is_empty() && !first.iter().any(|deed| matches!(deed, Deed::Network(_))));
        let networks: Vec<_> =
            plan.due(Duration::MAX).into_iter().filter(|deed| matches!(deed, Deed::Network(_))).collect();
        assert_eq!(networks, [Deed::Network(Mode::Cut), Deed::Network(Mode::Lossy(LOSS))]);
        assert!(plan.due(Duration::MAX).is_empty());
    }

    #[test]
    fn half_an_hour_has_a_cut_of_two_minutes_and_ten_of_loss_after_it() {
        let mut plan = Plan::new(Scenario::Everything, 3, Duration::from_secs(1_800), &ALL);
        let mut is_lossy_at = |at: u64| plan.due(Duration::from_secs(at)).contains(&Deed::Network(Mode::Lossy(LOSS)));
        assert!(!is_lossy_at(900 + 119));
        // Which leaves 13 minutes.
        assert!(is_lossy_at(900 + 120));
    }

    #[test]
    fn a_stall_is_all_that_happens_and_has_load_before_it_and_after_it() {
        let mut plan = Plan::new(Scenario::Stall, 3, Duration::from_secs(900), &ALL);
        assert!(plan.due(Duration::from_secs(149)).is_empty());
        let stall = Deed::Stop { target: Target::ClickHouse, lasts: Duration::from_secs(600) };
        assert_eq!(plan.due(Duration::MAX), [stall]);
    }
}
