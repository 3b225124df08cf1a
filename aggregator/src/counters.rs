//! What this aggregator did and refused, counted: nothing is dropped without a number that says so.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use syncline_event::{Loss, LossCause};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Totals since the start.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $name: AtomicU64,)+
        }

        impl Counters {
            /// Each with its name and its meaning.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, String, u64)> {
                let all = [$((stringify!($name), concat!($($doc),+), self.$name.load(Ordering::Relaxed)),)+];
                // Without the full stop.
                all.into_iter().map(|(name, help, value)| (name, help.trim().trim_end_matches('.').to_owned(), value))
            }
        }

        impl fmt::Display for Counters {
            /// `name=value`, those that are zero left out.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut separator = "";
                $(
                    let value = self.$name.load(Ordering::Relaxed);
                    if value != 0 {
                        write!(f, "{separator}{}={value}", stringify!($name))?;
                        separator = " ";
                    }
                )+
                if separator.is_empty() { f.write_str("nothing yet") } else { Ok(()) }
            }
        }
    };
}

counters! {
    /// Batches whose rows are all in the store.
    batches_stored,
    /// Batches whose number their clock had seen before: sent again after a broken stream.
    batches_repeated,
    /// Batches that are in the spool, durably: over gRPC acknowledged, over Kafka not yet.
    batches_spooled,
    /// Batches that were in the store already as they came to be stored.
    batches_known,
    /// Groups of batches that were stored, each in one insert a table.
    groups_stored,
    /// Groups that waited for another aggregator, which claimed some of the same batches.
    groups_waited,
    /// Groups that were left to another aggregator with some of the same batches for a minute, since nothing of them went in for two.
    groups_left,
    /// Batches that another aggregator had claimed before and not stored: what it had begun was looked for, and the rest stored.
    batches_taken_over,
    /// Times that claims on batches were not renewed in time, so that all was asked anew.
    claims_lapsed,
    /// Batches of a format that only later versions know, kept for one.
    batches_later,
    /// Batches set aside that will never be stored.
    batches_aside,
    /// Batches that will never be stored and found no room where such are set aside.
    batches_aside_full,
    /// Batches in the spool that its disk does not have any more: those that came over gRPC are lost, Kafka gives its own again.
    batches_damaged,
    /// Batches refused: not decodable, or not sound.
    batches_undecodable,
    /// Batches refused: of another region.
    batches_other_region,
    /// Batches refused: the store will never take them.
    batches_unstorable,
    /// Batches given up unanswered as their stream ended; the agent sends them again.
    batches_abandoned,
    /// Events in stored batches, repeated ones included.
    events_stored,
    /// Records taken from Kafka, those taken again included.
    kafka_records,
    /// Of these, those of other regions, which are for the groups of these.
    kafka_records_other_region,
    /// Of these, those that will never be stored and were set aside.
    kafka_records_aside,
    /// Of these, those that will never be stored and found no more room where such are set aside: they are lost.
    kafka_records_lost,
    /// Records that Kafka had deleted before they were read: they are lost.
    kafka_records_missing,
    /// Stacks that agents asked for, whether the store has them.
    stacks_asked,
    /// Of these, those that it has, so that they were not told.
    stacks_known,
    /// Looks into the store for stacks that came to nothing; they were told.
    stack_looks_failed,
    /// Inserts that the store did not take and that were tried again.
    insert_retries,
    /// Clock samples that the estimator refused.
    clock_samples_refused,
    /// Steps of nodes' wall clocks.
    wall_steps,
    /// Disruptions of nodes' clocks.
    disruptions,
    /// Disruptions that agents noticed and told of.
    disruptions_told,
    /// Disruptions that agents told of and cannot have noticed: refused.
    disruptions_refused,
    /// Clock models forgotten because there are more nodes than places.
    clocks_evicted,
    /// Clock models that went on with the state that an aggregator before had saved.
    clock_states_recalled,
    /// Clock models that went on against another reference, along what is known of the two.
    clock_models_handed_over,
    /// Clock models that began anew because nothing led from their reference to another.
    clock_models_begun_anew,
    /// Saved states of clock models that could not be used; the models began anew.
    clock_states_unusable,
    /// Pieces of clock models by whose revision stored rows were placed again.
    pieces_settled,
    /// Pieces of clock models whose rows are as they were first placed, because that could not be done; `events_live` has them right.
    pieces_unsettled,
    /// Pieces of clock models that were not looked at again a minute later, because their nodes send more than two batches a second.
    pieces_unrevised,
    /// Claims of nodes about their wall clocks that the probes contradict.
    claims_contradicted,
    /// Probes answered.
    probes_answered,
    /// Probes refused: too many on one stream or of one session.
    probes_refused,
    /// Probes over UDP refused: no packets of ours.
    udp_probes_malformed,
    /// Probes over UDP refused: without the code of their session.
    udp_probes_forged,
    /// Probes over UDP refused: their number was answered before.
    udp_probes_replayed,
    /// Requests for a session over UDP refused: too many from one address.
    udp_session_requests_refused,
    /// Sessions over UDP refused: too many.
    udp_sessions_refused,
    /// Answers over UDP that could not be sent.
    udp_probes_unsent,
    /// Probe streams refused: too many open.
    probe_streams_refused,
    /// Connections accepted.
    connections_accepted,
    /// Connections closed because the peer was silent.
    connections_silent,
    /// Accepts that failed, for want of file descriptors mostly.
    accepts_failed,
    /// Probes of the root region's reference that came to nothing.
    root_probes_failed,
    /// Disruptions of this region's reference, or of one that it is measured against: which of the two is not known.
    region_disruptions,
}

/// What agents lost, by cause.
#[derive(Debug, Default)]
pub struct LossCounts([AtomicU64; LossCause::ALL.len()], AtomicU64);

impl LossCounts {
    /// Adds what a batch tells.
    pub(crate) fn add(&self, loss: &Loss) {
        let place = LossCause::ALL.iter().position(|cause| *cause == loss.cause);
        add(place.and_then(|place| self.0.get(place)).unwrap_or(&self.1), loss.count);
    }

    /// Each cause by name.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let known = LossCause::ALL.into_iter().zip(&self.0).map(|(cause, count)| (cause.name(), count));
        known.chain([(LossCause::Unknown.name(), &self.1)]).map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    add(counter, 1);
}

/// Adds `amount`.
pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_happened_is_told() {
        let counters = Counters::default();
        assert_eq!(counters.to_string(), "nothing yet");
        count(&counters.batches_stored);
        add(&counters.events_stored, 7);
        assert_eq!(counters.to_string(), "batches_stored=1 events_stored=7");
        let first = ("batches_stored", "Batches whose rows are all in the store".to_owned(), 1);
        assert_eq!(counters.each().next(), Some(first));
    }
}
