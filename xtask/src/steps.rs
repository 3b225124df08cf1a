//! A run of named steps, with how long each took, and what was skipped or failed in them.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// What happened so far. One failed step does not keep the next ones from running.
#[derive(Default)]
pub(crate) struct Steps {
    finished: Vec<Step>,
    notes: Notes,
}

/// What is worth a line in the summary.
#[derive(Default)]
pub(crate) struct Notes {
    /// Why something was not done.
    pub(crate) skipped: Vec<String>,
    /// What failed in a step that did.
    pub(crate) failed: Vec<String>,
}

struct Step {
    name: String,
    took: Duration,
    failure: Option<String>,
}

impl Steps {
    /// Runs one step. Returns whether it succeeded.
    pub(crate) fn run(&mut self, name: &str, work: impl FnOnce(&mut Notes) -> Result<()>) -> bool {
        println!("\n== {name}");
        let start = Instant::now();
        let failure = work(&mut self.notes).err().map(|error| format!("{error:#}"));
        if let Some(failure) = &failure {
            eprintln!("xtask: {failure}");
        }
        let succeeded = failure.is_none();
        self.finished.push(Step { name: name.to_owned(), took: start.elapsed(), failure });
        succeeded
    }

    /// Prints the summary.
    ///
    /// # Errors
    /// When a step failed.
    pub(crate) fn finish(self) -> Result<()> {
        println!("\n== summary");
        for step in &self.finished {
            let verdict = if step.failure.is_none() { "ok" } else { "FAILED" };
            println!("{verdict:>6} {:>7.1} s  {}", step.took.as_secs_f64(), step.name);
        }
        for (reason, times) in counted(&self.notes.skipped) {
            let times = if times > 1 { format!(" ({times} times)") } else { String::new() };
            println!("skipped: {reason}{times}");
        }
        for failure in &self.notes.failed {
            println!("failed: {failure}");
        }
        let failed: Vec<_> = self.finished.iter().filter(|step| step.failure.is_some()).collect();
        if !failed.is_empty() {
            let names: Vec<_> = failed.iter().map(|step| step.name.as_str()).collect();
            bail!("{} of {} steps failed: {}", failed.len(), self.finished.len(), names.join(", "));
        }
        Ok(())
    }
}

/// Each of them once, in the order of their first time, with how often it is there.
fn counted(lines: &[String]) -> Vec<(&str, usize)> {
    let mut counted: Vec<(&str, usize)> = Vec::new();
    for line in lines {
        match counted.iter_mut().find(|(other, _)| other == line) {
            Some((_, times)) => *times += 1,
            None => counted.push((line, 1)),
        }
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_fails_the_whole_and_the_rest_still_runs() {
        let mut steps = Steps::default();
        assert!(!steps.run("first", |_| bail!("broken")));
        assert!(steps.run("second", |_| Ok(())));
        let error = steps.finish().unwrap_err().to_string();
        assert_eq!(error, "1 of 2 steps failed: first");
    }

    #[test]
    fn what_is_said_often_is_shown_once() {
        let lines = ["no root", "no BTF", "no root"].map(str::to_owned);
        assert_eq!(counted(&lines), [("no root", 2), ("no BTF", 1)]);
    }
}
