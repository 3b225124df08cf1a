//! A known clock error on the stamps of a real machine.
//!
//! Agents of one machine share one oscillator. To show that skews are found, each agent's stamps are moved as they
//! enter it, by parameters that the one who checks knows; nothing behind the agent can tell them from a real clock.

use std::str::FromStr;

use thiserror::Error;

/// A clock made of a real one: every stamp of it is a function of the true stamp.
///
/// ```text
/// mono' = mono + origin_shift + (mono - t0) * drift
/// raw'  = raw  + origin_shift + (raw - raw0) * drift
/// wall' = wall + offset       + (mono - t0) * drift + (mono >= step_at ? step : 0)
/// ```
///
/// Products are exact (`i128`) and rounded down, so the map is a pure function of integers and can be inverted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InjectedClock {
    /// What MONO and RAW are ahead from the start: another uptime, as another machine has.
    pub origin_shift_ns: i64,
    /// True MONO at which the drift starts from zero.
    pub t0_ns: i64,
    /// True RAW at the same moment.
    pub raw0_ns: i64,
    /// What WALL is ahead at `t0_ns`.
    pub offset_ns: i64,
    /// How much faster all three clocks run.
    pub drift_ppb: i64,
    /// What WALL jumps by at `step_at_ns`.
    pub step_ns: i64,
    /// True MONO of the jump.
    pub step_at_ns: i64,
}

impl InjectedClock {
    /// The injected MONO at true MONO `mono_ns`.
    pub fn mono(&self, mono_ns: i64) -> i64 {
        mono_ns.saturating_add(self.origin_shift_ns).saturating_add(self.drifted_ns(mono_ns, self.t0_ns))
    }

    /// The injected RAW at true RAW `raw_ns`.
    pub fn raw(&self, raw_ns: i64) -> i64 {
        raw_ns.saturating_add(self.origin_shift_ns).saturating_add(self.drifted_ns(raw_ns, self.raw0_ns))
    }

    /// The injected WALL where the true clocks show `mono_ns` and `wall_ns`.
    pub fn wall(&self, mono_ns: i64, wall_ns: i64) -> i64 {
        wall_ns.saturating_add(self.wall_error_ns(mono_ns))
    }

    /// The truth about WALL: what it is ahead of the true wall clock at true MONO `mono_ns`.
    pub fn wall_error_ns(&self, mono_ns: i64) -> i64 {
        let step = if mono_ns >= self.step_at_ns { self.step_ns } else { 0 };
        self.offset_ns.saturating_add(self.drifted_ns(mono_ns, self.t0_ns)).saturating_add(step)
    }

    /// The true MONO behind an injected one: the inverse of [`InjectedClock::mono`], to the nanosecond.
    pub fn true_mono(&self, injected_ns: i64) -> i64 {
        let since = i128::from(injected_ns) - i128::from(self.origin_shift_ns) - i128::from(self.t0_ns);
        let scale = i128::from(BILLION) + i128::from(self.drift_ppb);
        let guess = i128::from(self.t0_ns) + since * i128::from(BILLION) / scale.max(1);
        let guess = i64::try_from(guess).unwrap_or(if guess < 0 { i64::MIN } else { i64::MAX });
        // The division is within a nanosecond or two of the floored product.
        let candidates = (-2..=2).map(|step| guess.saturating_add(step));
        candidates.min_by_key(|mono| self.mono(*mono).abs_diff(injected_ns)).unwrap_or(guess)
    }

    fn drifted_ns(&self, now_ns: i64, since_ns: i64) -> i64 {
        let elapsed = i128::from(now_ns) - i128::from(since_ns);
        let drifted = (elapsed * i128::from(self.drift_ppb)).div_euclid(i128::from(BILLION));
        i64::try_from(drifted).unwrap_or(if drifted < 0 { i64::MIN } else { i64::MAX })
    }
}

const BILLION: i64 = 1_000_000_000;

/// A text does not describe an injected clock.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InjectedClockError {
    /// Not `key=value`.
    #[error("injected clock: {0:?} is not key=value")]
    NotAPair(String),
    /// A key that does not exist.
    #[error(
        "injected clock: unknown key {0:?}; keys: origin_shift_ns t0_ns raw0_ns offset_ns drift_ppb step_ns step_at_ns"
    )]
    UnknownKey(String),
    /// Not a whole number.
    #[error("injected clock: {key}={value:?} is not a whole number")]
    NotANumber {
        /// The key.
        key: String,
        /// Its value.
        value: String,
    },
    /// A clock that would stand still or run backwards.
    #[error("injected clock: drift_ppb={0} is beyond +/-100000000 (10 %)")]
    DriftTooLarge(i64),
}

impl FromStr for InjectedClock {
    type Err = InjectedClockError;
    /// Reads `key=value,key=value`; keys that are not given are zero.
    fn from_str(text: &str) -> Result<Self, InjectedClockError> {
        let mut clock = Self::default();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| InjectedClockError::NotAPair(pair.to_owned()))?;
            *clock.field(key)? = value
                .parse()
                .map_err(|_| InjectedClockError::NotANumber { key: key.to_owned(), value: value.to_owned() })?;
        }
        if clock.drift_ppb.saturating_abs() > BILLION / 10 {
            return Err(InjectedClockError::DriftTooLarge(clock.drift_ppb));
        }
        Ok(clock)
    }
}

impl InjectedClock {
    fn field(&mut self, key: &str) -> Result<&mut i64, InjectedClockError> {
        match key {
            "origin_shift_ns" => Ok(&mut self.origin_shift_ns),
            "t0_ns" => Ok(&mut self.t0_ns),
            "raw0_ns" => Ok(&mut self.raw0_ns),
            "offset_ns" => Ok(&mut self.offset_ns),
            "drift_ppb" => Ok(&mut self.drift_ppb),
            "step_ns" => Ok(&mut self.step_ns),
            "step_at_ns" => Ok(&mut self.step_at_ns),
            _ => Err(InjectedClockError::UnknownKey(key.to_owned())),
        }
    }
}

impl std::fmt::Display for InjectedClock {
    /// The text that [`InjectedClock::from_str`] reads.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { origin_shift_ns, t0_ns, raw0_ns, offset_ns, drift_ppb, step_ns, step_at_ns } = self;
        write!(f, "origin_shift_ns={origin_shift_ns},t0_ns={t0_ns},raw0_ns={raw0_ns},offset_ns={offset_ns},")?;
        write!(f, "drift_ppb={drift_ppb},step_ns={step_ns},step_at_ns={step_at_ns}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clock() -> InjectedClock {
        "origin_shift_ns=5000,t0_ns=1000000,offset_ns=-48700000,drift_ppb=80000,step_ns=25,step_at_ns=9000"
            .parse()
            .unwrap()
    }

    #[test]
    fn drift_grows_from_t0_and_the_step_comes_at_its_time() {
        let clock = clock();
        assert_eq!(clock.mono(1_000_000), 1_005_000);
        assert_eq!(clock.mono(1_001_000_000) - clock.mono(1_000_000), 1_000_080_000);
        assert_eq!(clock.wall(9_000, 0) - clock.wall(8_999, 0), 25);
    }

    #[test]
    fn what_it_prints_it_reads() {
        assert_eq!(clock().to_string().parse(), Ok(clock()));
    }

    #[test]
    fn nonsense_is_refused_with_its_name() {
        for (text, part) in
            [("x", "key=value"), ("tick_ns=1", "tick_ns"), ("t0_ns=1.5", "1.5"), ("drift_ppb=900000000", "10 %")]
        {
            let error = text.parse::<InjectedClock>().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    proptest! {
        #[test]
        fn the_inverse_is_right_to_the_nanosecond(
            mono in 0i64..1 << 50, drift_ppb in -500_000i64..500_000, t0_ns in 0i64..1 << 50, origin_shift_ns in -(1i64 << 45)..1 << 45,
        ) {
            let clock = InjectedClock { drift_ppb, t0_ns, origin_shift_ns, ..InjectedClock::default() };
            prop_assert!(clock.true_mono(clock.mono(mono)).abs_diff(mono) <= 1);
        }
    }
}
