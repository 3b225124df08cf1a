//! What it is now, as Prometheus reads it.

use std::fmt::{self, Debug};
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::family::{Family, Kind};
use crate::histogram::Durations;

/// Somebody who knows values.
pub trait Source: Debug + Send + Sync + 'static {
    /// All families that there may be.
    fn families(&self) -> Vec<Family>;
    /// Adds what is so now.
    fn read(&self, samples: &mut Samples);
}

/// The values of each family.
#[derive(Debug)]
pub struct Samples {
    families: Vec<(Family, Vec<Sample>)>,
}

#[derive(Debug)]
struct Sample {
    labels: Vec<String>,
    value: Value,
}

#[derive(Clone, Debug)]
enum Value {
    Count(u64),
    Number(f64),
    Durations(Durations),
}

impl Samples {
    /// Of these families, no value yet.
    fn of(families: Vec<Family>) -> Self {
        Self { families: families.into_iter().map(|family| (family, Vec::new())).collect() }
    }

    /// Adds a count.
    pub fn count(&mut self, name: &str, labels: &[&str], count: u64) {
        self.add(name, labels, Value::Count(count));
    }

    /// Adds a number.
    pub fn number(&mut self, name: &str, labels: &[&str], number: f64) {
        self.add(name, labels, Value::Number(number));
    }

    /// Adds durations.
    pub fn durations(&mut self, name: &str, labels: &[&str], durations: Durations) {
        self.add(name, labels, Value::Durations(durations));
    }

    /// What no family describes is a defect, and nothing that is exposed.
    fn add(&mut self, name: &str, labels: &[&str], value: Value) {
        let known =
            self.families.iter_mut().find(|(family, _)| family.name == name && family.labels.len() == labels.len());
        debug_assert!(known.is_some(), "no family {name} with {} labels", labels.len());
        if let Some((_, samples)) = known {
            samples.push(Sample { labels: labels.iter().map(|label| (*label).to_owned()).collect(), value });
        }
    }
}

/// What `source` knows now, as OpenMetrics text.
///
/// # Errors
/// It cannot be written, which would be a defect.
pub fn text(source: Arc<dyn Source>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Read(source)));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Read(Arc<dyn Source>);

impl Collector for Read {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut samples = Samples::of(self.0.families());
        self.0.read(&mut samples);
        for (family, samples) in samples.families.iter().filter(|(_, samples)| !samples.is_empty()) {
            encode(&mut encoder, family, samples)?;
        }
        Ok(())
    }
}

fn encode(encoder: &mut DescriptorEncoder<'_>, family: &Family, samples: &[Sample]) -> Result<(), fmt::Error> {
    use prometheus_client::metrics::MetricType;
    let (kind, name) = match family.kind {
        // The encoder appends the suffix itself.
        Kind::Counter => (MetricType::Counter, family.name.trim_end_matches("_total")),
        Kind::Gauge => (MetricType::Gauge, family.name.as_str()),
        Kind::Histogram => (MetricType::Histogram, family.name.as_str()),
    };
    let mut descriptor = encoder.encode_descriptor(name, &family.help, None, kind)?;
    for Sample { labels, value } in samples {
        let labels: Vec<(&str, &str)> = family.labels.iter().copied().zip(labels.iter().map(String::as_str)).collect();
        if labels.is_empty() {
            // No braces with nothing between them.
            return encode_value(descriptor, family.kind, value);
        }
        encode_value(descriptor.encode_family(&labels)?, family.kind, value)?;
    }
    Ok(())
}

fn encode_value(mut to: MetricEncoder<'_>, kind: Kind, value: &Value) -> Result<(), fmt::Error> {
    match (kind, value) {
        (Kind::Counter, Value::Count(count)) => ConstCounter::new(*count).encode(to),
        (Kind::Counter, Value::Number(number)) => ConstCounter::new(*number).encode(to),
        (Kind::Gauge, Value::Count(count)) => ConstGauge::new(i64::try_from(*count).unwrap_or(i64::MAX)).encode(to),
        (Kind::Gauge, Value::Number(number)) => ConstGauge::new(*number).encode(to),
        (Kind::Histogram, Value::Durations(Durations { sum_s, classes })) => {
            let count = classes.iter().map(|(_, count)| count).sum();
            to.encode_histogram::<NoLabelSet>(*sum_s, count, classes, None)
        }
        // A value of another kind than its family is a defect, and nothing that is exposed.
        (Kind::Histogram, _) | (_, Value::Durations(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed;

    impl Source for Fixed {
        fn families(&self) -> Vec<Family> {
            vec![
                Family::counter("x_waits_total", &["cause"], "Waits"),
                Family::gauge("x_offset_seconds", &[], "How far it is off"),
                Family::gauge("x_none", &[], "Never there"),
                Family::histogram("x_insert_seconds", &[], "How long it took"),
            ]
        }

        fn read(&self, samples: &mut Samples) {
            samples.number("x_offset_seconds", &[], -0.0015);
            let classes = vec![(0.5, 2), (f64::INFINITY, 1)];
            samples.durations("x_insert_seconds", &[], Durations { sum_s: 1.5, classes });
            samples.count("x_waits_total", &["a\"b\nc"], 7);
            samples.count("x_waits_total", &["other"], u64::MAX);
        }
    }

    #[test]
    fn values_are_told_by_family_with_their_labels_escaped() {
        let text = text(Arc::new(Fixed)).unwrap();
        assert_eq!(
            text,
            "# HELP x_waits Waits\n# TYPE x_waits counter\nx_waits_total{cause=\"a\\\"b\\nc\"} 7\nx_waits_total{cause=\"other\"} 18446744073709551615\n\
             # HELP x_offset_seconds How far it is off\n# TYPE x_offset_seconds gauge\nx_offset_seconds -0.0015\n\
             # HELP x_insert_seconds How long it took\n# TYPE x_insert_seconds histogram\nx_insert_seconds_sum 1.5\nx_insert_seconds_count 3\n\
             x_insert_seconds_bucket{le=\"0.5\"} 2\nx_insert_seconds_bucket{le=\"+Inf\"} 3\n# EOF\n"
        );
    }
}
