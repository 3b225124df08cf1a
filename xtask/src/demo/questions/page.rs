//! The questions of docs/schema.md, and what of them is another in each run.

use std::ops::Range;

use anyhow::{Context, Result, ensure};
use chrono::{NaiveDateTime, SubsecRound as _};

/// How the line begins that says of which wait the answers on the page tell.
const SUBJECT: &str = "Their answers tell of one wait: ";
const TIME: &str = "%Y-%m-%d %H:%M:%S%.f";

/// A wait that questions turn around.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Subject {
    pub(crate) at: NaiveDateTime,
    pub(crate) goid: u64,
    /// 32 hexadecimal digits.
    pub(crate) trace: String,
}

impl Subject {
    /// The same question about another wait: its times are shifted, the goroutine and the trace are the other's.
    pub(crate) fn asked_of(&self, sql: &str, other: &Self) -> String {
        let parts = sql.split('\'').map(|part| moved(part, self.at, other.at).unwrap_or_else(|| part.to_owned()));
        let sql = parts.collect::<Vec<_>>().join("'");
        let goroutine = |subject: &Self| format!("goid = {}", subject.goid);
        sql.replace(&goroutine(self), &goroutine(other)).replace(&self.trace, &other.trace)
    }

    fn line(&self) -> String {
        let Self { at, goid, trace } = self;
        format!("{SUBJECT}goroutine `{goid}`, for a lock from `{}` on, for trace `{trace}`.", at.format(TIME))
    }

    fn of_line(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix(SUBJECT)?.split('`').skip(1).step_by(2);
        let (goid, at, trace) = (words.next()?, words.next()?, words.next()?);
        let at = NaiveDateTime::parse_from_str(at, TIME).ok()?;
        Some(Self { at, goid: goid.parse().ok()?, trace: trace.to_owned() })
    }
}

/// A time, if it is one, that is as far from `to` as it was from `from`, as far as its digits tell: so that it does not wander however often that is done.
fn moved(text: &str, from: NaiveDateTime, to: NaiveDateTime) -> Option<String> {
    let time = NaiveDateTime::parse_from_str(text, TIME).ok()?;
    let digits = text.split_once('.').map_or(0, |(_, digits)| digits.len());
    let cut = |time: NaiveDateTime| time.trunc_subsecs(u16::try_from(digits).unwrap_or(9));
    let moved = time.checked_add_signed(cut(to) - cut(from))?.format("%Y-%m-%d %H:%M:%S.%9f").to_string();
    moved.get(..text.len()).map(str::to_owned)
}

/// One question: its SQL, and the place of its answer.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) heading: String,
    pub(crate) sql: Range<usize>,
    /// Empty where there is none yet.
    pub(crate) answer: Range<usize>,
}

/// docs/schema.md.
#[derive(Debug)]
pub(crate) struct Page {
    text: String,
    pub(crate) subject: Subject,
    pub(crate) questions: Vec<Question>,
}

impl Page {
    /// # Errors
    /// What is missing on the page.
    pub(crate) fn parse(text: String) -> Result<Self> {
        let subject = text.lines().find_map(Subject::of_line).with_context(|| format!("no line {SUBJECT:?}"))?;
        let begin = text.find("\n## Questions\n").context("no part \"Questions\"")?;
        let end = text.find("\n## Views\n").context("no part \"Views\"")?;
        let questions = questions(&text, begin..end)?;
        ensure!(!questions.is_empty(), "the part \"Questions\" has no SQL");
        Ok(Self { text, subject, questions })
    }

    pub(crate) fn sql(&self, question: &Question) -> &str {
        &self.text[question.sql.clone()]
    }

    /// The page about another wait, with these answers, one for each question.
    pub(crate) fn answered(&self, subject: &Subject, answers: &[String]) -> String {
        let mut page = String::new();
        let mut done = 0;
        for (question, answer) in self.questions.iter().zip(answers) {
            page.push_str(&self.text[done..question.sql.start]);
            page.push_str(&self.subject.asked_of(self.sql(question), subject));
            page.push_str(&self.text[question.sql.end..question.answer.start]);
            if question.answer.is_empty() {
                page.push_str(&format!("\n```\n{}\n```\n", answer.trim_end()));
            } else {
                page.push_str(&format!("{}\n", answer.trim_end()));
            }
            done = question.answer.end;
        }
        page.push_str(&self.text[done..]);
        page.replace(&self.subject.line(), &subject.line())
    }
}

const SQL: &str = "```sql\n";
const FENCE: &str = "```\n";

fn questions(text: &str, part: Range<usize>) -> Result<Vec<Question>> {
    let mut questions = Vec::new();
    let mut at = part.start;
    while let Some(found) = text[at..part.end].find(SQL) {
        let begin = at + found + SQL.len();
        let heading = text[..begin].rfind("\n### ").context("SQL without a heading")?;
        let heading = text[heading + 5..].lines().next().unwrap_or_default().to_owned();
        let length = text[begin..part.end].find(FENCE).with_context(|| format!("{heading}: SQL without an end"))?;
        let sql = begin..begin + length;
        let after = sql.end + FENCE.len();
        let answer = match text[after..part.end].strip_prefix("\n```\n") {
            Some(rest) => {
                let length = rest.find(FENCE).with_context(|| format!("{heading}: an answer without an end"))?;
                let begin = after + 1 + FENCE.len();
                begin..begin + length
            }
            None => after..after,
        };
        at = answer.end;
        questions.push(Question { heading, sql, answer });
    }
    Ok(questions)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# Tables\n\nTheir answers tell of one wait: goroutine `7`, for a lock from `2026-11-23 15:52:20.995` on, for trace `0a0b`.\n
## Questions\n\n### What?\n\n```sql\nSELECT '2026-11-23 15:52:20', '2026-11-23 15:52:21.050', 'lock' WHERE goid = 7\n```\n\n```\nold\n```\n\nThen.\n
### Which?\n\n```sql\nSELECT unhex('0a0b')\n```\n\nMore.\n\n## Views\n\n```sql\nSELECT 2\n```\n";

    fn other() -> Subject {
        let at = NaiveDateTime::parse_from_str("2027-01-01 00:00:00.5", TIME).unwrap();
        Subject { at, goid: 70, trace: "ffee".to_owned() }
    }

    #[test]
    fn a_page_is_about_another_wait() {
        let page = Page::parse(PAGE.to_owned()).unwrap();
        let headings: Vec<_> = page.questions.iter().map(|question| question.heading.as_str()).collect();
        assert_eq!(headings, ["What?", "Which?"]);
        let answered = page.answered(&other(), &["new\n".to_owned(), "first\n".to_owned()]);
        let asked = "SELECT '2027-01-01 00:00:00', '2027-01-01 00:00:00.555', 'lock' WHERE goid = 70\n";
        assert!(answered.contains(asked), "{answered}");
        assert!(answered.contains("```\n\n```\nnew\n```\n\nThen.") && !answered.contains("old"), "{answered}");
        assert!(answered.contains("SELECT unhex('ffee')\n```\n\n```\nfirst\n```\n\nMore."), "{answered}");
        let again = Page::parse(answered.clone()).unwrap();
        assert_eq!(again.subject, other());
        assert_eq!(again.answered(&other(), &["new".to_owned(), "first".to_owned()]), answered, "it is stable");
    }

    #[test]
    fn what_is_missing_on_a_page_is_said() {
        let told = |from: &str, to: &str| Page::parse(PAGE.replace(from, to)).unwrap_err().to_string();
        assert!(told("Their answers", "The answers").contains("Their answers tell"));
        assert!(told("## Views", "## Tables").contains("Views"));
        assert!(told("```\n\nMore", "\n\nMore").contains("Which?: SQL without an end"));
    }
}
