//! Breaks that a bound alone does not see, and doubt.

use syncline_timebase::{Instant, Raw, Span};

use super::{DisruptionCause, Exchange, Hull, Theta, Verdict};
use crate::Tolerance;

const US: i64 = 1_000;
const MS: i64 = 1_000 * US;
const SECOND: i64 = 1_000 * MS;

/// One exchange a second over a symmetric path of 20 ms each way, with a little queueing.
struct Run {
    hull: Hull,
    theta: i64,
    second: i64,
}

impl Run {
    fn new() -> Self {
        Self::after(60)
    }

    fn after(seconds: i64) -> Self {
        let mut run = Self { hull: Hull::new(Tolerance::default()), theta: 0, second: 0 };
        run.quietly(seconds);
        run
    }

    fn quietly(&mut self, seconds: i64) {
        (0..seconds).for_each(|_| assert_eq!(self.exchange([20 * MS, 20 * MS], Verdict::Consistent), None));
    }

    fn exchange(&mut self, [there, back]: [i64; 2], verdict: Verdict) -> Option<DisruptionCause> {
        self.second += 1;
        let (sent, queued) = (self.second * SECOND, self.second % 7 * US);
        let received = sent + there + queued;
        let exchange = Exchange {
            sent: Instant::from_ns(sent),
            received: Instant::from_ns(received + self.theta),
            replied: Instant::from_ns(received + 10 * US + self.theta),
            returned: Instant::from_ns(received + 10 * US + back),
            slack: Span::from_ns(100),
        };
        let checked = self.hull.check(&exchange).unwrap();
        self.hull.observe(&checked, verdict)
    }

    fn at(&self, second: i64, ns: i64) -> Instant<Raw> {
        Instant::from_ns(second * SECOND + ns)
    }

    fn hard(&self, at: Instant<Raw>) -> Theta {
        self.hull.at(at).unwrap().bounds.hard
    }

    fn assert_holds(&self, at: Instant<Raw>, thetas: &[i64]) {
        let hard = self.hard(at);
        assert!(thetas.iter().all(|theta| (hard.low..=hard.high).contains(theta)), "{hard:?}: {thetas:?}");
    }
}

#[test]
fn a_jump_below_the_round_trip_is_seen_by_both_directions() {
    let mut run = Run::new();
    run.theta = 12 * MS;
    assert_eq!(run.exchange([20 * MS, 20 * MS], Verdict::Consistent), None);
    let shown = run.second;
    run.assert_holds(run.at(shown - 1, 500 * MS), &[0, 12 * MS]);
    run.assert_holds(run.at(shown, 900 * MS), &[0, 12 * MS]);
    assert_eq!(run.exchange([20 * MS, 20 * MS], Verdict::Consistent), Some(DisruptionCause::OffsetJumped));
    run.assert_holds(run.at(shown - 1, 500 * MS), &[0, 12 * MS]);
    run.assert_holds(run.at(run.second, 900 * MS), &[12 * MS]);
    run.quietly(20);
}

#[test]
fn a_longer_and_a_shorter_way_are_no_jump() {
    let mut run = Run::new();
    for path in [[26 * MS, 20 * MS], [20 * MS, 20 * MS], [20 * MS, 18 * MS], [20 * MS, 300 * MS]] {
        (0..5).for_each(|_| assert_eq!(run.exchange(path, Verdict::Consistent), None));
    }
    run.assert_holds(run.at(run.second, 900 * MS), &[0]);
}

#[test]
fn a_freeze_inside_an_exchange_is_not_believed_and_the_next_shows_it() {
    let mut run = Run::new();
    let frozen = 25 * MS;
    // Frozen on the way back: it seems to take no time.
    assert_eq!(run.exchange([20 * MS, 20 * MS - frozen], Verdict::Consistent), None);
    let inside = run.second;
    run.assert_holds(run.at(inside, 500 * MS), &[0, frozen]);
    run.assert_holds(run.at(inside - 1, 500 * MS), &[0]);
    run.theta = frozen;
    let shown = [(); 2].map(|()| run.exchange([20 * MS, 20 * MS], Verdict::Consistent));
    assert_eq!(shown, [None, Some(DisruptionCause::OffsetJumped)]);
    run.assert_holds(run.at(inside - 1, 500 * MS), &[0]);
    run.assert_holds(run.at(inside, 10 * MS), &[0, frozen]);
    run.assert_holds(run.at(inside, 500 * MS), &[frozen]);
}

/// So early no round trip is known to be too short.
#[test]
fn an_exchange_that_may_have_met_a_jump_says_nothing_of_before() {
    let meet = || {
        let mut run = Run::after(4);
        assert_eq!(run.exchange([20 * MS, -5 * MS], Verdict::Consistent), None);
        let inside = run.second;
        run.theta = 25 * MS;
        (run, inside)
    };
    let (mut doubted, inside) = meet();
    assert_eq!(doubted.exchange([20 * MS, 20 * MS], Verdict::Doubtful), None);
    doubted.assert_holds(doubted.at(inside - 1, 500 * MS), &[0]);
    let (mut told, inside) = meet();
    told.hull.disrupt(None);
    told.assert_holds(told.at(inside - 1, 500 * MS), &[0]);
    assert_eq!(told.hull.at(told.at(inside, 10 * MS)), None, "on either side of what is not known yet");
}

#[test]
fn doubt_covers_both_sides_until_it_is_confirmed() {
    let mut run = Run::new();
    run.theta = MS;
    assert_eq!(run.exchange([20 * MS, 20 * MS], Verdict::Doubtful), None);
    let first = run.second;
    let doubted = run.hull.at(run.at(first - 1, 500 * MS)).unwrap();
    assert!(doubted.disrupted && doubted.bounds.tight.low <= 0 && doubted.bounds.tight.high >= MS, "{doubted:?}");
    assert_eq!(run.exchange([20 * MS, 20 * MS], Verdict::Doubtful), None);
    assert_eq!(run.exchange([20 * MS, 20 * MS], Verdict::Broken), Some(DisruptionCause::OffsetJumped));
    let (before, after) =
        (run.hull.at(run.at(first - 1, 0)).unwrap(), run.hull.at(run.at(run.second, 900 * MS)).unwrap());
    assert!(!before.disrupted && !after.disrupted);
    assert_eq!((before.epoch, after.epoch), (0, 1));
    run.quietly(5);
}

#[test]
fn doubt_that_is_withdrawn_leaves_nothing() {
    let (mut doubted, mut quiet) = (Run::new(), Run::new());
    assert_eq!(doubted.exchange([20 * MS, 20 * MS], Verdict::Doubtful), None);
    assert_eq!(quiet.exchange([20 * MS, 20 * MS], Verdict::Consistent), None);
    doubted.quietly(30);
    quiet.quietly(30);
    let at = quiet.at(quiet.second, 900 * MS);
    let [a, b] = [&doubted, &quiet].map(|run| run.hull.at(at).unwrap());
    assert!(!a.disrupted && a.bounds.hard.low.abs_diff(b.bounds.hard.low) < 5 * US as u64, "{a:?} {b:?}");
}

#[test]
fn forgotten_breaks_are_not_carried_back_over() {
    let mut run = Run { hull: Hull::keeping(16, Tolerance::default()), theta: 0, second: 0 };
    for turn in 0..60 {
        run.theta = turn % 2 * SECOND;
        run.exchange([20 * MS, 20 * MS], Verdict::Consistent);
    }
    assert!(run.hull.at(run.at(1, 500 * MS)).is_none());
    assert!(run.hull.at(run.at(59, 500 * MS)).is_some());
}

#[test]
fn a_whole_stream_is_kept_on_demand() {
    let mut run = Run { hull: Hull::keeping(usize::MAX, Tolerance::default()), theta: 0, second: 0 };
    run.quietly(1_000);
    let Theta { low, high } = run.hard(run.at(500, 0));
    assert!(high - low < 40 * MS + 20 * US, "{low} {high}");
}
