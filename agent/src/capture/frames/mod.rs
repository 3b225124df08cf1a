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

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use syncline_gosym::Frame;

use super::binary::Binary;
use super::process::ObservedProcess;
pub(super) use address_space::AddressSpace;
use address_space::Place;
use kernel::Kernel;
pub(super) use mapping::{Mapping, load_bias, mappings};
pub(super) use module::Module;
use modules::Modules;
pub(super) use modules::open_mapped;
use naming::Namer;
pub(super) use reader::Bounded;
use registry::{Origin, Registry};

/// What has no name, since its file could not be read then or does not have it, is not asked for again before this.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Knows what addresses on stacks stand for.
#[derive(Debug, Default)]
pub struct Frames {
    modules: Modules,
    registry: Mutex<Registry>,
    namer: Namer,
    kernel: Mutex<Kernel>,
    /// Stacks with calls in libraries that were not opened in time.
    late: AtomicU64,
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
        let (mut placed, mut is_late) = (Placed::default(), false);
        let of_process = |address: &u64| self.of_process(process, *address, &mut is_late);
        placed.stack.extend(addresses.iter().filter_map(of_process));
        placed.has_gaps = placed.stack.len() < addresses.len();
        if is_late {
            self.late.fetch_add(1, Ordering::Relaxed);
        }
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

    /// How many stacks had calls in libraries that were not opened in time, or not yet.
    pub(super) fn unopened(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }

    /// None for what is no address of code. Whether it is in a file that is to be opened later is noted.
    fn of_process(&self, process: &ObservedProcess, address: u64, is_late: &mut bool) -> Option<u64> {
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
            Place::Late(name) => {
                *is_late = true;
                Some(self.of_region(&name))
            }
            Place::Nowhere => None,
        }
    }

    fn of_module(&self, module: Arc<Module>, vaddr: u64) -> u64 {
        let address = synthetic::of_file(module.build_id, vaddr);
        self.remember(address, || Origin::Unnamed { module, vaddr, not_before: None })
    }

    /// Of a thread that the kernel has stopped, C code of its executable may be on top: remembered when it is met, it is named with the
    /// rest of the file.
    pub(super) fn expect(&self, binary: &Binary, address: u64) {
        if !synthetic::is_synthetic(address) && binary.stack_delta_at(address.saturating_sub(1)).is_none() {
            self.in_executable(binary, address);
        }
    }

    /// What an address stands for that lies in an executable beside its Go code; None where that cannot be opened.
    fn in_executable(&self, binary: &Binary, vaddr: u64) -> Option<u64> {
        Some(self.of_module(binary.as_module()?, vaddr))
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
            Some(origin) if !origin.is_due(Instant::now()) => Vec::new(),
            Some(Origin::Unnamed { module, vaddr, .. }) => self.name_all_of(&module, (address, vaddr)),
            None => Vec::new(),
        }
    }

    /// Names all of a module that have none yet, since its tables are read once for that; gives the name of one.
    fn name_all_of(&self, module: &Arc<Module>, one: (u64, u64)) -> Vec<Frame<'static>> {
        let mut unnamed = self.registry().unnamed_of(module, Instant::now());
        // The first ones are named even where time runs out.
        unnamed.retain(|other| *other != one);
        unnamed.insert(0, one);
        let vaddrs: Vec<u64> = unnamed.iter().map(|(_, vaddr)| *vaddr).collect();
        let names = self.namer.names(module, &vaddrs);
        let of_one = names.first().cloned().unwrap_or_default();
        let not_before = Some(Instant::now() + ASKED_AGAIN_AFTER);
        let mut registry = self.registry();
        for ((address, vaddr), frames) in
            unnamed.into_iter().zip(names.into_iter().chain(std::iter::repeat(Vec::new())))
        {
            let origin = if frames.is_empty() {
                Origin::Unnamed { module: Arc::clone(module), vaddr, not_before }
            } else {
                Origin::Named(frames.into())
            };
            registry.put(address, origin);
        }
        of_one
    }

    /// What lies in an executable beside its Go code: the C code that was linked into it. Known to be there by its tables only.
    fn of_executable(&self, binary: &Binary, vaddr: u64) -> Vec<Frame<'static>> {
        self.in_executable(binary, vaddr).map(|address| self.name(address)).unwrap_or_default()
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::capture::executable::FileId;

    /// A link-time address without a symbol.
    const NOWHERE: u64 = 1;

    fn names_of(frames: &Frames, address: u64) -> Vec<String> {
        frames.name(address).into_iter().map(|frame| frame.function.into_owned()).collect()
    }

    fn not_before(frames: &Frames, address: u64) -> Option<Instant> {
        match frames.registry().meet(address)? {
            Origin::Unnamed { not_before, .. } => *not_before,
            Origin::Named(_) => None,
        }
    }

    #[test]
    fn what_a_library_has_no_symbol_for_is_its_address() {
        let library = Module::of(File::open("/proc/self/exe").unwrap(), "libtest.so".to_owned()).unwrap();
        let frames = Frames::default();
        let address = frames.of_module(Arc::new(library), NOWHERE);
        assert_eq!(names_of(&frames, address), ["0x1 (libtest.so)"]);
    }

    #[test]
    fn what_cannot_be_found_out_has_no_name_and_is_asked_for_later() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("libtest.so");
        std::fs::copy("/proc/self/exe", &path).unwrap();
        let library = Arc::new(Module::of(File::open(&path).unwrap(), "libtest.so".to_owned()).unwrap());
        File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
        let frames = Frames::default();
        let addresses = [NOWHERE, NOWHERE + 1].map(|vaddr| frames.of_module(Arc::clone(&library), vaddr));
        assert!(names_of(&frames, addresses[0]).is_empty());
        let again = addresses.map(|address| not_before(&frames, address).unwrap());
        assert!(again.iter().all(|again| *again > Instant::now()), "both were asked for at once");
        assert!(names_of(&frames, addresses[0]).is_empty());
        assert_eq!(not_before(&frames, addresses[0]), Some(again[0]), "it was not asked for again");
    }

    #[test]
    fn what_an_executable_has_no_symbol_for_has_no_name() {
        let file = File::open("/proc/self/exe").unwrap();
        let id = FileId::of(&file.metadata().unwrap());
        let executable = Module::of_executable(&file, id, "test".to_owned(), 7).unwrap();
        let frames = Frames::default();
        let address = frames.of_module(Arc::new(executable), NOWHERE);
        assert!(names_of(&frames, address).is_empty());
        assert!(not_before(&frames, address).is_some());
    }
}
