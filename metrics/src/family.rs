//! What there is.

/// What a value does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It grows, and begins at zero with each start.
    Counter,
    /// It is what it is now.
    Gauge,
    /// Durations by classes, each with what is below its bound (`le`).
    Histogram,
}

/// Values of one name, one for each set of labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// As it is exposed, with unit and suffix.
    pub name: String,
    /// What the values do.
    pub kind: Kind,
    /// What tells them apart.
    pub labels: &'static [&'static str],
    /// What they are, without a full stop.
    pub help: String,
}

impl Family {
    /// A counter; its name ends with `_total`.
    #[must_use]
    pub fn counter(name: impl Into<String>, labels: &'static [&'static str], help: impl Into<String>) -> Self {
        Self { name: name.into(), kind: Kind::Counter, labels, help: help.into() }
    }

    /// A gauge.
    #[must_use]
    pub fn gauge(name: impl Into<String>, labels: &'static [&'static str], help: impl Into<String>) -> Self {
        Self { name: name.into(), kind: Kind::Gauge, labels, help: help.into() }
    }

    /// A histogram of durations; its name ends with `_seconds`.
    #[must_use]
    pub fn histogram(name: impl Into<String>, labels: &'static [&'static str], help: impl Into<String>) -> Self {
        Self { name: name.into(), kind: Kind::Histogram, labels, help: help.into() }
    }
}

/// The families as a table in Markdown.
#[must_use]
pub fn table(families: &[Family]) -> String {
    let mut table = "| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for Family { name, kind, labels, help } in families {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        table.push_str(&format!("| `{name}` | {kind} | {} | {} |\n", labels.join(", "), help.replace('|', "\\|")));
    }
    table
}
