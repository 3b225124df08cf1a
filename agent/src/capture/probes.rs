//! Which binaries carry our probes. A binary has a slot: an index into the kernel's array of struct offsets, given to its
//! probes as attach cookie. Probes sit on the inode, so one set serves all processes that run it.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aya::programs::uprobe::UProbeLink;
use syncline_bpf::{BinaryLayout, program};
use syncline_gosym::{ProbeSite, ProbeSites};

use super::binary::Binary;
use super::error::{KernelError, Refusal};
use super::executable::{Executable, FileId, Inode};
use super::kernel::{Maps, Programs};
use super::kinds::Kinds;
use super::retry::Retry;

/// Entries of the kernel's array.
const SLOTS: u32 = 1024;
/// How long a binary that no process runs any more keeps its probes: a tool that is started again and again should not pay
/// for attaching each time, and records in the ring still refer to its slot.
const KEEP_UNUSED: Duration = Duration::from_secs(30);
/// Files remembered as unfit, so that they are not parsed again for each process.
const MAX_REMEMBERED: usize = 16_384;

/// All binaries with probes.
pub(super) struct ProbedBinaries {
    kinds: Kinds,
    slots: HashMap<u32, Slot>,
    by_inode: HashMap<Inode, u32>,
    unfit: HashMap<FileId, Remembered>,
    detaching: HashMap<u32, JoinHandle<()>>,
}

/// A file that cannot be probed, or could not be at the last attempt.
struct Remembered {
    refusal: Arc<Refusal>,
    retry: Retry,
}

struct Slot {
    binary: Arc<Binary>,
    links: Links,
    processes: u32,
    /// Kept although no process runs it.
    pinned: bool,
    unused_since: Option<Instant>,
}

/// The probes of a binary, by when they are to go: those where something begins first, so that nothing parks any more that nobody
/// would see running again.
struct Links {
    beginnings: Vec<UProbeLink>,
    ends: Vec<UProbeLink>,
}

impl Links {
    /// Detaches. The kernel needs some 100 ms for each (it waits for all CPUs), and no longer for many at once.
    fn detach(self) {
        for links in [self.beginnings, self.ends] {
            std::thread::scope(|scope| {
                for link in links {
                    // One that no thread is to be had for is dropped here.
                    let _ = std::thread::Builder::new().spawn_scoped(scope, move || drop(link));
                }
            });
        }
    }
}

/// Why a file cannot be observed; shared, because it is remembered.
pub(super) enum Unfit {
    /// Found out just now.
    New(Arc<Refusal>),
    /// Known since an earlier process.
    Known(Arc<Refusal>),
}

impl Unfit {
    pub(super) fn ended() -> Self {
        Self::New(Arc::new(Refusal::Ended))
    }

    pub(super) fn refusal(&self) -> &Refusal {
        match self {
            Self::New(refusal) | Self::Known(refusal) => refusal,
        }
    }

    pub(super) fn into_refusal(self) -> Arc<Refusal> {
        match self {
            Self::New(refusal) | Self::Known(refusal) => refusal,
        }
    }
}

impl ProbedBinaries {
    pub(super) fn new(kinds: Kinds) -> Self {
        Self {
            kinds,
            slots: HashMap::new(),
            by_inode: HashMap::new(),
            unfit: HashMap::new(),
            detaching: HashMap::new(),
        }
    }

    pub(super) fn binary(&self, slot: u32) -> Option<&Arc<Binary>> {
        self.slots.get(&slot).map(|slot| &slot.binary)
    }

    /// Attaches to a file unless that was done before. `open` is called only when the file is not known yet.
    pub(super) fn probe(
        &mut self,
        file: FileId,
        open: impl FnOnce() -> std::io::Result<Executable>,
        maps: &mut Maps,
        programs: &mut Programs,
    ) -> Result<u32, Unfit> {
        if let Some(slot) = self.current(file, maps) {
            return Ok(slot);
        }
        if let Some(known) = self.unfit.get(&file).filter(|known| !known.retry.is_due(Instant::now())) {
            return Err(Unfit::Known(Arc::clone(&known.refusal)));
        }
        match self.probe_new(file, open, maps, programs) {
            Ok(slot) => {
                self.unfit.remove(&file);
                Ok(slot)
            }
            Err(refusal) => Err(self.remember(file, refusal)),
        }
    }

    /// Keeps the probes also while no process runs the binary.
    pub(super) fn pin(&mut self, slot: u32) {
        if let Some(slot) = self.slots.get_mut(&slot) {
            slot.pinned = true;
        }
    }

    /// One more process runs the binary.
    pub(super) fn process_began(&mut self, slot: u32) {
        if let Some(slot) = self.slots.get_mut(&slot) {
            slot.processes = slot.processes.saturating_add(1);
            slot.unused_since = None;
        }
    }

    /// One process less runs the binary.
    pub(super) fn process_ended(&mut self, slot: u32) {
        if let Some(slot) = self.slots.get_mut(&slot) {
            slot.processes = slot.processes.saturating_sub(1);
            if slot.processes == 0 {
                slot.unused_since = Some(Instant::now());
            }
        }
    }

    /// Detaches from binaries that no process has run for a while.
    pub(super) fn retire_unused(&mut self, maps: &mut Maps) {
        let is_due =
            |slot: &Slot| !slot.pinned && slot.unused_since.is_some_and(|since| since.elapsed() >= KEEP_UNUSED);
        let due: Vec<u32> = self.slots.iter().filter(|(_, slot)| is_due(slot)).map(|(&index, _)| index).collect();
        for index in due {
            self.retire(index, maps);
        }
        self.detaching.retain(|_, thread| !thread.is_finished());
    }

    /// Detaches from everything and waits until that is done.
    pub(super) fn detach_all(&mut self) {
        let links = self.slots.drain().map(|(_, slot)| slot.links);
        let threads: Vec<_> = links.map(detach_in_background).collect();
        for thread in threads.into_iter().chain(self.detaching.drain().map(|(_, thread)| thread)) {
            // A panic of that thread has dropped, and so detached, its links too.
            let _ = thread.join();
        }
    }

    /// The slot of a file whose content is still the one that was probed.
    fn current(&mut self, file: FileId, maps: &mut Maps) -> Option<u32> {
        let index = *self.by_inode.get(&file.inode)?;
        let slot = self.slots.get(&index)?;
        // A file that processes run cannot have been overwritten, only touched.
        if slot.binary.file_id() == file || slot.processes > 0 {
            return Some(index);
        }
        self.retire(index, maps);
        None
    }

    fn probe_new(
        &mut self,
        file: FileId,
        open: impl FnOnce() -> std::io::Result<Executable>,
        maps: &mut Maps,
        programs: &mut Programs,
    ) -> Result<u32, Refusal> {
        let executable = open().map_err(Refusal::of_unopened)?;
        if executable.id.inode != file.inode {
            return Err(Refusal::Ended);
        }
        let binary = Binary::read(executable)?;
        let mut sites = binary.probe_sites()?;
        sites.cgo = sites.cgo.filter(|_| self.kinds.cgo);
        sites.states = sites.states.filter(|_| self.kinds.states);
        let index = self.free_slot()?;
        set_layout(maps, index, binary.kernel_layout(sites.states.is_some()).encode())?;
        let links = attach(&binary, &sites, index, programs)?;
        let slot =
            Slot { binary: Arc::new(binary), links, processes: 0, pinned: false, unused_since: Some(Instant::now()) };
        self.slots.insert(index, slot);
        self.by_inode.insert(file.inode, index);
        Ok(index)
    }

    fn remember(&mut self, file: FileId, refusal: Refusal) -> Unfit {
        let refusal = Arc::new(refusal);
        if is_of_the_process(&refusal) {
            return Unfit::New(refusal);
        }
        let before = self.unfit.get(&file).map(|before| before.retry);
        let retry = if refusal.is_transient() { Retry::after(before, Instant::now()) } else { Retry::Never };
        if self.unfit.len() >= MAX_REMEMBERED {
            self.unfit.clear();
        }
        self.unfit.insert(file, Remembered { refusal: Arc::clone(&refusal), retry });
        if before.is_some() { Unfit::Known(refusal) } else { Unfit::New(refusal) }
    }

    fn free_slot(&self) -> Result<u32, Refusal> {
        let is_free = |index: &u32| !self.slots.contains_key(index) && !self.detaching.contains_key(index);
        (0..SLOTS).find(is_free).ok_or(Refusal::TooManyBinaries { limit: SLOTS })
    }

    fn retire(&mut self, index: u32, maps: &mut Maps) {
        let Some(slot) = self.slots.remove(&index) else { return };
        self.by_inode.retain(|_, slot| *slot != index);
        // From here on probes that are still there do nothing.
        if let Err(error) = set_layout(maps, index, BinaryLayout::EMPTY) {
            tracing::warn!("{error}");
        }
        // Too long for the reader of the ring.
        self.detaching.insert(index, detach_in_background(slot.links));
    }
}

/// Whether another process that runs the same file may fare otherwise.
fn is_of_the_process(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Ended | Refusal::Unopened { .. } | Refusal::Forbidden { .. })
}

fn detach_in_background(links: Links) -> JoinHandle<()> {
    std::thread::spawn(move || links.detach())
}

fn set_layout(maps: &mut Maps, index: u32, value: [u8; BinaryLayout::EMPTY.len()]) -> Result<(), KernelError> {
    maps.binaries.set(index, value, 0).map_err(|e| KernelError::new("set the struct offsets of a binary", e))
}

/// Attaches in the reverse order of detaching: where something begins last, and parking last of all.
fn attach(binary: &Binary, sites: &ProbeSites, cookie: u32, programs: &mut Programs) -> Result<Links, Refusal> {
    let (mut beginnings, mut ends) = (Vec::new(), Vec::new());
    let mut one = |into: &mut Vec<UProbeLink>, name, function, site: &ProbeSite| -> Result<(), Refusal> {
        binary.verify(function, site.file_offset, &site.expected)?;
        into.push(programs.attach(name, &binary.attach_path(), site.file_offset, cookie)?);
        Ok(())
    };
    if let Some(states) = &sites.states {
        one(&mut ends, program::DESTROY, "runtime.gdestroy", &states.destroy)?;
        one(&mut ends, program::NO_PROCESSOR, "runtime.exitsyscallNoP", &states.no_processor)?;
        one(&mut ends, program::LOST_PROCESSOR, "runtime.exitsyscallTryGetP", &states.lost_processor)?;
    }
    one(&mut ends, program::EXECUTE, "runtime.execute", &sites.execute)?;
    one(&mut ends, program::READY, "runtime.ready", &sites.ready)?;
    one(&mut ends, program::NETPOLLREADY, "runtime.netpollready", &sites.netpollready)?;
    if let Some(cgo) = &sites.cgo {
        one(&mut ends, program::CGO_EXIT, "runtime.cgocall", &cgo.exit)?;
        one(&mut beginnings, program::CGO_ENTER, "runtime.cgocall", &cgo.enter)?;
    }
    if let Some(states) = &sites.states {
        for (site, function) in
            states.yields.iter().zip(["runtime.goschedImpl", "runtime.goyield_m", "runtime.preemptPark"])
        {
            one(&mut beginnings, program::YIELD, function, site)?;
        }
        if let Some(site) = &states.coroutine_switch {
            one(&mut beginnings, program::COROUTINE_SWITCH, "runtime.coroswitch_m", site)?;
        }
        for site in &states.creates {
            one(&mut beginnings, program::CREATE, "runtime.newproc1", site)?;
        }
    }
    one(&mut beginnings, program::PARK, "runtime.gopark", &sites.gopark)?;
    Ok(Links { beginnings, ends })
}
