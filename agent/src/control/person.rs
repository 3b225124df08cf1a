//! What holds, for people to read.

use std::fmt::Write as _;

use super::protocol::{AsSet, BoundWaits, Governed, SettingsText, State};
use crate::choice::Settings;
use crate::kinds::Kinds;

/// What a request has changed, in one line.
#[must_use]
pub fn told_of_change(done: &AsSet) -> String {
    let observed = done.state.processes.iter().filter(|process| process.settings.observe).count();
    let left_out = done.state.processes.len() - observed;
    format!(
        "changed={} observed={observed} left_out={left_out} defaults: {}",
        done.changed,
        settings(&done.state.defaults)
    )
}

/// What holds: defaults, rules in order, processes.
#[must_use]
pub fn told_of_state(state: &State) -> String {
    let mut text = format!("defaults  {}\n", settings(&state.defaults));
    if !state.file.is_empty() {
        let _ = writeln!(text, "file      {}", state.file);
    }
    for rule in &state.rules {
        let origin = rule.line.map_or_else(|| "set".to_owned(), |line| format!("line {line}"));
        let _ = writeln!(text, "rule      {origin}: {} => {}", rule.who, rule.what);
    }
    let _ = writeln!(text, "kernel    {}", state.tracepoints.join(" "));
    let width = state.processes.iter().map(|process| process.service.chars().count()).max().unwrap_or(0).clamp(7, 40);
    let _ = writeln!(
        text,
        "{:>8}  {:width$}  {:40}  {:>9}  {:>12}  {:>7}  EXECUTABLE",
        "PID", "SERVICE", "SETTINGS", "BOUND", "NO GOROUTINE", "UNBOUND"
    );
    for process in &state.processes {
        let service = if process.service.is_empty() { "-" } else { &process.service };
        let settings = settings(&process.settings);
        let BoundWaits { bound, no_goroutine, unbound_thread, unbound_unreadable } = process.waits;
        let unbound = unbound_thread.saturating_add(unbound_unreadable);
        let _ = writeln!(
            text,
            "{:>8}  {service:width$}  {settings:40}  {bound:>9}  {no_goroutine:>12}  {unbound:>7}  {}",
            process.pid, process.executable
        );
        if let Some(Governed { stage, load }) = process.governed.as_ref().filter(|governed| governed.stage != "full") {
            let _ = writeln!(text, "{:>8}  observed as {stage}: all of it would cost {load:.1} times its budget", "");
        }
        if !process.limited.is_empty() {
            let _ = writeln!(text, "{:>8}  its goroutines are not observed, only its threads: {}", "", process.limited);
        }
    }
    text
}

fn settings(text: &SettingsText) -> String {
    let SettingsText { observe, threshold, open_after, budget, without, with } = text;
    let kinds = Kinds::without(without).and(Kinds::of(with));
    Settings { observe: *observe, threshold: threshold.0, open_after: open_after.0, kinds, budget: *budget }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choice::DurationText;
    use crate::control::{Process, StateRule};
    use crate::governor::Budget;
    use crate::kinds::CaptureKind;
    use crate::units;

    fn text(observe: bool, threshold: &str, without: &[CaptureKind]) -> SettingsText {
        let duration = |text| DurationText(units::duration(text).unwrap());
        SettingsText {
            observe,
            threshold: duration(threshold),
            open_after: duration("5s"),
            budget: Budget::DEFAULT,
            without: without.to_vec(),
            with: Vec::new(),
        }
    }

    #[test]
    fn what_holds_is_told_in_the_order_in_which_it_is_looked_up() {
        let process = |pid, service: &str, settings| Process {
            pid,
            service: service.to_owned(),
            executable: "/opt/app".to_owned(),
            limited: if pid == 7 { "built with go1.99".to_owned() } else { String::new() },
            settings,
            governed: (pid == 8).then(|| Governed { stage: "windows".to_owned(), load: 42.04 }),
            waits: BoundWaits { bound: 7, no_goroutine: 2, unbound_thread: 1, unbound_unreadable: 0 },
        };
        let rule = |line, who: &str, what: &str| StateRule { line, who: who.to_owned(), what: what.to_owned() };
        let state = State {
            defaults: text(true, "1ms", &[]),
            file: "/etc/syncline/agent.toml".to_owned(),
            rules: vec![rule(None, "service=a", "threshold=5ms"), rule(Some(4), "exe=app", "observe=false")],
            processes: vec![
                process(7, "a", text(true, "5ms", &[CaptureKind::Cgo])),
                process(8, "", text(false, "1ms", &[])),
            ],
            tracepoints: vec!["sched_process_exec".to_owned()],
        };
        let lines = told_of_state(&state);
        let lines: Vec<String> =
            lines.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "defaults threshold=1ms open_after=5s budget=1%",
                "file /etc/syncline/agent.toml",
                "rule set: service=a => threshold=5ms",
                "rule line 4: exe=app => observe=false",
                "kernel sched_process_exec",
                "PID SERVICE SETTINGS BOUND NO GOROUTINE UNBOUND EXECUTABLE",
                "7 a threshold=5ms open_after=5s budget=1% without=cgo 7 2 1 /opt/app",
                "its goroutines are not observed, only its threads: built with go1.99",
                "8 - left out 7 2 1 /opt/app",
                "observed as windows: all of it would cost 42.0 times its budget",
            ]
        );
        let done = AsSet { changed: 1, state };
        assert_eq!(
            told_of_change(&done),
            "changed=1 observed=1 left_out=1 defaults: threshold=1ms open_after=5s budget=1%"
        );
    }
}
