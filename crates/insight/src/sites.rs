//! Waits summed up by place and by stack.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use syncline_event::StackId;

use crate::call::{Call, CallStack, Frame};
use crate::open::OpenWaits;
use crate::site::Site;
use crate::sum::Sum;
use crate::wait::Wait;

/// Places told apart; further ones are summed up as one. A large program has some hundred.
pub const MAX_SITES: usize = 4_096;
/// Stacks told apart; further ones are summed up by place.
pub const MAX_STACKS: usize = 16_384;

/// What to rank by, the largest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Time of all waits together.
    Time,
    /// Number of waits.
    Count,
    /// The longest wait.
    Max,
}

/// Waits summed up by place and by stack, in bounded memory; every wait that was added is in both sums.
#[derive(Clone, Debug, Default)]
pub struct Sites {
    pub(crate) sites: Vec<Site>,
    by_place: HashMap<Place, usize>,
    stacks: HashMap<StackKey, StackSum>,
    pub(crate) open: OpenWaits,
}

/// All waits of one process for one reason with one stack.
#[derive(Clone, Debug)]
pub struct StackSum {
    /// Process id.
    pub pid: u32,
    /// Why they waited.
    pub reason: Cow<'static, str>,
    /// Where.
    pub stack: Arc<CallStack>,
    /// They are parts of other waits that are counted.
    pub is_inside: bool,
    /// They.
    pub sum: Sum,
    site: usize,
}

/// Where a wait is summed up.
#[derive(Clone, Debug)]
pub(crate) struct At {
    pub(crate) site: usize,
    stack: StackKey,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    frame: Frame,
    reason: Cow<'static, str>,
    is_inside: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct StackKey {
    pid: u32,
    reason: Cow<'static, str>,
    stack: Stacks,
    is_inside: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stacks {
    One(StackId),
    /// Those of a site that are not told apart.
    RestOf(usize),
}

impl Sites {
    /// Counts a wait that has ended; what was counted of it while it went on is a part of it.
    pub fn add(&mut self, wait: &Wait) {
        self.forget_open(&wait.id);
        let at = self.place(wait);
        if let Some(site) = self.sites.get_mut(at.site) {
            site.add(wait);
        }
        if let Some(stack) = self.stacks.get_mut(&at.stack) {
            stack.sum.add(&wait.times);
        }
    }

    /// Changes the sums of its site and its stack.
    pub(crate) fn in_sums(&mut self, at: &At, change: impl Fn(&mut Sum)) {
        if let Some(site) = self.sites.get_mut(at.site) {
            change(&mut site.sum);
        }
        if let Some(stack) = self.stacks.get_mut(&at.stack) {
            change(&mut stack.sum);
        }
    }

    /// Where a wait is summed up, which is there from now on.
    pub(crate) fn place(&mut self, wait: &Wait) -> At {
        let own = StackKey::of(wait, Stacks::One(wait.stack.id));
        let known = self.stacks.get(&own).map(|sum| sum.site);
        let site = known.unwrap_or_else(|| self.site_of(wait));
        let is_told_apart = known.is_some() || self.stacks.len() < MAX_STACKS;
        let stack = if is_told_apart { own } else { StackKey::of(wait, Stacks::RestOf(site)) };
        if !self.stacks.contains_key(&stack) {
            let frames = if is_told_apart { Arc::clone(&wait.stack) } else { rest_of(wait) };
            self.stacks.insert(stack.clone(), StackSum::new(wait, frames, site));
        }
        At { site, stack }
    }

    /// The sites that `keep` wants, in this order.
    pub fn ranked(&self, order: Order, keep: impl Fn(&Site) -> bool) -> Vec<&Site> {
        let mut ranked: Vec<&Site> = self.sites.iter().filter(|site| keep(site)).collect();
        let weight = |site: &Site| match order {
            Order::Time => site.waited_ns(),
            Order::Count => site.sum.waits(),
            Order::Max => site.longest_ns(),
        };
        // Stable: equals stay in the order in which they came.
        ranked.sort_by_key(|site| Reverse(weight(site)));
        ranked
    }

    /// Every stack of waits that are counted, with its sums, the one that waited longest first.
    #[must_use]
    pub fn stacks(&self) -> Vec<&StackSum> {
        longest_first(self.stacks.values().filter(|sum| !sum.is_inside))
    }

    /// The stacks of one of these sites, the one that waited longest first.
    #[must_use]
    pub fn stacks_of(&self, site: &Site) -> Vec<&StackSum> {
        let is_of_site = |sum: &&StackSum| self.sites.get(sum.site).is_some_and(|known| std::ptr::eq(known, site));
        longest_first(self.stacks.values().filter(is_of_site))
    }

    /// All waits at the sites that `keep` wants, but for those inside of others.
    pub fn total(&self, keep: impl Fn(&Site) -> bool) -> Sum {
        let mut total = Sum::default();
        self.sites.iter().filter(|site| keep(site) && !site.is_inside).for_each(|site| total.add_all(&site.sum));
        total
    }

    fn site_of(&mut self, wait: &Wait) -> usize {
        let is_inside = wait.is_inside;
        let place = Place { frame: wait.stack.blocking_frame(), reason: wait.reason.clone(), is_inside };
        if let Some(&known) = self.by_place.get(&place) {
            return known;
        }
        if self.sites.len() < MAX_SITES {
            return self.new_site(place, wait.stack.is_of_the_runtime());
        }
        let rest = Place { frame: unnamed("(further places)"), reason: Cow::Borrowed("several"), is_inside };
        self.by_place.get(&rest).copied().unwrap_or_else(|| self.new_site(rest, false))
    }

    fn new_site(&mut self, place: Place, is_of_the_runtime: bool) -> usize {
        let index = self.sites.len();
        self.sites.push(Site::new(place.frame.clone(), place.reason.clone(), place.is_inside, is_of_the_runtime));
        self.by_place.insert(place, index);
        index
    }
}

impl StackKey {
    fn of(wait: &Wait, stack: Stacks) -> Self {
        Self { pid: wait.id.pid, reason: wait.reason.clone(), stack, is_inside: wait.is_inside }
    }
}

impl StackSum {
    fn new(wait: &Wait, stack: Arc<CallStack>, site: usize) -> Self {
        let (pid, reason) = (wait.id.pid, wait.reason.clone());
        Self { pid, reason, stack, is_inside: wait.is_inside, sum: Sum::default(), site }
    }
}

fn longest_first<'a>(stacks: impl Iterator<Item = &'a StackSum>) -> Vec<&'a StackSum> {
    let mut stacks: Vec<_> = stacks.collect();
    stacks.sort_by(|a, b| {
        let of = |sum: &StackSum| (Reverse(sum.sum.times.waited_ns()), sum.pid, sum.stack.id);
        of(a).cmp(&of(b)).then_with(|| a.reason.cmp(&b.reason))
    });
    stacks
}

/// What stands for the stacks of a place that are not told apart: the place, called by nobody known.
fn rest_of(wait: &Wait) -> Arc<CallStack> {
    let call = Call { address: 0, frames: vec![wait.stack.blocking_frame(), unnamed("(further stacks)")] };
    let build = Arc::clone(&wait.stack.build);
    Arc::new(CallStack { id: StackId::NONE, build, calls: vec![Arc::new(call)], is_cut: true })
}

fn unnamed(text: &str) -> Frame {
    Frame { function: text.to_owned(), file: String::new(), line: 0 }
}

#[cfg(test)]
#[path = "sites_tests.rs"]
pub(crate) mod tests;
