//! Who is told, as the file has it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use syncline_config::{Document, DurationText, Problem};
use toml::Spanned;

use crate::delivery::{Address, Target, Way, Webhook};

/// An answer may take so long unless told otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertmanagerText {
    url: String,
    timeout: Option<DurationText>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookText {
    name: String,
    url: String,
    timeout: Option<DurationText>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    template: Option<String>,
    content_type: Option<String>,
}

pub(super) fn targets(
    document: &Document,
    alertmanagers: &[Spanned<AlertmanagerText>],
    webhooks: &[Spanned<WebhookText>],
) -> Result<Vec<Target>, Problem> {
    let alertmanagers = alertmanagers.iter().map(|one| (one.span(), one.get_ref().target()));
    let webhooks = webhooks.iter().map(|one| (one.span(), one.get_ref().target()));
    let (mut targets, mut names) = (Vec::<Target>::new(), BTreeSet::new());
    for (span, target) in alertmanagers.chain(webhooks) {
        let target = target.map_err(|why| document.problem(span.clone(), why))?;
        if !names.insert(target.name.clone()) {
            return Err(document.problem(span, format!("another one is called {:?}, too", target.name)));
        }
        targets.push(target);
    }
    Ok(targets)
}

impl AlertmanagerText {
    fn target(&self) -> Result<Target, String> {
        let address = Address::new(&self.url, &self.headers, timeout(self.timeout)?)?;
        Ok(Target { name: address.shown(), address: address.below("/api/v2/alerts"), way: Way::Alertmanager })
    }
}

impl WebhookText {
    fn target(&self) -> Result<Target, String> {
        let address = Address::new(&self.url, &self.headers, timeout(self.timeout)?)?;
        if self.name.is_empty() || self.name.len() > 64 || self.name.chars().any(char::is_control) {
            return Err("its name has to have 1 to 64 characters".to_owned());
        }
        let webhook = Webhook::new(self.template.as_deref(), self.content_type.as_deref())?;
        Ok(Target { name: self.name.clone(), address, way: Way::Webhook(Box::new(webhook)) })
    }
}

fn timeout(given: Option<DurationText>) -> Result<Duration, String> {
    let timeout = given.map_or(TIMEOUT, |DurationText(timeout)| timeout);
    let sane = Duration::from_millis(100)..=Duration::from_secs(60);
    if sane.contains(&timeout) { Ok(timeout) } else { Err("its timeout must be 100ms to 60s".to_owned()) }
}
