//! The file of settings, TOML: what of it is about processes.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use syncline_config::{Document, Problem};
use toml::Spanned;

use super::rules::{Layer, Rule};
use super::settings::Change;
use super::text::{DurationText, RuleText};
use crate::governor::Budget;
use crate::kinds::CaptureKind;

/// Keys at the top that are read here, and again while the agent runs. All but the last one are options of the command line, too.
pub const KEYS: [&str; 7] = ["threshold", "open_after", "budget", "without", "with", "observe", "rule"];

/// A file that may be read again while the agent runs.
#[derive(Clone, Debug)]
pub struct SettingsFile {
    /// Where it is.
    pub path: PathBuf,
    /// What the command line and the environment say, which goes before what the file says for all.
    pub typed: Change,
    /// Opens it, and checks what is not about processes.
    pub open: fn(&Path) -> Result<Document, Problem>,
}

impl SettingsFile {
    /// Reads it.
    ///
    /// # Errors
    /// If it cannot be read, or something in it is wrong: then nothing of it holds.
    pub fn read(&self) -> Result<Layer, Problem> {
        self.read_document().map(|(layer, _)| layer)
    }

    /// Reads it, and gives what it says of all keys, too.
    ///
    /// # Errors
    /// As [`SettingsFile::read`].
    pub fn read_document(&self) -> Result<(Layer, Document), Problem> {
        let document = (self.open)(&self.path)?;
        let layer = layer(&document)?;
        Ok((Layer { all: layer.all.under(&self.typed), ..layer }, document))
    }
}

/// What a file says of processes.
///
/// # Errors
/// If something of that is wrong.
pub fn layer(document: &Document) -> Result<Layer, Problem> {
    let file: FileText = document.read(&KEYS)?;
    let duration = |text: Option<DurationText>| text.map(|DurationText(duration)| duration);
    let (threshold, open_after) = (duration(file.threshold), duration(file.open_after));
    let all = Change::new(file.observe, threshold, open_after, (&file.without, &file.with));
    let all = all.map_err(|error| document.problem(0..0, error.to_string()))?.with_budget(file.budget);
    let rules = file.rule.into_iter().map(|rule| {
        let at = rule.span();
        of_file(&rule.into_inner(), document.line(at.start)).map_err(|why| document.problem(at, why))
    });
    Ok(Layer { all, rules: rules.collect::<Result<_, _>>()? })
}

fn of_file(text: &RuleText, line: usize) -> Result<Rule, String> {
    let (who, change) = (text.selector(), text.change().map_err(|e| e.to_string())?);
    if who.is_empty() {
        return Err("this rule is for nobody: give it a service, exe, container, pod or namespace; what holds for all stands above \
                    the first [[rule]]"
            .to_owned());
    }
    if change.is_empty() {
        return Err(
            "this rule says nothing: give it observe, threshold, open_after, budget, without or with".to_owned()
        );
    }
    Ok(Rule { who, change, line: Some(line) })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    observe: Option<bool>,
    threshold: Option<DurationText>,
    open_after: Option<DurationText>,
    budget: Option<Budget>,
    #[serde(default)]
    without: Vec<CaptureKind>,
    #[serde(default)]
    with: Vec<CaptureKind>,
    #[serde(default)]
    rule: Vec<Spanned<RuleText>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Layer, Problem> {
        layer(&Document::parse("agent.toml", text, &[])?)
    }

    #[test]
    fn what_is_written_holds_in_its_order() {
        let layer = parse(
            "threshold = \"2ms\"\nwithout = [\"off-cpu\"]\n\n[[rule]]\nservice = \"shop-*\"\nthreshold = \"5ms\"\n\n\
             [[rule]]\nexe = \"/opt/x\"\nnamespace = \"test\"\nobserve = false\n",
        )
        .unwrap();
        assert_eq!(layer.all.to_string(), "threshold=2ms without=off-cpu");
        let rules: Vec<_> =
            layer.rules.iter().map(|rule| (rule.line, rule.who.to_string(), rule.change.to_string())).collect();
        assert_eq!(
            rules,
            [
                (Some(4), "service=shop-*".to_owned(), "threshold=5ms".to_owned()),
                (Some(8), "exe=/opt/x namespace=test".to_owned(), "observe=false".to_owned()),
            ]
        );
        assert!(matches!(parse(""), Ok(layer) if layer == Layer::default()));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_what_would_be_right() {
        for (text, line, part) in [
            ("threshold = \"1\"", 1, "250us"),
            ("threshold = 5", 1, "250us"),
            ("\n\nwithout = [\"syscall\", \"disk\"]", 3, "`off-cpu`"),
            ("observe = \"no\"", 1, "true or false"),
            ("[[rule]]\nservice = \"a\"\nobserve = false\nprio = 3", 4, "`service`"),
            ("threshold = \"1ms\"\n[[rule]]\nthreshold = \"1ms\"", 2, "for nobody"),
            ("[[rule]]\nservice = \"a\"", 1, "says nothing"),
            ("[[rule]]\nservice = \"\"\nobserve = true", 2, "fits nothing"),
            ("[[rule]]\nservice = \"a\"\nwith = [\"cgo\"]\nwithout = [\"cgo\"]", 1, "both"),
            ("[rule]\nservice = \"a\"", 1, "a list"),
            ("[[rule]\n", 1, "]"),
            ("a", 1, "="),
        ] {
            let problem = parse(text).unwrap_err();
            let told = problem.to_string();
            assert!(problem.line() == Some(line) && told.contains(part) && !told.contains('\n'), "{text:?}: {told}");
        }
    }

    #[test]
    fn a_file_is_named_where_it_is_wrong_or_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let file = SettingsFile {
            path: dir.path().join("agent.toml"),
            typed: Change::default(),
            open: |path| Document::open(path, &[]),
        };
        let refused = || file.read().unwrap_err().to_string();
        assert!(refused().contains("agent.toml: cannot be read"));
        std::fs::write(&file.path, "\n\nopen_after = \"soon\"").unwrap();
        assert!(refused().contains("agent.toml:3:14: \"soon\" is no duration"), "{}", refused());
        std::fs::write(&file.path, vec![b'#'; (syncline_config::MOST_BYTES + 1) as usize]).unwrap();
        assert!(refused().contains("larger"));
    }

    #[test]
    fn what_was_typed_goes_before_what_the_file_says_for_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        std::fs::write(&path, "threshold = \"2ms\"\nopen_after = \"9s\"\nwithout = [\"off-cpu\"]\n").unwrap();
        let threshold = Some(std::time::Duration::from_millis(7));
        let typed = Change::new(None, threshold, None, (&[CaptureKind::Cgo], &[])).unwrap();
        let file = SettingsFile { path, typed, open: |path| Document::open(path, &[]) };
        assert_eq!(file.read().unwrap().all.to_string(), "threshold=7ms open_after=9s without=cgo");
    }
}
