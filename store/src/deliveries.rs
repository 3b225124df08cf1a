//! What is to be told of incidents, and what was.

use serde::Deserialize;

use crate::answered::answered;
use crate::{Store, StoreError, json};

/// A row of `skew_incidents`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ToldIncident {
    /// Number of the incident.
    pub incident: u64,
    /// It is over; else it began.
    #[serde(deserialize_with = "number_as_bool")]
    pub is_resolved: bool,
    /// When, ns since 1970.
    pub at_ns: i64,
    /// How much it matters.
    pub severity: String,
    /// Rule of the alert that tells why.
    pub rule: String,
    /// What that one is about.
    pub subject: String,
    /// All that the incident is about, separated by commas.
    pub subjects: String,
    /// In words.
    pub text: String,
}

/// A row of `alert_deliveries`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Delivery {
    /// Number of the incident; 0 where it tells only since when the target is told.
    pub incident: u64,
    /// Of the word that it is over.
    #[serde(deserialize_with = "number_as_bool")]
    pub is_resolved: bool,
    /// When, ns since 1970.
    pub at_ns: i64,
}

/// What lasts, and what was over no longer ago than the given time.
const INCIDENTS: &str = "SELECT incident, kind = 'resolved' AS is_resolved, toUnixTimestamp64Nano(at) AS at_ns, toString(severity) AS severity, \
    toString(rule) AS rule, subject, subjects, text FROM skew_incidents WHERE incident IN (SELECT incident FROM skew_incidents GROUP BY incident \
    HAVING countIf(kind = 'resolved') = 0 OR max(at) >= fromUnixTimestamp64Nano({since_ns:Int64}, 'UTC')) ORDER BY skew_incidents.at, incident";

const DELIVERIES: &str = "SELECT incident, kind = 'resolved' AS is_resolved, toUnixTimestamp64Nano(min(at)) AS at_ns FROM alert_deliveries \
    WHERE target = {target:String} GROUP BY incident, kind";

/// Alerts that are not over and not known, as over.
const CLOSE_ALERTS: &str = "INSERT INTO skew_alerts (at, rule, subject, region, node, state, severity, since, low, high, worst_low, worst_high, \
    limit_value, unit, incident, silenced, text) SELECT fromUnixTimestamp64Milli({at_ms:Int64}, 'UTC'), rule, subject, region, node, 'resolved', \
    severity, since, low, high, worst_low, worst_high, limit_value, unit, incident, silenced, text \
    FROM (SELECT * FROM skew_alerts ORDER BY at DESC, incident DESC LIMIT 1 BY rule, subject) WHERE state != 'resolved' \
    AND toUnixTimestamp64Milli(at) <= {until_ms:Int64} AND NOT has({known:Array(String)}, concat(rule, ' ', subject))";

/// Incidents that are not over and not known, as over.
const CLOSE_INCIDENTS: &str = "INSERT INTO skew_incidents (at, incident, kind, severity, rule, subject, subjects, text) \
    SELECT fromUnixTimestamp64Milli({at_ms:Int64}, 'UTC'), incident, 'resolved', severity, rule, subject, subjects, \
    concat('what was remembered of it is lost, it is judged anew: ', text) FROM skew_incidents WHERE kind = 'opened' AND incident NOT IN \
    (SELECT incident FROM skew_incidents WHERE kind = 'resolved') AND toUnixTimestamp64Milli(at) <= {until_ms:Int64} \
    AND NOT has({known:Array(UInt64)}, incident) LIMIT 1 BY incident";

/// The newest rows of alerts that are not over, again, where they were last written 30 days ago.
const KEEP_ALERTS: &str = "INSERT INTO skew_alerts (at, rule, subject, region, node, state, severity, since, low, high, worst_low, worst_high, \
    limit_value, unit, incident, silenced, text, kept) SELECT at, rule, subject, region, node, state, severity, since, low, high, worst_low, \
    worst_high, limit_value, unit, incident, silenced, text, toDateTime(fromUnixTimestamp64Milli({at_ms:Int64}, 'UTC')) \
    FROM (SELECT * FROM skew_alerts ORDER BY at DESC, incident DESC, kept DESC LIMIT 1 BY rule, subject) WHERE state != 'resolved' \
    AND kept <= toDateTime(fromUnixTimestamp64Milli({at_ms:Int64}, 'UTC')) - INTERVAL 30 DAY";

/// That incidents that are not over began, likewise.
const KEEP_INCIDENTS: &str = "INSERT INTO skew_incidents (at, incident, kind, severity, rule, subject, subjects, text, kept) \
    SELECT at, incident, kind, severity, rule, subject, subjects, text, toDateTime(fromUnixTimestamp64Milli({at_ms:Int64}, 'UTC')) \
    FROM (SELECT * FROM skew_incidents WHERE kind = 'opened' AND incident NOT IN (SELECT incident FROM skew_incidents WHERE kind = 'resolved') \
    ORDER BY kept DESC LIMIT 1 BY incident) WHERE kept <= toDateTime(fromUnixTimestamp64Milli({at_ms:Int64}, 'UTC')) - INTERVAL 30 DAY";

/// What was told of them, likewise: it would else be told again once that were forgotten.
const KEEP_DELIVERIES: &str = "INSERT INTO alert_deliveries (target, incident, kind, outcome, attempts, at, note) \
    SELECT target, incident, kind, outcome, attempts, fromUnixTimestamp64Milli({at_ms:Int64}, 'UTC'), note \
    FROM (SELECT * FROM alert_deliveries ORDER BY at DESC LIMIT 1 BY target, incident, kind) \
    WHERE at <= fromUnixTimestamp64Milli({at_ms:Int64}, 'UTC') - INTERVAL 30 DAY AND incident IN (SELECT incident FROM skew_incidents \
    GROUP BY incident HAVING countIf(kind = 'resolved') = 0)";

/// What somebody remembers of alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RememberedAlerts {
    /// Rule and subject of each alert that is not over.
    pub alerts: Vec<(String, String)>,
    /// The numbers of incidents that are not over.
    pub incidents: Vec<u64>,
    /// Until when, ms since 1970; none where nothing is remembered.
    pub until_ms: Option<i64>,
}

impl Store {
    /// Ends, by `at_ms`, all alerts and incidents that are not over and that nobody remembers: what they rest on is lost. What still is so begins
    /// anew.
    ///
    /// # Errors
    /// As [`Store::told_incidents`]. Some may be ended then.
    pub async fn close_alerts(&self, at_ms: i64, but: &RememberedAlerts) -> Result<(), StoreError> {
        let until_ms = but.until_ms.unwrap_or(i64::MAX);
        let alerts: Vec<String> = but.alerts.iter().map(|(rule, subject)| format!("{rule} {subject}")).collect();
        let close = |sql| self.client().query(sql).param("at_ms", at_ms).param("until_ms", until_ms);
        answered(self.insert_found(close(CLOSE_ALERTS).param("known", alerts))).await?;
        // The incidents last: while one is open, there is something left to do.
        answered(self.insert_found(close(CLOSE_INCIDENTS).param("known", &but.incidents))).await
    }

    /// Keeps what is not over by `at_ms`: it would else go 90 days after it began. To be done each day or so.
    ///
    /// # Errors
    /// As [`Store::told_incidents`]. Some may be kept then.
    pub async fn keep_alerts(&self, at_ms: i64) -> Result<(), StoreError> {
        for sql in [KEEP_ALERTS, KEEP_INCIDENTS, KEEP_DELIVERIES] {
            answered(self.insert_found(self.client().query(sql).param("at_ms", at_ms))).await?;
        }
        Ok(())
    }

    /// What was told of incidents that last, or were over at `since_ns` or later; by time.
    ///
    /// # Errors
    /// [`StoreError::Sql`] and [`StoreError::Network`] from ClickHouse; [`StoreError::Protocol`] for an answer that is none.
    pub async fn told_incidents(&self, since_ns: i64) -> Result<Vec<ToldIncident>, StoreError> {
        let query = self.client().query(INCIDENTS).param("since_ns", since_ns);
        json::rows(&self.answer(query, "JSONEachRow").await?, "incidents")
    }

    /// What a target was told.
    ///
    /// # Errors
    /// As [`Store::told_incidents`].
    pub async fn deliveries(&self, target: &str) -> Result<Vec<Delivery>, StoreError> {
        let query = self.client().query(DELIVERIES).param("target", target);
        json::rows(&self.answer(query, "JSONEachRow").await?, "incidents")
    }
}

/// A comparison is a UInt8 in some versions of ClickHouse, a Bool in others.
fn number_as_bool<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Bool(bool),
        Number(u8),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::Bool(is) => is,
        Either::Number(number) => number != 0,
    })
}
