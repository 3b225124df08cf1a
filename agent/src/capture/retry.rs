//! When to look again at what could not be observed.

use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// When to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    /// The outcome would be the same.
    Never,
    /// The cause may pass: at this moment, and, if it has not passed by then, after a longer pause.
    At {
        /// The moment.
        moment: Instant,
        /// How long the pause before it was.
        pause: Duration,
    },
}

impl Retry {
    /// After a failure that may pass; `before` is what was decided at the failure before this one.
    pub(super) fn after(before: Option<Self>, now: Instant) -> Self {
        let pause = match before {
            Some(Self::At { pause, .. }) => pause.saturating_mul(2).min(LONGEST_PAUSE),
            Some(Self::Never) | None => FIRST_PAUSE,
        };
        Self::At { moment: now + pause, pause }
    }

    /// The same, without the pause.
    pub(super) fn at_once(self) -> Self {
        match self {
            Self::Never => Self::Never,
            Self::At { moment, pause } => Self::At { moment: moment.checked_sub(pause).unwrap_or(moment), pause },
        }
    }

    pub(super) fn is_due(self, now: Instant) -> bool {
        match self {
            Self::Never => false,
            Self::At { moment, .. } => now >= moment,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_a_minute() {
        let mut now = Instant::now();
        let mut retry = None;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let next = Retry::after(retry, now);
            let Retry::At { moment, pause } = next else { panic!("never") };
            assert!(!next.is_due(now) && next.is_due(moment));
            pauses.push(pause.as_secs());
            (now, retry) = (moment, Some(next));
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert!(Retry::after(None, now).at_once().is_due(now));
        assert!(!Retry::Never.is_due(now + Duration::from_secs(1 << 20)));
    }
}
