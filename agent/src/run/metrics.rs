//! What the agent exposes to Prometheus.

use std::sync::{Arc, Mutex, PoisonError};

use syncline_event::LossCause;
use syncline_exchange::Refused;
use syncline_metrics::{Family, Samples, Source};
use tokio::sync::watch;

use super::gaps::Gaps;
use crate::batch::{TcpTotals, Totals};
use crate::queue::{Queue, SharedQueue};

/// All families, as docs/metrics.md lists them.
#[must_use]
pub fn families() -> Vec<Family> {
    vec![
        Family::gauge("syncline_agent_info", &["version", "region", "node"], "1; which agent this is"),
        Family::counter("syncline_agent_waits_total", &[], "Waits that became events"),
        Family::counter("syncline_agent_short_waits_total", &[], "Waits below the threshold, in sums"),
        Family::counter("syncline_agent_open_waits_total", &[], "How often waits that went on were told of"),
        Family::counter(
            "syncline_agent_open_waits_untold_total",
            &[],
            "How often they were due and not told of, for want of room",
        ),
        Family::counter(
            "syncline_agent_states_untold_total",
            &[],
            "How often it was to be told how a process or goroutine spends its time, and was not",
        ),
        Family::counter("syncline_agent_lost_waits_total", &["cause"], "Waits that were lost"),
        Family::counter(
            "syncline_agent_degraded_waits_total",
            &["part"],
            "Waits that were kept without a part of what belongs to them, by what that is",
        ),
        Family::counter("syncline_agent_tcp_messages_total", &[], "Sends and receipts of TCP that were told of"),
        Family::counter(
            "syncline_agent_tcp_sessions_total",
            &[],
            "TCP sessions that were told of; one that is told of while open counts each time",
        ),
        Family::counter("syncline_agent_lost_tcp_total", &["cause"], "Sessions and messages that were lost"),
        Family::counter("syncline_agent_batches_total", &[], "Batches that were sealed"),
        Family::counter("syncline_agent_stored_batches_total", &[], "Batches that the aggregator has stored"),
        Family::counter("syncline_agent_stored_waits_total", &[], "Waits in them"),
        Family::counter("syncline_agent_refused_batches_total", &[], "Batches that the aggregator will never take"),
        Family::counter("syncline_agent_refused_waits_total", &[], "Waits in them"),
        Family::gauge(
            "syncline_agent_queue_bytes",
            &[],
            "Batches that are not acknowledged, as far as they are in memory",
        ),
        Family::gauge("syncline_agent_queue_limit_bytes", &[], "Most of them that are kept"),
        Family::gauge(
            "syncline_agent_queue_waits",
            &[],
            "Waits of this run that are not acknowledged, in memory or in the spool",
        ),
        Family::gauge(
            "syncline_agent_spooled_waits",
            &[],
            "Those of them that are durable in the spool: a later run sends them",
        ),
        Family::counter(
            "syncline_agent_stored_earlier_batches_total",
            &[],
            "Batches of earlier runs that the aggregator has stored",
        ),
        Family::counter(
            "syncline_agent_lost_earlier_waits_total",
            &[],
            "Waits of batches of earlier runs, or of no known run, that were lost",
        ),
        Family::counter(
            "syncline_agent_refused_probe_packets_total",
            &["cause"],
            "Packets of clock probes that changed nothing: malformed, forged, repeated, stale (late, or replayed), impossible by their stamps",
        ),
        Family::gauge("syncline_agent_connected", &[], "1 while the stream of batches to an aggregator is open"),
        Family::counter("syncline_agent_connections_total", &[], "Streams of batches that were opened"),
    ]
}

/// What the batcher has counted, as it last told.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    totals: Totals,
    tcp: TcpTotals,
    gaps: Gaps,
}

impl Tally {
    pub(super) fn tell(&self, totals: &Totals, tcp: &TcpTotals, gaps: &Gaps) {
        let counted = Counted { totals: totals.clone(), tcp: tcp.clone(), gaps: gaps.clone() };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = counted;
    }
}

/// Packets of clock probes that changed nothing, as the prober's thread counts them.
#[derive(Debug, Default)]
pub(super) struct RefusedPackets(Mutex<Refused>);

impl RefusedPackets {
    pub(super) fn add(&self, refused: &Refused) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(refused);
    }

    pub(super) fn total(&self) -> Refused {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who knows the values.
#[derive(Debug)]
pub(super) struct AgentMetrics {
    pub(super) node: String,
    pub(super) region: String,
    pub(super) tally: Arc<Tally>,
    pub(super) queue: Arc<SharedQueue>,
    pub(super) refused_packets: Arc<RefusedPackets>,
    pub(super) connected: watch::Receiver<bool>,
}

impl Source for AgentMetrics {
    fn families(&self) -> Vec<Family> {
        families()
    }

    fn read(&self, samples: &mut Samples) {
        samples.count("syncline_agent_info", &[env!("CARGO_PKG_VERSION"), &self.region, &self.node], 1);
        {
            let counted = self.tally.0.lock().unwrap_or_else(PoisonError::into_inner);
            read_counted(&counted, samples);
        }
        let (fate, bytes, limit, connections) =
            self.queue.look(|queue: &Queue| (queue.fate(), queue.bytes(), queue.capacity(), queue.connections()));
        samples.count("syncline_agent_stored_batches_total", &[], fate.stored_batches);
        samples.count("syncline_agent_stored_waits_total", &[], fate.stored_waits);
        samples.count("syncline_agent_refused_batches_total", &[], fate.refused_batches);
        samples.count("syncline_agent_refused_waits_total", &[], fate.refused_waits);
        samples.count("syncline_agent_queue_bytes", &[], bytes as u64);
        samples.count("syncline_agent_queue_limit_bytes", &[], limit as u64);
        samples.count("syncline_agent_queue_waits", &[], fate.waiting_waits);
        samples.count("syncline_agent_spooled_waits", &[], fate.shelved_waits);
        samples.count("syncline_agent_stored_earlier_batches_total", &[], fate.earlier_batches);
        for (cause, count) in self.refused_packets.total().by_cause() {
            samples.count("syncline_agent_refused_probe_packets_total", &[cause], count);
        }
        samples.count("syncline_agent_connected", &[], u64::from(*self.connected.borrow()));
        samples.count("syncline_agent_connections_total", &[], connections);
    }
}

fn read_counted(Counted { totals, tcp, gaps }: &Counted, samples: &mut Samples) {
    samples.count("syncline_agent_waits_total", &[], totals.waits);
    samples.count("syncline_agent_short_waits_total", &[], totals.short_waits);
    samples.count("syncline_agent_open_waits_total", &[], totals.open_waits);
    samples.count("syncline_agent_open_waits_untold_total", &[], totals.open_waits_untold);
    samples.count("syncline_agent_states_untold_total", &[], totals.states_untold);
    samples.count("syncline_agent_batches_total", &[], totals.batches);
    samples.count("syncline_agent_lost_earlier_waits_total", &[], totals.earlier_lost);
    for cause in LossCause::ALL {
        samples.count("syncline_agent_lost_waits_total", &[cause.name()], totals.losses.count(cause));
    }
    for (part, count) in gaps.degraded() {
        samples.count("syncline_agent_degraded_waits_total", &[part], count);
    }
    samples.count("syncline_agent_tcp_messages_total", &[], tcp.messages);
    samples.count("syncline_agent_tcp_sessions_total", &[], tcp.sessions);
    for (cause, count) in &tcp.losses {
        samples.count("syncline_agent_lost_tcp_total", &[cause.name()], *count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_timebase::BootId;

    use crate::queue::{BatchId, Entry};

    #[test]
    fn what_was_counted_is_told_by_its_cause() {
        let (tally, queue) = (Arc::<Tally>::default(), Arc::new(SharedQueue::new(Queue::new(1_000))));
        let mut totals = Totals { waits: 5, earlier_lost: 4, ..Totals::default() };
        totals.losses.add(LossCause::QueueFull, 3);
        tally.tell(&totals, &TcpTotals::default(), &Gaps::default());
        let id = BatchId { boot: BootId(7), run_first_seq: 1, number: 1 };
        let dropped = queue.change(|queue| queue.push(Entry::new(id, vec![0; 100].into(), 2)));
        assert!(dropped.is_empty());
        let (_connected, connected) = watch::channel(true);
        let (node, region) = ("web-1".to_owned(), "eu".to_owned());
        let refused_packets = Arc::<RefusedPackets>::default();
        (0..2).for_each(|_| refused_packets.add(&Refused { forged: 3, stale: 1, ..Refused::default() }));
        let metrics = AgentMetrics { node, region, tally, queue, refused_packets, connected };
        let text = syncline_metrics::text(Arc::new(metrics)).unwrap();
        for line in [
            "syncline_agent_waits_total 5",
            "syncline_agent_lost_waits_total{cause=\"queue_full\"} 3",
            "syncline_agent_lost_waits_total{cause=\"ring_buffer_full\"} 0",
            "syncline_agent_lost_earlier_waits_total 4",
            "syncline_agent_queue_bytes 100",
            "syncline_agent_queue_limit_bytes 1000",
            "syncline_agent_queue_waits 2",
            "syncline_agent_refused_probe_packets_total{cause=\"forged\"} 6",
            "syncline_agent_refused_probe_packets_total{cause=\"stale\"} 2",
            "syncline_agent_refused_probe_packets_total{cause=\"malformed\"} 0",
            "syncline_agent_connected 1",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} is not in\n{text}");
        }
    }
}
