//! The script of a day: what goes wrong, with whom and when; and what happens besides that nobody should be told of.

use syncline_sim::{PathSettings, Random};

pub(super) const SECOND: i64 = 1_000_000_000;
pub(super) const HOUR: i64 = 3_600 * SECOND;
pub(super) const DAY: i64 = 24 * HOUR;
pub(super) const MS: i64 = 1_000_000;

pub(super) const REGIONS: [&str; 3] = ["ap", "eu", "us"];
pub(super) const NODES_PER_REGION: usize = 100;
pub(super) const NODES: usize = REGIONS.len() * NODES_PER_REGION;

/// A leap second smeared over a day, ppb.
pub(super) const SMEAR_PPB: f64 = 1e9 / 86_400.0;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// Somebody sets a wall clock by so much, ns.
    Step(i64),
    /// A daemon ends, and the kernel no longer corrects for the oscillator, which is off by so much, ppb.
    Unsteered(f64),
    /// A daemon steers away by so much, ppb, and says that all is well.
    Runaway(f64),
    /// An oscillator is nearly beyond what the kernel can steer, and creeps on.
    Edge,
    /// A daemon follows a source that is off by so much, ns, and believes it.
    FalseSource(i64),
    /// The stamps of a node's probes are off by so much, ns.
    FalseStamps(i64),
    /// A region's aggregator claims UTC wrongly by so much, ns.
    FalseReference(i64),
    /// The host of a region's reference stands still for so long, ns.
    FrozenReference(i64),
    /// A host stands still several times, and its machines with it.
    PauseStorm,
    /// The nodes' sources smear a leap second, the aggregators' do not.
    LeapSmear,
    /// The way to the aggregator leads through another continent.
    Route,
}

/// Whom it befalls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    /// Nodes by number.
    Nodes(Vec<usize>),
    /// A region by number.
    Region(usize),
    /// All.
    Fleet,
}

/// A fault that is to be told.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Planted {
    pub(super) fault: Fault,
    pub(super) whom: Whom,
    /// True ns since the day began.
    pub(super) at_ns: i64,
    /// What follows from it is over by then.
    pub(super) until_ns: i64,
}

/// What happens to a node.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    SetWall(i64),
    EndDaemon,
    /// The daemon goes on to say that all is well.
    Steer(f64),
    /// The source is ahead of UTC by so much, ns.
    Source(i64),
    /// Stamps of probes are ahead by so much, ns.
    Stamps(i64),
    Route(PathSettings),
    /// Nothing comes from it until so much later, ns.
    Hush(i64),
    /// It boots: nothing comes for so long, ns.
    Boot(i64),
}

/// One node's day.
#[derive(Clone, Debug, Default)]
pub(super) struct Day {
    pub(super) oscillator_ppb: f64,
    /// The oscillator creeps from here on.
    pub(super) creeps_from_ns: Option<i64>,
    /// In order.
    pub(super) acts: Vec<(i64, Act)>,
    /// From, length.
    pub(super) pauses: Vec<(i64, i64)>,
}

/// A whole day.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) planted: Vec<Planted>,
    pub(super) nodes: Vec<Day>,
    pub(super) smear_from_ns: i64,
    /// Work that was announced: node, from, until.
    pub(super) maintenance: (usize, i64, i64),
}

/// The name of a node.
pub(super) fn name(node: usize) -> String {
    format!("{}-{:03}", REGIONS[region(node)], node % NODES_PER_REGION)
}

/// The region of a node.
pub(super) fn region(node: usize) -> usize {
    node / NODES_PER_REGION
}

/// A path within a data centre.
pub(super) fn lan(random: &mut Random) -> PathSettings {
    let floor_ns = random.between(40_000.0, 120_000.0);
    PathSettings { forward_floor_ns: floor_ns, backward_floor_ns: floor_ns, ..PathSettings::lan() }
}

struct Draw {
    random: Random,
    /// Nodes that nothing is planned for yet, shuffled.
    free: Vec<usize>,
    nodes: Vec<Day>,
    planted: Vec<Planted>,
}

impl Plan {
    /// The day that `seed` names.
    pub(super) fn draw(seed: u64) -> Self {
        let mut draw = Draw::new(seed);
        draw.steps();
        draw.drifts();
        draw.lies();
        draw.reference(seed);
        draw.storm();
        draw.route();
        let smear_from_ns = draw.time(14, 19);
        draw.plant(Fault::LeapSmear, Whom::Fleet, smear_from_ns, DAY);
        let maintenance = draw.harmless();
        let Draw { mut nodes, mut planted, .. } = draw;
        nodes.iter_mut().for_each(|day| day.acts.sort_by_key(|(at_ns, _)| *at_ns));
        planted.sort_by_key(|planted| planted.at_ns);
        Self { seed, planted, nodes, smear_from_ns, maintenance }
    }

    /// What the sources of the nodes are ahead of UTC at `at_ns`, ns.
    pub(super) fn smeared_ns(&self, at_ns: i64) -> i64 {
        ((at_ns - self.smear_from_ns).max(0) as f64 * SMEAR_PPB * 1e-9) as i64
    }
}

impl Draw {
    fn new(seed: u64) -> Self {
        let mut random = Random::seeded(seed ^ 0xA1E7);
        let mut free: Vec<usize> = (0..NODES).collect();
        for place in (1..NODES).rev() {
            free.swap(place, (random.uniform() * (place + 1) as f64) as usize);
        }
        let nodes = (0..NODES)
            .map(|_| Day { oscillator_ppb: random.sign() * random.between(2_000.0, 60_000.0), ..Day::default() })
            .collect();
        Self { random, free, nodes, planted: Vec::new() }
    }

    /// A time of the day between two hours.
    fn time(&mut self, from: i64, until: i64) -> i64 {
        self.random.between((from * HOUR) as f64, (until * HOUR) as f64) as i64
    }

    fn node(&mut self) -> usize {
        self.free.pop().unwrap_or_default()
    }

    /// Nodes of one region.
    fn neighbours(&mut self, count: usize) -> Vec<usize> {
        let of = region(self.node());
        let (mut taken, mut left) = (Vec::new(), Vec::new());
        for node in std::mem::take(&mut self.free) {
            if region(node) == of && taken.len() < count { taken.push(node) } else { left.push(node) }
        }
        self.free = left;
        taken.sort_unstable();
        taken
    }

    fn plant(&mut self, fault: Fault, whom: Whom, at_ns: i64, until_ns: i64) {
        self.planted.push(Planted { fault, whom, at_ns, until_ns });
    }

    fn act(&mut self, node: usize, at_ns: i64, act: Act) {
        self.nodes[node].acts.push((at_ns, act));
    }

    fn steps(&mut self) {
        for _ in 0..12 {
            let (node, at_ns) = (self.node(), self.time(1, 22));
            let size_ns = (self.random.sign() * self.random.log_between(12e6, 5e9)) as i64;
            self.act(node, at_ns, Act::SetWall(size_ns));
            self.plant(Fault::Step(size_ns), Whom::Nodes(vec![node]), at_ns, at_ns + HOUR);
        }
    }

    fn drifts(&mut self) {
        for _ in 0..3 {
            let (node, at_ns) = (self.node(), self.time(1, 21));
            let ppb = self.random.sign() * self.random.between(15_000.0, 60_000.0);
            self.nodes[node].oscillator_ppb = ppb;
            self.act(node, at_ns, Act::EndDaemon);
            self.plant(Fault::Unsteered(ppb), Whom::Nodes(vec![node]), at_ns, DAY);
        }
        let (node, at_ns) = (self.node(), self.time(1, 21));
        let ppb = self.random.sign() * self.random.between(40_000.0, 300_000.0);
        self.act(node, at_ns, Act::Steer(ppb));
        self.plant(Fault::Runaway(ppb), Whom::Nodes(vec![node]), at_ns, DAY);
        let (node, at_ns) = (self.node(), self.time(1, 6));
        self.nodes[node].oscillator_ppb = self.random.sign() * self.random.between(330_000.0, 380_000.0);
        self.nodes[node].creeps_from_ns = Some(at_ns);
        self.plant(Fault::Edge, Whom::Nodes(vec![node]), at_ns, DAY);
    }

    fn lies(&mut self) {
        let off_ns = |random: &mut Random| (random.sign() * random.between(20e6, 45e6)) as i64;
        let (node, at_ns, by_ns) = (self.node(), self.time(1, 21), off_ns(&mut self.random));
        self.act(node, at_ns, Act::Source(by_ns));
        self.plant(Fault::FalseSource(by_ns), Whom::Nodes(vec![node]), at_ns, DAY);
        let (node, at_ns, by_ns) = (self.node(), self.time(1, 21), off_ns(&mut self.random));
        self.act(node, at_ns, Act::Stamps(by_ns));
        self.plant(Fault::FalseStamps(by_ns), Whom::Nodes(vec![node]), at_ns, DAY);
    }

    /// Days with an odd number have a false claim, the others a host that stands still.
    fn reference(&mut self, seed: u64) {
        let region = (self.random.uniform() * REGIONS.len() as f64) as usize;
        let at_ns = self.time(1, 12);
        let fault = if seed.is_multiple_of(2) {
            Fault::FrozenReference(self.random.log_between(300e6, 3e9) as i64)
        } else {
            Fault::FalseReference((self.random.sign() * self.random.between(60e6, 120e6)) as i64)
        };
        self.plant(fault, Whom::Region(region), at_ns, at_ns + 2 * HOUR);
    }

    fn storm(&mut self) {
        let (machines, at_ns) = (self.neighbours(12), self.time(1, 13));
        for wave in 0..4 {
            let wave_ns = at_ns + wave * 150 * SECOND;
            let length_ns = self.random.log_between(200e6, 3e9) as i64;
            for machine in &machines {
                let late_ns = (self.random.uniform() * 3e9) as i64;
                self.nodes[*machine].pauses.push((wave_ns + late_ns, length_ns));
            }
        }
        self.plant(Fault::PauseStorm, Whom::Nodes(machines), at_ns, at_ns + HOUR);
    }

    fn route(&mut self) {
        let (nodes, at_ns) = (self.neighbours(10), self.time(1, 20));
        let one_way_ns = self.random.between(45e6, 75e6);
        let far = PathSettings {
            forward_floor_ns: one_way_ns,
            backward_floor_ns: one_way_ns * self.random.between(0.85, 1.15),
            ..PathSettings::wan()
        };
        for node in &nodes {
            let back = lan(&mut self.random);
            self.act(*node, at_ns, Act::Route(far));
            self.act(*node, at_ns + 2 * HOUR, Act::Route(back));
        }
        self.plant(Fault::Route, Whom::Nodes(nodes), at_ns, at_ns + 3 * HOUR);
    }

    /// What happens on other nodes that no one should be told of; and announced work.
    fn harmless(&mut self) -> (usize, i64, i64) {
        for _ in 0..30 {
            let (node, at_ns) = (self.node(), self.time(1, 22));
            let mut path = lan(&mut self.random);
            path.forward_floor_ns += self.random.between(0.0, 900_000.0);
            self.act(node, at_ns, Act::Route(path));
        }
        for _ in 0..15 {
            let (node, at_ns) = (self.node(), self.time(1, 22));
            let congested = PathSettings { congested_share: 0.5, loss: 0.2, ..lan(&mut self.random) };
            let calm = lan(&mut self.random);
            self.act(node, at_ns, Act::Route(congested));
            self.act(node, at_ns + HOUR, Act::Route(calm));
        }
        for _ in 0..15 {
            let (node, at_ns) = (self.node(), self.time(1, 22));
            let for_ns = self.random.between(20e9, 90e9) as i64;
            self.act(node, at_ns, if at_ns % 2 == 0 { Act::Hush(for_ns) } else { Act::Boot(for_ns) });
        }
        for _ in 0..15 {
            // Sources of a public pool: a millisecond off for a while.
            let (node, at_ns) = (self.node(), self.time(1, 22));
            let off_ns = (self.random.sign() * 0.9e6) as i64;
            self.act(node, at_ns, Act::Source(off_ns));
            self.act(node, at_ns + HOUR / 2, Act::Source(0));
        }
        let (node, at_ns) = (self.node(), self.time(1, 22));
        self.act(node, at_ns + 300 * SECOND, Act::SetWall(700 * MS));
        self.act(node, at_ns + 600 * SECOND, Act::SetWall(-700 * MS));
        (node, at_ns, at_ns + HOUR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_has_all_that_is_planned_and_no_node_has_two_faults() {
        for seed in 1..50 {
            let plan = Plan::draw(seed);
            let count = |is: fn(&Fault) -> bool| plan.planted.iter().filter(|planted| is(&planted.fault)).count();
            assert_eq!(plan.planted.len(), 23);
            assert_eq!(count(|fault| matches!(fault, Fault::Step(_))), 12);
            assert_eq!(count(|fault| matches!(fault, Fault::Unsteered(_) | Fault::Runaway(_) | Fault::Edge)), 5);
            assert_eq!(count(|fault| matches!(fault, Fault::FalseSource(_) | Fault::FalseStamps(_))), 2);
            let mut nodes: Vec<usize> = Vec::new();
            for planted in &plan.planted {
                if let Whom::Nodes(of) = &planted.whom {
                    nodes.extend(of);
                }
            }
            let all = nodes.len();
            nodes.sort_unstable();
            nodes.dedup();
            assert_eq!((nodes.len(), all), (19 + 12 + 10, 19 + 12 + 10));
        }
    }
}
