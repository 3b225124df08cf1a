//! The `[alerts]` of the aggregator's file: by what alerts are evaluated, and whom they are told.

mod reference;
mod targets;

use std::ffi::OsString;

use syncline_alerts::{Policy, Silence, settings};
use syncline_config::{Below, Document, Kind, Problem};
use ureq::http::Uri;

use crate::delivery::Target;
use targets::{AlertmanagerText, WebhookText};

pub use reference::table;

pub use syncline_alerts::settings::KEYS;

/// Keys that have variables, too: those that are one value. What is a list of tables is in the file only.
pub const BELOW: &[Below] = &[
    ("alerts.evaluate", Kind::Flag),
    ("alerts.rounds", Kind::Number),
    ("alerts.clear", Kind::Text),
    ("alerts.quiet", Kind::Text),
    ("alerts.drift_window", Kind::Text),
    ("alerts.forget", Kind::Text),
    ("alerts.runbook", Kind::Text),
    ("alerts.limits.offset", Kind::Text),
    ("alerts.limits.drift", Kind::Text),
    ("alerts.limits.step", Kind::Text),
    ("alerts.limits.pause", Kind::Text),
    ("alerts.limits.reference", Kind::Text),
    ("alerts.limits.bound", Kind::Text),
    ("alerts.limits.silence", Kind::Text),
    ("alerts.limits.frequency", Kind::Text),
    ("alerts.limits.claim", Kind::Text),
    ("alerts.limits.regions", Kind::Text),
    ("alerts.limits.causality", Kind::Text),
    ("alerts.limits.off", Kind::List),
];

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

/// What the file says of alerts, with what variables say over it ([`Options::laid`](syncline_config::Options::laid)). Secrets that are elsewhere are
/// read.
///
/// # Errors
/// Something of it is wrong.
pub fn alerts(document: &Document, environment: &dyn Fn(&str) -> Option<OsString>) -> Result<Alerts, Problem> {
    let Some(alerts) = settings::text::<AlertmanagerText, WebhookText>(document)? else {
        return Ok(Alerts::default());
    };
    let (policy, silences) = settings::evaluation(document, &alerts)?;
    let span = alerts.span();
    let text = alerts.into_inner();
    let targets = targets::targets(document, environment, &text.alertmanager, &text.webhook)?;
    let runbook = match text.runbook {
        Some(url) => {
            runbook_url(url).map_err(|why| document.problem(document.span_of("alerts.runbook").unwrap_or(span), why))?
        }
        None => RUNBOOK.to_owned(),
    };
    Ok(Alerts { evaluate: text.evaluate.unwrap_or(true), policy, silences, targets, runbook })
}

/// A page that can be linked to.
fn runbook_url(url: String) -> Result<String, String> {
    let is_page = url.parse::<Uri>().is_ok_and(|parsed| {
        matches!(parsed.scheme_str(), Some("http" | "https")) && parsed.host().is_some_and(|host| !host.is_empty())
    });
    if is_page && !url.contains('#') {
        return Ok(url);
    }
    Err(format!("{url:?} is no URL of a page, as https://wiki.example/clocks is; `#` and the rule are put behind it"))
}

#[cfg(test)]
mod tests {
    use syncline_alerts::Rule;

    use super::*;
    use crate::delivery::Way;

    fn read(text: &str) -> Result<Alerts, Problem> {
        read_with(text, &[])
    }

    fn read_with(text: &str, set: &[(&str, &str)]) -> Result<Alerts, Problem> {
        let environment =
            |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
        let file = Document::parse("a.toml", text, crate::cli::SECRETS)?;
        alerts(&crate::cli::OPTIONS.laid(Some(&file), &environment)?, &environment)
    }

    #[test]
    fn variables_go_before_the_file_and_are_blamed_for_what_they_say() {
        let set = [
            ("SYNCLINE_AGGREGATOR_ALERTS_LIMITS_OFFSET", "7ms"),
            ("SYNCLINE_AGGREGATOR_ALERTS_LIMITS_OFF", "drift,claim"),
            ("SYNCLINE_AGGREGATOR_ALERTS_ROUNDS", "3"),
            ("SYNCLINE_AGGREGATOR_ALERTS_EVALUATE", "false"),
        ];
        for file in ["", "[alerts]\nrounds = 9\n[alerts.limits]\noffset = \"5ms\"\nstep = \"1s\"\n"] {
            let Alerts { evaluate, policy, .. } = read_with(file, &set).unwrap();
            assert_eq!((evaluate, policy.rounds, policy.limits.offset_ns), (false, 3, 7_000_000));
            assert_eq!(policy.limits.off, [Rule::Drift, Rule::Claim]);
            assert_eq!(policy.limits.step_ns == 1_000_000_000, !file.is_empty(), "what is not set stays");
        }
        for (key, value, told) in [
            ("LIMITS_OFFSET", "junk", "\"junk\" is no duration"),
            ("LIMITS_DRIFT", "5ms", "\"5ms\" is no frequency error"),
            ("LIMITS_OFF", "claims", "unknown value `claims`; did you mean `claim`?"),
            ("ROUNDS", "0", "rounds: 0 is not within 1 to 100"),
            ("EVALUATE", "no", "true or false"),
            ("DRIFT_WINDOW", "1s", "drift_window: 1s is not within 60s"),
            ("RUNBOOK", "nonsense", "\"nonsense\" is no URL"),
        ] {
            let name = format!("SYNCLINE_AGGREGATOR_ALERTS_{key}");
            let problem = read_with("[alerts]\n", &[(name.as_str(), value)]).unwrap_err().to_string();
            assert!(problem.starts_with(&format!("{name}: ")) && problem.contains(told), "{problem}");
        }
    }

    #[test]
    fn secrets_may_be_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hook");
        std::fs::write(&path, "https://chat.example/T0/hunter2\n").unwrap();
        let text = format!(
            "[[alerts.webhook]]\nname = \"chat\"\nurl = {{ file = {path:?} }}\nheaders = {{ Authorization = {{ env = \"TOKEN\" }} }}\n\
             [[alerts.alertmanager]]\nname = \"one\"\nurl = {{ env = \"AM\" }}\n"
        );
        let set = [("TOKEN", "Bearer hunter2"), ("AM", "http://gw/am1")];
        let targets = read_with(&text, &set).unwrap().targets;
        let shown: Vec<_> = targets.iter().map(|target| (target.name.as_str(), target.address.shown())).collect();
        assert_eq!(shown, [("one", "gw".to_owned()), ("chat", "chat.example".to_owned())]);
        let refused = |set| read_with(&text, set).unwrap_err().shown();
        assert_eq!(refused(&set[..1]), "a.toml:7:7: the variable AM is not set");
        let told = refused(&[("AM", "http://gw"), ("TOKEN", "hunter2\u{7f}")]);
        assert!(told.starts_with("a.toml:4:") && told.contains("authorization") && !told.contains("hunter2"), "{told}");
        std::fs::remove_file(&path).unwrap();
        assert!(refused(&set).contains("hook cannot be read"), "{}", refused(&set));
    }

    #[test]
    fn alertmanagers_of_one_host_have_names() {
        let two = |more: &str| {
            let text =
                "[[alerts.alertmanager]]\nurl = \"http://gw/am1\"\n[[alerts.alertmanager]]\nurl = \"http://gw/am2\"\n";
            read(&format!("{text}{more}"))
        };
        let told = two("").unwrap_err().to_string();
        assert!(
            told.starts_with("a.toml:4:7: another one is called \"gw\", too: give one of them another `name`"),
            "{told}"
        );
        let targets = two("name = \"second\"\n").unwrap().targets;
        assert_eq!(targets.iter().map(|target| target.name.as_str()).collect::<Vec<_>>(), ["gw", "second"]);
        for wrong in ["http://gw/api/v2/alerts", "http://gw?x=1"] {
            let told = read(&format!("[[alerts.alertmanager]]\nurl = {wrong:?}\n")).unwrap_err().to_string();
            assert!(told.starts_with("a.toml:2:7: ") && told.contains("write http://HOST:PORT"), "{told}");
        }
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
            ("[alerts]\nrounds = 0", "a.toml:2:10: rounds: 0 is not within 1 to 100"),
            (
                "[alerts.limits]\noffset = 50",
                "a.toml:2:10: \"50\" is no duration: a number and one of ns, us, ms, s, m, h",
            ),
            ("[alerts.limits]\ndrift = \"5ms\"", "5ppm"),
            ("[alerts.limits]\noff = [\"claims\"]", "a.toml:2:8: unknown value `claims`; did you mean `claim`?"),
            ("[alerts]\nclear = \"101%\"", "a.toml:2:9: \"101%\" is no share"),
            ("[[alerts.override]]\nnode = \"(\"\nlimits = { step = \"1s\" }", "a.toml:2:8: pattern \"(\""),
            ("[[alerts.override]]\nnode = \"a\"", "limits"),
            ("[[alerts.override]]\nnode = \"a\"\nlimits = {}", "a.toml:1:1: this override says nothing"),
            ("[[alerts.override]]\nlimits = { step = \"1s\" }", "a.toml:1:1: this override is for nobody"),
            (
                "[[alerts.override]]\nnode = \"a\"\nlimits = { step = \"1s\", bound = \"1s\" }\n[[alerts.override]]\nnode = \"b\"\nlimits = { silence = \"36h\" }\n\
                 [alerts]\nforget = \"168h\"",
                "a.toml:4:1: override 2: alerts.override.limits.silence: 129600s is not within 1s (a second) to less than 86400s",
            ),
            (
                "[[alerts.override]]\nnode = \"a\"\nlimits = { step = \"1s\", silence = \"0s\" }",
                "a.toml:1:1: override 1: alerts.override.limits.silence: 0s is not within 1s",
            ),
            (
                "[[alerts.override]]\nnode = \"a\"\nlimits = { step = \"1s\", silence = \"1h\" }\n[alerts]\nforget = \"30m\"",
                "a.toml:1:1: alerts.forget: 1800000000000 ns is not longer than alerts.limits.silence, 3600000000000 ns of override 1",
            ),
            (
                "[[alerts.override]]\nregion = \"eu\"\nnode = \"a\"\nlimits = { step = \"1s\", off = [\"regions\"] }",
                "a.toml:1:1: override 1: `regions` is of regions, and this override is for nodes: give it a `region` only",
            ),
            (
                "[alerts]\nforget = \"1s\"\n[alerts.limits]\noff = [\"silence\"]",
                "a.toml:2:10: alerts.forget: 1s is not within 60s (a minute) to 2592000s (30 days)",
            ),
            (
                "[alerts.limits]\nsilence = \"0s\"",
                "a.toml:2:11: alerts.limits.silence: 0s is not within 1s (a second) to less than 86400s (a day",
            ),
            (
                "[[alerts.maintenance]]\nfrom = 2026-11-27T22:00:00Z\nuntil = 2026-11-27T21:00:00Z\ncomment = \"x\"",
                "a.toml:3:9: `until` 2026-11-27T21:00:00Z is before",
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
                "a.toml:4:7: another one is called \"a\"",
            ),
            (
                "[[alerts.webhook]]\nname = \"x\"\nurl = \"http://a\"\ntemplate = \"{{ txet }}\"",
                "a.toml:4:12: the template",
            ),
            ("[[alerts.webhook]]\nname = \"x\"\nurl = \"http://a\"\ntemplate = \"{% if %}\"", "the template"),
            ("[[alerts.webhook]]\nname = \"x\"\nurl = \"http://a\"\ntemplate = \"{{ text }}\"", "no JSON"),
            ("[[alerts.webhook]]\nname = \"x\"\nurl = \"http://a\"\nheaders = { \"a b\" = \"c\" }", "header"),
            (
                "[[alerts.webhook]]\nname = \"x\"\nurl = \"http://a\"\ntimeout = \"1h\"",
                "a.toml:4:11: a timeout is 100ms to 60s",
            ),
            ("[[alerts.webhook]]\nurl = \"http://a\"\nname = \"\"", "a.toml:3:8: a name has 1 to 64 characters"),
            (
                "[[alerts.webhook]]\nname = \"x\"\nurl = \"http://a\"\ncontent_type = \"x\"",
                "a.toml:4:16: its content_type",
            ),
            (
                "[alerts]\nrounds = 2\ndrift_window = \"10s\"",
                "a.toml:3:16: drift_window: 10s is not within 60s (a minute) to 86400s (a day)",
            ),
            ("alerts = 5", "a.toml:1:10: `alerts` is a table: write [alerts]"),
            ("[[alerts]]\nrounds = 2", "a.toml:1:1: `alerts` is a table: write [alerts], and not [[alerts]]"),
            ("[alerts]\nlimits = 5", "a.toml:2:10: `alerts.limits` is a table: write [alerts.limits]"),
            ("[alerts]\nquiet = 10", "a.toml:2:9: \"10\" is no duration: a number and one of ns, us, ms, s, m, h"),
            (
                "[alerts]\nrounds = -1",
                "a.toml:2:10: invalid value: integer `-1`, expected a whole number that is not negative",
            ),
            ("[alerts]\nrunbook = \"nonsense\"", "a.toml:2:11: \"nonsense\" is no URL of a page"),
            ("[alerts]\nrunbook = \"https://a/b#c\"", "a.toml:2:11: "),
        ] {
            let problem = read(text).unwrap_err().to_string();
            assert!(problem.contains(told) && !problem.contains('\n'), "{text:?}: {problem}");
        }
    }
}
