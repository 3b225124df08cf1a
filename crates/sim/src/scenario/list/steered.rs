//! What NTP, operators and leap seconds do to MONO and WALL. RAW does not care, and neither may an estimate.

use super::*;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        stepped(15, "step_forward", "Somebody sets the wall clock 10^8 s ahead.", &[(300 * SECOND, 10i64.pow(17))]),
        stepped(16, "step_back", "Somebody sets the wall clock 10^8 s back.", &[(300 * SECOND, -(10i64.pow(17)))]),
        stepped(
            17,
            "small_steps",
            "The wall clock is set by -3 s, 25 ms, -40 us and 6 us.",
            &[(100 * SECOND, -3 * SECOND), (200 * SECOND, 25 * MS), (300 * SECOND, -40 * US), (400 * SECOND, 6 * US)],
        ),
        stepped(
            18,
            "step_inside_exchange",
            "The wall clock is set by 2 s while a probe is on its way.",
            &[(300 * SECOND + 850 * MS + 80 * US, 2 * SECOND)],
        ),
        time_sync_tool(),
        slew(),
        ntp_in_lock(),
        Scenario {
            faults: steering(&[(300, 83_333_000.0), (306, 0.0)]),
            limits: Limits { disruptions: Count::AtMost(2), ..on_lan() },
            ..lan(22, "tick_slew", "chrony slews 0.5 s away by the length of the tick: MONO runs 8.3 % fast for 6 s.")
        },
        stepped(23, "leap_second", "The kernel inserts a leap second.", &[(300 * SECOND, -SECOND)]),
        stepped(24, "leap_second_deleted", "The kernel deletes a second.", &[(300 * SECOND, SECOND)]),
        Scenario {
            faults: steering(&[(120, -11_574.0), (480, 0.0)]),
            ..lan(25, "leap_smear", "A piece of a linear smear of 24 hours: MONO and WALL run 11.6 ppm slow.")
        },
        cosine_smear(),
        boot_in_1970(),
        year_2262(),
    ]
}

fn stepped(number: u16, name: &'static str, what: &'static str, steps: &[(i64, i64)]) -> Scenario {
    Scenario {
        faults: steps.iter().map(|(at_ns, size_ns)| wall_step(*at_ns + 20 * MS, *size_ns)).collect(),
        limits: Limits { wall_steps: Count::Exactly(steps.len() as u64), ..on_lan() },
        ..lan(number, name, what)
    }
}

fn steering(changes: &[(i64, f64)]) -> Vec<Fault> {
    changes.iter().map(|(at_s, ppb)| Fault::Steering { from_ns: at_s * SECOND, ppb: *ppb }).collect()
}

fn time_sync_tool() -> Scenario {
    let steps: Vec<(i64, i64)> =
        (5..55).map(|tick| (tick * 10 * SECOND, if tick % 3 == 0 { 9 } else { -5 } * MS)).collect();
    stepped(19, "time_sync_tool", "A tool of the hypervisor sets the wall clock by some ms every ten seconds.", &steps)
}

fn slew() -> Scenario {
    Scenario {
        faults: steering(&[(0, 20_000.0), (200, 500_000.0), (260, -500_000.0), (320, 0.0)]),
        ..lan(20, "slew", "adjtime slews MONO and WALL by 500 ppm one way, then by 500 ppm the other.")
    }
}

/// A daemon corrects the rate every second by what it thinks is left.
fn ntp_in_lock() -> Scenario {
    let correction = |second: i64| ((second * 7_919) % 2_003 - 1_001) as f64 * 30.0;
    let changes: Vec<(i64, f64)> = (0..600).map(|second| (second, 20_000.0 + correction(second))).collect();
    Scenario {
        faults: steering(&changes),
        ..lan(21, "ntp_in_lock", "NTP changes the rate of MONO every second, by up to 60 ppm.")
    }
}

fn cosine_smear() -> Scenario {
    let ppb = |tick: i64| -30_000.0 * (1.0 - (std::f64::consts::TAU * tick as f64 / 50.0).cos()) / 2.0;
    let changes: Vec<(i64, f64)> = (0..=50).map(|tick| (50 + tick * 10, ppb(tick))).collect();
    Scenario {
        faults: steering(&changes),
        ..lan(
            26,
            "cosine_smear",
            "A smear whose rate rises to 30 ppm and falls again like a cosine, set anew every 10 s.",
        )
    }
}

fn boot_in_1970() -> Scenario {
    let node = NodeSettings { uptime_ns: 0, wall_at_zero_ns: 0, ..NodeSettings::default() };
    Scenario {
        node,
        faults: vec![wall_step(60 * SECOND + 20 * MS, 1_790_000_000 * SECOND)],
        limits: Limits { wall_steps: Count::Exactly(1), ..on_lan() },
        ..lan(
            27,
            "boot_in_1970",
            "A node without a battery clock boots in 1970; MONO, RAW and WALL begin at 0, WALL is set after 60 s.",
        )
    }
}

/// At the end of 64 bits WALL stands still while MONO goes on: every knot shows a step.
fn year_2262() -> Scenario {
    Scenario {
        faults: vec![wall_step(300 * SECOND + 20 * MS, i64::MAX)],
        limits: Limits { wall_steps: Count::AtLeast(1), ..on_lan() },
        ..lan(28, "year_2262", "The wall clock is set to the last nanosecond that 64 bits hold, and stays there.")
    }
}
