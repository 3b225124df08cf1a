//! `export --format perfetto`: traces of a real store, read back by the descriptors that Perfetto publishes.

use crate::cases::{Case, cases};
use crate::export::{SECOND, ms, of};
use crate::fixture::{BLOCKED, EXPORT, Fixture, OBSERVED};

#[path = "../../../crates/export/tests/support/perfetto.rs"]
mod perfetto;

pub(crate) const ALL: &[Case] = cases![
    a_trace_has_each_wait_of_all_regions_on_one_clock,
    a_trace_leads_from_wakers_to_what_they_woke,
    a_trace_leads_from_what_was_sent_to_what_it_ended,
    a_trace_marks_times_without_a_bound,
    a_trace_says_what_it_is_of_and_what_is_missing,
    a_trace_says_for_how_many_a_wait_stands,
];

/// Of a database, with what is told on standard error. None where Perfetto's descriptors are missing.
fn trace(fixture: &Fixture, database: &str, more: &[&str]) -> Option<(perfetto::Read, String)> {
    let (bytes, told) = of(fixture, database).export("perfetto", more);
    perfetto::descriptors().map(|pool| (perfetto::read(&pool, &bytes), told))
}

fn a_trace_has_each_wait_of_all_regions_on_one_clock(fixture: &Fixture) {
    let Some((read, told)) = trace(fixture, BLOCKED, &[]) else { return };
    assert!(told.starts_with("7 waits from "), "{told}");
    assert!(told.contains("of Go's own goroutines: 1 wait; --runtime adds them"), "{told}");
    let base = fixture.base_ns.cast_unsigned();
    // The region's clock is behind the root's, on which both are shown.
    for (track, begin_ms, length_ms) in
        [("eu-west / eu-1 / cart 4711 / g18", 0, 400), ("us-east / us-1 / cart 5 / g3", 200, 50)]
    {
        let slice = read.slice(track, "sync.Mutex.Lock");
        let begin = base + ms(begin_ms).cast_unsigned();
        assert_eq!((slice.start, slice.end), (begin, Some(begin + ms(length_ms).cast_unsigned())), "{track}");
        let stack = [
            "main.main /shop/main.go:8",
            "main.serve /shop/serve.go:9",
            "main.(*Cart).Add /shop/cart.go:3",
            "sync.(*Mutex).lockSlow /go/mutex.go:2",
            "runtime.gopark /go/proc.go:1",
        ];
        assert_eq!(slice.stack, stack);
        assert_eq!(slice.notes["site"], "main.(*Cart).Add /shop/cart.go:3");
    }
    let bound = |track| read.slice(track, "sync.Mutex.Lock").notes["begin_bound_ns"].parse::<u64>().unwrap();
    assert_eq!(bound("eu-west / eu-1 / cart 4711 / g18"), 120_000);
    assert!(bound("us-east / us-1 / cart 5 / g3") >= 150_000, "with the region's own");
    assert_eq!(read.counters.len(), 2, "a bound for each node");
    let (with_own, _) = trace(fixture, BLOCKED, &["--runtime"]).unwrap();
    assert!(with_own.slices.iter().any(|slice| slice.name == "GC sweep wait"));
}

fn a_trace_leads_from_wakers_to_what_they_woke(fixture: &Fixture) {
    let Some((read, told)) = trace(fixture, BLOCKED, &[]) else { return };
    let flows: Vec<_> = read
        .flows
        .iter()
        .map(|(from, to)| {
            let own = |index: usize| read.slices[index].track.rsplit(" / ").next().unwrap();
            (own(*from), own(*to), i64::try_from(read.slices[*to].start).unwrap() - fixture.base_ns)
        })
        .collect();
    // A microsecond before they ran.
    let ready = |at_ms| ms(at_ms) - 1_000;
    assert_eq!(
        flows,
        [
            ("g9", "g3", ready(250)),
            ("g20", "g18", ready(400)),
            ("g18", "g20", ready(800)),
            ("g20", "g18", ready(1_100))
        ]
    );
    assert!(told.contains("with a flow from what ended them: 4 waits"), "{told}");
}

fn a_trace_leads_from_what_was_sent_to_what_it_ended(fixture: &Fixture) {
    let Some((read, _)) = trace(fixture, EXPORT, &[]) else { return };
    let [(from, to)] = read.flows[..] else { panic!("{:?}", read.flows) };
    let (from, to) = (&read.slices[from], &read.slices[to]);
    assert_eq!((from.track.as_str(), from.name.as_str()), ("eu-west / eu-1 / stock 60 / g9", "sends what ends a wait"));
    assert_eq!(from.start, (fixture.base_ns + ms(999)).cast_unsigned());
    assert_eq!(
        (from.notes["node"].as_str(), from.notes["goid"].as_str(), from.notes["bound_ns"].as_str()),
        ("us-1", "7", "70000")
    );
    assert_eq!((to.track.as_str(), to.name.as_str()), ("us-east / us-1 / shop 50 / g7", "ready, not running"));
    let wait = read.slice("us-east / us-1 / shop 50 / g7", "IO wait");
    assert_eq!(
        (wait.notes["ended_by"].as_str(), wait.notes["peer"].as_str()),
        ("eu-west eu-1 stock 60", "10.0.0.2:80")
    );
    // The inlined call and the one that it was inlined into, and an address without a name.
    assert_eq!(
        wait.stack,
        [
            "0x1f",
            "main.fetch /shop/fetch.go:7",
            "main.readFrame /shop/frame.go:6",
            "internal/poll.(*FD).Read /go/fd.go:1"
        ]
    );
}

fn a_trace_marks_times_without_a_bound(fixture: &Fixture) {
    let Some((read, told)) = trace(fixture, "syncline", &[]) else { return };
    let slice = read.slice("us-east / us-2 / stock 4711 / g9", "IO wait (time unbounded)");
    assert!(slice.notes["begin_bound_ns"].starts_with("unknown"), "{slice:?}");
    assert!(told.contains("their times have no bound: 1 wait"), "{told}");
    let early = read.slice("us-east / us-1 / stock 4711 / g8", "select");
    assert_eq!(
        early.start,
        (fixture.base_ns - 20 * SECOND).cast_unsigned(),
        "it began before, and lasts into the range"
    );
}

fn a_trace_says_what_it_is_of_and_what_is_missing(fixture: &Fixture) {
    let Some((read, told)) = trace(fixture, EXPORT, &["--node", "us-1"]) else { return };
    let about = read.slice("about this export", "syncline export");
    assert_eq!(
        (about.notes["only"].as_str(), about.notes["lost in these minutes"].as_str()),
        ("node \"us-1\"", "12 ring_buffer_full")
    );
    assert!(told.contains("lost in these minutes: 12 ring_buffer_full"), "{told}");
}

fn a_trace_says_for_how_many_a_wait_stands(fixture: &Fixture) {
    let Some((read, _)) = trace(fixture, OBSERVED, &[]) else { return };
    let said: Vec<_> = read
        .slices
        .iter()
        .filter(|slice| slice.name == "sync.Mutex.Lock")
        .map(|slice| slice.notes.get("stands_for_milli").map(String::as_str))
        .collect();
    assert_eq!(said, [None, Some("50000")]);
}
