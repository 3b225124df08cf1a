//! A speedscope document (speedscope.app): a profile per goroutine, whose time line is that of the export.
//!
//! Its `sampled` profiles are lists of stacks with the time that each lasted. Here a wait is one sample, and what lies between two waits is
//! one without a stack, so that both the order of time and the sums are those of the waits. Of waits inside of one another the outermost is
//! shown, since one moment has one stack.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::json;
use syncline_insight::{CallStack, Frame};

use crate::wait::{Wait, Who};

/// Where speedscope's files say what they are.
const SCHEMA: &str = "https://www.speedscope.app/file-format-schema.json";
/// The longest time line, ns: beyond it JavaScript's numbers are not exact. 104 days.
const LONGEST_NS: i64 = 1 << 53;

/// Encodes a document, of which one goroutine's waits are held at a time, and all frames.
#[derive(Debug)]
pub struct Speedscope {
    from_ns: i64,
    /// Of the document, ns.
    length_ns: i64,
    frames: Frames,
    profile: Option<Profile>,
    written: Written,
}

/// What is in the document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Goroutines, and threads without one.
    pub profiles: u64,
    /// Waits.
    pub waits: u64,
    /// Waits that lie inside of others, which are not.
    pub inside: u64,
    /// Of the waits, those with a time that no bound is known of.
    pub unbounded: u64,
}

#[derive(Debug, Default)]
struct Frames {
    numbers: HashMap<Frame, usize>,
    list: Vec<Frame>,
}

/// The goroutine that is written.
#[derive(Debug)]
struct Profile {
    of: String,
    id: Identity,
    /// ns after the document's begin up to which it is told.
    told_to_ns: i64,
    samples: String,
    weights: String,
    is_unbounded: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    region: String,
    node: String,
    boot: u64,
    pid: u32,
    goid: u64,
    /// Only of threads without a goroutine.
    tid: u32,
}

impl Speedscope {
    /// Begins a document of what is in `from_ns..to_ns`; what lasts longer is told to its end.
    #[must_use]
    pub fn begin(from_ns: i64, to_ns: i64, name: &str, out: &mut Vec<u8>) -> Self {
        let (schema, name) = (json!(SCHEMA), json!(name));
        let exporter = json!(concat!("syncline ", env!("CARGO_PKG_VERSION")));
        out.extend_from_slice(
            format!(
                "{{\"$schema\":{schema},\"name\":{name},\"exporter\":{exporter},\"activeProfileIndex\":0,\"profiles\":["
            )
            .as_bytes(),
        );
        let length_ns = to_ns.saturating_sub(from_ns).clamp(0, LONGEST_NS);
        Self { from_ns, length_ns, frames: Frames::default(), profile: None, written: Written::default() }
    }

    /// Tells a wait that has ended. Those of one goroutine come together, in the order of their begins, of equals the longest first.
    pub fn add(&mut self, wait: &Wait<'_>, out: &mut Vec<u8>) {
        let Some(end) = wait.end else { return };
        let id = Identity::of(&wait.who);
        if self.profile.as_ref().is_none_or(|profile| profile.id != id) {
            self.end_profile(out);
            self.profile = Some(Profile::of(&wait.who, id));
        }
        let Some(profile) = &mut self.profile else { return };
        // What began before the document is shown from its begin on.
        let start_ns = wait.start.ns.saturating_sub(self.from_ns).max(0);
        let end_ns = end.ns.saturating_sub(self.from_ns).min(LONGEST_NS);
        if end_ns <= profile.told_to_ns {
            self.written.inside += 1;
            return;
        }
        profile.is_unbounded |= wait.is_unbounded();
        self.written.unbounded += u64::from(wait.is_unbounded());
        profile.gap_to(start_ns);
        let stack = self.frames.numbers(wait.stack.as_ref(), wait.reason);
        profile.sample(&stack, end_ns);
        self.written.waits += 1;
    }

    /// Ends the document.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Written {
        self.end_profile(out);
        if self.written.profiles == 0 {
            // speedscope opens no document without a profile.
            out.extend_from_slice(br#"{"type":"sampled","name":"no waits","unit":"nanoseconds","startValue":0,"endValue":0,"samples":[],"weights":[]}"#);
        }
        out.extend_from_slice(b"],\"shared\":{\"frames\":[");
        for (number, frame) in self.frames.list.iter().enumerate() {
            let mut told = json!({"name": frame.function});
            if !frame.file.is_empty() {
                told["file"] = json!(frame.file);
            }
            if frame.line != 0 {
                told["line"] = json!(frame.line);
            }
            let separator = if number == 0 { "" } else { "," };
            out.extend_from_slice(format!("{separator}{told}").as_bytes());
        }
        out.extend_from_slice(b"]}}\n");
        self.written
    }

    fn end_profile(&mut self, out: &mut Vec<u8>) {
        let Some(profile) = self.profile.take() else { return };
        let separator = if self.written.profiles == 0 { "" } else { "," };
        self.written.profiles += 1;
        let Profile { of, told_to_ns, samples, weights, is_unbounded, .. } = profile;
        let end_ns = told_to_ns.max(self.length_ns);
        let name = json!(if is_unbounded { format!("{of} (times unbounded)") } else { of });
        out.extend_from_slice(
            format!(
                "{separator}{{\"type\":\"sampled\",\"name\":{name},\"unit\":\"nanoseconds\",\"startValue\":0,\"endValue\":{end_ns},\
                 \"samples\":[{samples}],\"weights\":[{weights}]}}"
            )
            .as_bytes(),
        );
    }
}

impl Frames {
    /// The calls of a stack, the outermost first, and the reason for which it waits.
    fn numbers(&mut self, stack: Option<&Arc<CallStack>>, reason: &str) -> Vec<usize> {
        let mut calls: Vec<Frame> = stack.map(|stack| stack.frames().collect()).unwrap_or_default();
        if calls.is_empty() {
            calls.push(unnamed("(no stack)".to_owned()));
        }
        calls.reverse();
        calls.push(unnamed(format!("[{reason}]")));
        calls.into_iter().map(|frame| self.number(frame)).collect()
    }

    fn number(&mut self, frame: Frame) -> usize {
        if let Some(&known) = self.numbers.get(&frame) {
            return known;
        }
        let number = self.list.len();
        self.list.push(frame.clone());
        self.numbers.insert(frame, number);
        number
    }
}

fn unnamed(function: String) -> Frame {
    Frame { function, file: String::new(), line: 0 }
}

impl Identity {
    fn of(who: &Who<'_>) -> Self {
        let tid = if who.goid == 0 { who.tid } else { 0 };
        let (region, node) = (who.region.to_owned(), who.node.to_owned());
        Self { region, node, boot: who.boot, pid: who.pid, goid: who.goid, tid }
    }
}

impl Profile {
    fn of(who: &Who<'_>, id: Identity) -> Self {
        let own = if who.goid == 0 { format!("thread {}", who.tid) } else { format!("g{}", who.goid) };
        let of = format!("{} {} {} {} {own}", who.region, who.node, who.service, who.pid);
        Self { of, id, told_to_ns: 0, samples: String::new(), weights: String::new(), is_unbounded: false }
    }

    fn gap_to(&mut self, start_ns: i64) {
        if start_ns > self.told_to_ns {
            self.sample(&[], start_ns);
        }
    }

    fn sample(&mut self, stack: &[usize], to_ns: i64) {
        let separator = if self.samples.is_empty() { "" } else { "," };
        let numbers: Vec<String> = stack.iter().map(usize::to_string).collect();
        // Writing to a String cannot fail.
        let _ = write!(self.samples, "{separator}[{}]", numbers.join(","));
        let _ = write!(self.weights, "{separator}{}", to_ns.saturating_sub(self.told_to_ns).max(0));
        self.told_to_ns = self.told_to_ns.max(to_ns);
    }
}
