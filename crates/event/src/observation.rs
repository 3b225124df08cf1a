//! How processes were observed: all the time, or with less than was asked for, or in windows of time.

use syncline_timebase::{Instant, Mono};

/// The weight of what is seen of a process that is observed all the time, in thousandths.
pub const ONCE_MILLI: u32 = 1_000;

/// With what a process is observed; each costs it less than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObservationStage {
    /// With all that was asked for.
    Full,
    /// With a higher threshold.
    Raised,
    /// Without what is dear.
    Lean,
    /// As lean, and in windows of time.
    Windows,
    /// Not at all.
    Off,
}

impl ObservationStage {
    /// All, in order.
    pub const ALL: [Self; 5] = [Self::Full, Self::Raised, Self::Lean, Self::Windows, Self::Off];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Raised => "raised",
            Self::Lean => "lean",
            Self::Windows => "windows",
            Self::Off => "off",
        }
    }
}

/// Why a process came to be observed so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObservationReason {
    /// Its observation began.
    Began,
    /// It cost more than its budget.
    OverBudget,
    /// Its budget allows for it.
    Affordable,
    /// It was off for long enough.
    Rested,
}

impl ObservationReason {
    /// All, in order.
    pub const ALL: [Self; 4] = [Self::Began, Self::OverBudget, Self::Affordable, Self::Rested];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Began => "began",
            Self::OverBudget => "over_budget",
            Self::Affordable => "affordable",
            Self::Rested => "rested",
        }
    }
}

/// How a process was observed over some time. Those of a process follow one another without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Index into [`crate::Batch::processes`].
    pub process: u32,
    /// Begin of the time.
    pub from: Instant<Mono>,
    /// Its length, ns of MONO.
    pub duration_ns: u64,
    /// Of that the process was observed, ns.
    pub observed_ns: u64,
    /// In so many windows; 0 where it was observed all the time, or not at all.
    pub windows: u32,
    /// With what.
    pub stage: ObservationStage,
    /// Why with that.
    pub reason: ObservationReason,
    /// Shortest wait that became an event, ns.
    pub threshold_ns: u64,
    /// Kinds that were not captured, separated by commas.
    pub without: String,
    /// What it might cost, in millionths of its CPU time.
    pub budget_ppm: u32,
    /// What it cost, ns of CPU time.
    pub cost_ns: u64,
    /// All CPU time of the process, ns.
    pub cpu_ns: u64,
}
