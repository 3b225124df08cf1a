//! The clock-offset estimators that others use, behind one interface, to compare with.
//!
//! Each [`Peer`] gets the same finished exchanges in the order of their return, and is asked where on the reference a
//! local instant lies. What it is asked between two exchanges it answers from what came before: none looks ahead.
//!
//! | [`Peer::name`] | what it is | bounds |
//! |---|---|---|
//! | `deepflow` | [`DeepFlow`]: the last offset in whole seconds | no |
//! | `last-sample` | [`LastSample`]: the last offset | yes |
//! | `mean-64` | [`MovingMean`]: the mean of the last 64 offsets | no |
//! | `perfetto-mean` | [`PerfettoMean`]: the mean of all offsets of an hour | no |
//! | `ntp-filter` | [`ClockFilter`]: the least distance of the last eight (RFC 5905) | yes |
//! | `chrony-like` | [`ChronyLike`]: a weighted regression that drops what no longer fits | yes |
//! | `radclock-like` | [`RadClockLike`]: rate and offset apart, weighted by excess delay | yes |
//! | `hull` | [`Hull`]: lines under and over all one-way delays of two minutes | yes |
//! | `huygens-like` | [`HuygensLike`]: a support vector machine between the two directions | yes |
//! | `ntpd-rs-like` | [`NtpdRsLike`]: a Kalman filter of offset and frequency that adapts its noise | yes |
//!
//! "Bounds" are what each method publishes of its own error; most are estimates, and none is a promise.
//!
//! # Scales
//! Local stamps are nanoseconds on one local scale that the caller chooses and keeps to: RAW, the bare oscillator, or
//! WALL, as most of the originals do. All i64 values are taken, and none makes a peer panic; what the answers are worth
//! when stamps make no sense is another matter. Where local time runs backwards, the methods that fit a line start
//! anew, and `ntpd-rs-like`, as its original, ignores what lies in its past. `deepflow` presumes that both scales count
//! from the same epoch: on RAW it is off by whatever the offset has below a second.
//!
//! # Cost
//! Memory is bounded, whatever comes. An exchange costs all ten together some 35 us at one a second.
//!
//! # What they are not
//! The estimators of the named programs on our exchanges, not the programs: no polling, no selection among servers, no
//! steering. They are written from papers, specifications and descriptions; each file says where it departs from its
//! original.

mod chrony_like;
mod clock_filter;
mod deepflow;
mod estimate;
mod exchange;
mod hull;
mod huygens_like;
mod last_sample;
mod moving_mean;
mod ntpd_rs_like;
mod perfetto_mean;
mod radclock_like;
mod statistics;
#[cfg(test)]
mod synthetic;
mod window;

pub use chrony_like::ChronyLike;
pub use clock_filter::ClockFilter;
pub use deepflow::DeepFlow;
pub use estimate::Answer;
pub use exchange::Exchange;
pub use hull::Hull;
pub use huygens_like::HuygensLike;
pub use last_sample::LastSample;
pub use moving_mean::MovingMean;
pub use ntpd_rs_like::NtpdRsLike;
pub use perfetto_mean::PerfettoMean;
pub use radclock_like::RadClockLike;

/// A way to estimate where on the reference a local instant lies.
pub trait Peer: Send {
    /// A short name for tables, the same for every instance.
    fn name(&self) -> &'static str;

    /// Takes a finished exchange. Exchanges are to come in the order of their return.
    fn observe(&mut self, exchange: &Exchange);

    /// Where on the reference `local_ns` lies, by the exchanges so far; `None` before the first.
    fn answer(&self, local_ns: i64) -> Option<Answer>;

    /// An oracle says that the local clock has stepped: forget everything.
    ///
    /// An exchange that was under way at the step is of neither clock, and those that go by least delay believe it for
    /// long where it came out short: reset after it, or leave it out.
    fn reset(&mut self);
}

/// One of each, with the settings that its file gives.
pub fn all() -> Vec<Box<dyn Peer>> {
    vec![
        Box::new(DeepFlow::default()),
        Box::new(LastSample::default()),
        Box::new(MovingMean::default()),
        Box::new(PerfettoMean::default()),
        Box::new(ClockFilter::default()),
        Box::new(ChronyLike::default()),
        Box::new(RadClockLike::default()),
        Box::new(Hull::default()),
        Box::new(HuygensLike::default()),
        Box::new(NtpdRsLike::default()),
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::synthetic::{APART, SECOND_NS, Truth, observe_quiet};

    /// What each reaches on a clock 40 ppm fast, over equal ways with nothing queued, one exchange a second, ns. Those
    /// that know no frequency are late by the age of what they hold.
    fn expected_error_ns(name: &str) -> std::ops::RangeInclusive<i64> {
        match name {
            "deepflow" => 0..=SECOND_NS,
            "last-sample" | "ntp-filter" => 0..=42_000,
            "mean-64" => 1_260_000..=1_310_000,
            "perfetto-mean" => 11_000_000..=13_000_000,
            "ntpd-rs-like" => 0..=20,
            "chrony-like" | "radclock-like" | "hull" | "huygens-like" => 0..=10,
            unknown => panic!("{unknown} is not expected"),
        }
    }

    #[test]
    fn on_a_clean_line_each_is_as_good_as_it_can_be() {
        for mut peer in all() {
            observe_quiet(peer.as_mut(), APART, 0..600);
            for local_ns in [599 * SECOND_NS + 200_000, 600 * SECOND_NS - 1] {
                let error_ns = APART.error_ns(peer.as_ref(), local_ns).abs();
                let expected = expected_error_ns(peer.name());
                assert!(expected.contains(&error_ns), "{}: {error_ns} not in {expected:?}", peer.name());
            }
        }
    }

    #[test]
    fn names_are_told_apart() {
        let mut names: Vec<_> = all().iter().map(|peer| peer.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().len());
    }

    #[test]
    fn nothing_is_known_before_the_first_exchange_and_something_after_it() {
        for mut peer in all() {
            assert_eq!(peer.answer(0), None, "{}", peer.name());
            observe_quiet(peer.as_mut(), APART, 0..1);
            assert!(peer.answer(0).is_some(), "{}", peer.name());
        }
    }

    #[test]
    fn a_reset_forgets() {
        let before = Truth { offset_ns: -5_000_000_000_000, frequency: -100e-6 };
        for (mut reset, mut fresh) in all().into_iter().zip(all()) {
            observe_quiet(reset.as_mut(), before, 0..300);
            reset.reset();
            assert_eq!(reset.answer(0), None, "{}", reset.name());
            for second in 300..340 {
                observe_quiet(reset.as_mut(), APART, second..second + 1);
                observe_quiet(fresh.as_mut(), APART, second..second + 1);
                let local_ns = (second + 1) * SECOND_NS;
                assert_eq!(reset.answer(local_ns), fresh.answer(local_ns), "{} at {second}", reset.name());
            }
        }
    }

    fn any_exchange() -> impl Strategy<Value = Exchange> {
        let edges = prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0), any::<i64>(), -1_000..1_000_i64];
        [edges.clone(), edges.clone(), edges.clone(), edges].prop_map(
            |[sent_ns, received_ns, replied_ns, returned_ns]| Exchange {
                sent_ns,
                received_ns,
                replied_ns,
                returned_ns,
            },
        )
    }

    /// In order and near each other, so that the fits do run, though of nonsense.
    fn orderly_exchanges() -> impl Strategy<Value = Vec<Exchange>> {
        let offsets = prop_oneof![Just(i64::MAX / 2), Just(0), -1_000_000_000..1_000_000_000_i64];
        let exchange = (1..2_000_000_000_i64, offsets, -1_000_000..1_000_000_i64, -1_000_000..1_000_000_i64);
        prop::collection::vec(exchange, 1..120).prop_map(|drawn| {
            let mut local_ns = 0;
            drawn
                .into_iter()
                .map(|(gap_ns, offset_ns, there_ns, back_ns)| {
                    local_ns += gap_ns;
                    Exchange {
                        sent_ns: local_ns - there_ns - back_ns,
                        received_ns: local_ns - back_ns + offset_ns,
                        replied_ns: local_ns - back_ns + offset_ns,
                        returned_ns: local_ns,
                    }
                })
                .collect()
        })
    }

    fn every_answer_is_in_order(exchanges: &[Exchange]) -> Result<(), TestCaseError> {
        for mut peer in all() {
            for exchange in exchanges {
                peer.observe(exchange);
                for local_ns in [i64::MIN, -1, exchange.returned_ns, i64::MAX] {
                    let answer = peer.answer(local_ns);
                    prop_assert!(answer.is_some(), "{}", peer.name());
                    let Some(Answer { reference_ns, earliest_ns, latest_ns }) = answer else { continue };
                    prop_assert!(earliest_ns.is_none_or(|earliest| earliest <= reference_ns), "{}", peer.name());
                    prop_assert!(latest_ns.is_none_or(|latest| reference_ns <= latest), "{}", peer.name());
                    prop_assert_eq!(earliest_ns.is_some(), latest_ns.is_some());
                }
            }
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn no_stamps_make_a_peer_panic(exchanges in prop::collection::vec(any_exchange(), 1..40)) {
            every_answer_is_in_order(&exchanges)?;
        }

        #[test]
        fn no_orderly_nonsense_makes_a_peer_panic(exchanges in orderly_exchanges()) {
            every_answer_is_in_order(&exchanges)?;
        }
    }
}
