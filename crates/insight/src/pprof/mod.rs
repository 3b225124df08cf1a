//! Stacks as a profile of the same kind as Go's block profile: `go tool pprof` reads it like one of net/http/pprof.
//!
//! Sample types contentions/count and delay/nanoseconds, as in runtime/pprof. Other than there nothing is sampled: every wait that
//! was captured is in it, and a delay is measured from parking to running again. Samples are labelled with what tells their waits apart.

mod message;
mod read;

use std::collections::HashMap;
use std::hash::Hash;
use std::io::{self, Write as _};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message as _;

use crate::call::{Build, Call, CallStack, Frame};
use crate::sites::StackSum;
pub use read::{BlockProfile, ProfileError, ProfiledStack, read_block_profile};

use message::{Function, Label, Line, Location, Mapping, Profile, Sample, ValueType};

/// Functions that pprof leaves out of its views with all they call, so that a wait ends where it does in Go's own block profile:
/// in `sync.(*Mutex).Lock`, `runtime.chanrecv1`, `runtime.selectgo`. pprof cuts a method's name before its receiver, so that
/// packages can be told from each other, and methods of one cannot.
const DROPPED: &str = r"runtime\.(gopark|goparkunlock|semacquire1|chanrecv|chansend|netpollblock)|(internal/)?sync\.runtime_.*|internal/sync\.|internal/poll\.runtime_pollWait";

/// When and how the stacks were recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// When it began, ns since 1970.
    pub start_wall_ns: i64,
    /// How long it took, ns.
    pub duration_ns: i64,
    /// What else a reader should know, such as what was lost: `go tool pprof -comments`.
    pub comments: Vec<String>,
}

/// Waits with one stack and the same labels: a sample of a profile.
#[derive(Clone, Debug)]
pub struct Contention<'a> {
    /// Where.
    pub stack: &'a CallStack,
    /// How many.
    pub count: u64,
    /// How long all together, ns.
    pub delay_ns: u64,
    /// What `go tool pprof -tagfocus` finds them by.
    pub labels: Vec<(&'static str, Tag<'a>)>,
}

/// The value of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag<'a> {
    /// A text.
    Text(&'a str),
    /// A number.
    Number(i64),
}

impl<'a> Contention<'a> {
    /// All waits of one process for one reason with one stack.
    #[must_use]
    pub fn of(sum: &'a StackSum) -> Self {
        let labels = vec![("reason", Tag::Text(&sum.reason)), ("pid", Tag::Number(sum.pid.into()))];
        Self { stack: &sum.stack, count: sum.sum.waits(), delay_ns: sum.sum.times.waited_ns(), labels }
    }
}

/// The profile, compressed as pprof files are.
///
/// # Errors
/// If it cannot be compressed, which needs no more than memory.
pub fn pprof_gz<'a>(contentions: impl IntoIterator<Item = Contention<'a>>, recorded: &Recorded) -> io::Result<Vec<u8>> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::default());
    gz.write_all(&profile(contentions, recorded).encode_to_vec())?;
    gz.finish()
}

fn profile<'a>(all: impl IntoIterator<Item = Contention<'a>>, recorded: &Recorded) -> Profile {
    let mut tables = Tables::default();
    // The string table must begin with the empty string.
    tables.text("");
    let contentions = ValueType { kind: tables.text("contentions"), unit: tables.text("count") };
    let delay = ValueType { kind: tables.text("delay"), unit: tables.text("nanoseconds") };
    Profile {
        sample_types: vec![contentions, delay],
        samples: all.into_iter().map(|one| tables.sample(&one)).collect(),
        drop_frames: tables.text(DROPPED),
        comment_texts: recorded.comments.iter().map(|comment| tables.text(comment)).collect(),
        mappings: tables.mappings,
        locations: tables.locations,
        functions: tables.functions,
        strings: tables.strings,
        time_nanos: recorded.start_wall_ns,
        duration_nanos: recorded.duration_ns,
        period_type: Some(contentions),
        period: 1,
    }
}

/// What samples refer to by number.
#[derive(Default)]
struct Tables {
    strings: Vec<String>,
    mappings: Vec<Mapping>,
    locations: Vec<Location>,
    functions: Vec<Function>,
    string_numbers: HashMap<String, u64>,
    mapping_numbers: HashMap<Arc<Build>, u64>,
    location_numbers: HashMap<(u64, Arc<Call>), u64>,
    function_numbers: HashMap<(i64, i64), u64>,
}

impl Tables {
    fn sample(&mut self, of: &Contention<'_>) -> Sample {
        let mapping = self.mapping(&of.stack.build);
        let values = [of.count, of.delay_ns].map(|value| i64::try_from(value).unwrap_or(i64::MAX));
        Sample {
            location_ids: of.stack.calls.iter().map(|call| self.location(mapping, call)).collect(),
            values: values.to_vec(),
            labels: of.labels.iter().map(|(key, tag)| self.label(key, *tag)).collect(),
        }
    }

    fn label(&mut self, key: &str, tag: Tag<'_>) -> Label {
        let key = self.text(key);
        match tag {
            Tag::Text(text) => Label { key, value_text: self.text(text), number: 0 },
            Tag::Number(number) => Label { key, value_text: 0, number },
        }
    }

    fn text(&mut self, text: &str) -> i64 {
        if let Some(&known) = self.string_numbers.get(text) {
            return known.cast_signed();
        }
        let number = self.strings.len() as u64;
        self.strings.push(text.to_owned());
        self.string_numbers.insert(text.to_owned(), number);
        number.cast_signed()
    }

    /// All names are resolved, so that pprof looks for no symbols itself: the executable may be another machine's.
    fn mapping(&mut self, build: &Arc<Build>) -> u64 {
        let id = number(&mut self.mapping_numbers, Arc::clone(build));
        if id > self.mappings.len() as u64 {
            let (filename, build_id_text) = (self.text(&build.path), self.text(&format!("{:016x}", build.id)));
            self.mappings.push(Mapping {
                id,
                memory_start: 0,
                memory_limit: 0,
                filename,
                build_id_text,
                has_functions: true,
                has_filenames: true,
                has_line_numbers: true,
                has_inline_frames: true,
            });
        }
        id
    }

    fn location(&mut self, mapping_id: u64, call: &Arc<Call>) -> u64 {
        let id = number(&mut self.location_numbers, (mapping_id, Arc::clone(call)));
        if id > self.locations.len() as u64 {
            let lines = call.frames.iter().map(|frame| self.line(frame)).collect();
            self.locations.push(Location { id, mapping_id, address: call.address, lines });
        }
        id
    }

    fn line(&mut self, frame: &Frame) -> Line {
        Line { function_id: self.function(frame), line: frame.line.into() }
    }

    fn function(&mut self, frame: &Frame) -> u64 {
        let (name, filename) = (self.text(&frame.function), self.text(&frame.file));
        let id = number(&mut self.function_numbers, (name, filename));
        if id > self.functions.len() as u64 {
            self.functions.push(Function { id, name, system_name: name, filename });
        }
        id
    }
}

/// The number of a thing, from 1 on; a new one gets the next.
fn number<K: Hash + Eq>(numbers: &mut HashMap<K, u64>, key: K) -> u64 {
    let next = numbers.len() as u64 + 1;
    *numbers.entry(key).or_insert(next)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;
    use crate::sites::Sites;
    use crate::sites::tests::wait;

    fn encoded(sites: &Sites) -> Profile {
        let recorded = Recorded { start_wall_ns: 5, duration_ns: 7, comments: vec!["lost 0".to_owned()] };
        let gz = pprof_gz(sites.stacks().into_iter().map(Contention::of), &recorded).unwrap();
        let mut bytes = Vec::new();
        GzDecoder::new(gz.as_slice()).read_to_end(&mut bytes).unwrap();
        Profile::decode(bytes.as_slice()).unwrap()
    }

    #[test]
    fn the_profile_has_every_stack_with_count_delay_and_labels() {
        let mut sites = Sites::default();
        let transfer = ["runtime.gopark", "sync.(*Mutex).lockSlow", "main.transfer", "main.main"];
        sites.add(&wait(1, &transfer, "sync.Mutex.Lock", 30));
        sites.add(&wait(1, &transfer, "sync.Mutex.Lock", 12));
        sites.add(&wait(2, &["runtime.gopark", "main.main"], "select", 7));
        let profile = encoded(&sites);
        let text = |index: i64| profile.strings[usize::try_from(index).unwrap()].as_str();
        assert_eq!(profile.strings[0], "");
        let types: Vec<_> = profile.sample_types.iter().map(|t| (text(t.kind), text(t.unit))).collect();
        assert_eq!(types, [("contentions", "count"), ("delay", "nanoseconds")]);
        let samples: Vec<_> =
            profile.samples.iter().map(|s| (s.values.clone(), text(s.labels[0].value_text))).collect();
        assert_eq!(samples, [(vec![2, 42], "sync.Mutex.Lock"), (vec![1, 7], "select")]);
        assert_eq!(profile.samples[0].labels[1].number, 4_711);
        assert_eq!(text(profile.mappings[0].filename), "/opt/shop/cart");
        let names = |ids: &[u64]| -> Vec<&str> {
            let location = |id: &u64| profile.locations.iter().find(|location| location.id == *id).unwrap();
            let function = |line: &Line| profile.functions.iter().find(|f| f.id == line.function_id).unwrap();
            ids.iter().flat_map(|id| &location(id).lines).map(|line| text(function(line).name)).collect()
        };
        assert_eq!(names(&profile.samples[0].location_ids), transfer);
        assert_eq!((profile.time_nanos, profile.duration_nanos, text(profile.comment_texts[0])), (5, 7, "lost 0"));
    }

    #[test]
    fn an_empty_profile_is_one_too() {
        let profile = encoded(&Sites::default());
        assert_eq!((profile.samples.len(), profile.sample_types.len()), (0, 2));
    }
}
