//! Tests of the sums, and waits for tests.

use proptest::prelude::*;

use super::*;
use crate::call::tests::stack;
use crate::state::StateTimes;
use crate::wait::{WaitId, Waker};
use syncline_event::Kind;

pub(crate) fn wait(id: u64, functions: &[&str], reason: &'static str, ns: u64) -> Wait {
    Wait {
        id: WaitId { pid: 4_711, kind: Kind::Goroutine, goid: 1, tid: 1, start_mono_ns: 0 },
        reason: reason.into(),
        stack: Arc::new(stack(id, functions)),
        is_inside: false,
        began_before: false,
        times: StateTimes::of_wait(ns, Some(ns / 10)),
        waker: Waker::Timer,
        waker_site: None,
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
    assert_eq!((often.sum.count, often.waited_ns(), often.max_ns), (3, 50, 30));
    let stacks: Vec<u64> = sites.stacks_of(often).iter().map(|sum| sum.stack.id.0).collect();
    assert_eq!(stacks, [2, 1]);
    assert_eq!((sites.total(|_| true).count, sites.total(|_| true).times.waited_ns()), (6, 175));
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
    assert_eq!(ranked.iter().map(|site| site.sum.count).sum::<u64>(), names.len() as u64);
    let stacks = sites.stacks();
    assert_eq!(stacks.len(), MAX_STACKS + 1);
    assert_eq!(stacks.iter().map(|sum| sum.sum.times.waited_ns()).sum::<u64>(), 2 * names.len() as u64);
    assert!(stacks[0].stack.frames().any(|frame| frame.function == "(further stacks)"));
}

proptest! {
    /// Whatever is added: sites and stacks each hold all of it.
    #[test]
    fn sites_and_stacks_add_up_to_the_total(waits in prop::collection::vec((0u64..5, 0u64..u64::MAX / 64), 0..60)) {
        let waits: Vec<Wait> = waits.into_iter().map(|(f, ns)| wait(f, &["a", "b", "c", "d", "e"][f as usize..], "x", ns)).collect();
        let sites = sites_of(&waits);
        let (all, total) = (sites.ranked(Order::Time, |_| true), sites.total(|_| true));
        prop_assert_eq!(total.count, waits.len() as u64);
        prop_assert_eq!(all.iter().map(|site| site.sum.count).sum::<u64>(), total.count);
        prop_assert_eq!(all.iter().map(|site| site.waited_ns()).sum::<u64>(), total.times.waited_ns());
        prop_assert_eq!(sites.stacks().iter().map(|sum| sum.sum.times.waited_ns()).sum::<u64>(), total.times.waited_ns());
        for site in all {
            prop_assert!(site.quantile_ns(0.5) <= site.quantile_ns(0.99) && site.quantile_ns(0.99) <= site.max_ns);
        }
    }
}

#[test]
fn what_is_inside_of_another_wait_is_shown_and_in_no_total() {
    let call = ["runtime.cgocall", "main._Cfunc_nap", "main.nap"];
    let inside = Wait { is_inside: true, ..wait(1, &call, "syscall clock_nanosleep", 90) };
    let sites = sites_of(&[inside.clone(), wait(1, &call, "cgo call", 100), Wait { is_inside: false, ..inside }]);
    let ranked = sites.ranked(Order::Time, |_| true);
    let rows: Vec<_> = ranked.iter().map(|site| (&*site.reason, site.is_inside, site.waited_ns())).collect();
    let nap = "syscall clock_nanosleep";
    assert_eq!(rows, [("cgo call", false, 100), (nap, true, 90), (nap, false, 90)]);
    assert_eq!((sites.total(|_| true).count, sites.total(|_| true).times.waited_ns()), (2, 190));
    assert!(sites.stacks().iter().all(|sum| !sum.is_inside) && sites.stacks().len() == 2);
    assert_eq!(sites.stacks_of(ranked[1]).len(), 1);
}
