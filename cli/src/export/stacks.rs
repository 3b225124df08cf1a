//! Stacks with all that is known of their calls, each asked for once.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use syncline_event::StackId;
use syncline_insight::{Build, Call, CallStack, Frame};

use crate::source::Source;

/// Stacks that are remembered; then all are asked for anew. A fleet has some ten thousand. They hold some 1 kB each.
const MANY: usize = 100_000;
/// Ids that one question may name: its parameters go in a URL.
const AT_ONCE: usize = 2_000;

/// Stacks that were asked for.
#[derive(Default)]
pub(super) struct Stacks {
    known: HashMap<u64, Option<Known>>,
    calls: HashMap<(u64, u64), Arc<Call>>,
    builds: HashMap<u64, Arc<Build>>,
}

/// A stack, and what is asked of it for every wait.
struct Known {
    stack: Arc<CallStack>,
    /// The frame that blocks.
    site: String,
    is_of_the_runtime: bool,
}

#[derive(Deserialize)]
struct StackRow {
    stack_id: u64,
    build_id: u64,
    pcs: Vec<u64>,
}

/// A call at an address, the innermost inlined one first.
#[derive(Deserialize)]
struct SymbolRow {
    build_id: u64,
    pc: u64,
    func: String,
    file: String,
    line: u32,
}

#[derive(Deserialize)]
struct BuildRow {
    build_id: u64,
    executable: String,
}

impl Stacks {
    /// A stack that was learnt before; none where it is not in the store, or the wait has none.
    pub(super) fn get(&self, id: u64) -> Option<Arc<CallStack>> {
        self.known(id).map(|known| Arc::clone(&known.stack))
    }

    /// The frame in which what has this stack blocks.
    pub(super) fn site(&self, id: u64) -> Option<&str> {
        self.known(id).map(|known| known.site.as_str())
    }

    /// Whether it is of one of Go's own goroutines, if it was taken in full.
    pub(super) fn is_of_the_runtime(&self, id: u64) -> bool {
        self.known(id).is_some_and(|known| known.is_of_the_runtime)
    }

    fn known(&self, id: u64) -> Option<&Known> {
        self.known.get(&id)?.as_ref()
    }

    /// Makes sure that these are known, as far as the store knows them.
    pub(super) async fn learn(&mut self, source: &Source, ids: impl Iterator<Item = u64>) -> anyhow::Result<()> {
        let mut ids: Vec<u64> = ids.filter(|id| *id != 0).collect();
        ids.sort_unstable();
        ids.dedup();
        let new = ids.iter().filter(|id| !self.known.contains_key(id)).count();
        if new > 0 && self.known.len() + new > MANY {
            *self = Self::default();
        }
        ids.retain(|id| !self.known.contains_key(id));
        for some in ids.chunks(AT_ONCE) {
            self.learn_some(source, some).await?;
        }
        Ok(())
    }

    async fn learn_some(&mut self, source: &Source, ids: &[u64]) -> anyhow::Result<()> {
        let list: Vec<String> = ids.iter().map(u64::to_string).collect();
        let params = [("ids".to_owned(), format!("[{}]", list.join(",")))];
        let of_these = "stack_id IN {ids:Array(UInt64)}";
        let sql = format!(
            "SELECT stack_id, any(build_id) AS build_id, any(pcs) AS pcs FROM stacks WHERE {of_these} GROUP BY stack_id"
        );
        let stacks: Vec<StackRow> = source.rows(&sql, &params).await?;
        let sql = format!(
            "SELECT build_id, pc, func, file, line FROM symbols FINAL \
            WHERE (build_id, pc) IN (SELECT build_id, arrayJoin(pcs) FROM stacks WHERE {of_these}) ORDER BY build_id, pc, depth"
        );
        self.learn_calls(source.rows(&sql, &params).await?);
        let sql = format!(
            "SELECT build_id, argMax(executable, seen) AS executable FROM processes \
            WHERE build_id IN (SELECT build_id FROM stacks WHERE {of_these}) GROUP BY build_id"
        );
        let builds: Vec<BuildRow> = source.rows(&sql, &params).await?;
        for BuildRow { build_id: id, executable: path } in builds {
            self.builds.entry(id).or_insert_with(|| Arc::new(Build { id, path }));
        }
        // Also those that the store has not.
        self.known.extend(ids.iter().map(|id| (*id, None)));
        for stack in stacks {
            let named = self.stack(&stack);
            self.known.insert(stack.stack_id, Some(Known::of(named)));
        }
        Ok(())
    }

    fn learn_calls(&mut self, symbols: Vec<SymbolRow>) {
        let mut calls: HashMap<(u64, u64), Vec<Frame>> = HashMap::new();
        for SymbolRow { build_id, pc, func, file, line } in symbols {
            // As the views have it, a name of nothing is none.
            if !func.is_empty() {
                calls.entry((build_id, pc)).or_default().push(Frame { function: func, file, line });
            }
        }
        let named = calls.into_iter().map(|((build, pc), frames)| ((build, pc), Arc::new(call(pc, frames))));
        self.calls.extend(named);
    }

    fn stack(&mut self, row: &StackRow) -> CallStack {
        let unnamed = |pc: u64| Frame { function: format!("0x{pc:x}"), file: String::new(), line: 0 };
        let mut calls = Vec::with_capacity(row.pcs.len());
        for &pc in &row.pcs {
            let known = self.calls.entry((row.build_id, pc)).or_insert_with(|| Arc::new(call(pc, vec![unnamed(pc)])));
            calls.push(Arc::clone(known));
        }
        let no_path = || Arc::new(Build { id: row.build_id, path: String::new() });
        let build = Arc::clone(self.builds.entry(row.build_id).or_insert_with(no_path));
        CallStack { id: StackId(row.stack_id), build, calls, is_cut: false }
    }
}

impl Known {
    fn of(stack: CallStack) -> Self {
        let (site, is_of_the_runtime) = (stack.blocking_frame().text(), stack.is_of_the_runtime());
        Self { stack: Arc::new(stack), site, is_of_the_runtime }
    }
}

/// The store has return addresses.
fn call(pc: u64, frames: Vec<Frame>) -> Call {
    Call { address: pc.saturating_sub(1), frames }
}
