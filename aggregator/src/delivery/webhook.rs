//! What a webhook is told: each word on an incident once, as its template has it.

use std::collections::BTreeSet;

use minijinja::{Environment, UndefinedBehavior};

use super::message::{Incident, Message, examples};

/// What is told where no template is given: the whole message, as JSON.
const WHOLE: &str = "{{ message | tojson }}";
const JSON: &str = "application/json";
/// What is over and could not be told for so long is given up.
const LASTS_NS: i64 = 86_400_000_000_000;

/// How a message becomes a body.
#[derive(Clone, Debug)]
pub struct Webhook {
    template: String,
    pub(super) content_type: String,
}

impl Webhook {
    /// One with a template in Jinja's language; without one it is the whole message as JSON.
    ///
    /// # Errors
    /// The template is none, speaks of what no message has, or does not make JSON where it should.
    pub fn new(template: Option<&str>, content_type: Option<&str>) -> Result<Self, String> {
        let content_type = content_type.unwrap_or(JSON).to_owned();
        let webhook = Self { template: template.unwrap_or(WHOLE).to_owned(), content_type };
        for message in examples() {
            let body = webhook.body(&message)?;
            if webhook.content_type.starts_with(JSON)
                && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&body)
            {
                return Err(format!(
                    "the template makes no JSON ({error}): write {{{{ text | tojson }}}} with no quotes around it, or give a content_type"
                ));
            }
        }
        Ok(webhook)
    }

    /// Checks a type of content.
    ///
    /// # Errors
    /// No header has it.
    pub fn check_content_type(text: &str) -> Result<(), String> {
        let is_header = text.bytes().all(|byte| (32..127).contains(&byte)) && text.contains('/');
        if is_header { Ok(()) } else { Err("its content_type is none, as text/plain is".to_owned()) }
    }

    /// The body of a message.
    pub(super) fn body(&self, message: &Message) -> Result<String, String> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // A template that loops for ever ends.
        environment.set_fuel(Some(100_000));
        let told = |error: minijinja::Error| format!("the template cannot be filled in: {error}").replace('\n', "; ");
        let template = environment.template_from_str(&self.template).map_err(told)?;
        let all = minijinja::Value::from_serialize(message);
        template.render(minijinja::context! { message => all.clone(), ..all }).map_err(told)
    }
}

/// A word on an incident: its number, and whether it is that it is over.
pub(super) type Word = (u64, bool);

/// A word that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) word: Word,
    /// It is too old to be told.
    pub(super) is_expired: bool,
}

/// What has to be told at `now_ns`, oldest first, where `done` is, and all that was over before `begun_ns` is not of interest.
pub(super) fn due(incidents: &[Incident], done: &BTreeSet<Word>, begun_ns: i64, now_ns: i64) -> Vec<Due> {
    let mut all = Vec::new();
    for Incident { opened, resolved } in incidents {
        let ended_ns = resolved.as_ref().map(|resolved| resolved.at_ns);
        if ended_ns.is_some_and(|ended_ns| ended_ns < begun_ns) {
            continue;
        }
        let is_old = |at_ns: i64| ended_ns.is_some() && now_ns.saturating_sub(at_ns) > LASTS_NS;
        all.push((opened.at_ns, Due { word: (opened.incident, false), is_expired: is_old(opened.at_ns) }));
        all.extend(ended_ns.map(|at_ns| (at_ns, Due { word: (opened.incident, true), is_expired: is_old(at_ns) })));
    }
    all.retain(|(_, due)| !done.contains(&due.word));
    all.sort_by_key(|(at_ns, due)| (*at_ns, due.word));
    all.into_iter().map(|(_, due)| due).collect()
}

#[cfg(test)]
mod tests {
    use syncline_store::ToldIncident;

    use super::*;

    fn incident(number: u64, opened_ns: i64, resolved_ns: Option<i64>) -> Incident {
        let row = |at_ns, is_resolved| ToldIncident { incident: number, is_resolved, at_ns, ..ToldIncident::default() };
        Incident { opened: row(opened_ns, false), resolved: resolved_ns.map(|at_ns| row(at_ns, true)) }
    }

    fn words(due: &[Due]) -> Vec<Word> {
        due.iter().map(|due| due.word).collect()
    }

    #[test]
    fn each_word_is_due_until_it_is_told_in_the_order_of_time() {
        let incidents = [incident(2, 20, None), incident(1, 10, Some(30))];
        assert_eq!(words(&due(&incidents, &BTreeSet::new(), 0, 40)), [(1, false), (2, false), (1, true)]);
        let done = BTreeSet::from([(1, false), (2, false)]);
        assert_eq!(words(&due(&incidents, &done, 0, 40)), [(1, true)]);
    }

    #[test]
    fn a_new_webhook_is_told_of_what_lasts_and_not_of_all_that_was() {
        let incidents = [incident(1, 10, Some(30)), incident(2, 20, None), incident(3, 20, Some(60))];
        assert_eq!(words(&due(&incidents, &BTreeSet::new(), 50, 70)), [(2, false), (3, false), (3, true)]);
    }

    #[test]
    fn what_is_over_for_a_day_is_given_up_and_what_lasts_is_not() {
        let incidents = [incident(1, 10, Some(30)), incident(2, 20, None)];
        let due = due(&incidents, &BTreeSet::new(), 0, LASTS_NS + 25);
        let expired: Vec<_> = due.iter().map(|due| (due.word, due.is_expired)).collect();
        assert_eq!(expired, [((1, false), true), ((2, false), false), ((1, true), false)]);
    }

    #[test]
    fn a_template_is_filled_in_or_refused() {
        let [message, _] = examples();
        let body =
            |template| Webhook::new(Some(template), Some("text/plain")).and_then(|webhook| webhook.body(&message));
        assert_eq!(body("{{ severity }} {{ status }}: {{ node }}").unwrap(), "warning firing: web-1");
        for wrong in [
            "{{ sevrity }}",
            "{{ text",
            "{% for x in range(99999) %}{% for y in range(99999) %}x{% endfor %}{% endfor %}",
        ] {
            assert!(body(wrong).unwrap_err().starts_with("the template"), "{wrong}");
        }
        let whole = Webhook::new(None, None).unwrap().body(&message).unwrap();
        let whole: serde_json::Value = serde_json::from_str(&whole).unwrap();
        assert_eq!((&whole["incident"], &whole["ends_at"]), (&7.into(), &serde_json::Value::Null));
    }
}
