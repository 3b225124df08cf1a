//! What a scenario promises.

use std::fmt;

/// A number that is known beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Exactly so many.
    Exactly(u64),
    /// At most so many.
    AtMost(u64),
    /// At least so many.
    AtLeast(u64),
    /// Any number.
    Any,
}

impl Count {
    /// Whether `count` is such a number.
    pub const fn allows(self, count: u64) -> bool {
        match self {
            Self::Exactly(only) => count == only,
            Self::AtMost(most) => count <= most,
            Self::AtLeast(least) => count >= least,
            Self::Any => true,
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(count) => write!(f, "exactly {count}"),
            Self::AtMost(count) => write!(f, "at most {count}"),
            Self::AtLeast(count) => write!(f, "at least {count}"),
            Self::Any => write!(f, "any number"),
        }
    }
}

/// How wide the hard bound may be, half of the width, in 95 of 100 settled answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// Half the best round trip of the run and so many ns more.
    HalfBestRoundTripAnd(u64),
    /// So many ns.
    Ns(u64),
}

impl Width {
    /// The limit where the best round trip of the run took `best_round_trip_ns`, ns.
    pub const fn limit_ns(self, best_round_trip_ns: u64) -> u64 {
        match self {
            Self::HalfBestRoundTripAnd(more) => best_round_trip_ns / 2 + more,
            Self::Ns(limit) => limit,
        }
    }
}

impl fmt::Display for Width {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HalfBestRoundTripAnd(more) => write!(f, "half the best round trip + {}", Ns(*more)),
            Self::Ns(limit) => write!(f, "{}", Ns(*limit)),
        }
    }
}

/// What a scenario promises, over and above what holds in every one: nothing panics, and the truth is inside the hard
/// bound, both when an answer is given after the first exchange that began after the event, and in hindsight.
///
/// "Settled" leaves out the first [`Limits::settling_ns`] of the run and as long after everything that disturbs the
/// clocks or the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long an estimator may take to settle, ns.
    pub settling_ns: i64,
    /// 99 of 100 settled answers are off by at most so many ns.
    pub point_ns: Option<u64>,
    /// How wide the bound may be.
    pub width: Option<Width>,
    /// Disruptions declared.
    pub disruptions: Count,
    /// Each is declared within so many finished exchanges begun after it.
    pub noticed_within: Option<u64>,
    /// Steps of the wall clock found; sizes are right to 10 us or the brackets, whichever is more.
    pub wall_steps: Count,
    /// Samples refused, by the cause's name; a cause that is not here never occurs.
    pub refused: Vec<(&'static str, Count)>,
    /// Events that no exchange separates from a disruption need not be inside the bound.
    pub gap_excused: bool,
    /// So long before and after a disruption or a lie events need not be inside the bound, ns: it takes time to notice.
    pub recovery_ns: i64,
    /// The last answers of the run have a finite bound.
    pub ends_bounded: bool,
}

impl Default for Limits {
    /// One minute to settle, nothing declared, nothing refused, no excuses.
    fn default() -> Self {
        Self {
            settling_ns: 60_000_000_000,
            point_ns: None,
            width: None,
            disruptions: Count::Exactly(0),
            noticed_within: None,
            wall_steps: Count::Exactly(0),
            refused: Vec::new(),
            gap_excused: false,
            recovery_ns: 0,
            ends_bounded: true,
        }
    }
}

impl Limits {
    /// How many refusals of this cause there may be.
    pub fn refused(&self, cause: &str) -> Count {
        self.refused.iter().find(|(name, _)| *name == cause).map_or(Count::Exactly(0), |(_, count)| *count)
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(limit) = self.point_ns {
            write!(f, "p99 of the error <= {} and ", Ns(limit))?;
        }
        if let Some(width) = self.width {
            write!(f, "p95 of the bound's half width <= {width}, ")?;
        }
        if self.point_ns.is_some() || self.width.is_some() {
            write!(f, "once settled ({}); ", Ns(self.settling_ns.unsigned_abs()))?;
        }
        write!(f, "disruptions declared: {}", self.disruptions)?;
        if let Some(probes) = self.noticed_within {
            write!(f, ", within {probes} exchanges")?;
        }
        write!(f, "; wall steps found: {}; refused: ", self.wall_steps)?;
        match self.refused.as_slice() {
            [] => write!(f, "nothing")?,
            causes => causes.iter().enumerate().try_for_each(|(place, (cause, count))| {
                write!(f, "{}{count} {cause}", if place > 0 { ", " } else { "" })
            })?,
        }
        if self.gap_excused {
            write!(f, "; excused: events that no exchange separates from a disruption")?;
        }
        if self.recovery_ns > 0 {
            write!(f, "; excused: {} before and after it", Ns(self.recovery_ns.unsigned_abs()))?;
        }
        if !self.ends_bounded {
            write!(f, "; may end without a finite bound")?;
        }
        Ok(())
    }
}

/// Nanoseconds as one reads them.
struct Ns(u64);

impl fmt::Display for Ns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = match self.0 {
            0..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "us"),
            1_000_000..1_000_000_000 => (1_000_000, "ms"),
            _ => (1_000_000_000, "s"),
        };
        write!(f, "{} {name}", self.0 as f64 / f64::from(unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_read_as_a_sentence() {
        let limits = Limits {
            point_ns: Some(20_000),
            width: Some(Width::HalfBestRoundTripAnd(5_000)),
            disruptions: Count::Exactly(1),
            noticed_within: Some(2),
            refused: vec![("probe_impossible", Count::AtLeast(3))],
            ..Limits::default()
        };
        assert_eq!(
            limits.to_string(),
            "p99 of the error <= 20 us and p95 of the bound's half width <= half the best round trip + 5 us, \
             once settled (60 s); disruptions declared: exactly 1, within 2 exchanges; wall steps found: exactly 0; \
             refused: at least 3 probe_impossible"
        );
    }

    #[test]
    fn what_is_not_listed_is_never_refused() {
        assert!(!Limits::default().refused("probe_impossible").allows(1));
        assert!(Count::AtMost(2).allows(2) && !Count::AtMost(2).allows(3) && !Count::AtLeast(2).allows(1));
    }
}
