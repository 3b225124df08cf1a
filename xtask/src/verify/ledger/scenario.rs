//! What is done to the agent, and what it must lose by that.

use clap::ValueEnum;

/// One run of an observed program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Scenario {
    Calm,
    Everything,
    SmallRing,
    AgentStops,
    AggregatorStops,
    Crowd,
    Killed,
    KilledApart,
    Budget,
}

impl Scenario {
    pub(super) const ALL: [Self; 9] = [
        Self::Calm,
        Self::Everything,
        Self::SmallRing,
        Self::AgentStops,
        Self::AggregatorStops,
        Self::Crowd,
        Self::Killed,
        Self::KilledApart,
        Self::Budget,
    ];

    /// Also the name of its node.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Everything => "everything",
            Self::SmallRing => "small-ring",
            Self::AgentStops => "agent-stops",
            Self::AggregatorStops => "aggregator-stops",
            Self::Crowd => "crowd",
            Self::Killed => "killed",
            Self::KilledApart => "killed-apart",
            Self::Budget => "budget",
        }
    }

    pub(super) fn what_happens(self) -> &'static str {
        match self {
            Self::Calm => "default threshold",
            Self::Everything => "threshold 0",
            Self::SmallRing => "threshold 0, a ring of 64 KiB",
            Self::AgentStops => "threshold 0, the agent is stopped for 2 s, twice",
            Self::AggregatorStops => "threshold 0, no spool and a queue of 1 MiB, the aggregator is stopped for 6 s",
            Self::Crowd => "threshold 1 h, 1.2 million goroutines park at once",
            Self::Killed => "threshold 0, the agent is killed and another one comes",
            Self::KilledApart => "threshold 0, the same while the aggregator is stopped for 6 s",
            Self::Budget => "threshold 0, a budget of 1 %: in windows of time",
        }
    }

    /// Arguments of the agent beside the usual ones.
    pub(super) fn agent(self) -> &'static [&'static str] {
        match self {
            Self::Calm => &["--budget", "off"],
            Self::Budget => &["--threshold", "0us", "--budget", "1%"],
            Self::SmallRing => &["--threshold", "0us", "--ring-bytes", "64KiB", "--budget", "off"],
            Self::AggregatorStops => {
                &["--threshold", "0us", "--queue-bytes", "1MiB", "--spool", "none", "--budget", "off"]
            }
            // All of them as events would take longer to send than an agent has at its end.
            Self::Crowd => &["--threshold", "3600s", "--budget", "off"],
            Self::Everything | Self::AgentStops | Self::Killed | Self::KilledApart => {
                &["--threshold", "0us", "--budget", "off"]
            }
        }
    }

    /// Arguments of the observed program.
    pub(super) fn program(self) -> &'static [&'static str] {
        match self {
            Self::Crowd => &["-crowd", "1200000"],
            _ => &["-pairs", "100"],
        }
    }

    /// What must be lost, by its name in the store.
    pub(super) fn cause(self) -> Option<&'static str> {
        match self {
            Self::Calm | Self::Everything | Self::Killed | Self::KilledApart | Self::Budget => None,
            Self::SmallRing | Self::AgentStops => Some("ring_buffer_full"),
            Self::AggregatorStops => Some("queue_full"),
            Self::Crowd => Some("park_map_full"),
        }
    }
}
