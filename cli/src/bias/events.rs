//! The blocks of a run, from the lines that the agent wrote.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead as _, BufReader};

use anyhow::{Context, Result};
use serde::Deserialize;
use syncline_insight::Frame;
use syncline_insight::bias::{Block, Truth};

/// Of a line, what is needed (docs/getting-started.md has all of it).
#[derive(Deserialize)]
struct Line<'a> {
    start_mono_ns: u64,
    duration_ns: u64,
    runnable_ns: Option<u64>,
    open: bool,
    abandoned: bool,
    inside: bool,
    goid: u64,
    #[serde(borrow)]
    reason: Cow<'a, str>,
    #[serde(borrow)]
    stack: Vec<Call<'a>>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    function: Cow<'a, str>,
    #[serde(borrow)]
    file: Option<Cow<'a, str>>,
    line: Option<u32>,
}

/// From when until when a profile was taken, CLOCK_MONOTONIC ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from_ns: u64,
    pub(super) to_ns: u64,
}

impl Window {
    /// The whole life of a program.
    pub(super) const ALWAYS: Self = Self { from_ns: 0, to_ns: u64::MAX };

    /// Whether what began then and ended then would be in the profile.
    fn has(self, start_ns: u64, end_ns: u64) -> bool {
        self.from_ns <= start_ns && end_ns <= self.to_ns
    }
}

/// Adds the blocks of goroutines that lie in the window.
///
/// # Errors
/// If the file cannot be read, or a line is none of the agent's.
pub(super) fn read(file: File, window: Window, truth: &mut Truth) -> Result<()> {
    let mut lines = BufReader::with_capacity(1 << 20, file);
    let (mut line, mut number) = (String::new(), 0_u64);
    loop {
        line.clear();
        if lines.read_line(&mut line).context("cannot read what the agent captured")? == 0 {
            return Ok(());
        }
        number += 1;
        let parsed: Line<'_> = serde_json::from_str(&line)
            .with_context(|| format!("line {number} of what the agent captured: is it of another version?"))?;
        parsed.add_to(truth, window);
    }
}

impl Line<'_> {
    fn add_to(&self, truth: &mut Truth, window: Window) {
        // Inside of another wait, or a thread's without a goroutine: nobody's block.
        if self.inside || self.goid == 0 {
            return;
        }
        if self.abandoned {
            truth.add_unended(self.duration_ns);
        }
        if self.open || !window.has(self.start_mono_ns, self.start_mono_ns.saturating_add(self.duration_ns)) {
            return;
        }
        let frames: Vec<Frame> = self.stack.iter().map(Call::frame).collect();
        let runnable_ns = self.runnable_ns.unwrap_or(0).min(self.duration_ns);
        let blocked_ns = self.duration_ns - runnable_ns;
        truth.add(&Block { reason: &self.reason, blocked_ns, runnable_ns, frames: &frames });
    }
}

impl Call<'_> {
    fn frame(&self) -> Frame {
        let file = self.file.as_deref().unwrap_or_default().to_owned();
        Frame { function: self.function.clone().into_owned(), file, line: self.line.unwrap_or(0) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use syncline_insight::bias::Bands;

    use super::*;

    fn truth(lines: &[String], window: Window) -> Result<Truth> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
        let mut truth = Truth::new(Bands::of_rates(&[1]), 1);
        read(file.reopen().unwrap(), window, &mut truth).map(|()| truth)
    }

    fn line(start: u64, duration: u64, more: &str) -> String {
        format!(
            "{{\"start_mono_ns\":{start},\"duration_ns\":{duration},\"runnable_ns\":30,\"goid\":7,\"reason\":\"sync.Mutex.Lock\",\
             \"stack\":[{{\"function\":\"main.a\\tb\",\"file\":null,\"line\":null}}],\"new_field\":1,{more}}}"
        )
    }

    #[test]
    fn ended_blocks_of_goroutines_count_until_they_were_ready() {
        let plain = "\"open\":false,\"abandoned\":false,\"inside\":false";
        let lines = [
            line(100, 50, plain),
            line(100, 60, &plain.replace("\"inside\":false", "\"inside\":true")),
            line(100, 70, &plain.replace("\"open\":false", "\"open\":true")),
            line(100, 80, "\"open\":true,\"abandoned\":true,\"inside\":false"),
            line(99, 50, plain),
            line(180, 51, plain),
        ];
        let all = truth(&lines, Window::ALWAYS).unwrap().happened();
        assert_eq!((all.blocks, all.ns), (3.0, 20.0 + 20.0 + 21.0));
        let some = truth(&lines, Window { from_ns: 100, to_ns: 230 }).unwrap().happened();
        assert_eq!((some.blocks, some.ns), (1.0, 20.0));
    }

    #[test]
    fn a_line_of_something_else_is_named() {
        let error = truth(&["{}".to_owned()], Window::ALWAYS).unwrap_err().to_string();
        assert!(error.contains("line 1 "), "{error}");
    }
}
