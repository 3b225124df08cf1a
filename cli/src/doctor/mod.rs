//! `syncline doctor`: what this machine can and cannot do.
//!
//! Each file looks at one subject and returns [`Check`]s; what is looked at and how it is judged are separate functions, so
//! that the judgement is tested without the machine.

mod check;
mod clock;
mod kernel;
mod privileges;
mod store;
mod system_calls;
mod tools;

use std::process::ExitCode;

use serde::Serialize;

use crate::answer::{print_json, print_text};
use crate::args::{DoctorArgs, StoreArgs};
use crate::colour::{Colour, Palette};
use crate::place;
use check::{Check, Need, Status};
use privileges::Capabilities;

/// What the doctor found.
#[derive(Serialize)]
struct Report {
    checks: Vec<Check>,
    can_capture: bool,
    can_store: bool,
}

pub(crate) fn run(store: &StoreArgs, args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let report = Report::of(examine(store));
    if args.json {
        print_json(&report)?;
    } else {
        print_text(|_, palette| report.text(palette))?;
    }
    Ok(if report.can_capture { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn examine(args: &StoreArgs) -> Vec<Check> {
    let mut checks = kernel::checks();
    checks.extend(privileges::checks(Capabilities::of_this_process()));
    checks.extend(clock::checks());
    checks.extend(store::checks(place::location(args)));
    checks.extend(tools::checks());
    checks
}

impl Report {
    fn of(checks: Vec<Check>) -> Self {
        let can = |need: Need| !checks.iter().any(|check| check.need == need && check.status == Status::Fail);
        Self { can_capture: can(Need::Capture), can_store: can(Need::Store), checks }
    }

    fn text(&self, palette: Palette) -> String {
        let name_width = self.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
        let mut lines: Vec<String> = self.checks.iter().flat_map(|check| lines(check, name_width, palette)).collect();
        lines.push(String::new());
        lines.push(verdict(self.can_capture, "capture waits of Go programs here", palette));
        lines.push(verdict(self.can_store, "keep an embedded store here", palette));
        lines.push(String::new());
        lines.join("\n")
    }
}

/// A check's line, and its hint's below.
fn lines(check: &Check, name_width: usize, palette: Palette) -> Vec<String> {
    let (word, colour) = match check.status {
        Status::Ok => ("ok  ", Colour::Green),
        Status::Warn => ("warn", Colour::Yellow),
        Status::Fail => ("FAIL", Colour::Red),
    };
    let found = format!("{}  {:name_width$}  {}", palette.paint(colour, word), check.name, check.found);
    let hint = check.hint.iter().map(|hint| format!("{:indent$}-> {hint}", "", indent = name_width + 8));
    std::iter::once(found).chain(hint).collect()
}

fn verdict(can: bool, what: &str, palette: Palette) -> String {
    match can {
        true => palette.paint(Colour::Green, &format!("can {what}")),
        false => palette.paint(Colour::Red, &format!("cannot {what}: see FAIL above")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failure_of_its_own_need_forbids() {
        let report = Report::of(vec![
            Check::warn("a", Need::Capture, "half", "mend"),
            Check::fail("b", Need::Store, "gone", "bring it back"),
        ]);
        assert!(report.can_capture && !report.can_store);
        let text = report.text(Palette { enabled: false });
        assert!(text.contains("FAIL  b  gone\n         -> bring it back\n"), "{text}");
        assert!(text.ends_with("cannot keep an embedded store here: see FAIL above\n"), "{text}");
    }

    #[test]
    fn this_machine_can_be_examined() {
        let args = StoreArgs { store: Some("/nowhere/store".into()), url: None, database: "syncline".into() };
        let checks = examine(&args);
        let names: std::collections::BTreeSet<&str> = checks.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), checks.len(), "names are unique: {names:?}");
        assert!(checks.iter().all(|check| (check.status == Status::Ok) == check.hint.is_none()));
    }
}
