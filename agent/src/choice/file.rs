//! The file of settings, TOML.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

use super::rules::{Layer, Rule};
use super::settings::Change;
use super::text::{DurationText, RuleText};
use crate::governor::Budget;
use crate::kinds::CaptureKind;
use crate::regular_file;

/// Bytes of a file that are read; one that is longer is no file of settings.
const MOST_BYTES: u64 = 1 << 20;

/// Why the file cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// It cannot be read.
    #[error("{}: cannot be read: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// It says what cannot be.
    #[error("{}:{line}: {why}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The line, from 1 on.
        line: usize,
        /// What is wrong, and what would be right.
        why: String,
    },
}

/// Reads the file.
///
/// # Errors
/// If it cannot be read, or something in it is wrong: then nothing of it holds.
pub fn read(path: &Path) -> Result<Layer, FileError> {
    let unreadable = |cause| FileError::Unreadable { path: path.to_owned(), cause };
    let mut text = String::new();
    let file = regular_file::open(path).map_err(unreadable)?;
    file.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(unreadable(std::io::Error::other("it is larger than 1 MiB")));
    }
    parse(&text).map_err(|Wrong { at, why }| FileError::Content {
        path: path.to_owned(),
        line: line_of(&text, at),
        why,
    })
}

/// What is wrong at a byte.
struct Wrong {
    at: usize,
    why: String,
}

fn parse(text: &str) -> Result<Layer, Wrong> {
    let file: FileText = toml::from_str(text).map_err(|error| Wrong {
        at: error.span().map_or(0, |span| span.start),
        why: error.message().trim_end().replace('\n', "; "),
    })?;
    let duration = |text: Option<DurationText>| text.map(|DurationText(duration)| duration);
    let (threshold, open_after) = (duration(file.threshold), duration(file.open_after));
    let all = Change::new(file.observe, threshold, open_after, (&file.without, &file.with)).map_err(|e| e.to_string());
    let all = all.map(|all| all.with_budget(file.budget));
    let rules = file.rule.into_iter().map(|rule| {
        let at = rule.span().start;
        of_file(&rule.into_inner(), line_of(text, at)).map_err(|why| Wrong { at, why })
    });
    Ok(Layer { all: all.map_err(|why| Wrong { at: 0, why })?, rules: rules.collect::<Result<_, _>>()? })
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

fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
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

    /// The file as it is told of: line and reason.
    fn refused(text: &str) -> (usize, String) {
        let Err(Wrong { at, why }) = parse(text) else { panic!("taken: {text}") };
        assert!(!why.contains('\n'), "{why}");
        (line_of(text, at), why)
    }

    #[test]
    fn what_is_written_holds_in_its_order() {
        let layer = parse(
            "threshold = \"2ms\"\nwithout = [\"off-cpu\"]\n\n[[rule]]\nservice = \"shop-*\"\nthreshold = \"5ms\"\n\n\
             [[rule]]\nexe = \"/opt/x\"\nnamespace = \"test\"\nobserve = false\n",
        );
        let Ok(layer) = layer else { panic!("refused") };
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
    fn the_example_of_the_documentation_is_right() {
        let Ok(layer) = parse(include_str!("../../../docs/agent.toml")) else { panic!("refused") };
        assert_eq!((layer.rules.len(), layer.rules[0].who.to_string().as_str()), (4, "service=checkout"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_what_would_be_right() {
        for (text, line, part) in [
            ("\nthreshhold = \"1ms\"", 2, "`threshold`"),
            ("threshold = \"1\"", 1, "250us"),
            ("threshold = 5", 1, "string"),
            ("\n\nwithout = [\"syscall\", \"disk\"]", 3, "`off-cpu`"),
            ("observe = \"no\"", 1, "bool"),
            ("[[rule]]\nservice = \"a\"\nobserve = false\nprio = 3", 4, "`service`"),
            ("threshold = \"1ms\"\n[[rule]]\nthreshold = \"1ms\"", 2, "for nobody"),
            ("[[rule]]\nservice = \"a\"", 1, "says nothing"),
            ("[[rule]]\nservice = \"\"\nobserve = true", 2, "fits nothing"),
            ("[[rule]]\nservice = \"a\"\nwith = [\"cgo\"]\nwithout = [\"cgo\"]", 1, "both"),
            ("[rule]\nservice = \"a\"", 1, "sequence"),
            ("[[rule]\n", 1, "]"),
            ("a", 1, "="),
        ] {
            let (at, why) = refused(text);
            assert!(at == line && why.contains(part), "{text:?}: line {at}: {why}");
        }
    }

    #[test]
    fn a_file_is_named_where_it_is_wrong_or_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        assert!(read(&path).unwrap_err().to_string().contains("agent.toml: cannot be read"));
        std::fs::write(&path, "\n\nopen_after = \"soon\"").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("agent.toml:3: \"soon\" is no duration"));
        std::fs::write(&path, vec![b'#'; (MOST_BYTES + 1) as usize]).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("larger"));
        assert!(read(dir.path()).unwrap_err().to_string().contains("regular file"));
    }
}
