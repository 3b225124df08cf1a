//! Asks the questions of docs/schema.md, each of which must have an answer, and writes the answers into the page if it is told to.

mod page;

use anyhow::{Context, Result, ensure};
use chrono::DateTime;
use serde::Deserialize;

use self::page::{Page, Question, Subject};
use super::store::Store;
use crate::place;

/// The environment variable by which parts of docs/ are written that are made.
const WRITE: &str = "SYNCLINE_WRITE_DOCS";

/// What a run answers.
pub(crate) struct Questions {
    page: Page,
    /// In the order of the page; those that are not asked yet are empty.
    answers: Vec<String>,
}

/// When a question has an answer.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum When {
    /// While all is running: of what goes on now.
    Running,
    /// When all that was seen is stored.
    Stored,
}

impl When {
    fn of(sql: &str) -> Self {
        if sql.contains("open_waits_now") { Self::Running } else { Self::Stored }
    }
}

impl Questions {
    /// # Errors
    /// When docs/schema.md cannot be read or is not as it should be.
    pub(crate) fn read() -> Result<Self> {
        let path = place::workspace().join("docs/schema.md");
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let page = Page::parse(text).with_context(|| path.display().to_string())?;
        let answers = vec![String::new(); page.questions.len()];
        Ok(Self { page, answers })
    }

    /// Asks those that have their answer at this time.
    ///
    /// # Errors
    /// When a question is refused.
    pub(crate) async fn ask(&mut self, store: &Store<'_>, when: When) -> Result<()> {
        let subject = match when {
            When::Running => self.page.subject.clone(),
            When::Stored => subject(store).await?,
        };
        for (question, answer) in self.page.questions.iter().zip(&mut self.answers) {
            let sql = self.page.sql(question);
            if When::of(sql) == when {
                let sql = self.page.subject.asked_of(sql, &subject);
                let text = store.text(&["sql", "--format", "pretty", &sql]).await;
                *answer = text.with_context(|| format!("docs/schema.md, {:?}", question.heading))?;
            }
        }
        if when == When::Stored && std::env::var(WRITE).is_ok_and(|value| value == "1") {
            self.write(&subject)?;
        }
        Ok(())
    }

    /// The headings of those that nothing was answered to, of how many.
    pub(crate) fn unanswered(&self) -> (Vec<&str>, usize) {
        let asked = self.page.questions.iter().zip(&self.answers);
        let without = asked.filter(|(_, answer)| answer.trim().is_empty());
        (without.map(|(question, _): (&Question, _)| question.heading.as_str()).collect(), self.answers.len())
    }

    fn write(&self, subject: &Subject) -> Result<()> {
        let (without, _) = self.unanswered();
        ensure!(without.is_empty(), "docs/schema.md is left as it was, these have no answer: {}", without.join("; "));
        let path = place::workspace().join("docs/schema.md");
        std::fs::write(&path, self.page.answered(subject, &self.answers))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The longest wait for a lock that is of a trace.
async fn subject(store: &Store<'_>) -> Result<Subject> {
    #[derive(Deserialize)]
    struct Row {
        at_ns: i64,
        goid: u64,
        trace: String,
    }
    let rows: Vec<Row> = store.rows(LONGEST).await?;
    let row = rows.into_iter().next().context("no wait for a lock has a trace")?;
    Ok(Subject { at: DateTime::from_timestamp_nanos(row.at_ns).naive_utc(), goid: row.goid, trace: row.trace })
}

const LONGEST: &str = "\
    SELECT toUnixTimestamp64Micro(aligned) * 1000 AS at_ns, goid, trace FROM timeline(t0 = now64(9) - 3600, t1 = now64(9) + 60) \
    WHERE reason = 'sync.Mutex.Lock' AND trace != '' ORDER BY dur_ns DESC LIMIT 1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_the_tree_can_be_asked() {
        let questions = Questions::read().unwrap();
        assert!(questions.unanswered().1 >= 20);
        let without: Vec<_> = questions.page.questions.iter().filter(|question| question.answer.is_empty()).collect();
        assert!(without.is_empty(), "SYNCLINE_WRITE_DOCS=1 cargo xtask demo writes the answers: {without:?}");
        assert!(
            questions.page.questions.iter().any(|question| When::of(questions.page.sql(question)) == When::Running)
        );
    }
}
