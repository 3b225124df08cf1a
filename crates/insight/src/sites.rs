//! Waits summed up by place and by stack.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use syncline_event::StackId;

use crate::call::{Call, CallStack, Frame};
use crate::site::Site;
use crate::state::StateTimes;
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
    sites: Vec<Site>,
    by_place: HashMap<Place, usize>,
    stacks: HashMap<StackKey, StackSum>,
    total: Total,
}

/// What was added in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Number of waits.
    pub count: u64,
    /// Their time by state.
    pub times: StateTimes,
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
    /// Number of waits.
    pub count: u64,
    /// Their time by state.
    pub times: StateTimes,
    site: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    frame: Frame,
    reason: Cow<'static, str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct StackKey {
    pid: u32,
    reason: Cow<'static, str>,
    stack: Stacks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stacks {
    One(StackId),
    /// Those of a site that are not told apart.
    RestOf(usize),
}

impl Sites {
    /// Counts one wait.
    pub fn add(&mut self, wait: &Wait) {
        let key = StackKey::of(wait, Stacks::One(wait.stack.id));
        let known = self.stacks.get(&key).map(|sum| sum.site);
        let site = known.unwrap_or_else(|| self.site_of(wait));
        if let Some(site) = self.sites.get_mut(site) {
            site.add(wait);
        }
        if known.is_some() || self.stacks.len() < MAX_STACKS {
            self.stacks.entry(key).or_insert_with(|| StackSum::new(wait, Arc::clone(&wait.stack), site)).add(wait);
        } else {
            let rest = StackKey::of(wait, Stacks::RestOf(site));
            self.stacks.entry(rest).or_insert_with(|| StackSum::new(wait, rest_of(wait), site)).add(wait);
        }
        self.total.count = self.total.count.saturating_add(1);
        self.total.times.add(&wait.times);
    }

    /// The sites that `keep` wants, in this order.
    pub fn ranked(&self, order: Order, keep: impl Fn(&Site) -> bool) -> Vec<&Site> {
        let mut ranked: Vec<&Site> = self.sites.iter().filter(|site| keep(site)).collect();
        let weight = |site: &Site| match order {
            Order::Time => site.waited_ns(),
            Order::Count => site.count,
            Order::Max => site.max_ns,
        };
        // Stable: equals stay in the order in which they came.
        ranked.sort_by_key(|site| Reverse(weight(site)));
        ranked
    }

    /// Every stack with its sums, the one that waited longest first.
    #[must_use]
    pub fn stacks(&self) -> Vec<&StackSum> {
        longest_first(self.stacks.values())
    }

    /// The stacks of one of these sites, the one that waited longest first.
    #[must_use]
    pub fn stacks_of(&self, site: &Site) -> Vec<&StackSum> {
        let is_of_site = |sum: &&StackSum| self.sites.get(sum.site).is_some_and(|known| std::ptr::eq(known, site));
        longest_first(self.stacks.values().filter(is_of_site))
    }

    /// What was added in all.
    #[must_use]
    pub fn total(&self) -> &Total {
        &self.total
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn site_of(&mut self, wait: &Wait) -> usize {
        let place = Place { frame: wait.stack.blocking_frame(), reason: wait.reason.clone() };
        if let Some(&known) = self.by_place.get(&place) {
            return known;
        }
        if self.sites.len() < MAX_SITES {
            return self.new_site(place, wait.stack.is_of_the_runtime());
        }
        let rest = Place { frame: unnamed("(further places)"), reason: Cow::Borrowed("several") };
        self.by_place.get(&rest).copied().unwrap_or_else(|| self.new_site(rest, false))
    }

    fn new_site(&mut self, place: Place, is_of_the_runtime: bool) -> usize {
        let index = self.sites.len();
        self.sites.push(Site::new(place.frame.clone(), place.reason.clone(), is_of_the_runtime));
        self.by_place.insert(place, index);
        index
    }
}

impl StackKey {
    fn of(wait: &Wait, stack: Stacks) -> Self {
        Self { pid: wait.pid, reason: wait.reason.clone(), stack }
    }
}

impl StackSum {
    fn new(wait: &Wait, stack: Arc<CallStack>, site: usize) -> Self {
        let (pid, reason) = (wait.pid, wait.reason.clone());
        Self { pid, reason, stack, count: 0, times: StateTimes::default(), site }
    }

    fn add(&mut self, wait: &Wait) {
        self.count = self.count.saturating_add(1);
        self.times.add(&wait.times);
    }
}

fn longest_first<'a>(stacks: impl Iterator<Item = &'a StackSum>) -> Vec<&'a StackSum> {
    let mut stacks: Vec<_> = stacks.collect();
    stacks.sort_by(|a, b| {
        let of = |sum: &StackSum| (Reverse(sum.times.waited_ns()), sum.pid, sum.stack.id);
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
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::call::tests::stack;
    use crate::wait::Waker;

    pub(crate) fn wait(id: u64, functions: &[&str], reason: &'static str, ns: u64) -> Wait {
        Wait {
            pid: 4_711,
            reason: reason.into(),
            stack: Arc::new(stack(id, functions)),
            times: StateTimes::of_wait(ns, Some(ns / 10)),
            waker: Waker::Timer,
        }
    }

    fn sites_of(waits: &[Wait]) -> Sites {
        let mut sites = Sites::default();
        waits.iter().for_each(|wait| sites.add(wait));
        sites
    }

    #[test]
    fn sites_are_ranked_by_what_is_asked_for() {
        let sites = sites_of(&[
            wait(1, &["runtime.gopark", "main.often", "main.a"], "chan receive", 10),
            wait(2, &["runtime.gopark", "main.often", "main.b"], "chan receive", 10),
            wait(2, &["runtime.gopark", "main.often", "main.b"], "chan receive", 30),
            wait(3, &["runtime.gopark", "main.longest"], "select", 45),
            wait(4, &["runtime.gopark", "main.most"], "sleep", 40),
            wait(4, &["runtime.gopark", "main.most"], "sleep", 40),
        ]);
        let order = |order| -> Vec<String> {
            sites.ranked(order, |_| true).iter().map(|site| site.frame.function.clone()).collect()
        };
        assert_eq!(order(Order::Time), ["main.most", "main.often", "main.longest"]);
        assert_eq!(order(Order::Count), ["main.often", "main.most", "main.longest"]);
        assert_eq!(order(Order::Max), ["main.longest", "main.most", "main.often"]);
        let often = sites.ranked(Order::Time, |site| site.mentions("OFTEN"))[0];
        assert_eq!((often.count, often.waited_ns(), often.max_ns), (3, 50, 30));
        let stacks: Vec<u64> = sites.stacks_of(often).iter().map(|sum| sum.stack.id.0).collect();
        assert_eq!(stacks, [2, 1]);
        assert_eq!((sites.total().count, sites.total().times.waited_ns()), (6, 175));
    }

    #[test]
    fn one_place_has_a_site_for_each_reason() {
        let functions = ["runtime.gopark", "main.f"];
        let sites = sites_of(&[wait(1, &functions, "select", 1), wait(1, &functions, "chan receive", 1)]);
        assert_eq!(sites.ranked(Order::Time, |_| true).len(), 2);
        assert_eq!(sites.ranked(Order::Time, |site| site.mentions("chan")).len(), 1);
        assert_eq!(sites.stacks().len(), 2);
    }

    #[test]
    fn quantiles_are_those_of_the_waits() {
        let waits: Vec<Wait> = (1..=1_000).map(|ms| wait(1, &["main.f"], "select", ms * 1_000_000)).collect();
        let sites = sites_of(&waits);
        let site = sites.ranked(Order::Time, |_| true)[0];
        let is_about = |share: f64, ms: u64| site.quantile_ns(share).abs_diff(ms * 1_000_000) <= ms * 10_000;
        assert!(is_about(0.5, 500) && is_about(0.99, 990), "{} {}", site.quantile_ns(0.5), site.quantile_ns(0.99));
        assert_eq!(site.quantile_ns(1.0), 1_000_000_000);
    }

    #[test]
    fn beyond_the_limits_waits_are_put_together_and_none_is_lost() {
        let names: Vec<String> = (0..MAX_STACKS + 500).map(|i| format!("main.f{i}")).collect();
        let mut sites = Sites::default();
        (1..).zip(&names).for_each(|(id, name)| sites.add(&wait(id, &[name.as_str(), "main.main"], "select", 2)));
        let ranked = sites.ranked(Order::Count, |_| true);
        assert_eq!(ranked.len(), MAX_SITES + 1);
        assert_eq!(ranked[0].frame.function, "(further places)");
        assert_eq!(ranked.iter().map(|site| site.count).sum::<u64>(), names.len() as u64);
        let stacks = sites.stacks();
        assert_eq!(stacks.len(), MAX_STACKS + 1);
        assert_eq!(stacks.iter().map(|sum| sum.times.waited_ns()).sum::<u64>(), 2 * names.len() as u64);
        assert!(stacks[0].stack.frames().any(|frame| frame.function == "(further stacks)"));
    }

    proptest! {
        /// Whatever is added: sites and stacks each hold all of it.
        #[test]
        fn sites_and_stacks_add_up_to_the_total(waits in prop::collection::vec((0u64..5, 0u64..u64::MAX / 64), 0..60)) {
            let waits: Vec<Wait> = waits.into_iter().map(|(f, ns)| wait(f, &["a", "b", "c", "d", "e"][f as usize..], "x", ns)).collect();
            let sites = sites_of(&waits);
            let (all, total) = (sites.ranked(Order::Time, |_| true), sites.total());
            prop_assert_eq!(total.count, waits.len() as u64);
            prop_assert_eq!(all.iter().map(|site| site.count).sum::<u64>(), total.count);
            prop_assert_eq!(all.iter().map(|site| site.waited_ns()).sum::<u64>(), total.times.waited_ns());
            prop_assert_eq!(sites.stacks().iter().map(|sum| sum.times.waited_ns()).sum::<u64>(), total.times.waited_ns());
            for site in all {
                prop_assert!(site.quantile_ns(0.5) <= site.quantile_ns(0.99) && site.quantile_ns(0.99) <= site.max_ns);
            }
        }
    }
}
