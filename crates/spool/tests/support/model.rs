//! A file system that does to what was not synced whatever a file system may do.
//!
//! - A sector of 512 bytes that was written since the last sync is after a crash as it was, or as it was after any of the writes to it; one that
//!   was never durable may also be anything, of old files too. Sectors know no order among themselves. The length is any of those it had.
//! - What was created, renamed and removed since the last sync of the directory has happened or not, each by itself.
//! - A failed write has written any part. A failed sync has made any sectors durable; others are clean after it without being on the disk (so
//!   that the next sync succeeds and does nothing), and may read as before.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use syncline_spool::{Storage, StorageFile};

use super::chance::Chance;

const SECTOR: usize = 512;

/// What is asked of the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Create,
    Open,
    Read,
    Write,
    Allocate,
    SetLen,
    Sync,
    Rename,
    Remove,
    SyncDirectory,
}

impl Step {
    fn changes(self) -> bool {
        !matches!(self, Self::Open | Self::Read)
    }
}

/// What fails, until it is taken back.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) steps: Vec<Step>,
    pub(crate) kind: io::ErrorKind,
    /// Only every so many of them, by chance.
    pub(crate) one_in: u64,
}

#[derive(Debug)]
struct Inode {
    durable: Vec<u8>,
    /// As it is read.
    cached: Vec<u8>,
    /// What each sector that is dirty has been since it was.
    dirty: BTreeMap<usize, Vec<[u8; SECTOR]>>,
    lengths: Vec<usize>,
}

#[derive(Clone, Debug)]
enum Change {
    Create(String, usize),
    Remove(String),
    Rename(String, String),
}

#[derive(Debug)]
struct World {
    chance: Chance,
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    changes: Vec<Change>,
    is_locked: bool,
    /// Counts crashes: files that were open before one are of no use after it.
    life: u64,
    steps: u64,
    /// After so many steps the power goes.
    power: Option<u64>,
    fault: Option<Fault>,
    /// Of any kind.
    calls: u64,
    /// The one that fails, by number.
    failing: Option<(u64, io::ErrorKind)>,
}

/// The file system; clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Model(Arc<Mutex<World>>);

#[derive(Debug)]
pub(crate) struct ModelFile {
    model: Model,
    inode: usize,
    life: u64,
}

pub(crate) struct ModelLock {
    model: Model,
    life: u64,
}

impl Drop for ModelLock {
    fn drop(&mut self) {
        let mut world = self.model.world();
        if world.life == self.life {
            world.is_locked = false;
        }
    }
}

impl Model {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(World {
            chance: Chance::new(seed),
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            is_locked: false,
            life: 0,
            steps: 0,
            power: None,
            fault: None,
            calls: 0,
            failing: None,
        })))
    }

    /// From now on this fails; or nothing.
    pub(crate) fn set_fault(&self, fault: Option<Fault>) {
        self.world().fault = fault;
    }

    /// One step fails, after so many more, also of those that change nothing.
    pub(crate) fn fail_at(&self, steps: u64, kind: io::ErrorKind) {
        let mut world = self.world();
        world.failing = Some((world.calls + steps, kind));
    }

    /// Whether the step that was to fail has come.
    pub(crate) fn has_failed(&self) -> bool {
        let world = self.world();
        world.failing.is_some_and(|(at, _)| world.calls > at)
    }

    /// After so many more steps that change something the power goes; never.
    pub(crate) fn set_power(&self, steps: Option<u64>) {
        let mut world = self.world();
        world.power = steps.map(|steps| world.steps + steps);
    }

    /// Whether the power has gone.
    pub(crate) fn is_off(&self) -> bool {
        self.world().is_off()
    }

    /// The process is gone, and what the file system remembers is not.
    pub(crate) fn kill(&self) {
        let mut world = self.world();
        world.life += 1;
        world.is_locked = false;
        (world.power, world.fault, world.failing) = (None, None, None);
    }

    /// The power was gone, and is back.
    pub(crate) fn crash(&self) {
        self.kill();
        self.world().crash();
    }

    /// All bytes of a file.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        let world = self.world();
        world.inodes[world.names[name]].cached.clone()
    }

    /// Makes or replaces a file, durably.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        let mut world = self.world();
        let (dirty, lengths) = (BTreeMap::new(), Vec::new());
        world.inodes.push(Inode { durable: bytes.to_vec(), cached: bytes.to_vec(), dirty, lengths });
        let inode = world.inodes.len() - 1;
        world.names.insert(name.to_owned(), inode);
        world.durable_names.insert(name.to_owned(), inode);
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }
}

impl World {
    fn is_off(&self) -> bool {
        self.power.is_some_and(|power| self.steps > power)
    }

    /// Whether the step may happen.
    fn step(&mut self, step: Step) -> io::Result<()> {
        let call = self.calls;
        self.calls += 1;
        if step.changes() {
            self.steps += 1;
        }
        if let Some((at, kind)) = self.failing
            && at == call
        {
            return Err(kind.into());
        }
        if self.is_off() {
            return Err(io::Error::other("the power is off"));
        }
        if let Some(fault) = &self.fault
            && fault.steps.contains(&step)
        {
            let (kind, one_in) = (fault.kind, fault.one_in);
            if self.chance.one_in(one_in) {
                return Err(kind.into());
            }
        }
        Ok(())
    }

    fn crash(&mut self) {
        // How much of what was not synced is there: none, all, or each with some chance.
        let percent = *self.chance.pick(&[0, 10, 50, 90, 100]);
        for change in std::mem::take(&mut self.changes) {
            if self.chance.percent(percent) {
                apply(&mut self.durable_names, change);
            }
        }
        let percent = *self.chance.pick(&[0, 10, 50, 90, 100]);
        let old: Vec<u8> = self.inodes.iter().flat_map(|inode| inode.cached.iter().copied()).collect();
        let mut inodes: Vec<Inode> = Vec::new();
        for place in self.durable_names.values_mut() {
            let inode = &mut self.inodes[*place];
            inode.crash(&mut self.chance, percent, &old);
            let (durable, cached) = (inode.durable.clone(), inode.durable.clone());
            inodes.push(Inode { durable, cached, dirty: BTreeMap::new(), lengths: Vec::new() });
            *place = inodes.len() - 1;
        }
        self.inodes = inodes;
        self.names = self.durable_names.clone();
    }
}

fn apply(names: &mut BTreeMap<String, usize>, change: Change) {
    match change {
        Change::Create(name, inode) => drop(names.insert(name, inode)),
        Change::Remove(name) => drop(names.remove(&name)),
        Change::Rename(from, to) => {
            if let Some(inode) = names.remove(&from) {
                names.insert(to, inode);
            }
        }
    }
}

impl Inode {
    fn write(&mut self, bytes: &[u8], offset: usize) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        if self.cached.len() < end {
            self.cached.resize(end, 0);
            self.lengths.push(end);
        }
        self.cached[offset..end].copy_from_slice(bytes);
        for sector in offset / SECTOR..end.div_ceil(SECTOR) {
            let mut content = [0; SECTOR];
            let held = &self.cached[sector * SECTOR..self.cached.len().min((sector + 1) * SECTOR)];
            content[..held.len()].copy_from_slice(held);
            self.dirty.entry(sector).or_default().push(content);
        }
    }

    fn resize(&mut self, bytes: usize) {
        self.cached.resize(bytes, 0);
        self.lengths.push(bytes);
    }

    fn sync(&mut self) {
        if let Some(length) = self.lengths.pop() {
            self.durable.resize(length, 0);
            self.lengths.clear();
        }
        for (sector, mut versions) in std::mem::take(&mut self.dirty) {
            self.make_durable(sector, versions.pop().unwrap());
        }
    }

    fn make_durable(&mut self, sector: usize, content: [u8; SECTOR]) {
        let begin = (sector * SECTOR).min(self.durable.len());
        let end = ((sector + 1) * SECTOR).min(self.durable.len());
        self.durable[begin..end].copy_from_slice(&content[..end - begin]);
    }

    fn fail_to_sync(&mut self, chance: &mut Chance) {
        let percent = *chance.pick(&[0, 50, 100]);
        if chance.percent(percent)
            && let Some(length) = self.lengths.last()
        {
            self.durable.resize(*length, 0);
        }
        let is_forgotten = chance.one_in(2);
        for (sector, versions) in std::mem::take(&mut self.dirty) {
            match chance.below(3) {
                0 => self.make_durable(sector, *versions.last().unwrap()),
                // Clean, and not on the disk.
                1 if is_forgotten => {
                    let begin = sector * SECTOR;
                    for at in begin..self.cached.len().min(begin + SECTOR) {
                        self.cached[at] = self.durable.get(at).copied().unwrap_or(0);
                    }
                }
                1 => {}
                _ => drop(self.dirty.insert(sector, versions)),
            }
        }
    }

    fn crash(&mut self, chance: &mut Chance, percent: u64, old: &[u8]) {
        let never_durable = self.durable.iter().all(|byte| *byte == 0);
        let durable_length = self.durable.len();
        if chance.percent(percent) && !self.lengths.is_empty() {
            let length = *chance.pick(&self.lengths);
            self.durable.resize(length, 0);
        }
        for (sector, versions) in std::mem::take(&mut self.dirty) {
            let is_new = never_durable || sector * SECTOR >= durable_length || self.is_zero(sector);
            if chance.percent(percent) {
                let version = *chance.pick(&versions);
                self.make_durable(sector, version);
            } else if is_new && chance.one_in(4) {
                self.make_durable(sector, garbage(chance, old));
            }
        }
    }

    fn is_zero(&self, sector: usize) -> bool {
        self.durable.iter().skip(sector * SECTOR).take(SECTOR).all(|byte| *byte == 0)
    }
}

/// Anything, or what some file had.
fn garbage(chance: &mut Chance, old: &[u8]) -> [u8; SECTOR] {
    let mut content = [0; SECTOR];
    if old.len() > SECTOR && chance.one_in(2) {
        let begin = chance.below((old.len() - SECTOR) as u64) as usize / 16 * 16;
        content.copy_from_slice(&old[begin..begin + SECTOR]);
    } else {
        content.iter_mut().for_each(|byte| *byte = chance.number() as u8);
    }
    content
}

impl Storage for Model {
    type File = ModelFile;
    type Lock = ModelLock;

    fn lock(&self) -> io::Result<Option<ModelLock>> {
        let mut world = self.world();
        if std::mem::replace(&mut world.is_locked, true) {
            return Ok(None);
        }
        let life = world.life;
        drop(world);
        Ok(Some(ModelLock { model: self.clone(), life }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut world = self.world();
        world.step(Step::Open)?;
        Ok(world.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<ModelFile> {
        let mut world = self.world();
        world.step(Step::Create)?;
        if world.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let (durable, cached) = (Vec::new(), Vec::new());
        world.inodes.push(Inode { durable, cached, dirty: BTreeMap::new(), lengths: Vec::new() });
        let inode = world.inodes.len() - 1;
        world.names.insert(name.to_owned(), inode);
        world.changes.push(Change::Create(name.to_owned(), inode));
        Ok(ModelFile { model: self.clone(), inode, life: world.life })
    }

    fn open(&self, name: &str) -> io::Result<ModelFile> {
        let mut world = self.world();
        world.step(Step::Open)?;
        let inode = *world.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(ModelFile { model: self.clone(), inode, life: world.life })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut world = self.world();
        world.step(Step::Rename)?;
        let inode = world.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        world.names.insert(to.to_owned(), inode);
        world.changes.push(Change::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut world = self.world();
        world.step(Step::Remove)?;
        world.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        world.changes.push(Change::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut world = self.world();
        if let Err(error) = world.step(Step::SyncDirectory) {
            // Some of it may be there all the same, from the front: names are kept in a journal.
            let count = world.changes.len() as u64;
            let done = world.chance.below(count + 1) as usize;
            let changes: Vec<Change> = world.changes.drain(..done).collect();
            changes.into_iter().for_each(|change| apply(&mut world.durable_names, change));
            return Err(error);
        }
        world.durable_names = world.names.clone();
        world.changes.clear();
        Ok(())
    }

    fn random(&self) -> io::Result<u64> {
        Ok(self.world().chance.number())
    }
}

impl ModelFile {
    fn with<T>(
        &self,
        step: Step,
        work: impl FnOnce(&mut Inode) -> T,
        failed: impl FnOnce(&mut Inode, &mut Chance),
    ) -> io::Result<T> {
        let mut world = self.model.world();
        if world.life != self.life {
            return Err(io::Error::other("the process is gone"));
        }
        let result = world.step(step);
        let World { inodes, chance, .. } = &mut *world;
        let inode = &mut inodes[self.inode];
        match result {
            Ok(()) => Ok(work(inode)),
            Err(error) => {
                failed(inode, chance);
                Err(error)
            }
        }
    }
}

impl StorageFile for ModelFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = |inode: &mut Inode| {
            let held = inode.cached.get(offset as usize..).unwrap_or_default();
            let count = held.len().min(buffer.len());
            buffer[..count].copy_from_slice(&held[..count]);
            count
        };
        self.with(Step::Read, read, |_, _| {})
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let written = |inode: &mut Inode| inode.write(bytes, offset as usize);
        self.with(Step::Write, written, |inode, chance| {
            let part = chance.below(bytes.len() as u64 + 1) as usize;
            inode.write(&bytes[..part], offset as usize);
        })
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let allocated = |inode: &mut Inode| inode.resize(inode.cached.len().max(bytes as usize));
        self.with(Step::Allocate, allocated, |_, _| {})
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.with(Step::SetLen, |inode| inode.resize(bytes as usize), |_, _| {})
    }

    fn len(&self) -> io::Result<u64> {
        self.with(Step::Read, |inode| inode.cached.len() as u64, |_, _| {})
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(Step::Sync, Inode::sync, Inode::fail_to_sync)
    }
}
