//! Texts and stacks that are told once and then named by number, as `InternedData` does.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use syncline_event::StackId;
use syncline_insight::{Build, CallStack, Frame as CallFrame};

use super::message::{Callstack, Frame, InternedData, Mapping, Name, Text};

/// Entries that are remembered; then all is told anew. Some 40 MB.
const MANY: usize = 200_000;

/// What was told since the last [`forget`](Self::forget).
#[derive(Debug, Default)]
pub(super) struct Interned {
    categories: Table<String>,
    event_names: Table<String>,
    annotation_names: Table<&'static str>,
    texts: Table<String>,
    functions: Table<String>,
    sources: Table<String>,
    mappings: Table<u64>,
    frames: Table<(u64, u64, CallFrame)>,
    callstacks: Table<Stack>,
    /// The same by their ids: most waits have a stack that is known, and need no look at its calls.
    by_id: HashMap<StackId, u64>,
    /// Not told yet: it goes with the next packet.
    fresh: InternedData,
}

/// A stack may be known without an id.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Stack {
    mapping: u64,
    frames: Vec<u64>,
}

impl Interned {
    /// Whether it is time to forget.
    pub(super) fn is_full(&self) -> bool {
        let sizes = [
            self.categories.len(),
            self.event_names.len(),
            self.texts.len(),
            self.functions.len(),
            self.sources.len(),
            self.mappings.len(),
            self.frames.len(),
            self.callstacks.len(),
            self.by_id.len(),
        ];
        sizes.iter().sum::<usize>() >= MANY
    }

    /// As the reader does at the flag of a packet.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// What the next packet has to tell.
    pub(super) fn take_fresh(&mut self) -> Option<InternedData> {
        (self.fresh != InternedData::default()).then(|| std::mem::take(&mut self.fresh))
    }

    pub(super) fn category(&mut self, name: &str) -> u64 {
        let (iid, is_new) = self.categories.number_of(name);
        if is_new {
            self.fresh.categories.push(Name { iid, name: name.to_owned() });
        }
        iid
    }

    pub(super) fn event_name(&mut self, name: &str) -> u64 {
        let (iid, is_new) = self.event_names.number_of(name);
        if is_new {
            self.fresh.event_names.push(Name { iid, name: name.to_owned() });
        }
        iid
    }

    pub(super) fn annotation_name(&mut self, name: &'static str) -> u64 {
        let (iid, is_new) = self.annotation_names.number(name);
        if is_new {
            self.fresh.annotation_names.push(Name { iid, name: name.to_owned() });
        }
        iid
    }

    pub(super) fn annotation_text(&mut self, text: &str) -> u64 {
        let (iid, is_new) = self.texts.number_of(text);
        if is_new {
            self.fresh.annotation_texts.push(interned(iid, text));
        }
        iid
    }

    /// 0, which is no number, for a stack without calls.
    pub(super) fn callstack(&mut self, stack: &CallStack) -> u64 {
        if stack.calls.is_empty() {
            return 0;
        }
        if let Some(&known) = self.by_id.get(&stack.id) {
            return known;
        }
        let iid = self.new_callstack(stack);
        if stack.id != StackId::NONE {
            self.by_id.insert(stack.id, iid);
        }
        iid
    }

    fn new_callstack(&mut self, stack: &CallStack) -> u64 {
        let mapping = self.mapping(&stack.build);
        let mut frames: Vec<u64> = Vec::with_capacity(stack.calls.len());
        for call in &stack.calls {
            if call.frames.is_empty() {
                let function = format!("0x{:x}", call.address);
                frames.push(self.frame(mapping, call.address, &CallFrame { function, file: String::new(), line: 0 }));
            }
            frames.extend(call.frames.iter().map(|frame| self.frame(mapping, call.address, frame)));
        }
        frames.reverse();
        let (iid, is_new) = self.callstacks.number(Stack { mapping, frames: frames.clone() });
        if is_new {
            self.fresh.callstacks.push(Callstack { iid, frame_ids: frames });
        }
        iid
    }

    fn mapping(&mut self, build: &Arc<Build>) -> u64 {
        let (iid, is_new) = self.mappings.number(build.id);
        if is_new {
            // Build ids and paths are of a mapping each: they share its number.
            self.fresh.build_ids.push(Text { iid, bytes: build.id.to_be_bytes().to_vec() });
            self.fresh.mapping_paths.push(interned(iid, &build.path));
            self.fresh.mappings.push(Mapping { iid, build_id: iid, path_iids: vec![iid] });
        }
        iid
    }

    fn frame(&mut self, mapping: u64, address: u64, frame: &CallFrame) -> u64 {
        let (iid, is_new) = self.frames.number((mapping, address, frame.clone()));
        if is_new {
            let told = Frame {
                iid,
                function_name_id: self.function(&frame.function),
                mapping_id: mapping,
                rel_pc: address,
                source_path_iid: self.source(&frame.file),
                line_number: frame.line,
            };
            self.fresh.frames.push(told);
        }
        iid
    }

    fn function(&mut self, name: &str) -> u64 {
        let (iid, is_new) = self.functions.number_of(name);
        if is_new {
            self.fresh.function_names.push(interned(iid, name));
        }
        iid
    }

    fn source(&mut self, file: &str) -> u64 {
        if file.is_empty() {
            return 0;
        }
        let (iid, is_new) = self.sources.number_of(file);
        if is_new {
            self.fresh.source_paths.push(interned(iid, file));
        }
        iid
    }
}

fn interned(iid: u64, text: &str) -> Text {
    Text { iid, bytes: text.as_bytes().to_vec() }
}

/// Numbers from 1 on.
#[derive(Debug)]
struct Table<K>(HashMap<K, u64>);

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq> Table<K> {
    fn len(&self) -> usize {
        self.0.len()
    }

    /// The number of a thing, and whether it is a new one.
    fn number(&mut self, key: K) -> (u64, bool) {
        let next = self.0.len() as u64 + 1;
        let number = *self.0.entry(key).or_insert(next);
        (number, number == next)
    }
}

impl Table<String> {
    /// The same, without a copy of a text that is known.
    fn number_of(&mut self, text: &str) -> (u64, bool) {
        match self.0.get(text) {
            Some(&known) => (known, false),
            None => self.number(text.to_owned()),
        }
    }
}
