//! Alerts on clock skew and drift.

use super::{AlertState, AlertUnit, DeliveryOutcome, IncidentKind, SeverityLevel, enum8, rows};
use crate::{Column, LowCardinality};

rows! {
    /// New states of alerts.
    SkewAlertRows => "skew_alerts" {
        /// End of the round, ns since 1970, by the database's clock.
        at: Vec<i64> => Column::DateTime64,
        /// What is wrong.
        rule: LowCardinality => Column::LowCardinality,
        /// With what.
        subject: Vec<String> => Column::String,
        /// Region of that; empty where it is of several.
        region: LowCardinality => Column::LowCardinality,
        /// Node, where it is one.
        node: LowCardinality => Column::LowCardinality,
        /// The new state.
        state: Vec<AlertState> => enum8,
        /// How much it matters.
        severity: Vec<SeverityLevel> => enum8,
        /// Since when its rule is met, ns since 1970.
        since: Vec<i64> => Column::DateTime64,
        /// The value that met the rule last, at least.
        low: Vec<i64> => Column::I64,
        /// At most.
        high: Vec<i64> => Column::I64,
        /// The one furthest beyond the limit, at least.
        worst_low: Vec<i64> => Column::I64,
        /// At most.
        worst_high: Vec<i64> => Column::I64,
        /// The limit.
        limit_value: Vec<u64> => Column::U64,
        /// What they are counted in.
        unit: Vec<AlertUnit> => enum8,
        /// What it is part of; 0 where it never fired.
        incident: Vec<u64> => Column::U64,
        /// 1 when a silence covers it.
        silenced: Vec<u8> => Column::U8,
        /// In words.
        text: Vec<String> => Column::String,
    }
}

rows! {
    /// What is to be told of incidents.
    SkewIncidentRows => "skew_incidents" {
        /// When, ns since 1970, by the database's clock.
        at: Vec<i64> => Column::DateTime64,
        /// Its number.
        incident: Vec<u64> => Column::U64,
        /// Whether it begins or ends.
        kind: Vec<IncidentKind> => enum8,
        /// How much it matters.
        severity: Vec<SeverityLevel> => enum8,
        /// Rule of the alert that tells why.
        rule: LowCardinality => Column::LowCardinality,
        /// What that one is about.
        subject: Vec<String> => Column::String,
        /// All that it is about, separated by commas.
        subjects: Vec<String> => Column::String,
        /// In words.
        text: Vec<String> => Column::String,
    }
}

rows! {
    /// What alerts go on from.
    AlertStateRows => "alert_states" {
        /// Region of the aggregators that evaluate them.
        region: LowCardinality => Column::LowCardinality,
        /// The newest round in it, ns since 1970, by the database's clock.
        at: Vec<i64> => Column::DateTime64,
        /// As the engine of alerts writes it.
        state: Vec<String> => Column::String,
    }
}

rows! {
    /// What targets were told of incidents.
    AlertDeliveryRows => "alert_deliveries" {
        /// Name of the target.
        target: LowCardinality => Column::LowCardinality,
        /// Number of the incident; 0 where it tells only since when the target is told.
        incident: Vec<u64> => Column::U64,
        /// Which word on it.
        kind: Vec<IncidentKind> => enum8,
        /// What came of it.
        outcome: Vec<DeliveryOutcome> => enum8,
        /// How often it was tried.
        attempts: Vec<u32> => Column::U32,
        /// When, ns since 1970.
        at: Vec<i64> => Column::DateTime64,
        /// Why it was refused.
        note: Vec<String> => Column::String,
    }
}

rows! {
    /// Who does what must be done by one at a time.
    AlertLeaseRows => "alert_leases" {
        /// What is done.
        name: Vec<String> => Column::String,
        /// One more each time.
        number: Vec<u64> => Column::U64,
        /// Who has it; empty where it was given back.
        holder: Vec<String> => Column::String,
        /// How long it lasts, ms.
        lasts_ms: Vec<u64> => Column::U64,
        /// When, ns since 1970.
        at: Vec<i64> => Column::DateTime64,
    }
}
