//! The `[alerts]` of the aggregator's file: by what alerts are evaluated, and whom they are told.

mod reference;
mod targets;

use syncline_alerts::{Policy, Silence, settings};
use syncline_config::{Document, Problem};

use crate::delivery::Target;
use targets::{AlertmanagerText, WebhookText};

pub use reference::table;

pub use syncline_alerts::settings::KEYS;

/// Where runbooks are, unless the file says otherwise.
const RUNBOOK: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/runbook.md");

/// How alerts are evaluated, and whom they are told.
#[derive(Clone, Debug)]
pub struct Alerts {
    /// Whether they are evaluated here when it is this aggregator's turn.
    pub evaluate: bool,
    /// Limits, and who has others.
    pub policy: Policy,
    /// Declared maintenance.
    pub silences: Vec<Silence>,
    /// Who is told.
    pub targets: Vec<Target>,
    /// URL of the page whose headings are the rules' names.
    pub runbook: String,
}

impl Default for Alerts {
    fn default() -> Self {
        let runbook = RUNBOOK.to_owned();
        Self { evaluate: true, policy: Policy::default(), silences: Vec::new(), targets: Vec::new(), runbook }
    }
}

/// What the file says of alerts.
///
/// # Errors
/// Something of it is wrong.
pub fn alerts(document: &Document) -> Result<Alerts, Problem> {
    let Some(alerts) = settings::text::<AlertmanagerText, WebhookText>(document)? else {
        return Ok(Alerts::default());
    };
    let (policy, silences) = settings::evaluation(document, &alerts)?;
    let text = alerts.into_inner();
    let targets = targets::targets(document, &text.alertmanager, &text.webhook)?;
    let runbook = text.runbook.unwrap_or_else(|| RUNBOOK.to_owned());
    Ok(Alerts { evaluate: text.evaluate.unwrap_or(true), policy, silences, targets, runbook })
}

#[cfg(test)]
mod tests {
    use syncline_alerts::Rule;

    use super::*;
    use crate::delivery::Way;

    fn read(text: &str) -> Result<Alerts, Problem> {
        alerts(&Document::parse("a.toml", text, crate::cli::SECRETS)?)
    }

    #[test]
    fn what_is_not_said_is_as_usual() {
        for text in ["", "[alerts]", "region = \"eu\""] {
            let alerts = read(text).unwrap();
            assert!(alerts.evaluate);
            assert_eq!((alerts.policy, alerts.silences.len(), alerts.targets.len()), (Policy::default(), 0, 0));
        }
    }

    #[test]
    fn limits_are_written_with_their_units() {
        let alerts = read(
            "[alerts]\nrounds = 3\nclear = \"50%\"\nquiet = \"5m\"\n[alerts.limits]\noffset = \"5ms\"\ndrift = \"0.5ppm\"\noff = [\"claim\"]\n\
             [[alerts.override]]\nregion = \"edge-.*\"\nlimits = { bound = \"200ms\", offset = \"400ms\", off = [\"drift\"] }\n",
        )
        .unwrap();
        assert!(!read("[alerts]\nevaluate = false").unwrap().evaluate);
        let Policy { limits, overrides, rounds, clear_permille, quiet_ns, .. } = alerts.policy;
        assert_eq!((limits.offset_ns, limits.drift_ppb, limits.off), (5_000_000, 500, vec![Rule::Claim]));
        assert_eq!((rounds, clear_permille, quiet_ns), (3, 500, 300_000_000_000));
        let overrides: Vec<_> = overrides.iter().map(|one| (one.when.rules.clone(), one.limit)).collect();
        assert_eq!(
            overrides,
            [
                (vec![Rule::Offset], Some(400_000_000)),
                (vec![Rule::Bound], Some(200_000_000)),
                (vec![Rule::Drift], None)
            ]
        );
    }

    #[test]
    fn maintenance_and_who_is_told_are_read() {
        let alerts = read(
            "[[alerts.maintenance]]\nnode = \"db-.*\"\nrules = [\"step\"]\nfrom = 2026-11-27T22:00:00Z\nuntil = 2026-11-28T01:00:00+02:00\n\
             comment = \"new switch\"\n[[alerts.alertmanager]]\nurl = \"http://127.0.0.1:9093\"\n\
             [[alerts.webhook]]\nname = \"chat\"\nurl = \"http://127.0.0.1:8080/hook\"\ntemplate = '{\"text\": {{ text | tojson }}}'\n",
        )
        .unwrap();
        let silence = &alerts.silences[0];
        assert_eq!((silence.until_ns - silence.from_ns, silence.comment.as_str()), (3_600_000_000_000, "new switch"));
        let names: Vec<_> = alerts.targets.iter().map(|target| target.name.as_str()).collect();
        assert_eq!(names, ["127.0.0.1:9093", "chat"]);
        assert!(matches!(alerts.targets[0].way, Way::Alertmanager) && matches!(alerts.targets[1].way, Way::Webhook(_)));
    }

    #[test]
    fn what_is_wrong_is_told_where_it_stands_and_how_to_mend_it() {
        for (text, told) in [
            ("[alerts]\nround = 2", "a.toml:2:1: unknown key `round`; did you mean `rounds`?"),
            ("[alerts]\nrounds = 0", "a.toml:1:1: rounds: 0 is not within 1 to 100"),
            ("[alerts.limits]\noffset = 50", "a.toml:2:10: invalid type: integer `50`, expected a string"),
            ("[alerts.limits]\ndrift = \"5ms\"", "5ppm"),
            ("[alerts.limits]\noff = [\"claims\"]", "a.toml:2:8: unknown value `claims`; did you mean `claim`?"),
            ("[alerts]\nclear = \"101%\"", "a.toml:2:9: \"101%\" is no share"),
            ("[[alerts.override]]\nnode = \"(\"\nlimits = { step = \"1s\" }", "a.toml:2:8: pattern \"(\""),
            ("[[alerts.override]]\nnode = \"a\"", "limits"),
            ("[[alerts.override]]\nnode = \"a\"\nlimits = {}", "a.toml:1:1: this override says nothing"),
            ("[[alerts.override]]\nlimits = { step = \"1s\" }", "a.toml:1:1: this override is for nobody"),
            (
                "[[alerts.maintenance]]\nfrom = 2026-11-27T22:00:00Z\nuntil = 2026-11-27T21:00:00Z\ncomment = \"x\"",
                "is before",
            ),
            (
                "[[alerts.maintenance]]\nfrom = 2026-11-27\nuntil = 2026-11-27T21:00:00Z\ncomment = \"x\"",
                "2026-11-27T22:00:00Z",
            ),
            (
                "[[alerts.maintenance]]\nuntil = 2026-11-27T21:00:00Z\ncomment = \"x\"",
                "a.toml:1:1: missing field `from`",
            ),
            ("[[alerts.alertmanager]]\nurl = \"127.0.0.1:9093\"", "http://"),
            (
                "[[alerts.alertmanager]]\nurl = \"http://a\"\n[[alerts.alertmanager]]\nurl = \"http://a\"",
                "a.toml:3:1: another one is called \"a\"",
            ),
            (
                "[[alerts.webhook]]\nname = \"x\"\nurl = \"http://a\"\ntemplate = \"{{ txet }}\"",
                "a.toml:1:1: the template",
            ),
            ("[[alerts.webhook]]\nname = \"x\"\nurl = \"http://a\"\ntemplate = \"{% if %}\"", "the template"),
            ("[[alerts.webhook]]\nname = \"x\"\nurl = \"http://a\"\ntemplate = \"{{ text }}\"", "no JSON"),
            ("[[alerts.webhook]]\nname = \"x\"\nurl = \"http://a\"\nheaders = { \"a b\" = \"c\" }", "header"),
        ] {
            let problem = read(text).unwrap_err().to_string();
            assert!(problem.contains(told) && !problem.contains('\n'), "{text:?}: {problem}");
        }
    }
}
