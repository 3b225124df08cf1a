//! What a process is observed with, decided by what that costs it.

use syncline_event::{ObservationReason as Reason, ObservationStage as Stage};

const NS_PER_S: f64 = 1e9;
/// A load of so many budgets is aimed at: not all of it, so that it is kept.
const AIM: f64 = 0.9;
/// Windows come so often, or less often where even the shortest would be too much.
const SHORTEST_CYCLE_NS: u64 = 400_000_000;
/// Attaching takes some ms.
const SHORTEST_NS: u64 = 20_000_000;
/// What becomes many times as dear in the middle of a window is noticed at its end.
const LONGEST_NS: u64 = 300_000_000;
/// Whoever waits as a window opens or ends is looked at by the agent; that may take so much of its time. Where there are many, windows come less often,
/// are longer, and at last fewer than the budget allows.
const LOOKING_SHARE: f64 = 0.01;
/// Detaching takes a tenth of a second, and two: gaps have to be longer than that.
const MOST_DUTY: f64 = 0.25;
/// A window in a longer time says nothing of that.
const LONGEST_GAP_NS: u64 = 20_000_000_000;
/// How long it stays off.
const REST_NS: u64 = 60_000_000_000;
/// By how much a step raises the threshold, and by how much all of them.
const THRESHOLD_STEP: u32 = 4;
const MOST_THRESHOLD: u32 = 64;
/// It goes up a step when that costs so much of the budget at most, and after so long. Where it has to go down again soon, it waits twice as
/// long the next time.
const CALM: f64 = 0.5;
const HOLD_S: f64 = 10.0;
const LONGEST_HOLD_S: f64 = 600.0;
const RELAPSE_S: f64 = 30.0;
/// In windows that it can be afforded to observe all of the time.
const CALM_WINDOWS: u32 = 3;
/// While it is observed all the time it may be charged so much above its budget at once, in seconds of it.
const MOST_DEBT_S: f64 = 1.0;
/// In windows so much is kept account of, and a tenth of it is paid back by the next gap. Slowly, and so is the load smoothed: a gap that
/// followed from what was seen just before would stand for too much or too little of what comes in bursts.
const MOST_ACCOUNT_S: f64 = 30.0;
const SMOOTHING: f64 = 0.1;
const PAID_BACK: f64 = 0.1;
/// In windows so much of the budget may go to what goes on between them, too; what costs more is left out.
const MOST_GOING_ON: f64 = 0.5;
/// What the load jumps to is believed when two windows say so.
const JUMP: f64 = 4.0;

/// What was seen of a process over some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// How long that is, ns.
    pub span_ns: u64,
    /// Of that it was observed, ns.
    pub observed_ns: u64,
    /// What that has cost it, ns of CPU time.
    pub cost_ns: u64,
    /// Of that, what goes on between windows, too, ns of CPU time: tracepoints are passed all the time.
    pub of_tracepoints_ns: u64,
    /// What it might have, ns of CPU time.
    pub allowed_ns: u64,
    /// Waits that were told of as events.
    pub events: u64,
    /// Hits of probes.
    pub hits: u64,
}

/// Another stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// That which it was in.
    pub from: Stage,
    /// That which it is in; the same where only the threshold is another, or what is left out.
    pub to: Stage,
    /// Why.
    pub reason: Reason,
}

/// The next window and the gap before it, ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowPlan {
    /// Length of the window.
    pub window_ns: u64,
    /// Mean of the gap.
    pub mean_gap_ns: u64,
}

/// Decides for the processes of one executable, whose probes come and go together.
#[derive(Clone, Debug)]
pub struct Controller {
    stage: Stage,
    threshold_factor: u32,
    /// What it costs, or would cost, to observe it all the time, in budgets; in windows without what goes on between them.
    load: f64,
    /// In windows: what goes on between them, too, in budgets.
    going_on: f64,
    leaves_out_tracepoints: bool,
    /// What was spent beyond the budget lately, in seconds of it.
    debt_s: f64,
    calm_s: f64,
    calm_windows: u32,
    /// Since it entered this stage.
    windows: u32,
    /// The last window cost many times what was expected.
    has_jumped: bool,
    /// What the agent needs to look at whoever waits as a window opens and as it ends, ns.
    looking_ns: f64,
    hold_s: f64,
    /// Since it went up a step.
    since_up_s: f64,
}

impl Default for Controller {
    fn default() -> Self {
        Self {
            stage: Stage::Full,
            threshold_factor: 1,
            load: 0.0,
            going_on: 0.0,
            leaves_out_tracepoints: false,
            debt_s: 0.0,
            calm_s: 0.0,
            calm_windows: 0,
            windows: 0,
            has_jumped: false,
            looking_ns: 0.0,
            hold_s: HOLD_S,
            since_up_s: f64::INFINITY,
        }
    }
}

impl Controller {
    /// The present stage.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// How many times as long as was asked for a wait must be to become an event.
    #[must_use]
    pub fn threshold_factor(&self) -> u32 {
        self.threshold_factor
    }

    /// What it costs, or would cost, to observe it all the time, in budgets.
    #[must_use]
    pub fn load(&self) -> f64 {
        self.load + self.going_on
    }

    /// Whether what costs as much between windows as in them is left out, in windows.
    #[must_use]
    pub fn leaves_out_tracepoints(&self) -> bool {
        self.leaves_out_tracepoints
    }

    /// Takes a reading of a time all of which was observed, some tenths of a second.
    pub fn observed(&mut self, reading: &Reading) -> Option<Change> {
        let (span_s, load) = self.charge(reading);
        self.load = if load > 2.0 * self.load { load } else { self.load + (load - self.load) * span_s.min(1.0) };
        self.since_up_s += span_s;
        if self.debt_s > MOST_DEBT_S {
            return Some(self.go_down(reading));
        }
        self.calm_s = if self.load < CALM { self.calm_s + span_s } else { 0.0 };
        let may_go_up = self.stage > Stage::Full && self.calm_s >= self.hold_s;
        may_go_up.then(|| self.go_up())
    }

    /// Takes a reading of a window and the gap before it.
    pub fn window(&mut self, reading: &Reading) -> Option<Change> {
        let share = reading.observed_ns.max(1) as f64 / reading.span_ns.max(1) as f64;
        let (span_s, cost) = self.charge(reading);
        let going_on = reading.of_tracepoints_ns as f64 / reading.allowed_ns.max(1) as f64;
        let going_on = if self.leaves_out_tracepoints { 0.0 } else { going_on };
        // It goes on all the time, so that the first windows say as much as later ones; but one alone is not all believed.
        self.windows = self.windows.saturating_add(1);
        self.going_on += SMOOTHING.max(1.0 / (f64::from(self.windows) + 1.0)) * (going_on - self.going_on);
        let load = (cost - going_on) / share;
        let jumps = load > JUMP * self.load;
        let is_believed = std::mem::replace(&mut self.has_jumped, jumps) && jumps;
        self.load = if is_believed { load } else { self.load + SMOOTHING * (load - self.load) };
        self.since_up_s += span_s;
        self.calm_s += span_s;
        if self.going_on > MOST_GOING_ON {
            self.leaves_out_tracepoints = true;
            self.going_on = 0.0;
            return Some(self.enter(Stage::Windows, Reason::OverBudget));
        }
        self.calm_windows = if self.load() < CALM { self.calm_windows + 1 } else { 0 };
        if self.calm_windows >= CALM_WINDOWS && self.calm_s >= self.hold_s {
            return Some(self.go_up());
        }
        let least_duty = SHORTEST_NS as f64 / LONGEST_GAP_NS as f64;
        (self.duty() < least_duty).then(|| self.enter(Stage::Off, Reason::OverBudget))
    }

    /// So long the agent took to look at whoever waited as a window opened and as it ended, ns.
    pub fn looked(&mut self, took_ns: u64) {
        let took_ns = took_ns as f64;
        let is_more = took_ns > 2.0 * self.looking_ns;
        self.looking_ns = if is_more { took_ns } else { self.looking_ns + SMOOTHING * (took_ns - self.looking_ns) };
    }

    /// The next window.
    #[must_use]
    pub fn next_window(&self) -> WindowPlan {
        let duty = self.duty().min(MOST_DUTY);
        let cycle_ns = (SHORTEST_CYCLE_NS as f64).max(self.looking_ns / LOOKING_SHARE);
        let window_ns = ((duty * cycle_ns) as u64).clamp(SHORTEST_NS, LONGEST_NS);
        let affordable_ns = window_ns as f64 * (1.0 - duty) / duty;
        let gap_ns = affordable_ns.max(cycle_ns - window_ns as f64) * (1.0 + PAID_BACK * self.debt_s.max(0.0));
        WindowPlan { window_ns, mean_gap_ns: (gap_ns as u64).min(LONGEST_GAP_NS) }
    }

    /// The share of the time that what is left of the budget allows for.
    fn duty(&self) -> f64 {
        (AIM - self.going_on) / self.load.max(f64::MIN_POSITIVE)
    }

    /// How long it stays off, ns.
    #[must_use]
    pub fn rest_ns(&self) -> u64 {
        REST_NS
    }

    /// It was off for that long: windows are tried again.
    pub fn rested(&mut self) -> Change {
        self.load = AIM * LONGEST_GAP_NS as f64 / SHORTEST_NS as f64;
        self.enter(Stage::Windows, Reason::Rested)
    }

    /// Length of the reading, s, and what was spent in budgets.
    fn charge(&mut self, reading: &Reading) -> (f64, f64) {
        let span_s = reading.span_ns as f64 / NS_PER_S;
        let spent = reading.cost_ns as f64 / reading.allowed_ns.max(1) as f64;
        self.debt_s = (self.debt_s + (spent - 1.0) * span_s).clamp(-MOST_DEBT_S, MOST_ACCOUNT_S);
        (span_s, spent)
    }

    fn go_down(&mut self, reading: &Reading) -> Change {
        self.hold_s =
            if self.since_up_s < RELAPSE_S.max(self.hold_s) { (self.hold_s * 2.0).min(LONGEST_HOLD_S) } else { HOLD_S };
        // An event costs some times what a short wait does: where there are few, a higher threshold saves nothing.
        let has_events = reading.events * 20 > reading.hits;
        if has_events && self.stage < Stage::Lean && self.load < 4.0 && self.threshold_factor < MOST_THRESHOLD {
            self.threshold_factor *= THRESHOLD_STEP;
            return self.enter(Stage::Raised, Reason::OverBudget);
        }
        let next = if self.stage < Stage::Lean && self.load < 2.0 { Stage::Lean } else { Stage::Windows };
        self.enter(next, Reason::OverBudget)
    }

    fn go_up(&mut self) -> Change {
        self.since_up_s = 0.0;
        (self.going_on, self.leaves_out_tracepoints) = (0.0, false);
        let next = match self.stage {
            Stage::Off | Stage::Windows => Stage::Lean,
            Stage::Lean if self.threshold_factor > 1 => Stage::Raised,
            Stage::Raised if self.threshold_factor > THRESHOLD_STEP => {
                self.threshold_factor /= THRESHOLD_STEP;
                Stage::Raised
            }
            Stage::Lean | Stage::Raised | Stage::Full => {
                self.threshold_factor = 1;
                Stage::Full
            }
        };
        self.enter(next, Reason::Affordable)
    }

    fn enter(&mut self, to: Stage, reason: Reason) -> Change {
        let change = Change { from: self.stage, to, reason };
        self.stage = to;
        (self.calm_s, self.calm_windows, self.windows) = (0.0, 0, 0);
        self.debt_s = 0.0;
        self.has_jumped = false;
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENTH: u64 = 100_000_000;

    /// A tenth of a second that costs so many budgets.
    fn tenth(budgets: u64) -> Reading {
        Reading {
            span_ns: TENTH,
            observed_ns: TENTH,
            cost_ns: budgets * 100_000,
            of_tracepoints_ns: 0,
            allowed_ns: 100_000,
            events: 0,
            hits: 1_000,
        }
    }

    #[test]
    fn what_is_inside_the_budget_changes_nothing() {
        let mut controller = Controller::default();
        for _ in 0..10_000 {
            assert_eq!(controller.observed(&tenth(1)), None);
        }
        assert_eq!(controller.stage(), Stage::Full);
    }

    #[test]
    fn the_further_beyond_the_sooner_and_a_hundredfold_at_once() {
        let mut at_once = Controller::default();
        let change = at_once.observed(&tenth(100)).unwrap();
        assert_eq!(change, Change { from: Stage::Full, to: Stage::Windows, reason: Reason::OverBudget });
        let mut later = Controller::default();
        let ticks = (1..).find(|_| later.observed(&tenth(3)).is_some()).unwrap();
        assert!((3..=12).contains(&ticks), "{ticks} tenths of a second");
    }

    #[test]
    fn where_events_are_what_costs_the_threshold_goes_first() {
        let mut controller = Controller::default();
        let events = Reading { events: 300, cost_ns: 150_000, ..tenth(1) };
        let change = (0..100).find_map(|_| controller.observed(&events)).unwrap();
        assert_eq!((change.to, controller.threshold_factor()), (Stage::Raised, 4));
        while controller.threshold_factor() < MOST_THRESHOLD {
            controller.observed(&events);
        }
        let change = (0..100).find_map(|_| controller.observed(&events)).unwrap();
        assert_eq!(change.to, Stage::Lean, "that is as high as it gets");
    }

    #[test]
    fn windows_are_as_often_as_the_budget_allows() {
        let mut controller = Controller::default();
        controller.observed(&tenth(90));
        let plan = controller.next_window();
        assert_eq!(plan.window_ns, SHORTEST_NS);
        let duty = plan.window_ns as f64 / (plan.window_ns + plan.mean_gap_ns) as f64;
        assert!((duty - 0.01).abs() < 1e-6, "{duty}");
    }

    #[test]
    fn where_many_wait_windows_come_less_often_and_are_longer_and_at_last_fewer() {
        let share = |plan: WindowPlan| plan.window_ns as f64 / (plan.window_ns + plan.mean_gap_ns) as f64;
        let with = |looking_ns: u64| {
            let mut controller = Controller::default();
            controller.observed(&tenth(45));
            (0..50).for_each(|_| controller.looked(looking_ns));
            controller.next_window()
        };
        let usual = with(0);
        // A few goroutines change nothing, nor do as many as a budget's windows have time for.
        assert_eq!(with(3_000_000), usual);
        assert!((share(usual) - 0.02).abs() < 1e-6);
        let many = with(50_000_000);
        assert_eq!(many.window_ns, 100_000_000);
        assert!((share(many) - 0.02).abs() < 1e-6, "as much as the budget allows: {}", share(many));
        let mut calm = Controller::default();
        calm.observed(&tenth(20));
        calm.load = 2.0;
        calm.looked(24_000_000);
        let plan = calm.next_window();
        assert_eq!(plan.window_ns, LONGEST_NS);
        let cycle_ns = plan.window_ns + plan.mean_gap_ns;
        assert!(cycle_ns.abs_diff(2_400_000_000) < 1_000, "a hundred times what it takes to look: {cycle_ns}");
    }

    #[test]
    fn what_goes_on_between_windows_is_paid_first_and_left_out_where_it_costs_too_much() {
        let in_windows = || {
            let mut controller = Controller::default();
            controller.observed(&tenth(90));
            controller
        };
        // Two seconds of which a fiftieth was observed, and two budgets' worth of a fiftieth went into that.
        let window = |of_tracepoints_ns| Reading {
            span_ns: 20 * TENTH,
            observed_ns: 20 * TENTH / 50,
            cost_ns: 2_000_000 / 2 + of_tracepoints_ns,
            of_tracepoints_ns,
            allowed_ns: 2_000_000,
            ..tenth(1)
        };
        let mut some = in_windows();
        assert!((0..200).all(|_| some.window(&window(800_000)).is_none()));
        let plan = some.next_window();
        let duty = plan.window_ns as f64 / (plan.window_ns + plan.mean_gap_ns) as f64;
        assert!((duty - 0.5 / 25.0).abs() < 2e-3, "of 0.9 budgets 0.4 go on: {duty}");
        let mut much = in_windows();
        let change = much.window(&window(4_000_000)).expect("the first window tells of twice the budget");
        assert_eq!((change.from, change.to), (Stage::Windows, Stage::Windows));
        assert!(much.leaves_out_tracepoints());
        assert!((0..200).all(|_| much.window(&window(0)).is_none()), "windows go on");
        let mut more_than_half = in_windows();
        let windows = (1..).find(|_| more_than_half.window(&window(1_600_000)).is_some());
        assert_eq!(windows, Some(2), "one window alone is not believed");
    }

    #[test]
    fn what_not_even_one_window_is_affordable_for_is_off_and_tried_again() {
        let mut controller = Controller::default();
        controller.observed(&tenth(100));
        let window = Reading { span_ns: 20 * TENTH, observed_ns: TENTH / 5, cost_ns: 40_000_000_000, ..tenth(1) };
        let change = controller.window(&window).unwrap();
        assert_eq!((change.to, change.reason), (Stage::Off, Reason::OverBudget));
        assert_eq!(controller.rested().to, Stage::Windows);
        assert!(controller.next_window().mean_gap_ns >= LONGEST_GAP_NS / 2);
    }
}
