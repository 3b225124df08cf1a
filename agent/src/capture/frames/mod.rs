//! Frames outside of Go's own code: C functions of the executable, libraries, the kernel.
//!
//! ```text
//! address of a record ─> where it lies in the process      [address_space, mapping], or in the kernel [kernel]
//!                     ─> the file of code there, its build  [modules, module, reader]
//!                     ─> an address for the stack           [synthetic]
//!                     ─> what that stands for, remembered   [registry]
//! later, on the thread that makes batches: its name         [naming]
//! ```
//!
//! A stack is addresses of one build: what lies in the executable is there by its link-time address, and anything else by a number
//! that no address can be, made of what is the same on every node: build and link-time address in the file, function and
//! offset in the kernel. So a stack of the same calls has the same id everywhere ([ADR 19](../../../../docs/adr/0019-frames-of-other-code.md)).

mod address_space;
mod demangling;
mod kernel;
mod lines;
mod mapping;
mod module;
mod modules;
mod naming;
mod reader;
mod registry;
mod synthetic;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use syncline_gosym::Frame;

use super::binary::Binary;
use super::process::ObservedProcess;
pub(super) use address_space::AddressSpace;
use address_space::Place;
use kernel::Kernel;
pub(super) use mapping::{Mapping, load_bias, mappings};
pub(super) use module::Module;
use modules::Modules;
use naming::Namer;
use registry::{Origin, Registry};

/// Knows what addresses on stacks stand for.
#[derive(Debug, Default)]
pub struct Frames {
    modules: Modules,
    registry: Mutex<Registry>,
    namer: Namer,
    kernel: Mutex<Kernel>,
}

/// Addresses of a process as they stand on its stacks.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) stack: Vec<u64>,
    /// An address was none of code, and was left out.
    pub(super) has_gaps: bool,
}

impl Frames {
    /// Return addresses of a process, innermost first, as they stand on a stack.
    pub(super) fn placed(&self, process: &ObservedProcess, addresses: &[u64]) -> Placed {
        let mut placed = Placed::default();
        placed.stack.extend(addresses.iter().filter_map(|address| self.of_process(process, *address)));
        placed.has_gaps = placed.stack.len() < addresses.len();
        placed
    }

    /// Return addresses in the kernel, innermost first, as they stand on a stack: without those by which a thread leaves its CPU, and
    /// none where the kernel does not tell its functions.
    pub(super) fn placed_in_kernel(&self, addresses: &[u64]) -> Vec<u64> {
        if addresses.is_empty() {
            return Vec::new();
        }
        let mut kernel = self.kernel.lock().unwrap_or_else(PoisonError::into_inner);
        let name = |place: &kernel::Place<'_>| Origin::Named([naming::of_kernel(place.function, place.module)].into());
        let places = kernel.places(addresses).into_iter();
        places.map(|place| self.remember(place.address(), || name(&place))).collect()
    }

    /// The calls at a return address on a stack of this executable's: innermost first (inlined ones, then the function). Empty where
    /// nothing is known of it.
    #[must_use]
    pub fn symbolize<'a>(&self, binary: &'a Binary, address: u64) -> Vec<Frame<'a>> {
        if synthetic::is_synthetic(address) {
            return self.name(address);
        }
        let of_go = binary.symbolize(address, true);
        if of_go.is_empty() { self.of_executable(binary, address) } else { of_go }
    }

    /// None for what is no address of code.
    fn of_process(&self, process: &ObservedProcess, address: u64) -> Option<u64> {
        let in_executable = address.wrapping_sub(process.load_bias);
        let text = process.binary.text_segment();
        // A return address may lie behind the last instruction.
        let call = address.saturating_sub(1);
        if call.wrapping_sub(process.load_bias).wrapping_sub(text.vaddr) < text.size {
            return Some(in_executable);
        }
        match process.address_space.place(call, &self.modules) {
            Place::Executable => Some(in_executable),
            Place::Module(module, vaddr) => Some(self.of_module(module, vaddr.wrapping_add(1))),
            Place::Region(name) => Some(self.of_region(&name)),
            Place::Nowhere => None,
        }
    }

    fn of_module(&self, module: Arc<Module>, vaddr: u64) -> u64 {
        let address = synthetic::of_file(module.build_id, vaddr);
        self.remember(address, || Origin::Unnamed(module, vaddr))
    }

    fn of_region(&self, name: &str) -> u64 {
        self.remember(synthetic::of_region(name), || Origin::Named([naming::of_region(name)].into()))
    }

    fn remember(&self, address: u64, origin: impl FnOnce() -> Origin) -> u64 {
        let mut registry = self.registry();
        if registry.meet(address).is_none() {
            registry.put(address, origin());
        }
        address
    }

    /// What a synthetic address stands for, by its name.
    fn name(&self, address: u64) -> Vec<Frame<'static>> {
        let origin = self.registry().meet(address).cloned();
        match origin {
            Some(Origin::Named(frames)) => frames.to_vec(),
            Some(Origin::Unnamed(module, vaddr)) => self.name_all_of(&module, (address, vaddr)),
            None => Vec::new(),
        }
    }

    /// Names all of a module that have none yet, since its tables are read once for that; gives the name of one.
    fn name_all_of(&self, module: &Arc<Module>, one: (u64, u64)) -> Vec<Frame<'static>> {
        let mut unnamed = self.registry().unnamed_of(module);
        if !unnamed.contains(&one) {
            unnamed.push(one);
        }
        let vaddrs: Vec<u64> = unnamed.iter().map(|(_, vaddr)| *vaddr).collect();
        let names = self.namer.names(module, &vaddrs);
        let mut registry = self.registry();
        let mut found = Vec::new();
        for ((address, _), frames) in unnamed.into_iter().zip(names) {
            if address == one.0 {
                found.clone_from(&frames);
            }
            registry.put(address, Origin::Named(frames.into()));
        }
        found
    }

    /// What lies in an executable beside its Go code: the C code that was linked into it. Known to be there by its tables only.
    fn of_executable(&self, binary: &Binary, vaddr: u64) -> Vec<Frame<'static>> {
        let address = synthetic::of_file(binary.build_id(), vaddr);
        if self.registry().meet(address).is_none() {
            let Some(module) = binary.as_module() else { return Vec::new() };
            self.registry().put(address, Origin::Unnamed(Arc::new(module), vaddr));
        }
        self.name(address)
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
