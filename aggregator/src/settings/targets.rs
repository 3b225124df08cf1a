//! Who is told, as the file has it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::ops::Range;
use std::time::Duration;

use serde::Deserialize;
use syncline_config::{Document, DurationText, Problem, Secret};
use toml::Spanned;

use crate::delivery::{Address, Target, Way, Webhook};

/// An answer may take so long unless told otherwise.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

type Environment<'a> = dyn Fn(&str) -> Option<OsString> + 'a;
/// What is wrong, and where it stands.
type Wrong = (Range<usize>, String);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertmanagerText {
    name: Option<Spanned<String>>,
    url: Spanned<Secret>,
    timeout: Option<Spanned<DurationText>>,
    #[serde(default)]
    headers: BTreeMap<String, Spanned<Secret>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookText {
    name: Spanned<String>,
    url: Spanned<Secret>,
    timeout: Option<Spanned<DurationText>>,
    #[serde(default)]
    headers: BTreeMap<String, Spanned<Secret>>,
    template: Option<Spanned<String>>,
    content_type: Option<Spanned<String>>,
}

/// Secrets are read of files and of `environment`.
pub(super) fn targets(
    document: &Document,
    environment: &Environment<'_>,
    alertmanagers: &[Spanned<AlertmanagerText>],
    webhooks: &[Spanned<WebhookText>],
) -> Result<Vec<Target>, Problem> {
    let alertmanagers = alertmanagers.iter().map(|one| one.get_ref().target(environment));
    let webhooks = webhooks.iter().map(|one| one.get_ref().target(environment));
    let (mut targets, mut names) = (Vec::<Target>::new(), BTreeSet::new());
    for target in alertmanagers.chain(webhooks) {
        let (target, named) = target.map_err(|(at, why)| document.problem(at, why))?;
        if !names.insert(target.name.clone()) {
            let why = format!("another one is called {:?}, too: give one of them another `name`", target.name);
            return Err(document.problem(named, why));
        }
        targets.push(target);
    }
    Ok(targets)
}

impl AlertmanagerText {
    /// It is called by its host unless it has a name. With where it is named.
    fn target(&self, environment: &Environment<'_>) -> Result<(Target, Range<usize>), Wrong> {
        let address = address((&self.url, &self.headers), self.timeout.as_ref(), environment)?;
        let posted = address.of_alertmanager().map_err(|why| (self.url.span(), why))?;
        let (name, named) = match &self.name {
            Some(given) => (checked_name(given)?, given.span()),
            None => (address.shown(), self.url.span()),
        };
        Ok((Target { name, address: posted, way: Way::Alertmanager }, named))
    }
}

impl WebhookText {
    fn target(&self, environment: &Environment<'_>) -> Result<(Target, Range<usize>), Wrong> {
        let name = checked_name(&self.name)?;
        let address = address((&self.url, &self.headers), self.timeout.as_ref(), environment)?;
        if let Some(given) = &self.content_type {
            Webhook::check_content_type(given.get_ref()).map_err(|why| (given.span(), why))?;
        }
        let text = |given: &Option<Spanned<String>>| given.as_ref().map(|given| given.get_ref().clone());
        let webhook = Webhook::new(text(&self.template).as_deref(), text(&self.content_type).as_deref());
        let at = self.template.as_ref().map_or_else(|| self.name.span(), Spanned::span);
        let way = Way::Webhook(Box::new(webhook.map_err(|why| (at, why))?));
        Ok((Target { name, address, way }, self.name.span()))
    }
}

fn address(
    (url, headers): (&Spanned<Secret>, &BTreeMap<String, Spanned<Secret>>),
    timeout: Option<&Spanned<DurationText>>,
    environment: &Environment<'_>,
) -> Result<Address, Wrong> {
    let timeout = timeout.map_or(Ok(TIMEOUT), checked_timeout)?;
    let read = |secret: &Spanned<Secret>| secret.get_ref().read(environment).map_err(|why| (secret.span(), why));
    let mut address = Address::new(&read(url)?, timeout).map_err(|why| (url.span(), why))?;
    for (name, value) in headers {
        address = address.with_header(name, &read(value)?).map_err(|why| (value.span(), why))?;
    }
    Ok(address)
}

fn checked_name(given: &Spanned<String>) -> Result<String, Wrong> {
    let name = given.get_ref();
    if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
        return Err((given.span(), "a name has 1 to 64 characters".to_owned()));
    }
    Ok(name.clone())
}

fn checked_timeout(given: &Spanned<DurationText>) -> Result<Duration, Wrong> {
    let DurationText(timeout) = *given.get_ref();
    let sane = Duration::from_millis(100)..=Duration::from_secs(60);
    if sane.contains(&timeout) { Ok(timeout) } else { Err((given.span(), "a timeout is 100ms to 60s".to_owned())) }
}
