//! What the aggregator exposes to Prometheus. What nodes send bounds nothing here: labels are names of ours, of targets in the file, and of the
//! first [`MOST_NODES`] nodes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use syncline_clock::Status;
use syncline_metrics::{Family, Samples, Source};

use crate::alerts::AlertGauges;
use crate::counters::Counters;
use crate::delivery::Deliveries;
use crate::ingest::spooled::Spooled;
use crate::pipeline::{NodeLook, Pipeline};

/// Nodes that are told of one by one; of more, the first by name.
pub const MOST_NODES: usize = 1_000;

const STATUSES: [(Status, &str); 4] = [
    (Status::Unknown, "unknown"),
    (Status::Synchronized, "synchronized"),
    (Status::FreeRunning, "free_running"),
    (Status::Disrupted, "disrupted"),
];
const NODE: &[&str] = &["region", "node"];

/// Who knows the values.
#[derive(Debug)]
pub(crate) struct AggregatorMetrics {
    pub(crate) region: Arc<str>,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) spooled: Arc<Spooled>,
    /// Unless the evaluation is left to others.
    pub(crate) alerts: Option<Arc<AlertGauges>>,
    pub(crate) deliveries: Deliveries,
}

/// All families, as docs/metrics.md lists them.
#[must_use]
pub fn families() -> Vec<Family> {
    let counters = Counters::default();
    let counters = counters.each().map(|(name, help, _)| Family::counter(counter_name(name), &[], help));
    let mut families = vec![
        Family::gauge("syncline_aggregator_info", &["version", "region"], "1; which program this is"),
        Family::counter(
            "syncline_aggregator_lost_waits_total",
            &["cause"],
            "Waits that agents captured or should have, and that did not become rows, as they told in batches",
        ),
        Family::gauge(
            "syncline_aggregator_clock_models",
            &[],
            "Clock models that are kept, one for each node and boot",
        ),
        Family::gauge("syncline_aggregator_spool_waiting_batches", &[], "Batches in the spool that are not stored yet"),
        Family::gauge(
            "syncline_aggregator_spool_waiting_seconds",
            &[],
            "Since the oldest of them came; 0 where none waits",
        ),
        Family::gauge(
            "syncline_aggregator_spool_bytes",
            &[],
            "What the spool takes of the disk, those that are stored included",
        ),
        Family::gauge("syncline_aggregator_spool_limit_bytes", &[], "What it may take; from there on agents wait"),
        Family::gauge(
            "syncline_aggregator_spool_blocked",
            &[],
            "1 where the spool takes nothing: it is full, or its disk fails",
        ),
        Family::histogram(
            "syncline_aggregator_insert_duration_seconds",
            &[],
            "Inserts of events and what belongs to them, one for each table and group of batches, until ClickHouse said that it has the rows",
        ),
        Family::gauge("syncline_nodes", &["region"], "Nodes whose clocks are known"),
        Family::gauge(
            "syncline_nodes_unlisted",
            &["region"],
            format!("Those of them that are not told of one by one: only the first {MOST_NODES} by name are"),
        ),
        Family::gauge(
            "syncline_region_utc_offset_seconds",
            &["region"],
            "UTC less the region's reference, as this machine's daemon claims; absent where none does",
        ),
        Family::gauge(
            "syncline_region_utc_bound_seconds",
            &["region"],
            "How far off that is at most, if the claim is true",
        ),
        Family::gauge(
            "syncline_node_clock_offset_seconds",
            NODE,
            "The node's wall clock less UTC, at best; absent where nobody claims to know UTC",
        ),
        Family::gauge(
            "syncline_node_clock_offset_bound_seconds",
            NODE,
            "How far off that is at most: the bound by the reference and that of the claim",
        ),
        Family::gauge(
            "syncline_node_clock_reference_offset_seconds",
            NODE,
            "The node's wall clock less the region's reference, at best",
        ),
        Family::gauge(
            "syncline_node_clock_reference_bound_seconds",
            NODE,
            "How far off that is at most: the hard bound",
        ),
        Family::gauge(
            "syncline_node_clock_frequency_error_ratio",
            NODE,
            "How much faster the node's oscillator runs than the region's reference (1e-6 is 1 ppm)",
        ),
        Family::gauge(
            "syncline_node_clock_drift_ratio",
            NODE,
            "How fast the node's wall clock leaves the region's reference, over ten minutes (1e-6 is 1 ppm); absent until it was known for five, and as long after it was set",
        ),
        Family::gauge("syncline_node_clock_probe_age_seconds", NODE, "Since the last probe that was used"),
        Family::gauge("syncline_node_silence_seconds", NODE, "Since the last batch"),
        Family::gauge(
            "syncline_node_clock_status",
            &["region", "node", "status"],
            "1 for what the node's estimate is, 0 for the others: unknown, synchronized, free_running, disrupted",
        ),
        Family::gauge(
            "syncline_alerts",
            &["state"],
            "Alerts that are pending or firing; 0 where another aggregator evaluates; absent, as all about the evaluation, where `alerts.evaluate` is false",
        ),
        Family::gauge(
            "syncline_alerts_firing",
            &["rule"],
            "Those that fire and were not silenced as they began to, by rule",
        ),
        Family::gauge(
            "syncline_alerts_evaluating",
            &[],
            "1 where it is this one of several aggregators that evaluates alerts, else 0",
        ),
        Family::gauge("syncline_incidents_open", &[], "Causes that are not over"),
        Family::gauge(
            "syncline_alerts_evaluated_timestamp_seconds",
            &[],
            "End of the newest round that was evaluated; the start before the first",
        ),
        Family::counter(
            "syncline_alert_evaluation_failures_total",
            &[],
            "Evaluations that came to nothing, because of the store, and are made again",
        ),
        Family::counter(
            "syncline_alert_clock_set_back_total",
            &[],
            "Times that the clock of the database, which alerts are evaluated by, was set back by a round (15 s) or more",
        ),
        Family::counter("syncline_alert_notifications_total", &[], "Words on incidents: that one began, or is over"),
        Family::counter(
            "syncline_alert_deliveries_total",
            &["target", "outcome"],
            "Posts to those who are told: delivered, failed (tried again), refused, expired (over for a day before it could be told)",
        ),
    ];
    families.extend(counters);
    families
}

fn counter_name(name: &str) -> String {
    format!("syncline_aggregator_{name}_total")
}

impl Source for AggregatorMetrics {
    fn families(&self) -> Vec<Family> {
        families()
    }

    fn read(&self, samples: &mut Samples) {
        samples.count("syncline_aggregator_info", &[env!("CARGO_PKG_VERSION"), &self.region], 1);
        for (name, _, value) in self.pipeline.counters().each() {
            samples.count(&counter_name(name), &[], value);
        }
        for (cause, count) in self.pipeline.losses().each() {
            samples.count("syncline_aggregator_lost_waits_total", &[cause], count);
        }
        samples.count("syncline_aggregator_clock_models", &[], self.pipeline.nodes() as u64);
        self.read_spool(samples);
        let durations = self.pipeline.insert_durations();
        samples.durations("syncline_aggregator_insert_duration_seconds", &[], durations);
        self.read_nodes(samples);
        if let Some(gauges) = &self.alerts {
            read_alerts(gauges, samples);
        }
        read_deliveries(&self.deliveries, samples);
    }
}

impl AggregatorMetrics {
    fn read_spool(&self, samples: &mut Samples) {
        let waiting = self.spooled.waiting();
        samples.count("syncline_aggregator_spool_waiting_batches", &[], waiting.batches);
        samples.number("syncline_aggregator_spool_waiting_seconds", &[], waiting.oldest_ms as f64 / 1e3);
        samples.count("syncline_aggregator_spool_bytes", &[], waiting.spool_bytes);
        samples.count("syncline_aggregator_spool_limit_bytes", &[], waiting.limit_bytes);
        samples.count("syncline_aggregator_spool_blocked", &[], u64::from(waiting.trouble.is_some()));
    }

    fn read_nodes(&self, samples: &mut Samples) {
        let region: &str = &self.region;
        let (looks, all) = self.pipeline.look(MOST_NODES, Instant::now());
        samples.count("syncline_nodes", &[region], all as u64);
        samples.count("syncline_nodes_unlisted", &[region], (all - looks.len()) as u64);
        let utc = self.pipeline.utc_now().map(|utc| (utc.offset_ns, utc.bound_ns));
        if let Some((offset_ns, bound_ns)) = utc {
            samples.number("syncline_region_utc_offset_seconds", &[region], seconds(offset_ns));
            samples.number("syncline_region_utc_bound_seconds", &[region], seconds_of(bound_ns));
        }
        for look in looks {
            read_node(region, &look, utc, samples);
        }
    }
}

fn read_node(region: &str, look: &NodeLook, utc: Option<(i64, u64)>, samples: &mut Samples) {
    let labels = [region, look.node.as_str()];
    samples.number("syncline_node_silence_seconds", &labels, look.silent.as_secs_f64());
    for (status, name) in STATUSES {
        let labels = [region, look.node.as_str(), name];
        samples.count("syncline_node_clock_status", &labels, u64::from(look.status == status));
    }
    if let Some((skew_ns, bound_ns)) = look.skew_ns {
        samples.number("syncline_node_clock_reference_offset_seconds", &labels, seconds(skew_ns));
        samples.number("syncline_node_clock_reference_bound_seconds", &labels, seconds_of(bound_ns));
        if let Some((utc_ns, utc_bound_ns)) = utc {
            samples.number("syncline_node_clock_offset_seconds", &labels, seconds(skew_ns.saturating_sub(utc_ns)));
            samples.number(
                "syncline_node_clock_offset_bound_seconds",
                &labels,
                seconds_of(bound_ns.saturating_add(utc_bound_ns)),
            );
        }
    }
    if let Some(frequency_ppb) = look.frequency_ppb {
        samples.number("syncline_node_clock_frequency_error_ratio", &labels, frequency_ppb / 1e9);
    }
    if let Some(drift) = look.drift_ratio {
        samples.number("syncline_node_clock_drift_ratio", &labels, drift);
    }
    if let Some(age) = look.probe_age {
        samples.number("syncline_node_clock_probe_age_seconds", &labels, age.as_secs_f64());
    }
}

fn read_alerts(gauges: &AlertGauges, samples: &mut Samples) {
    samples.count("syncline_alerts", &["pending"], gauges.pending.load(Ordering::Relaxed));
    samples.count("syncline_alerts", &["firing"], gauges.firing.load(Ordering::Relaxed));
    for (rule, firing) in gauges.firing_by_rule() {
        samples.count("syncline_alerts_firing", &[rule.name()], firing);
    }
    samples.count("syncline_alerts_evaluating", &[], gauges.evaluates.load(Ordering::Relaxed));
    samples.count("syncline_incidents_open", &[], gauges.incidents.load(Ordering::Relaxed));
    let evaluated_ms = gauges.evaluated_ms.load(Ordering::Relaxed);
    samples.number("syncline_alerts_evaluated_timestamp_seconds", &[], evaluated_ms as f64 / 1e3);
    samples.count("syncline_alert_evaluation_failures_total", &[], gauges.failures.load(Ordering::Relaxed));
    samples.count("syncline_alert_clock_set_back_total", &[], gauges.set_back.load(Ordering::Relaxed));
    samples.count("syncline_alert_notifications_total", &[], gauges.notifications.load(Ordering::Relaxed));
}

fn read_deliveries(deliveries: &Deliveries, samples: &mut Samples) {
    for (target, counts) in deliveries.iter() {
        let outcomes = [
            ("delivered", &counts.delivered),
            ("failed", &counts.failed),
            ("refused", &counts.refused),
            ("expired", &counts.expired),
        ];
        for (outcome, count) in outcomes {
            samples.count("syncline_alert_deliveries_total", &[target, outcome], count.load(Ordering::Relaxed));
        }
    }
}

fn seconds(ns: i64) -> f64 {
    ns as f64 / 1e9
}

/// What is not bounded is infinite.
fn seconds_of(bound_ns: u64) -> f64 {
    if bound_ns == u64::MAX { f64::INFINITY } else { bound_ns as f64 / 1e9 }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_as_in_the_field_and_unique() {
        let families = families();
        let names: BTreeSet<&str> = families.iter().map(|family| family.name.as_str()).collect();
        assert_eq!(names.len(), families.len());
        for Family { name, kind, help, .. } in &families {
            let is_counter = *kind == syncline_metrics::Kind::Counter;
            assert_eq!(name.ends_with("_total"), is_counter, "{name}");
            assert!(
                name.starts_with("syncline_") && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{name}"
            );
            assert!(!help.is_empty() && !help.ends_with('.') && !help.contains('\n'), "{name}: {help}");
        }
    }
}
