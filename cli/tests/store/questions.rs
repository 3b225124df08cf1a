//! The questions of docs/schema.md.

use crate::cases::{Case, cases};
use crate::fixture::{BLOCKED, Fixture, STORY};
use crate::story::TRACE;

pub(crate) const ALL: &[Case] = cases![
    every_question_of_the_documentation_is_answered,
    the_blocked_share_of_a_request,
    sites_are_compared_with_yesterday
];

/// Each heading with the SQL below it.
fn questions() -> Vec<(&'static str, &'static str)> {
    let page = include_str!("../../../docs/schema.md");
    let (_, questions) = page.split_once("\n## Questions\n").unwrap();
    let (questions, _) = questions.split_once("\n## Views\n").unwrap();
    let sections = questions.split("\n### ").skip(1);
    sections
        .flat_map(|section| {
            let heading = section.lines().next().unwrap();
            let blocks = section.split("```sql\n").skip(1);
            blocks.map(move |block| (heading, block.split("```").next().unwrap()))
        })
        .collect()
}

fn question(heading: &str) -> &'static str {
    questions().into_iter().find(|(found, _)| *found == heading).unwrap().1
}

fn every_question_of_the_documentation_is_answered(fixture: &Fixture) {
    let questions = questions();
    assert!(questions.len() >= 20, "{}", questions.len());
    for (heading, sql) in questions {
        let output = fixture.run(&["--database", BLOCKED, "sql", sql]);
        assert!(output.status.success(), "{heading}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The base is an hour ago, and a little more; its trace is another than the page's.
fn the_blocked_share_of_a_request(fixture: &Fixture) {
    let sql = question("What share of this request was blocked?").replace("- 3600", "- 7200");
    let trace = sql.split("unhex('").nth(1).unwrap().split('\'').next().unwrap();
    let sql = sql.replace(trace, TRACE);
    let answer = fixture.answer(&["--database", STORY, "sql", &sql]);
    assert_eq!(answer.lines().skip(1).collect::<Vec<_>>(), ["cart\teu-1\t5\t1\t100\t100\t100\tIO wait"]);
}

fn sites_are_compared_with_yesterday(fixture: &Fixture) {
    let sql = question("What changed since yesterday?").replace("- 3600", "- 7200");
    let answer = fixture.answer(&["--database", BLOCKED, "sql", &sql]);
    let first = answer.lines().nth(1).unwrap();
    assert_eq!(first, "cart\tGC sweep wait\truntime.gopark\t1\t0\t0.9\t0");
}
