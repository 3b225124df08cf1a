//! Traces, read back by the descriptors that Perfetto publishes.
#![allow(clippy::unwrap_used)] // a test may fail loudly

mod support;

use proptest::prelude::*;
use support::perfetto::{Read, descriptors, read};
use support::{BASE, stack, wait, who};
use syncline_export::{Moment, Note, Trace, Wait, Wake, Who};

const BASE_U: u64 = BASE.cast_unsigned();

fn trace(waits: &[Wait<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut trace = Trace::begin(BASE, &mut out);
    waits.iter().for_each(|wait| trace.add(wait, &mut out));
    trace.finish(&mut out);
    out
}

fn read_back(waits: &[Wait<'_>]) -> Option<Read> {
    descriptors().map(|pool| read(&pool, &trace(waits)))
}

#[test]
fn a_wait_is_a_slice_of_its_goroutine_with_all_that_is_known_of_it() {
    let notes = vec![("for", Note::Name("tcp 10.0.0.9:443")), ("result", Note::Number(-104)), ("seq", Note::Count(7))];
    let first = Wait { stack: Some(stack()), notes, ..wait(18, 0, 400, "IO wait") };
    let Some(read) = read_back(&[first]) else { return };
    let slice = read.slice("eu / eu-1 / cart 4711 / g18", "IO wait");
    assert_eq!((slice.start, slice.end), (BASE_U, Some(BASE_U + 400)));
    assert_eq!(slice.categories, ["goroutine"]);
    let notes: Vec<_> = slice.notes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let expected = [
        ("begin_bound_ns", "120000"),
        ("end_bound_ns", "120000"),
        ("for", "tcp 10.0.0.9:443"),
        ("result", "-104"),
        ("seq", "7"),
    ];
    assert_eq!(notes, expected);
    let lines =
        ["0x30", "main.transfer /src/cart.go:15", "main.take /src/cart.go:9", "sync.(*Mutex).Lock /src/cart.go:46"];
    assert_eq!(slice.stack, lines);
    assert_eq!(read.ranks["eu / eu-1 / cart 4711 / g18"], 18, "goroutines are in the order of their numbers");
    let bound = "eu / eu-1 / clock: half width of the error bound (-1: none)";
    assert_eq!(read.counters[bound], [(BASE_U, 120_000)]);
}

#[test]
fn a_wake_flows_from_the_waker_to_the_time_in_which_the_woken_is_ready() {
    let wake = |waker: Who<'static>, sent| Wake { waker, sent, stack: Some(stack()) };
    let within =
        Wait { run_delay_ns: Some(30), wake: Some(wake(who("eu", 7), None)), ..wait(18, 0, 400, "chan receive") };
    let sent = Moment { ns: BASE + 300, bound_ns: Some(90) };
    let across =
        Wait { run_delay_ns: Some(0), wake: Some(wake(who("us", 9), Some(sent))), ..wait(19, 10, 500, "IO wait") };
    let Some(read) = read_back(&[within, across]) else { return };
    let flows: Vec<_> = read.flows.iter().map(|(from, to)| (&read.slices[*from], &read.slices[*to])).collect();
    assert_eq!(flows.len(), 2);
    let (from, to) = flows[0];
    assert_eq!(
        (from.track.as_str(), from.name.as_str(), from.start),
        ("eu / eu-1 / cart 4711 / g7", "wakes", BASE_U + 370)
    );
    assert_eq!(from.notes["goid"], "18");
    assert_eq!(from.stack.last().unwrap(), "sync.(*Mutex).Lock /src/cart.go:46");
    assert_eq!((to.name.as_str(), to.depth), ("ready, not running", 1));
    assert_eq!((to.start, to.end), (BASE_U + 370, Some(BASE_U + 400)));
    let (from, to) = flows[1];
    assert_eq!((from.track.as_str(), from.start), ("us / us-1 / cart 4711 / g9", BASE_U + 300));
    assert_eq!((from.notes["node"].as_str(), from.notes["bound_ns"].as_str()), ("eu-1", "90"));
    assert_eq!((to.track.as_str(), to.name.as_str(), to.start), ("eu / eu-1 / cart 4711 / g19", "ready", BASE_U + 500));
    assert_eq!(to.depth, 1, "at the end, and still inside of the wait");
}

#[test]
fn what_is_not_known_and_what_goes_on_is_marked() {
    let mut unbounded = wait(18, 0, 400, "select");
    unbounded.start.bound_ns = None;
    let open = Wait { end: None, ..wait(19, 10, 10, "sync.Mutex.Lock") };
    let Some(read) = read_back(&[unbounded, open]) else { return };
    let slice = read.slice("eu / eu-1 / cart 4711 / g18", "select (time unbounded)");
    assert_eq!(slice.categories, ["unbounded", "goroutine"]);
    assert!(slice.notes["begin_bound_ns"].starts_with("unknown"));
    let slice = read.slice("eu / eu-1 / cart 4711 / g19", "sync.Mutex.Lock");
    assert_eq!((slice.end, slice.notes["end"].as_str()), (None, "it goes on"));
    let bounds: Vec<i64> = read.counters.values().flatten().map(|(_, value)| *value).collect();
    assert_eq!(bounds, [-1, 120_000]);
}

#[test]
fn waits_across_each_other_keep_their_lengths() {
    let waits = [wait(18, 0, 100, "a"), wait(18, 50, 150, "b"), wait(18, 60, 90, "c"), wait(18, 200, 210, "d")];
    let Some(read) = read_back(&waits) else { return };
    let of = |name: &str| read.slices.iter().find(|slice| slice.name == name).unwrap();
    let shown =
        |name| (of(name).end.unwrap() - of(name).start, of(name).track.rsplit(" / ").next().unwrap(), of(name).depth);
    assert_eq!(shown("a"), (100, "g18", 0));
    assert_eq!(shown("b"), (100, "g18 (2)", 0));
    assert_eq!(shown("c"), (30, "g18", 1));
    assert_eq!(shown("d"), (10, "g18", 0));
}

#[test]
fn what_was_told_once_may_be_forgotten_and_is_told_again() {
    let Some(pool) = descriptors() else { return };
    let texts: Vec<String> = (0..250_000).map(|number| format!("text {number}")).collect();
    let mut out = Vec::new();
    let mut encoder = Trace::begin(BASE, &mut out);
    for (text, at) in texts.iter().zip(0..) {
        let named = Wait {
            notes: vec![("text", Note::Name(text))],
            stack: Some(stack()),
            ..wait(18, at * 10, at * 10 + 5, "select")
        };
        encoder.add(&named, &mut out);
    }
    encoder.finish(&mut out);
    let read = read(&pool, &out);
    assert_eq!(read.slices.len(), texts.len());
    assert!(read.slices.iter().zip(&texts).all(|(slice, text)| slice.notes["text"] == *text && slice.stack.len() == 4));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever clocks do to the ends of waits, each is shown with its own length, and every wake is followed.
    #[test]
    fn any_waits_are_shown_as_they_are(
        mut waits in prop::collection::vec((1u64..4, 0i64..60, 0i64..40, prop::option::of(0u64..50), 0u64..4), 0..40)
    ) {
        waits.sort_by_key(|&(_, start, length, _, _)| (start, -length));
        let names: Vec<String> = (0..waits.len()).map(|number| format!("wait {number}")).collect();
        let encoded: Vec<Wait<'_>> = waits.iter().zip(&names).map(|(&(goid, start, length, delay, waker), name)| {
            let wake = (waker != 0).then(|| Wake { waker: who("us", waker), sent: None, stack: None });
            Wait { reason: name, run_delay_ns: delay, wake, ..wait(goid, start, start + length, "") }
        }).collect();
        if let Some(read) = read_back(&encoded) {
            for (&(_, start, length, _, _), name) in waits.iter().zip(&names) {
                let slice = read.slices.iter().find(|slice| slice.name == *name).unwrap();
                prop_assert_eq!(slice.start, BASE_U + start.cast_unsigned());
                prop_assert_eq!(slice.end, Some(BASE_U + (start + length).cast_unsigned()), "{}", name);
            }
            prop_assert_eq!(read.flows.len(), encoded.iter().filter(|wait| wait.wake.is_some()).count());
        }
    }
}
