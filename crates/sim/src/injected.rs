//! A known clock error on the stamps of a real machine.
//!
//! Agents of one machine share one oscillator. To show that skews are found, each agent's stamps are moved as they
//! enter it, by parameters that the one who checks knows; nothing behind the agent can tell them from a real clock.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A clock made of a real one: every stamp of it is a function of the true stamp.
///
/// ```text
/// mono' = mono + origin_shift + (mono - t0) * drift + what the slews have brought by mono
/// raw'  = raw  + origin_shift + (raw - raw0) * drift
/// wall' = wall + offset       + (mono - t0) * drift + what the slews have brought by mono + the steps up to mono
/// ```
///
/// Products are exact (`i128`) and rounded down, so the map is a pure function of integers and can be inverted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// Jumps of WALL.
    pub steps: Vec<InjectedStep>,
    /// Times in which MONO and WALL are steered, as a daemon steers them; RAW is not.
    pub slews: Vec<InjectedSlew>,
    /// What the stamps of clock probes are ahead of MONO. No clock does that: it is a node that lies.
    pub probe_lie_ns: i64,
}

/// A jump of WALL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InjectedStep {
    /// By how much.
    pub size_ns: i64,
    /// True MONO of it.
    pub at_ns: i64,
}

/// A time in which MONO and WALL run faster, or slower, than RAW.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InjectedSlew {
    /// How much faster.
    pub rate_ppb: i64,
    /// True MONO of its begin.
    pub from_ns: i64,
    /// True MONO of its end.
    pub to_ns: i64,
}

impl InjectedClock {
    /// The injected MONO at true MONO `mono_ns`.
    pub fn mono(&self, mono_ns: i64) -> i64 {
        mono_ns.saturating_add(self.origin_shift_ns).saturating_add(self.steered_ns(mono_ns))
    }

    /// The injected RAW at true RAW `raw_ns`.
    pub fn raw(&self, raw_ns: i64) -> i64 {
        let drifted = gained_ns(self.drift_ppb, self.raw0_ns, raw_ns);
        raw_ns.saturating_add(self.origin_shift_ns).saturating_add(drifted)
    }

    /// The injected WALL where the true clocks show `mono_ns` and `wall_ns`.
    pub fn wall(&self, mono_ns: i64, wall_ns: i64) -> i64 {
        wall_ns.saturating_add(self.wall_error_ns(mono_ns))
    }

    /// The truth about WALL: what it is ahead of the true wall clock at true MONO `mono_ns`.
    pub fn wall_error_ns(&self, mono_ns: i64) -> i64 {
        let steps = self.steps.iter().filter(|step| step.at_ns <= mono_ns).map(|step| step.size_ns);
        steps.fold(self.offset_ns.saturating_add(self.steered_ns(mono_ns)), i64::saturating_add)
    }

    /// The true MONO behind an injected one: the inverse of [`InjectedClock::mono`], to the nanosecond.
    pub fn true_mono(&self, injected_ns: i64) -> i64 {
        // What is left of an error is at most what the clock gains in that time, a tenth: 10^18 ns take 18 rounds.
        let mut mono_ns = injected_ns.saturating_sub(self.origin_shift_ns);
        for _ in 0..20 {
            let error = self.mono(mono_ns).saturating_sub(injected_ns);
            if error == 0 {
                break;
            }
            mono_ns = mono_ns.saturating_sub(error);
        }
        mono_ns
    }

    /// What MONO has gained on the true one since `t0_ns`.
    fn steered_ns(&self, mono_ns: i64) -> i64 {
        let slewed = |slew: &InjectedSlew| {
            let now_ns = mono_ns.min(slew.to_ns).max(slew.from_ns);
            gained_ns(slew.rate_ppb, slew.from_ns, now_ns)
        };
        let drifted = gained_ns(self.drift_ppb, self.t0_ns, mono_ns);
        self.slews.iter().map(slewed).fold(drifted, i64::saturating_add)
    }
}

fn gained_ns(rate_ppb: i64, since_ns: i64, now_ns: i64) -> i64 {
    let elapsed = i128::from(now_ns) - i128::from(since_ns);
    let gained = (elapsed * i128::from(rate_ppb)).div_euclid(i128::from(BILLION));
    i64::try_from(gained).unwrap_or(if gained < 0 { i64::MIN } else { i64::MAX })
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
        "injected clock: unknown key {0:?}; keys: origin_shift_ns t0_ns raw0_ns offset_ns drift_ppb step slew probe_lie_ns"
    )]
    UnknownKey(String),
    /// Not what the key wants.
    #[error("injected clock: {key}={value:?} is not {wanted}")]
    BadValue {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// A clock that would stand still or run backwards.
    #[error("injected clock: {0} ppb is beyond +/-100000000 (10 %)")]
    TooFast(i64),
}

impl FromStr for InjectedClock {
    type Err = InjectedClockError;
    /// Reads `key=value,key=value`; keys that are not given are zero, and there may be several `step=SIZE_NS@AT_NS` and
    /// `slew=RATE_PPB@FROM_NS..TO_NS`.
    fn from_str(text: &str) -> Result<Self, InjectedClockError> {
        let mut clock = Self::default();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| InjectedClockError::NotAPair(pair.to_owned()))?;
            clock.set(key, value)?;
        }
        let rates = clock.slews.iter().map(|slew| slew.rate_ppb).chain([clock.drift_ppb]);
        match rates.fold(0, |sum: i64, rate| sum.saturating_add(rate.saturating_abs())) {
            fastest if fastest > BILLION / 10 => Err(InjectedClockError::TooFast(fastest)),
            _ => Ok(clock),
        }
    }
}

impl InjectedClock {
    fn set(&mut self, key: &str, value: &str) -> Result<(), InjectedClockError> {
        let bad = |wanted| InjectedClockError::BadValue { key: key.to_owned(), value: value.to_owned(), wanted };
        let number = || value.parse().map_err(|_| bad("a whole number"));
        match key {
            "origin_shift_ns" => self.origin_shift_ns = number()?,
            "t0_ns" => self.t0_ns = number()?,
            "raw0_ns" => self.raw0_ns = number()?,
            "offset_ns" => self.offset_ns = number()?,
            "drift_ppb" => self.drift_ppb = number()?,
            "probe_lie_ns" => self.probe_lie_ns = number()?,
            "step" => self.steps.push(step(value).ok_or_else(|| bad("SIZE_NS@AT_NS"))?),
            "slew" => self.slews.push(slew(value).ok_or_else(|| bad("RATE_PPB@FROM_NS..TO_NS"))?),
            _ => return Err(InjectedClockError::UnknownKey(key.to_owned())),
        }
        Ok(())
    }
}

fn step(value: &str) -> Option<InjectedStep> {
    let (size, at) = value.split_once('@')?;
    Some(InjectedStep { size_ns: size.parse().ok()?, at_ns: at.parse().ok()? })
}

fn slew(value: &str) -> Option<InjectedSlew> {
    let (rate, time) = value.split_once('@')?;
    let (from, to) = time.split_once("..")?;
    let slew = InjectedSlew { rate_ppb: rate.parse().ok()?, from_ns: from.parse().ok()?, to_ns: to.parse().ok()? };
    (slew.from_ns <= slew.to_ns).then_some(slew)
}

impl fmt::Display for InjectedClock {
    /// The text that [`InjectedClock::from_str`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin_shift_ns, t0_ns, raw0_ns, offset_ns, drift_ppb, steps, slews, probe_lie_ns } = self;
        write!(f, "origin_shift_ns={origin_shift_ns},t0_ns={t0_ns},raw0_ns={raw0_ns},offset_ns={offset_ns},")?;
        write!(f, "drift_ppb={drift_ppb},probe_lie_ns={probe_lie_ns}")?;
        steps.iter().try_for_each(|InjectedStep { size_ns, at_ns }| write!(f, ",step={size_ns}@{at_ns}"))?;
        slews
            .iter()
            .try_for_each(|InjectedSlew { rate_ppb, from_ns, to_ns }| write!(f, ",slew={rate_ppb}@{from_ns}..{to_ns}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clock() -> InjectedClock {
        "origin_shift_ns=5000,t0_ns=1000000,offset_ns=-48700000,drift_ppb=80000,probe_lie_ns=9,\
         step=25@9000,step=-7@9500,slew=-400000@2000000000..3000000000"
            .parse()
            .unwrap()
    }

    #[test]
    fn drift_grows_from_t0_and_each_step_comes_at_its_time() {
        let clock = clock();
        assert_eq!(clock.mono(1_000_000), 1_005_000);
        assert_eq!(clock.mono(1_001_000_000) - clock.mono(1_000_000), 1_000_080_000);
        let moved = |from, to| clock.wall(to, 0) - clock.wall(from, 0);
        assert_eq!([moved(8_999, 9_000), moved(9_499, 9_500), moved(8_999, 9_600)], [25, -7, 18]);
    }

    #[test]
    fn a_slew_steers_mono_and_wall_alike_while_it_lasts_and_not_raw() {
        let (clock, s) = (clock(), 1_000_000_000);
        let gained = |from: i64, to: i64| clock.mono(to) - clock.mono(from) - (to - from);
        assert_eq!([gained(s, 2 * s), gained(2 * s, 3 * s), gained(3 * s, 4 * s)], [80_000, 80_000 - 400_000, 80_000]);
        assert_eq!(clock.wall(3 * s, 0) - clock.wall(2 * s, 0), gained(2 * s, 3 * s));
        assert_eq!(clock.raw(3 * s) - clock.raw(2 * s), s + 80_000);
    }

    #[test]
    fn what_it_prints_it_reads() {
        assert_eq!(clock().to_string().parse(), Ok(clock()));
    }

    #[test]
    fn nonsense_is_refused_with_its_name() {
        let cases = [
            ("x", "key=value"),
            ("tick_ns=1", "tick_ns"),
            ("t0_ns=1.5", "1.5"),
            ("drift_ppb=900000000", "10 %"),
            ("drift_ppb=60000000,slew=-60000000@1..2", "10 %"),
            ("step=5", "SIZE_NS@AT_NS"),
            ("slew=5@9..8", "FROM_NS..TO_NS"),
        ];
        for (text, part) in cases {
            let error = text.parse::<InjectedClock>().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    proptest! {
        #[test]
        fn the_inverse_is_right_to_the_nanosecond(
            mono in 0i64..1 << 50, drift_ppb in -500_000i64..500_000, t0_ns in 0i64..1 << 50, origin_shift_ns in -(1i64 << 45)..1 << 45,
            rate_ppb in -500_000i64..500_000, from_ns in 0i64..1 << 50, lasts_ns in 0i64..1 << 45,
        ) {
            let slews = vec![InjectedSlew { rate_ppb, from_ns, to_ns: from_ns + lasts_ns }];
            let clock = InjectedClock { drift_ppb, t0_ns, origin_shift_ns, slews, ..InjectedClock::default() };
            prop_assert!(clock.true_mono(clock.mono(mono)).abs_diff(mono) <= 1);
        }
    }
}
