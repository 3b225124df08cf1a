//! Where the aggregator is.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tonic::transport::Endpoint;

/// An aggregator's URL, as given and as used.
#[derive(Clone, Debug)]
pub struct Aggregator {
    url: String,
    endpoint: Endpoint,
}

impl Aggregator {
    /// What to connect to: no delay for small packets (probes), and a peer that is gone is noticed within 15 s.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Its host and port: what tells it from others, however its URL is written.
    pub fn address(&self) -> String {
        self.endpoint.uri().authority().map_or_else(String::new, |authority| authority.as_str().to_ascii_lowercase())
    }
}

impl FromStr for Aggregator {
    type Err = String;
    fn from_str(url: &str) -> Result<Self, String> {
        let example = "an example: http://127.0.0.1:7700";
        if !url.starts_with("http://") {
            return Err(format!("{url:?} must start with http:// ({example})"));
        }
        let endpoint =
            Endpoint::from_shared(url.to_owned()).map_err(|e| format!("{url:?} is no URL: {e} ({example})"))?;
        if endpoint.uri().port().is_none() {
            return Err(format!("{url:?} names no port ({example})"));
        }
        let endpoint = endpoint
            .tcp_nodelay(true)
            .connect_timeout(Duration::from_secs(5))
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true);
        Ok(Self { url: url.to_owned(), endpoint })
    }
}

impl fmt::Display for Aggregator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_scheme_or_port_is_refused_with_an_example() {
        for bad in ["127.0.0.1:7700", "https://x:1", "http://x", "http://", "http://a b:1"] {
            let error = bad.parse::<Aggregator>().unwrap_err();
            assert!(error.contains("example"), "{error}");
        }
        assert_eq!("http://Host:7700/".parse::<Aggregator>().unwrap().address(), "host:7700");
        assert_eq!("http://[::1]:7700".parse::<Aggregator>().unwrap().to_string(), "http://[::1]:7700");
    }
}
