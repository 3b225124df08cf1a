//! All ways in which writers, crashes, stops and a store can come together, for groups of a batch or two.

use std::collections::HashMap;

use super::*;

/// Tables beside the ledger, and batches.
const TABLES: usize = 2;
const BATCHES: usize = 2;

/// What may be left out, to see that it is missed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rules {
    All,
    /// The ledger is asked, and nothing else.
    NoClaims,
    /// What another one began is not looked for.
    NoLook,
    /// Who stood still goes on where it was.
    NoLapse,
    /// Who does not know how an insert ended withdraws all the same.
    NoDoubt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Claim {
    None,
    Alive,
    Old,
    Withdrawn,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Claim,
    AskForClaims,
    AskTheLedger(Vec<Told>),
    Withdraw,
    Wait,
    Look,
    Insert,
    Done,
    Killed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Writer {
    at: At,
    holds: [bool; BATCHES],
    stands_still: bool,
    /// It stood still since it last claimed.
    has_lapsed: bool,
    /// Which batches go in under its token: saved, and so known after a crash.
    intent: Option<[bool; BATCHES]>,
    /// The intent is of the process before.
    is_again: bool,
    ways: [Option<Way>; BATCHES],
    /// What tables had of them.
    found: [[bool; BATCHES]; TABLES],
    done: [bool; TABLES],
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    writers: Vec<Writer>,
    claims: Vec<[Claim; BATCHES]>,
    rows: [[u8; BATCHES]; TABLES],
    ledger: [u8; BATCHES],
    /// Of each writer, which tables know its token; the last is the ledger.
    tokens: Vec<[bool; TABLES + 1]>,
    /// One that gets no answer, and goes in at any later time: whose, into which table, what.
    late: Option<(usize, usize, [bool; BATCHES])>,
    lates: u8,
    crashes: u8,
    stops: u8,
}

impl World {
    fn new(holds: &[[bool; BATCHES]], crashes: u8, stops: u8) -> Self {
        let writer = |holds: &[bool; BATCHES]| Writer {
            at: At::Claim,
            holds: *holds,
            stands_still: false,
            has_lapsed: false,
            intent: None,
            is_again: false,
            ways: [None; BATCHES],
            found: [[false; BATCHES]; TABLES],
            done: [false; TABLES],
        };
        Self {
            writers: holds.iter().map(writer).collect(),
            claims: vec![[Claim::None; BATCHES]; holds.len()],
            rows: [[0; BATCHES]; TABLES],
            ledger: [0; BATCHES],
            tokens: vec![[false; TABLES + 1]; holds.len()],
            late: None,
            lates: 0,
            crashes,
            stops,
        }
    }

    fn held(&self, who: usize) -> impl Iterator<Item = usize> + use<> {
        let holds = self.writers[who].holds;
        (0..BATCHES).filter(move |batch| holds[*batch])
    }

    fn next(&self, rules: Rules) -> Vec<Self> {
        (0..self.writers.len()).flat_map(|who| [self.of_the_world(who), self.of_writer(who, rules)].concat()).collect()
    }

    /// Crashes, stops, and time that passes.
    fn of_the_world(&self, who: usize) -> Vec<Self> {
        let mut next = Vec::new();
        let mut may = |change: &dyn Fn(&mut Self)| {
            let mut world = self.clone();
            change(&mut world);
            next.push(world);
        };
        let writer = &self.writers[who];
        let is_killed = writer.at == At::Killed;
        if !is_killed && writer.at != At::Done && self.crashes > 0 {
            may(&|world| {
                world.crashes -= 1;
                let Writer { holds, intent, .. } = world.writers[who];
                let anew = World::new(&[holds], 0, 0).writers.remove(0);
                world.writers[who] = Writer { at: At::Killed, intent, is_again: intent.is_some(), ..anew };
            });
        }
        if is_killed {
            may(&|world| world.writers[who].at = At::Claim);
        } else if writer.stands_still {
            may(&|world| world.writers[who].stands_still = false);
        } else if writer.at != At::Done && self.stops > 0 {
            may(&|world| {
                world.stops -= 1;
                (world.writers[who].stands_still, world.writers[who].has_lapsed) = (true, true);
            });
        }
        if let Some((owner, table, batches)) = self.late.filter(|(owner, ..)| *owner == who) {
            may(&|world| {
                world.late = None;
                world.goes_in(owner, table, batches);
            });
        }
        // Who is at work renews them, or is done. They last for as long as an insert of theirs may take.
        let may_grow_old = (is_killed || writer.stands_still || writer.at == At::Done) && !self.is_in_doubt(who);
        if may_grow_old && self.claims[who].contains(&Claim::Alive) {
            may(&|world| {
                world.claims[who]
                    .iter_mut()
                    .filter(|claim| **claim == Claim::Alive)
                    .for_each(|claim| *claim = Claim::Old);
            });
        }
        next
    }

    fn of_writer(&self, who: usize, rules: Rules) -> Vec<Self> {
        let mut world = self.clone();
        let writer = &mut world.writers[who];
        if writer.stands_still {
            return Vec::new();
        }
        match &self.writers[who].at {
            At::Claim => {
                (writer.at, writer.has_lapsed) = (At::AskForClaims, false);
                self.held(who).for_each(|batch| world.claims[who][batch] = Claim::Alive);
            }
            At::AskForClaims => {
                let told = self.held(who).map(|batch| self.told(who, batch, rules));
                writer.at = At::AskTheLedger(told.collect());
            }
            At::AskTheLedger(told) => {
                let stored = self.held(who).map(|batch| self.ledger[batch] > 0);
                let told: Vec<Told> =
                    told.iter().zip(stored).map(|(told, is_stored)| Told { is_stored, ..told.clone() }).collect();
                writer.at = match turn(who as u128, &told) {
                    Turn::Theirs => At::Withdraw,
                    Turn::TheirsUntilTheyWithdraw => At::Wait,
                    Turn::Ours(ways) => {
                        self.held(who).zip(ways).for_each(|(batch, way)| writer.ways[batch] = Some(way));
                        let is_new = |way: Option<Way>| way.is_some_and(|way| way != Way::Known);
                        writer.intent.get_or_insert(writer.ways.map(is_new));
                        At::Look
                    }
                };
            }
            At::Withdraw => {
                writer.at = At::Wait;
                if !self.is_in_doubt(who) || rules == Rules::NoDoubt {
                    self.held(who).for_each(|batch| world.claims[who][batch] = Claim::Withdrawn);
                }
            }
            At::Wait => writer.at = At::Claim,
            At::Look => {
                writer.at = At::Insert;
                let is_again = writer.is_again;
                let is_looked_for = |way| way == Some(Way::Doubtful) || is_again && way == Some(Way::Clear);
                for (found, rows) in writer.found.iter_mut().zip(self.rows) {
                    for batch in (0..BATCHES).filter(|batch| is_looked_for(writer.ways[*batch])) {
                        found[batch] = rows[batch] > 0 && rules != Rules::NoLook;
                    }
                }
            }
            At::Insert if writer.has_lapsed && rules != Rules::NoLapse => writer.at = At::Claim,
            At::Insert => return self.inserts(who),
            At::Done | At::Killed => return Vec::new(),
        }
        vec![world]
    }

    fn told(&self, who: usize, batch: usize, rules: Rules) -> Told {
        let others = (0..self.writers.len()).filter(|other| *other != who && rules != Rules::NoClaims);
        let claims: Vec<(usize, Claim)> = others.map(|other| (other, self.claims[other][batch])).collect();
        let alive = claims.iter().filter(|(_, claim)| *claim == Claim::Alive);
        Told {
            is_stored: false,
            rivals: alive.map(|(other, _)| *other as u128).collect(),
            was_claimed: claims.iter().any(|(_, claim)| *claim != Claim::None),
        }
    }

    /// Each of the inserts that are left may be the next, its answer may be lost, and it may go in later.
    fn inserts(&self, who: usize) -> Vec<Self> {
        let writer = &self.writers[who];
        let is_new = |batch: usize| {
            writer.holds[batch]
                && writer.intent.is_some_and(|intent| intent[batch])
                && writer.ways[batch] != Some(Way::Known)
        };
        let left: Vec<usize> = (0..TABLES).filter(|table| !writer.done[*table]).collect();
        let tables = if left.is_empty() { vec![TABLES] } else { left };
        let mut next = Vec::new();
        for table in tables {
            let is_found = |batch: usize| writer.found.get(table).is_some_and(|found| found[batch]);
            let batches: [bool; BATCHES] = std::array::from_fn(|batch| is_new(batch) && !is_found(batch));
            if self.lates > 0 && batches.contains(&true) && !self.tokens[who][table] {
                next.push(Self { late: Some((who, table, batches)), lates: self.lates - 1, ..self.clone() });
            }
            let mut world = self.clone();
            if world.goes_in(who, table, batches) {
                next.push(world.clone());
            }
            match world.writers[who].done.get_mut(table) {
                Some(done) => *done = true,
                None => world.writers[who].at = At::Done,
            }
            next.push(world);
        }
        next
    }

    /// An insert as ClickHouse does it: not where it knows the token. Whether it did.
    fn goes_in(&mut self, who: usize, table: usize, batches: [bool; BATCHES]) -> bool {
        if !batches.contains(&true) || std::mem::replace(&mut self.tokens[who][table], true) {
            return false;
        }
        let rows = self.rows.get_mut(table).unwrap_or(&mut self.ledger);
        rows.iter_mut().zip(batches).for_each(|(rows, goes_in)| *rows += u8::from(goes_in));
        true
    }

    /// Whether something of this one may go in yet.
    fn is_in_doubt(&self, who: usize) -> bool {
        self.late.is_some_and(|(owner, ..)| owner == who)
    }

    fn with_a_late_insert(self) -> Self {
        Self { lates: 1, ..self }
    }

    fn has_twice(&self) -> bool {
        self.rows.iter().chain([&self.ledger]).flatten().any(|rows| *rows > 1)
    }

    fn is_over(&self) -> bool {
        self.writers.iter().all(|writer| writer.at == At::Done)
    }

    fn has_all(&self) -> bool {
        let is_held = |batch: &usize| self.writers.iter().any(|writer| writer.holds[*batch]);
        (0..BATCHES).filter(is_held).all(|batch| self.rows.iter().chain([&self.ledger]).all(|rows| rows[batch] == 1))
    }
}

/// All worlds that come of this one, each with those that come next.
fn worlds(first: World, rules: Rules) -> (Vec<World>, Vec<Vec<usize>>) {
    let (mut all, mut next) = (vec![first.clone()], Vec::new());
    let mut places = HashMap::from([(first, 0)]);
    while let Some(world) = all.get(next.len()).cloned() {
        let follow = world.next(rules).into_iter().map(|world| {
            *places.entry(world).or_insert_with_key(|world| {
                all.push(world.clone());
                all.len() - 1
            })
        });
        let follow = follow.collect();
        next.push(follow);
    }
    (all, next)
}

/// How many of these can come to an end in which all are done.
fn can_end(all: &[World], next: &[Vec<usize>]) -> usize {
    let mut before = vec![Vec::new(); all.len()];
    next.iter().enumerate().for_each(|(from, next)| next.iter().for_each(|to| before[*to].push(from)));
    let mut ends: Vec<usize> = (0..all.len()).filter(|place| all[*place].is_over()).collect();
    let mut can = vec![false; all.len()];
    ends.iter().for_each(|place| can[*place] = true);
    while let Some(place) = ends.pop() {
        ends.extend(before[place].iter().filter(|from| !std::mem::replace(&mut can[**from], true)));
    }
    can.iter().filter(|can| **can).count()
}

fn assert_once(first: World) {
    let (all, next) = worlds(first, Rules::All);
    for world in &all {
        assert!(!world.has_twice(), "{world:#?}");
        assert!(!world.is_over() || world.has_all(), "{world:#?}");
    }
    assert_eq!(can_end(&all, &next), all.len(), "of each there is a way to the end");
}

const BOTH: [bool; BATCHES] = [true, true];
const FIRST: [bool; BATCHES] = [true, false];
const SECOND: [bool; BATCHES] = [false, true];

#[test]
fn two_that_hold_the_same_store_it_once_whenever_they_crash_or_stand_still() {
    assert_once(World::new(&[BOTH, SECOND], 1, 0));
    assert_once(World::new(&[BOTH, SECOND], 0, 1));
    assert_once(World::new(&[FIRST, FIRST], 1, 1));
}

#[test]
fn three_that_hold_the_same_store_it_once() {
    assert_once(World::new(&[FIRST, BOTH, SECOND], 0, 0));
    assert_once(World::new(&[FIRST, FIRST, FIRST], 0, 0));
}

#[test]
fn an_insert_without_an_answer_that_goes_in_later_is_waited_for() {
    assert_once(World::new(&[FIRST, FIRST], 1, 0).with_a_late_insert());
    assert_once(World::new(&[FIRST, FIRST], 0, 1).with_a_late_insert());
    assert_once(World::new(&[BOTH, SECOND], 0, 1).with_a_late_insert());
}

#[test]
fn each_rule_is_needed() {
    let has_twice = |rules, crashes, stops| {
        let (all, _) = worlds(World::new(&[FIRST, FIRST], crashes, stops), rules);
        all.iter().any(World::has_twice)
    };
    assert!(has_twice(Rules::NoClaims, 0, 0));
    assert!(has_twice(Rules::NoLook, 1, 0) && !has_twice(Rules::NoLook, 0, 0));
    assert!(has_twice(Rules::NoLapse, 0, 1) && !has_twice(Rules::NoLapse, 1, 0));
    let (all, _) = worlds(World::new(&[FIRST, FIRST], 0, 1).with_a_late_insert(), Rules::NoDoubt);
    assert!(all.iter().any(World::has_twice));
}

#[test]
fn of_two_that_see_each_other_the_lower_one_stays() {
    let rival = |rivals: &[u128]| Told { rivals: rivals.to_vec(), was_claimed: true, ..Told::default() };
    let stored = Told { is_stored: true, ..rival(&[1]) };
    assert_eq!(turn(5, &[rival(&[7]), Told::default()]), Turn::TheirsUntilTheyWithdraw);
    assert_eq!(turn(5, &[rival(&[7]), rival(&[3])]), Turn::Theirs);
    assert_eq!(
        turn(5, &[stored, rival(&[]), Told::default()]),
        Turn::Ours(vec![Way::Known, Way::Doubtful, Way::Clear])
    );
}
