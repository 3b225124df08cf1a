//! Which binaries carry our probes. A binary has a slot: an index into the kernel's array of struct offsets, given to its
//! probes as attach cookie. Probes sit on the inode, so one set serves all processes that run it.

mod attaching;
mod part;
mod parts;
mod plugins;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use syncline_bpf::BinaryLayout;
use syncline_gosym::{ProbeSite, ProbeSites};

use super::binary::Binary;
use super::error::{KernelError, Refusal};
use super::executable::{Executable, FileId, Inode};
use super::kernel::{Maps, Programs};
use super::retry::Retry;
use crate::kinds::Kinds;
use attaching::{Links, detach_in_background, read_new};
pub(super) use part::Part;
use parts::{Detaching, Probes, attach_new};

/// Entries of the kernel's array.
const SLOTS: u32 = 1024;
/// How long a binary that no process runs any more keeps its probes: a tool that is started again and again should not pay
/// for attaching each time, and records in the ring still refer to its slot.
const KEEP_UNUSED: Duration = Duration::from_secs(30);
/// Files remembered as unfit, so that they are not parsed again for each process.
const MAX_REMEMBERED: usize = 16_384;

/// Where probes go in a binary, by what they are for, in the order of attaching.
pub(crate) fn points(sites: &ProbeSites) -> Vec<(&'static str, &ProbeSite)> {
    let of_part = |part: Part| attaching::points(part, sites).into_iter().map(move |site| (part.name(), site));
    Part::ALL.into_iter().flat_map(of_part).collect()
}

/// All binaries with probes.
#[derive(Default)]
pub(super) struct ProbedBinaries {
    slots: HashMap<u32, Slot>,
    by_inode: HashMap<Inode, u32>,
    unfit: HashMap<FileId, Remembered>,
    detaching: Vec<Detaching>,
    /// Parts that have gone, and nobody has been told so.
    detached: Vec<(u32, Part)>,
    /// Files that can be probed, and of which all processes are left out.
    fit: HashSet<FileId>,
    /// Nobody needs the pinned ones.
    unpinned: bool,
}

/// A file that cannot be probed, or could not be at the last attempt.
struct Remembered {
    refusal: Arc<Refusal>,
    retry: Retry,
}

/// A file that can be probed.
pub(super) enum Ready {
    /// It is.
    Probed(u32),
    /// It was read just now.
    Read(FileId, Box<Binary>),
    /// It was read before, for a process that is left out.
    Known(FileId),
}

struct Slot {
    binary: Arc<Binary>,
    /// What its processes have loaded: each runs code of the runtime of its own, of the same version.
    plugins: Vec<Binary>,
    /// In the order of [`Part::ALL`].
    parts: [Probes; Part::ALL.len()],
    processes: u32,
    /// Kept although no process runs it.
    pinned: bool,
    unused_since: Option<Instant>,
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
    pub(super) fn binary(&self, slot: u32) -> Option<&Arc<Binary>> {
        self.slots.get(&slot).map(|slot| &slot.binary)
    }

    /// Finds out whether a file can be probed. `open` is called only when the file is not known yet.
    pub(super) fn read(
        &mut self,
        file: FileId,
        open: impl FnOnce() -> std::io::Result<Executable>,
        maps: &mut Maps,
    ) -> Result<Ready, Unfit> {
        if let Some(slot) = self.current(file, maps)? {
            return Ok(Ready::Probed(slot));
        }
        if self.fit.contains(&file) {
            return Ok(Ready::Known(file));
        }
        if let Some(known) = self.unfit.get(&file).filter(|known| !known.retry.is_due(Instant::now())) {
            return Err(Unfit::Known(Arc::clone(&known.refusal)));
        }
        match read_new(file, open) {
            Ok(read) => Ok(Ready::Read(file, Box::new(read))),
            Err(refusal) => Err(self.remember(file, refusal)),
        }
    }

    /// Attaches to a file unless that was done before, also to what these kinds need. `open` is called only for one that was read for
    /// another process.
    pub(super) fn probe(
        &mut self,
        ready: Ready,
        kinds: Kinds,
        open: impl FnOnce() -> std::io::Result<Executable>,
        maps: &mut Maps,
        programs: &mut Programs,
    ) -> Result<u32, Unfit> {
        let (file, read) = match ready {
            Ready::Probed(slot) => return Ok(slot),
            Ready::Read(file, read) => (file, Ok(*read)),
            Ready::Known(file) => (file, read_new(file, open)),
        };
        match read.and_then(|binary| self.probe_new(file, binary, kinds, maps, programs)) {
            Ok(slot) => {
                self.unfit.remove(&file);
                Ok(slot)
            }
            Err(refusal) => Err(self.remember(file, refusal)),
        }
    }

    /// All processes that run it so far are left out, so that it is not probed.
    pub(super) fn not_wanted(&mut self, ready: &Ready) {
        let Ready::Read(file, _) = ready else { return };
        if self.fit.len() >= MAX_REMEMBERED {
            self.fit.clear();
        }
        self.fit.insert(*file);
    }

    /// Whether what is pinned is kept.
    pub(super) fn keep_pinned(&mut self, is_kept: bool) {
        self.unpinned = !is_kept;
    }

    /// Detaches from a binary at once, also a pinned one, if all processes that run it are left out.
    pub(super) fn dismiss(&mut self, index: u32, maps: &mut Maps) {
        if self.slots.get(&index).is_some_and(|slot| slot.processes == 0) {
            self.retire(index, maps);
        }
    }

    /// The slots of what is kept though no process runs it.
    pub(super) fn kept_unused(&self) -> impl Iterator<Item = u32> {
        self.slots.iter().filter(|(_, slot)| slot.processes == 0 && self.is_kept(slot)).map(|(&index, _)| index)
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
            |slot: &Slot| !self.is_kept(slot) && slot.unused_since.is_some_and(|since| since.elapsed() >= KEEP_UNUSED);
        let due: Vec<u32> = self.slots.iter().filter(|(_, slot)| is_due(slot)).map(|(&index, _)| index).collect();
        for index in due {
            self.retire(index, maps);
        }
    }

    /// Detaches from everything and waits until that is done.
    pub(super) fn detach_all(&mut self) {
        let links = self.slots.drain().map(|(_, slot)| slot.all_links());
        let threads: Vec<_> = links.map(detach_in_background).collect();
        let under_way = self.detaching.drain(..).map(|detaching| detaching.thread);
        for thread in threads.into_iter().chain(under_way) {
            // A panic of that thread has dropped, and so detached, its links too.
            let _ = thread.join();
        }
    }

    /// The slot of a file whose content is still the one that was probed.
    fn current(&mut self, file: FileId, maps: &mut Maps) -> Result<Option<u32>, Unfit> {
        let Some(&index) = self.by_inode.get(&file.inode) else { return Ok(None) };
        let Some(slot) = self.slots.get(&index) else { return Ok(None) };
        let is_used = slot.processes > 0;
        if is_used && slot.binary.is_replaced() {
            // Its probes are where the old one had instructions; they go when those that have it loaded are not observed any more.
            let exe = slot.binary.path().to_owned();
            return Err(Unfit::New(Arc::new(Refusal::Replaced { exe })));
        }
        // An executable that processes run cannot have been overwritten, only touched.
        if slot.binary.file_id() == file || is_used {
            return Ok(Some(index));
        }
        self.retire(index, maps);
        Ok(None)
    }

    fn is_kept(&self, slot: &Slot) -> bool {
        slot.pinned && !self.unpinned
    }

    fn probe_new(
        &mut self,
        file: FileId,
        binary: Binary,
        kinds: Kinds,
        maps: &mut Maps,
        programs: &mut Programs,
    ) -> Result<u32, Refusal> {
        let index = self.free_slot()?;
        let mut slot = Slot {
            binary: Arc::new(binary),
            plugins: Vec::new(),
            parts: Default::default(),
            processes: 0,
            pinned: false,
            unused_since: Some(Instant::now()),
        };
        attach_new(index, &mut slot, kinds, maps, programs)?;
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
        let is_detaching = |index: &u32| self.detaching.iter().any(|detaching| detaching.slot == *index);
        let is_free = |index: &u32| !self.slots.contains_key(index) && !is_detaching(index);
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
        self.detaching.push(Detaching::all(index, slot.all_links()));
    }
}

/// Whether another process that runs the same file may fare otherwise.
fn is_of_the_process(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Ended | Refusal::Unopened { .. } | Refusal::Forbidden { .. })
}

fn set_layout(maps: &mut Maps, index: u32, value: [u8; BinaryLayout::EMPTY.len()]) -> Result<(), KernelError> {
    maps.binaries.set(index, value, 0).map_err(|e| KernelError::new("set the struct offsets of a binary", e))
}
