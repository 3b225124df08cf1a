//! docs/schema.md against the schema: all that there is, and nothing that there is not.

use std::collections::{BTreeMap, BTreeSet};

use super::Fixture;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schema.md");

/// The sections of the page below a heading, by the names of what they tell of.
fn sections(heading: &str) -> BTreeMap<&'static str, &'static str> {
    let page = include_str!("../../../docs/schema.md");
    let (_, part) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    let part = part.split("\n## ").next().unwrap();
    let named = part.split("\n### `").skip(1).map(|section| {
        let (heading, text) = section.split_once('\n').unwrap();
        (heading.split(['`', '(']).next().unwrap(), text)
    });
    named.collect()
}

/// What stands in backticks.
fn names(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The cells of the lines of tables, without headings.
fn rows(section: &str) -> Vec<Vec<&str>> {
    let lines = section.lines().filter(|line| line.starts_with("| `"));
    lines.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

/// Names and types of columns, as this query tells them.
async fn columns(fixture: &Fixture, sql: &str) -> BTreeMap<String, String> {
    let told = fixture.ask(sql).await;
    let cells = told.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    cells.map(|cells| (cells[0].to_owned(), plain(&cells[1].replace('\\', "")))).collect()
}

/// A type as the page writes it: without how it is stored, and the values of an enumeration.
fn plain(of: &str) -> String {
    let inside = |text: &str, name: &str| {
        text.strip_prefix(name).and_then(|rest| rest.strip_prefix('(')?.strip_suffix(')').map(str::to_owned))
    };
    if let Some(inner) = inside(of, "LowCardinality") {
        return plain(&inner);
    }
    if let Some(inner) = inside(of, "SimpleAggregateFunction") {
        return plain(inner.split_once(", ").unwrap().1);
    }
    if let Some(inner) = inside(of, "Array") {
        return format!("Array({})", plain(&inner));
    }
    if of.starts_with("Enum8(") {
        return "Enum8".to_owned();
    }
    of.replace(", 'UTC')", ")").replace("('UTC')", "").replace("LowCardinality(String)", "String")
}

/// The values of an enumeration, as it is written with its values.
fn values(of: &str) -> Vec<&str> {
    let is_enumeration = of.starts_with("Enum8(");
    of.split('\'').skip(1).step_by(2).filter(|_| is_enumeration).collect()
}

/// The line of a column, of what `DESCRIBE TABLE` tells of it: name, type, kind of default, that, comment.
fn line(cells: &[&str]) -> String {
    let [name, of, default, _, comment, ..] = cells else { panic!("{cells:?}") };
    let (of, comment) = (of.replace("\\'", "'"), comment.replace("\\'", "'").replace('|', "\\|"));
    let values = values(&of);
    let told = if values.iter().all(|value| comment.contains(value)) {
        String::new()
    } else {
        let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
        format!(" ({})", values.join(", "))
    };
    let computed = if matches!(*default, "ALIAS" | "MATERIALIZED") { " (*computed*)" } else { "" };
    format!("| `{name}` | {} | {comment}{told}{computed} |\n", plain(&of))
}

/// The section with these lines in its table.
fn with_lines(section: &str, lines: &str) -> String {
    let (text, table) = section.split_once("|---|---|---|\n").unwrap();
    let old: usize = table.split_inclusive('\n').take_while(|line| line.starts_with('|')).map(str::len).sum();
    format!("{text}|---|---|---|\n{lines}{}", &table[old..])
}

/// The page with the lines of these tables or views as ClickHouse describes them.
async fn described(
    fixture: &Fixture,
    page: &str,
    told: &BTreeMap<&'static str, &'static str>,
    which: &[&str],
) -> String {
    let mut made = page.to_owned();
    for (name, section) in told.iter().filter(|(name, _)| which.contains(name)) {
        let described = fixture.ask(&format!("DESCRIBE TABLE {name}")).await;
        let lines: String = described.lines().map(|columns| line(&columns.split('\t').collect::<Vec<_>>())).collect();
        made = made.replace(section, &with_lines(section, &lines));
    }
    made
}

/// That the page is what was made of it, or else where it is not. With `SYNCLINE_WRITE_DOCS=1` it is written.
fn compare(page: &str, made: &str) {
    if std::env::var("SYNCLINE_WRITE_DOCS").is_ok_and(|value| value == "1") {
        std::fs::write(PAGE, made).unwrap();
        return;
    }
    let differ: Vec<_> = page.lines().zip(made.lines()).find(|(page, made)| page != made).into_iter().collect();
    assert!(page == made, "docs/schema.md: run this test with SYNCLINE_WRITE_DOCS=1; {differ:#?}");
}

pub(super) async fn each_table_and_its_columns_are_told_as_clickhouse_describes_them() {
    let fixture = Fixture::migrated().await;
    let tables =
        fixture.ask("SELECT name FROM system.tables WHERE database = 'syncline' AND engine LIKE '%MergeTree'").await;
    let told = sections("Tables");
    assert_eq!(told.keys().copied().collect::<BTreeSet<_>>(), tables.lines().collect(), "sections");
    let page = std::fs::read_to_string(PAGE).unwrap();
    let made = described(&fixture, &page, &told, &tables.lines().collect::<Vec<_>>()).await;
    compare(&page, &made);
    let headings = page.lines().zip(page.lines().skip(1)).filter(|(_, next)| next.starts_with("|---"));
    let broken: Vec<_> =
        headings.filter(|(head, next)| head.matches('|').count() != next.matches('|').count()).collect();
    assert!(broken.is_empty(), "{broken:?}");
}

/// Their comments are the first paragraphs; of those without parameters ClickHouse keeps the columns', too.
pub(super) async fn views_are_told_as_clickhouse_describes_them() {
    let fixture = Fixture::migrated().await;
    let views = fixture
        .ask("SELECT name, create_table_query LIKE '%{t0:%', comment FROM system.tables WHERE database = 'syncline' AND engine = 'View' FORMAT TSVRaw")
        .await;
    let views: Vec<Vec<&str>> = views.lines().map(|line| line.split('\t').collect()).collect();
    let told = sections("Views");
    let page = std::fs::read_to_string(PAGE).unwrap();
    let with_columns: Vec<&str> = views.iter().filter(|view| view[1] == "0").map(|view| view[0]).collect();
    let made = described(&fixture, &page, &told, &with_columns).await;
    compare(&page, &made);
    for view in &views {
        let first = told[view[0]].trim_start().split("\n\n").next().unwrap().trim_end();
        assert_eq!(first, format!("{}.", view[2]), "the first paragraph of {}", view[0]);
    }
}

pub(super) async fn each_view_and_its_columns_are_told() {
    let fixture = Fixture::migrated().await;
    let views = fixture.ask("SELECT name, create_table_query LIKE '%{t0:%' FROM system.tables WHERE database = 'syncline' AND engine = 'View'").await;
    let told = sections("Views");
    let mut wrong = Vec::new();
    for view in views.lines() {
        let (view, has_window) = view.split_once('\t').unwrap();
        let section = told.get(view).unwrap_or_else(|| panic!("{view} has no section"));
        let from =
            if has_window == "1" { format!("{view}(t0 = now64(9) - 1, t1 = now64(9))") } else { view.to_owned() };
        let found = columns(&fixture, &format!("DESCRIBE (SELECT * FROM {from})")).await;
        let found: BTreeSet<&str> = found.keys().map(String::as_str).collect();
        let in_rows: BTreeSet<&str> = rows(section).iter().flat_map(|row| names(row[0])).collect();
        let unknown: Vec<_> = in_rows.difference(&found).collect();
        let mut mentioned = names(section);
        // As `events_live` is told of.
        if let Some((_, table)) = section.split_once("The columns are those of `") {
            let table = sections("Tables")[table.split('`').next().unwrap()];
            mentioned.extend(rows(table).iter().flat_map(|row| names(row[0])));
        }
        let untold: Vec<_> = found.iter().filter(|name| !mentioned.contains(**name)).collect();
        if !unknown.is_empty() || !untold.is_empty() {
            wrong.push(format!("{view} has no {unknown:?}, and nothing is told of its {untold:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let selectable: BTreeSet<_> = views.lines().map(|view| view.split('\t').next().unwrap()).collect();
    let functions = BTreeSet::from(["happened_before"]);
    assert!(told.keys().all(|name| selectable.contains(name) || functions.contains(name)), "{:?}", told.keys());
}
