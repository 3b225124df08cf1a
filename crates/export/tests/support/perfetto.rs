//! Reads a trace by the descriptors that Perfetto publishes, and as its trace_processor does: numbers of interned texts are resolved, slices
//! of a track closed by their ends, flows followed. It panics at whatever trace_processor would count as an error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)] // a test may fail loudly; not every one looks at all

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage, Value};

/// The official messages; none, and a line that says so, where they were not fetched.
pub(crate) fn descriptors() -> Option<DescriptorPool> {
    let file = formats_dir().join("perfetto_trace.binpb");
    let Ok(bytes) = std::fs::read(&file) else {
        skip(&format!("Perfetto's descriptors are not at {}", file.display()));
        return None;
    };
    let mut pool = DescriptorPool::new();
    pool.decode_file_descriptor_proto(bytes.as_slice()).unwrap();
    Some(pool)
}

/// Says that a check is left out, which fails where it may not be.
pub(crate) fn skip(why: &str) {
    println!("skipped: {why}: cargo xtask fetch formats");
    assert!(!are_formats_required(std::env::var("SYNCLINE_REQUIRE_FORMATS").ok().as_deref()), "{why}");
}

pub(crate) fn are_formats_required(variable: Option<&str>) -> bool {
    variable == Some("1")
}

/// Where `cargo xtask fetch formats` puts them.
pub(crate) fn formats_dir() -> PathBuf {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    var("SYNCLINE_FORMATS").unwrap_or_else(|| {
        let cache = var("SYNCLINE_CACHE")
            .or_else(|| var("XDG_CACHE_HOME").map(|dir| dir.join("syncline")))
            .or_else(|| var("HOME").map(|home| home.join(".cache/syncline")));
        cache.unwrap_or_default().join("formats-0.59.1-1.25.0")
    })
}

/// What a trace holds.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) slices: Vec<Slice>,
    /// By track: time and value.
    pub(crate) counters: BTreeMap<String, Vec<(u64, i64)>>,
    /// By track, from the outermost: `sibling_order_rank`.
    pub(crate) ranks: BTreeMap<String, i32>,
    /// From slice to slice, by their places in `slices`.
    pub(crate) flows: Vec<(usize, usize)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Slice {
    /// Names of the tracks from the outermost on, with ` / ` between.
    pub(crate) track: String,
    pub(crate) name: String,
    pub(crate) categories: Vec<String>,
    pub(crate) start: u64,
    /// None: it is open at the end.
    pub(crate) end: Option<u64>,
    /// How many slices of the track it lies in.
    pub(crate) depth: usize,
    pub(crate) notes: BTreeMap<String, String>,
    /// The outermost first: `function file:line`.
    pub(crate) stack: Vec<String>,
}

impl Read {
    pub(crate) fn slice(&self, track: &str, name: &str) -> &Slice {
        let found = self.slices.iter().find(|slice| slice.track == track && slice.name == name);
        found.unwrap_or_else(|| panic!("no {name:?} on {track:?}: {:#?}", self.slices))
    }
}

#[derive(Default)]
struct Reader {
    read: Read,
    tracks: HashMap<u64, DynamicMessage>,
    /// By field of InternedData and iid.
    interned: HashMap<(String, u64), DynamicMessage>,
    open: HashMap<u64, Vec<usize>>,
    flows: HashMap<u64, usize>,
    clock: Option<u64>,
    has_state: bool,
    now: u64,
}

pub(crate) fn read(pool: &DescriptorPool, bytes: &[u8]) -> Read {
    let message = pool.get_message_by_name("perfetto.protos.Trace").unwrap();
    let trace = DynamicMessage::decode(message, bytes).unwrap();
    check_known(&trace);
    let mut reader = Reader::default();
    for packet in list(&trace, "packet") {
        reader.packet(packet.as_message().unwrap());
    }
    reader.read
}

impl Reader {
    fn packet(&mut self, packet: &DynamicMessage) {
        assert_ne!(number(packet, "trusted_packet_sequence_id"), 0);
        let flags = number(packet, "sequence_flags");
        if flags & 1 != 0 {
            self.interned.clear();
            self.has_state = true;
            let defaults = packet.get_field_by_name("trace_packet_defaults").unwrap();
            self.clock = Some(number(defaults.as_message().unwrap(), "timestamp_clock_id"));
        }
        if let Some(snapshot) = message(packet, "clock_snapshot") {
            let clocks = list(&snapshot, "clocks");
            assert_eq!(clocks.len(), 1);
            assert_eq!(number(clocks[0].as_message().unwrap(), "clock_id"), number(&snapshot, "primary_trace_clock"));
        }
        if let Some(data) = message(packet, "interned_data") {
            self.intern(&data);
        }
        if let Some(track) = message(packet, "track_descriptor") {
            let parent = number(&track, "parent_uuid");
            assert!(parent == 0 || self.tracks.contains_key(&parent), "a track before its parent: {track}");
            let uuid = number(&track, "uuid");
            if let Some(known) = self.tracks.insert(uuid, track.clone()) {
                assert_eq!(known, track, "told again as another one");
            }
            let rank = track.get_field_by_name("sibling_order_rank").unwrap().as_i32().unwrap();
            self.read.ranks.insert(self.path(uuid), rank);
        }
        if let Some(event) = message(packet, "track_event") {
            assert!(self.has_state && flags & 2 != 0);
            assert_eq!(self.clock, Some(1), "REALTIME");
            let now = number(packet, "timestamp");
            assert!(now >= self.now, "packets are in the order of time");
            self.now = now;
            self.event(&event);
        }
    }

    fn intern(&mut self, data: &DynamicMessage) {
        for (field, value) in data.fields() {
            for entry in value.as_list().unwrap() {
                let entry = entry.as_message().unwrap().clone();
                let key = (field.name().to_owned(), number(&entry, "iid"));
                assert!(self.interned.insert(key, entry).is_none(), "interned twice: {data}");
            }
        }
    }

    fn event(&mut self, event: &DynamicMessage) {
        let track = number(event, "track_uuid");
        assert!(self.tracks.contains_key(&track), "an event on no track: {event}");
        match event.get_field_by_name("type").unwrap().as_enum_number().unwrap() {
            1 => {
                let index = self.begin(track, event, None);
                self.open.entry(track).or_default().push(index);
            }
            2 => {
                let index = self.open.get_mut(&track).and_then(Vec::pop).expect("an end of nothing");
                self.read.slices[index].end = Some(self.now);
            }
            3 => drop(self.begin(track, event, Some(self.now))),
            4 => {
                let value = event.get_field_by_name("counter_value").unwrap().as_i64().unwrap();
                self.read.counters.entry(self.path(track)).or_default().push((self.now, value));
            }
            other => panic!("type {other}"),
        }
    }

    fn begin(&mut self, track: u64, event: &DynamicMessage, end: Option<u64>) -> usize {
        let categories = list(event, "category_iids");
        let slice = Slice {
            track: self.path(track),
            name: self.name("event_names", number(event, "name_iid")),
            categories: categories.iter().map(|iid| self.name("event_categories", iid.as_u64().unwrap())).collect(),
            start: self.now,
            end,
            depth: self.open.get(&track).map_or(0, Vec::len),
            notes: list(event, "debug_annotations").iter().map(|note| self.note(note.as_message().unwrap())).collect(),
            stack: self.stack(number(event, "callstack_iid")),
        };
        let index = self.read.slices.len();
        self.read.slices.push(slice);
        for flow in list(event, "flow_ids") {
            assert!(self.flows.insert(flow.as_u64().unwrap(), index).is_none(), "a flow begins twice");
        }
        for flow in list(event, "terminating_flow_ids") {
            let from = self.flows.remove(&flow.as_u64().unwrap()).expect("a flow ends that did not begin");
            self.read.flows.push((from, index));
        }
        index
    }

    fn note(&self, note: &DynamicMessage) -> (String, String) {
        let (_, value) = note.fields().find(|(field, _)| field.name() != "name_iid").expect("a note without a value");
        let value = match value {
            Value::U64(iid) if note.has_field_by_name("string_value_iid") => {
                self.text("debug_annotation_string_values", *iid)
            }
            Value::U64(number) => number.to_string(),
            Value::I64(number) => number.to_string(),
            Value::String(text) => text.clone(),
            other => panic!("{other:?}"),
        };
        (self.name("debug_annotation_names", number(note, "name_iid")), value)
    }

    fn stack(&self, iid: u64) -> Vec<String> {
        if iid == 0 {
            return Vec::new();
        }
        let stack = self.entry("callstacks", iid);
        let frames = list(stack, "frame_ids");
        frames.iter().map(|iid| self.frame(self.entry("frames", iid.as_u64().unwrap()))).collect()
    }

    fn frame(&self, frame: &DynamicMessage) -> String {
        let mapping = self.entry("mappings", number(frame, "mapping_id"));
        self.text_bytes("build_ids", number(mapping, "build_id"));
        list(mapping, "path_string_ids").iter().for_each(|iid| drop(self.text("mapping_paths", iid.as_u64().unwrap())));
        let function = self.text("function_names", number(frame, "function_name_id"));
        match number(frame, "source_path_iid") {
            0 => function,
            file => format!("{function} {}:{}", self.text("source_paths", file), number(frame, "line_number")),
        }
    }

    fn entry(&self, field: &str, iid: u64) -> &DynamicMessage {
        self.interned.get(&(field.to_owned(), iid)).unwrap_or_else(|| panic!("no {iid} of {field}"))
    }

    fn name(&self, field: &str, iid: u64) -> String {
        string(self.entry(field, iid), "name")
    }

    fn text(&self, field: &str, iid: u64) -> String {
        String::from_utf8(self.text_bytes(field, iid)).unwrap()
    }

    fn text_bytes(&self, field: &str, iid: u64) -> Vec<u8> {
        self.entry(field, iid).get_field_by_name("str").unwrap().as_bytes().unwrap().to_vec()
    }

    fn path(&self, track: u64) -> String {
        let track = &self.tracks[&track];
        let name = string(track, "name");
        match number(track, "parent_uuid") {
            0 => name,
            parent => format!("{} / {name}", self.path(parent)),
        }
    }
}

/// No field that the official messages do not have, at any depth.
fn check_known(message: &DynamicMessage) {
    assert_eq!(message.unknown_fields().count(), 0, "unknown to Perfetto: {message:?}");
    for (_, value) in message.fields() {
        match value {
            Value::Message(inner) => check_known(inner),
            Value::List(list) => list.iter().filter_map(Value::as_message).for_each(check_known),
            _ => {}
        }
    }
}

fn message(of: &DynamicMessage, name: &str) -> Option<DynamicMessage> {
    let field = of.descriptor().get_field_by_name(name).unwrap_or_else(|| panic!("no field {name}"));
    of.has_field(&field).then(|| of.get_field(&field).as_message().unwrap().clone())
}

fn list(of: &DynamicMessage, name: &str) -> Vec<Value> {
    of.get_field_by_name(name).unwrap_or_else(|| panic!("no field {name}")).as_list().unwrap().to_vec()
}

fn number(of: &DynamicMessage, name: &str) -> u64 {
    match of.get_field_by_name(name).unwrap_or_else(|| panic!("no field {name}")).as_ref() {
        Value::U32(number) => (*number).into(),
        Value::U64(number) => *number,
        Value::EnumNumber(number) => u64::try_from(*number).unwrap(),
        other => panic!("{name}: {other:?}"),
    }
}

fn string(of: &DynamicMessage, name: &str) -> String {
    of.get_field_by_name(name).unwrap().as_str().unwrap().to_owned()
}
