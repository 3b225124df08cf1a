//! From addresses to named stacks, each looked up once.

use std::collections::HashMap;
use std::sync::Arc;

use syncline_event::{Stack, StackId};
use syncline_insight::{Build, Call, CallStack, Frame, MAX_STACKS};

use crate::capture::{Binary, RawWait};

/// Stacks remembered; then all are looked up anew.
const MANY: usize = 2 * MAX_STACKS;

/// Named stacks and calls that were met.
#[derive(Debug, Default)]
pub(super) struct Names {
    stacks: HashMap<(StackId, bool), Arc<CallStack>>,
    /// By build and return address.
    calls: HashMap<(u64, u64), Arc<Call>>,
    builds: HashMap<u64, Arc<Build>>,
}

impl Names {
    /// The stack of a wait in this binary.
    pub(super) fn stack(&mut self, binary: &Binary, wait: &RawWait) -> Arc<CallStack> {
        let id = Stack::id_of(wait.build_id, &wait.stack);
        let is_cut = wait.stack_truncated || wait.stack_unreadable;
        if let Some(known) = self.stacks.get(&(id, is_cut)) {
            return Arc::clone(known);
        }
        if self.stacks.len() >= MANY {
            *self = Self::default();
        }
        let build = self.build(binary);
        let calls = wait.stack.iter().map(|&address| self.call(binary, address)).collect();
        let stack = Arc::new(CallStack { id, build, calls, is_cut });
        self.stacks.insert((id, is_cut), Arc::clone(&stack));
        stack
    }

    fn build(&mut self, binary: &Binary) -> Arc<Build> {
        let id = binary.build_id();
        let path = || binary.path().to_string_lossy().into_owned();
        Arc::clone(self.builds.entry(id).or_insert_with(|| Arc::new(Build { id, path: path() })))
    }

    /// Every address of a captured stack is a return address, g.sched.pc included.
    fn call(&mut self, binary: &Binary, return_address: u64) -> Arc<Call> {
        let call = self.calls.entry((binary.build_id(), return_address)).or_insert_with(|| {
            let frames = binary.symbolize(return_address, true).into_iter().map(frame).collect();
            Arc::new(Call { address: return_address.saturating_sub(1), frames })
        });
        Arc::clone(call)
    }
}

fn frame(frame: syncline_gosym::Frame) -> Frame {
    // Go says "?" for a file that it does not know.
    let file = if frame.file == "?" { String::new() } else { frame.file };
    Frame { function: frame.function, file, line: frame.line }
}
