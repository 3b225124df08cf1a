//! How processes were observed: checked types to messages and back.

use syncline_event::{Observation, ObservationReason, ObservationStage};
use syncline_timebase::Instant;

use crate::decode::field;
use crate::error::WireError;
use crate::v1;

impl From<&Observation> for v1::Observation {
    fn from(one: &Observation) -> Self {
        Self {
            process: one.process,
            from_mono_ns: one.from.ns(),
            duration_ns: one.duration_ns,
            observed_ns: one.observed_ns,
            windows: one.windows,
            stage: number(&ObservationStage::ALL, &one.stage),
            reason: number(&ObservationReason::ALL, &one.reason),
            threshold_ns: one.threshold_ns,
            without: one.without.clone(),
            budget_ppm: one.budget_ppm,
            cost_ns: one.cost_ns,
            cpu_ns: one.cpu_ns,
        }
    }
}

impl TryFrom<v1::Observation> for Observation {
    type Error = WireError;
    fn try_from(message: v1::Observation) -> Result<Self, WireError> {
        Ok(Self {
            process: message.process,
            from: Instant::from_ns(message.from_mono_ns),
            duration_ns: message.duration_ns,
            observed_ns: message.observed_ns,
            windows: message.windows,
            stage: named("observations.stage", &ObservationStage::ALL, message.stage)?,
            reason: named("observations.reason", &ObservationReason::ALL, message.reason)?,
            threshold_ns: message.threshold_ns,
            without: message.without,
            budget_ppm: message.budget_ppm,
            cost_ns: message.cost_ns,
            cpu_ns: message.cpu_ns,
        })
    }
}

/// The wire's numbers are the places among all, from 1.
fn number<T: PartialEq>(all: &[T], one: &T) -> i32 {
    let place = all.iter().position(|known| known == one);
    place.and_then(|place| i32::try_from(place + 1).ok()).unwrap_or_default()
}

fn named<T: Copy>(name: &'static str, all: &[T], number: i32) -> Result<T, WireError> {
    let place = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
    let one = place.and_then(|place| all.get(place)).copied();
    one.ok_or_else(|| field(name, format!("{number} is unknown to this version")))
}
