//! Where to send, and what the other end says to it.

use std::fmt;
use std::io::Read as _;
use std::time::Duration;

use ureq::http::{HeaderName, HeaderValue, Response, Uri};

/// Bytes of an answer that are read, to tell why it is a refusal.
const ANSWER_BYTES: u64 = 4 << 10;
/// Where an Alertmanager takes alerts, below its URL.
const ALERTS: &str = "/api/v2/alerts";

/// A URL with what goes along to it. Only host and port are ever shown: the rest may be secret.
#[derive(Clone)]
pub struct Address {
    url: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    timeout: Duration,
}

impl Address {
    /// Checks a URL.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(url: &str, timeout: Duration) -> Result<Self, String> {
        let help = "write http://HOST:PORT/PATH or https://HOST/PATH";
        let url: Uri = url.parse().map_err(|error| format!("the URL is none ({error}): {help}"))?;
        if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none_or(str::is_empty) {
            return Err(format!("the URL is none that can be posted to: {help}"));
        }
        if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err("the URL has a password in it: write headers = { Authorization = \"Basic ...\" }".to_owned());
        }
        Ok(Self { url, headers: Vec::new(), timeout })
    }

    /// With a header that goes along.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn with_header(mut self, name: &str, value: &str) -> Result<Self, String> {
        let name: HeaderName = name.parse().map_err(|_| format!("{name:?} is no name of a header"))?;
        let value = HeaderValue::from_str(value);
        let mut value = value.map_err(|_| format!("the value of the header {name} has characters that none has"))?;
        value.set_sensitive(true);
        self.headers.push((name, value));
        Ok(self)
    }

    /// Where the Alertmanager at this URL takes alerts.
    ///
    /// # Errors
    /// It is more than that of an Alertmanager, which has paths of its own below.
    pub fn of_alertmanager(&self) -> Result<Self, String> {
        let help = "write http://HOST:PORT, or http://HOST/PREFIX where it has one (--web.route-prefix)";
        if self.url.query().is_some() {
            return Err(format!("an Alertmanager's URL has nothing behind a `?`: {help}"));
        }
        let path = self.url.path().trim_end_matches('/');
        if [ALERTS, "/api/v2", "/api/v1/alerts", "/api/v1"].iter().any(|end| path.ends_with(end)) {
            return Err(format!("{ALERTS} is put behind an Alertmanager's URL, leave it out: {help}"));
        }
        Ok(self.below(ALERTS))
    }

    /// Host and port.
    #[must_use]
    pub fn shown(&self) -> String {
        self.url.authority().map(ToString::to_string).unwrap_or_default()
    }

    /// How long a post may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The same with a path below.
    fn below(&self, path: &str) -> Self {
        let base = self.url.path().trim_end_matches('/');
        let scheme = self.url.scheme_str().unwrap_or("http");
        let url = format!("{scheme}://{}{base}{path}", self.shown()).parse();
        Self { url: url.unwrap_or_else(|_| self.url.clone()), ..self.clone() }
    }

    /// Posts `body` and waits for the answer.
    pub(super) fn post(&self, (content_type, key): (&str, Option<&str>), body: &str) -> Answer {
        let config = ureq::Agent::config_builder().timeout_global(Some(self.timeout)).http_status_as_error(false);
        let agent = config.max_redirects(0).build().new_agent();
        let mut request = agent.post(&self.url).header("Content-Type", content_type);
        request = request.header("User-Agent", concat!("syncline/", env!("CARGO_PKG_VERSION")));
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        match request.send(body) {
            Ok(mut answer) => Answer::of(&mut answer),
            Err(error) => Answer::Failed { why: error.to_string(), after: None },
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.shown())
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It was taken.
    Taken,
    /// It never will be.
    Refused(String),
    /// It may be, later.
    Failed {
        why: String,
        /// Not before, by its own word.
        after: Option<Duration>,
    },
}

impl Answer {
    /// What is wrong with this very message stays wrong. All else, as a token or a URL, may be mended at either end.
    fn of_status(status: u16, why: String, after: Option<Duration>) -> Self {
        match status {
            400 | 413 | 415 | 422 => Self::Refused(why),
            401 | 403 => Self::Failed { why: format!("{why}; does it want another token in `headers`?"), after },
            300..400 | 404 | 405 | 410 => Self::Failed { why: format!("{why}; is its `url` right?"), after },
            _ => Self::Failed { why, after },
        }
    }

    fn of(response: &mut Response<ureq::Body>) -> Self {
        let status = response.status();
        if status.is_success() {
            return Self::Taken;
        }
        let after = response.headers().get("Retry-After").and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let mut bytes = Vec::new();
        // What cannot be read of it is not told.
        let _ = response.body_mut().as_reader().take(ANSWER_BYTES).read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        let line: String = text.lines().next().unwrap_or_default().trim().chars().take(200).collect();
        let why = format!("HTTP {status}{}{line}", if line.is_empty() { "" } else { ": " });
        Self::of_status(status.as_u16(), why, after.map(Duration::from_secs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Result<Address, String> {
        Address::new(url, Duration::from_secs(1))
    }

    #[test]
    fn what_cannot_be_posted_to_is_refused() {
        for url in ["", "localhost:9093", "ftp://a", "http://", "/x", "http://me:secret@a/"] {
            assert!(address(url).is_err(), "{url}");
        }
        let error = address("http://me:secret@a/").unwrap_err();
        assert!(error.contains("Authorization") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn nothing_but_host_and_port_is_shown() {
        let hook = address("https://hooks.example:8443/T0/secret").unwrap();
        assert_eq!(
            (hook.shown().as_str(), format!("{hook:?}").as_str()),
            ("hooks.example:8443", "Address(hooks.example:8443)")
        );
        assert_eq!(address("http://a:1/x/").unwrap().below("/api").url, "http://a:1/x/api");
    }

    #[test]
    fn an_alertmanager_is_posted_to_below_its_prefix_and_what_it_has_already_is_refused() {
        let posted = |url: &str| address(url).unwrap().of_alertmanager().map(|address| address.url.to_string());
        assert_eq!(posted("http://gw:9093").unwrap(), "http://gw:9093/api/v2/alerts");
        assert_eq!(posted("https://gw/am1/").unwrap(), "https://gw/am1/api/v2/alerts");
        for url in
            ["http://gw/api/v2/alerts", "http://gw/am1/api/v2/alerts/", "http://gw/api/v2", "http://gw/api/v1/alerts"]
        {
            assert!(posted(url).unwrap_err().contains("leave it out"), "{url}");
        }
        let error = posted("http://gw/?x=hunter2").unwrap_err();
        assert!(error.contains('?') && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_header_that_is_none_is_refused_without_its_value() {
        assert_eq!(address("http://a").unwrap().with_header("X-A", "b").unwrap().headers.len(), 1);
        for (name, value) in [("a b", "c"), ("X-A", "hunter2\n")] {
            let error = address("http://a").unwrap().with_header(name, value).unwrap_err();
            assert!(error.contains("header") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_may_be_mended_is_tried_again_and_what_is_wrong_with_a_message_is_not() {
        let answer = |status| Answer::of_status(status, format!("HTTP {status}"), None);
        for status in [400, 413, 415, 422] {
            assert_eq!(answer(status), Answer::Refused(format!("HTTP {status}")));
        }
        for (status, help) in [(401, "headers"), (403, "headers"), (404, "url"), (302, "url"), (429, ""), (503, "")] {
            let Answer::Failed { why, after: None } = answer(status) else { panic!("{status}: {:?}", answer(status)) };
            assert!(why.starts_with(&format!("HTTP {status}")) && why.contains(help), "{why}");
        }
    }
}
