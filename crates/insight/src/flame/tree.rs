//! Stacks put together from their outer ends: what the boxes of a flame graph stand for.

use std::collections::HashMap;

use crate::call::{Frame, is_plumbing};
use crate::sites::StackSum;

/// Boxes on top of each other; what is called deeper belongs to the last one. Go's own stack traces end at 100 calls.
const MAX_DEPTH: usize = 256;

/// What a box stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// Everything.
    All,
    /// A function of the program.
    Program,
    /// A function that only carries the wait.
    Plumbing,
    /// The reason of a wait, on top of the innermost function.
    Reason,
}

/// All stacks that have the same functions up to here.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) name: String,
    /// Where in the function its callee is called; empty where stacks differ in that.
    pub(super) place: String,
    pub(super) count: u64,
    pub(super) waited_ns: u64,
    pub(super) depth: usize,
    /// Indexes of the boxes on top of this one.
    pub(super) children: Vec<usize>,
}

/// The boxes; the first one is below all others.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
    known: HashMap<(usize, Kind, String), usize>,
}

impl Tree {
    pub(super) fn of(stacks: &[&StackSum]) -> Self {
        let root = Node::new(Kind::All, "all", String::new(), 0);
        let mut tree = Self { nodes: vec![root], known: HashMap::new() };
        stacks.iter().for_each(|sum| tree.add(sum));
        tree.sort();
        tree
    }

    /// The largest number of boxes on top of each other.
    pub(super) fn height(&self) -> usize {
        self.nodes.iter().map(|node| node.depth + 1).max().unwrap_or(0)
    }

    fn add(&mut self, sum: &StackSum) {
        self.count(0, sum);
        let frames: Vec<Frame> = sum.stack.frames().collect();
        let mut at = 0;
        for frame in frames.iter().rev().take(MAX_DEPTH) {
            at = self.child(at, kind_of(frame), &frame.function, frame.place());
            self.count(at, sum);
        }
        let at = self.child(at, Kind::Reason, &sum.reason, String::new());
        self.count(at, sum);
    }

    fn count(&mut self, node: usize, sum: &StackSum) {
        let node = &mut self.nodes[node];
        node.count = node.count.saturating_add(sum.sum.waits());
        node.waited_ns = node.waited_ns.saturating_add(sum.sum.times.waited_ns());
    }

    fn child(&mut self, parent: usize, kind: Kind, name: &str, place: String) -> usize {
        let key = (parent, kind, name.to_owned());
        if let Some(&known) = self.known.get(&key) {
            if self.nodes[known].place != place {
                self.nodes[known].place.clear();
            }
            return known;
        }
        let index = self.nodes.len();
        self.nodes.push(Node::new(kind, name, place, self.nodes[parent].depth + 1));
        self.nodes[parent].children.push(index);
        self.known.insert(key, index);
        index
    }

    /// By name, as flame graphs are: two of one program look alike.
    fn sort(&mut self) {
        for index in 0..self.nodes.len() {
            let mut children = std::mem::take(&mut self.nodes[index].children);
            children.sort_by(|&a, &b| self.nodes[a].name.cmp(&self.nodes[b].name));
            self.nodes[index].children = children;
        }
    }
}

impl Node {
    fn new(kind: Kind, name: &str, place: String, depth: usize) -> Self {
        Self { kind, name: name.to_owned(), place, count: 0, waited_ns: 0, depth, children: Vec::new() }
    }
}

fn kind_of(frame: &Frame) -> Kind {
    if is_plumbing(&frame.function) { Kind::Plumbing } else { Kind::Program }
}
