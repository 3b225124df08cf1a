//! Guests that are frozen, suspended and moved, and counters that change under a running kernel.

use super::*;

/// When the 300th probe leaves, where timers are never late.
const PROBE_300: i64 = 300 * SECOND + 850 * MS + 2 * US;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        once(29, "pause", "The guest is frozen for 80 ms between two exchanges.", pause(between(300), 80 * MS)),
        once(30, "pause_of_an_hour", "The guest is frozen for an hour.", pause(between(300), 3_600 * SECOND))
            .lasting(4_200 * SECOND),
        once(
            31,
            "pause_as_the_request_leaves",
            "The guest is frozen for 80 ms while its request is on the way.",
            pause(PROBE_300 + 30 * US, 80 * MS),
        )
        .punctual(),
        once(
            32,
            "pause_as_the_reply_returns",
            "The guest is frozen for 80 ms while the reply is on the way.",
            pause(PROBE_300 + 110 * US, 80 * MS),
        )
        .punctual(),
        unseen(
            33,
            "pause_inside_exchange",
            "The guest is frozen for 25 ms in the middle of an exchange of 40 ms, which fakes a round trip of 15 ms.",
            &[pause(PROBE_300 + 10 * MS, 25 * MS)],
        )
        .punctual(),
        unseen(
            34,
            "pause_below_the_floor",
            "The guest is frozen for 10 ms between exchanges; the way there takes 20 ms.",
            &[pause(between(300), 10 * MS)],
        ),
        unseen(
            35,
            "pause_below_the_round_trip",
            "The guest is frozen for 30 ms between exchanges; the way there takes 20 ms, a round trip 40 ms.",
            &[pause(between(300), 30 * MS)],
        ),
        unseen(
            36,
            "pauses_that_add_up",
            "The guest is frozen eight times for 12 ms, 20 s apart, where a round trip takes 40 ms.",
            &[0, 1, 2, 3, 4, 5, 6, 7].map(|turn| pause(between(300 + 20 * turn), 12 * MS)),
        ),
        stolen_time(),
        Scenario {
            limits: Limits { wall_steps: Count::Exactly(1), ..noticed() },
            ..once(
                38,
                "suspend",
                "Suspend to RAM for ten minutes: MONO and RAW stand still, REF goes on, WALL is set at waking.",
                Fault::Suspend { at_ns: between(300), length_ns: 600 * SECOND },
            )
            .lasting(1_200 * SECOND)
        },
        once(
            39,
            "migration",
            "A live migration: frozen for 300 ms, then on an oscillator that is 40 ppm faster.",
            migration(between(300), 300 * MS, 0, 40_000.0),
        ),
        Scenario {
            // Nothing hard contradicts it, but both ways move against each other, which may be taken for what it is.
            limits: Limits { recovery_ns: 60 * SECOND, disruptions: Count::AtMost(1), ..on_wan() },
            ..unseen(
                40,
                "migration_unseen",
                "A live migration frozen for 15 ms where the way there takes 20 ms, to an oscillator 30 ppm faster.",
                &[migration(between(300), 15 * MS, 0, 30_000.0)],
            )
        },
        once(
            41,
            "migration_overpaid",
            "A live migration frozen for 100 ms; the new host adds 180 ms to the guest's counter for it.",
            migration(between(300), 100 * MS, 180 * MS, -15_000.0),
        ),
        migrations(),
        clock_source(),
        raw_jump(44, "raw_jumps", "RAW alone jumps by 5 ms, as when a hypervisor sets the counter.", 5 * MS),
        raw_jump(45, "raw_jumps_back", "RAW alone jumps back by 5 ms.", -5 * MS),
        Scenario {
            faults: vec![
                pause(between(300), 200 * MS),
                Fault::ReferencePause { at_ns: between(300), length_ns: 200 * MS },
            ],
            ..lan(
                46,
                "host_frozen",
                "The host of node and reference is frozen for 200 ms: nobody can tell, nobody need.",
            )
        },
        restless(),
    ]
}

fn pause(at_ns: i64, length_ns: i64) -> Fault {
    Fault::Pause { at_ns, length_ns }
}

fn migration(at_ns: i64, blackout_ns: i64, credited_ns: i64, frequency_ppb: f64) -> Fault {
    Fault::Migration { at_ns, blackout_ns, credited_ns, frequency_ppb }
}

fn once(number: u16, name: &'static str, what: &'static str, fault: Fault) -> Scenario {
    Scenario { faults: vec![fault], limits: noticed(), ..lan(number, name, what) }
}

/// Shorter than a round trip: no single exchange shows it, but the truth is still to be inside.
fn unseen(number: u16, name: &'static str, what: &'static str, faults: &[Fault]) -> Scenario {
    let disruptions = Count::AtMost(faults.len() as u64);
    Scenario {
        faults: faults.to_vec(),
        limits: Limits { disruptions, ..on_wan() },
        length_ns: 600 * SECOND,
        ..wan(number, name, what)
    }
}

impl Scenario {
    fn lasting(self, length_ns: i64) -> Self {
        Self { length_ns, ..self }
    }

    /// Timers are never late, so that a fault meets an exchange.
    fn punctual(self) -> Self {
        Self { sampling: Sampling { late_ns: 0.0, ..self.sampling }, ..self }
    }
}

fn stolen_time() -> Scenario {
    let faults: Vec<Fault> = (3..30).map(|turn| pause(between(turn * 20), 5 * MS)).collect();
    Scenario {
        limits: Limits {
            settling_ns: 8 * SECOND,
            point_ns: Some(15_000),
            width: Some(Width::HalfBestRoundTripAnd(60_000)),
            disruptions: Count::Exactly(faults.len() as u64),
            ..noticed()
        },
        faults,
        ..lan(37, "stolen_time", "A crowded host freezes the guest for 5 ms every 20 s.")
    }
}

/// More disruptions than a model of bounded memory may keep apart.
fn restless() -> Scenario {
    let faults: Vec<Fault> = (30..330).map(|turn| pause(between(2 * turn), 5 * MS)).collect();
    Scenario {
        limits: Limits { disruptions: Count::Exactly(faults.len() as u64), ..Limits::default() },
        faults,
        length_ns: 720 * SECOND,
        ..lan(47, "restless", "The guest is frozen for 5 ms every 2 s, three hundred times.")
    }
}

fn migrations() -> Scenario {
    Scenario {
        faults: vec![migration(between(300), 120 * MS, 0, 25_000.0), migration(between(304), 90 * MS, 0, -60_000.0)],
        limits: Limits { disruptions: Count::Exactly(2), ..noticed() },
        ..lan(42, "two_migrations", "Two live migrations 4 s apart, to oscillators 25 ppm faster and 60 ppm slower.")
    }
}

/// Beyond the tolerance of 1 ppm in 256 s, and nothing shows it at once.
fn clock_source() -> Scenario {
    let jump = CounterJump { at_ns: between(300), frequency_ppb: 60_000.0, ..CounterJump::default() };
    Scenario {
        faults: vec![Fault::Counter(jump)],
        limits: Limits { disruptions: Count::AtMost(3), recovery_ns: 30 * SECOND, ..on_lan() },
        ..lan(43, "clock_source", "The kernel changes its clock source: all clocks run 60 ppm faster, without a jump.")
    }
}

fn raw_jump(number: u16, name: &'static str, what: &'static str, raw_ns: i64) -> Scenario {
    let jump = CounterJump { at_ns: between(300), raw_ns, ..CounterJump::default() };
    Scenario {
        limits: Limits { noticed_within: Some(1), ..noticed() },
        ..once(number, name, what, Fault::Counter(jump))
    }
}
