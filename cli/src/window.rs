//! Which window of time is asked for.

use crate::failure::usage;
use crate::time;

/// `from_ns..to_ns` on the fleet's clock; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) from_ns: i64,
    pub(crate) to_ns: i64,
}

/// Begin and end of a window, of the parameters `t0` and `t1` in ns since 1970.
pub(crate) const T0: &str = "fromUnixTimestamp64Nano(toInt64({t0:Int64}), 'UTC')";
pub(crate) const T1: &str = "fromUnixTimestamp64Nano(toInt64({t1:Int64}), 'UTC')";

/// What the person wishes to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Given(Window),
    /// The last of what there is.
    NewestData,
}

impl Window {
    /// What `--from` and `--to` say, and without them the last of this length.
    pub(crate) fn until_now(from: Option<&str>, to: Option<&str>, usual_ns: i64, now_ns: i64) -> anyhow::Result<Self> {
        match Wish::parse(from, to, usual_ns, now_ns)? {
            Wish::Given(window) => Ok(window),
            Wish::NewestData => Ok(Self::ending_at(now_ns, usual_ns)),
        }
    }

    /// The parameters of [`T0`] and [`T1`].
    pub(crate) fn params(self) -> Vec<(String, String)> {
        vec![("t0".to_owned(), self.from_ns.to_string()), ("t1".to_owned(), self.to_ns.to_string())]
    }

    /// The window of this length up to and including this instant.
    pub(crate) fn ending_at(ns: i64, length_ns: i64) -> Self {
        let to_ns = ns.saturating_add(1);
        Self { from_ns: to_ns.saturating_sub(length_ns), to_ns }
    }
}

impl Wish {
    /// Reads `--from` and `--to`; relative times count from `now_ns`. A window of which only the end is given has the usual length.
    pub(crate) fn parse(from: Option<&str>, to: Option<&str>, usual_ns: i64, now_ns: i64) -> anyhow::Result<Self> {
        let read = |option: &str, text: Option<&str>| {
            text.map(|text| time::parse(text, now_ns).map_err(|error| usage(format!("--{option}: {error}"))))
                .transpose()
        };
        let window = match (read("from", from)?, read("to", to)?) {
            (None, None) => return Ok(Self::NewestData),
            (Some(from_ns), to_ns) => Window { from_ns, to_ns: to_ns.unwrap_or(now_ns) },
            (None, Some(to_ns)) => Window { from_ns: to_ns.saturating_sub(usual_ns), to_ns },
        };
        if window.from_ns >= window.to_ns {
            let [from, to] = [window.from_ns, window.to_ns].map(time::rfc3339);
            return Err(usage(format!("--from ({from}) is not before --to ({to})")));
        }
        Ok(Self::Given(window))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_442_700_000_000_000;
    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn missing_ends_have_their_usual_place() {
        let window = |from, to| Wish::parse(from, to, 10 * SECOND, NOW).unwrap();
        let given = |from_ns, to_ns| Wish::Given(Window { from_ns, to_ns });
        assert_eq!(window(None, None), Wish::NewestData);
        assert_eq!(window(Some("-30s"), None), given(NOW - 30 * SECOND, NOW));
        assert_eq!(window(None, Some("-30s")), given(NOW - 40 * SECOND, NOW - 30 * SECOND));
        assert_eq!(Window::ending_at(NOW, SECOND).to_ns, NOW + 1);
    }

    #[test]
    fn a_window_that_ends_before_it_begins_is_refused() {
        let error = Wish::parse(Some("-1s"), Some("-2s"), SECOND, NOW).unwrap_err().to_string();
        assert!(error.contains("is not before --to"), "{error}");
        let error = Wish::parse(Some("soon"), None, SECOND, NOW).unwrap_err().to_string();
        assert!(error.starts_with("--from: \"soon\" is not a time"), "{error}");
    }
}
