//! Parts of a binary's probes that come and go by themselves: each is there just while one of its processes wants what it tells.

use std::thread::JoinHandle;

use super::attaching::{attach, detach_in_background};
use super::part::Part;
use super::plugins::attach_plugin;
use super::{Links, ProbedBinaries, Slot, set_layout};
use crate::capture::error::Refusal;
use crate::capture::kernel::{Maps, Programs};
use crate::kinds::Kinds;

/// What became of a part.
#[derive(Default)]
pub(super) enum Probes {
    #[default]
    None,
    Attached(Links),
    /// Not tried again, but for the next window where there are windows.
    Failed,
}

/// Parts of one binary that are on their way off.
pub(super) struct Detaching {
    pub(super) slot: u32,
    parts: Vec<Part>,
    pub(super) thread: JoinHandle<()>,
}

impl ProbedBinaries {
    /// The parts of a binary that these kinds want and that are not there.
    pub(in crate::capture) fn lacking(&self, index: u32, kinds: Kinds) -> Vec<Part> {
        let Some(slot) = self.slots.get(&index) else { return Vec::new() };
        let lacks = |part: &Part| part.is_needed_for(kinds) && slot.has(*part) && slot.part(*part).is_none();
        Part::ALL.into_iter().filter(lacks).collect()
    }

    /// Attaches these parts of a binary, of which no probe is there any more; those that could not be, and why.
    pub(in crate::capture) fn attach(
        &mut self,
        index: u32,
        parts: &[Part],
        maps: &mut Maps,
        programs: &mut Programs,
    ) -> Vec<(Part, Refusal)> {
        let mut failed = Vec::new();
        let Some(slot) = self.slots.get_mut(&index) else { return failed };
        for part in parts {
            if *part == Part::Parks && !slot.is_attached(Part::Threads) {
                // Nobody would see them running again.
                *slot.part_mut(*part) = Probes::Failed;
                continue;
            }
            match slot.attach(*part, index, programs) {
                Ok(links) => *slot.part_mut(*part) = Probes::Attached(links),
                Err(why) => {
                    *slot.part_mut(*part) = Probes::Failed;
                    failed.push((*part, why));
                }
            }
        }
        slot.tell_kernel(index, maps);
        failed
    }

    /// Detaches the parts of a binary that these kinds do not want.
    pub(in crate::capture) fn detach_unwanted(&mut self, index: u32, kinds: Kinds, maps: &mut Maps) {
        let Some(slot) = self.slots.get_mut(&index) else { return };
        let (mut parts, mut links) = (Vec::new(), Links::default());
        for part in Part::ALL.into_iter().filter(|part| !part.is_needed_for(kinds)) {
            if let Probes::Attached(attached) = slot.part_mut(part).take_attached() {
                links = links.and(attached);
                parts.push(part);
            }
        }
        if parts.contains(&Part::States) {
            slot.tell_kernel(index, maps);
        }
        if !parts.is_empty() {
            self.detaching.push(Detaching { slot: index, parts, thread: detach_in_background(links) });
        }
    }

    /// Detaches all of a binary's parts, all at once: the kernel side holds to a window that is over. One that could not be attached is
    /// tried again as the next opens.
    pub(in crate::capture) fn detach_for_gap(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(&index) else { return };
        let (mut parts, mut links) = (Vec::new(), Links::default());
        for part in Part::ALL {
            if let Probes::Attached(attached) = std::mem::take(slot.part_mut(part)) {
                links = links.and(attached);
                parts.push(part);
            }
        }
        self.detaching.push(Detaching { slot: index, parts, thread: detach_in_background(links.in_any_order()) });
    }

    /// Which parts have gone since the last call, each with its slot.
    pub(in crate::capture) fn detached(&mut self) -> Vec<(u32, Part)> {
        let (finished, under_way) = std::mem::take(&mut self.detaching).into_iter().partition(Detaching::is_finished);
        self.detaching = under_way;
        let mut detached = std::mem::take(&mut self.detached);
        detached.extend(parts_of(finished));
        detached
    }

    /// Whether probes of this binary are still on their way off.
    pub(in crate::capture) fn is_detaching(&self, index: u32) -> bool {
        self.detaching.iter().any(|of| of.slot == index && !of.is_finished())
    }

    /// Waits for parts that are still on their way off, since two probes of each kind would see everything twice.
    pub(in crate::capture) fn finish_detaching(&mut self, index: u32, parts: &[Part]) {
        let is_in_the_way = |of: &Detaching| of.slot == index && parts.iter().any(|part| of.parts.contains(part));
        let (in_the_way, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.detaching).into_iter().partition(is_in_the_way);
        self.detaching = others;
        self.detached.extend(parts_of(in_the_way));
    }
}

impl Detaching {
    /// Of a whole binary.
    pub(super) fn all(slot: u32, links: Links) -> Self {
        Self { slot, parts: Vec::new(), thread: detach_in_background(links) }
    }

    fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Once they are gone.
fn parts_of(all: Vec<Detaching>) -> Vec<(u32, Part)> {
    let mut gone = Vec::new();
    for Detaching { slot, parts, thread } in all {
        // A panic of that thread has dropped, and so detached, its links too.
        let _ = thread.join();
        gone.extend(parts.into_iter().map(|part| (slot, part)));
    }
    gone
}

impl Probes {
    fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    fn take_attached(&mut self) -> Self {
        if matches!(self, Self::Attached(_)) { std::mem::take(self) } else { Self::None }
    }
}

impl Slot {
    /// Attaches a part of the binary and of its plugins.
    fn attach(&self, part: Part, index: u32, programs: &mut Programs) -> Result<Links, Refusal> {
        let mut links = attach(&self.binary, part, index, programs)?;
        for plugin in &self.plugins {
            links = links.and(attach_plugin(plugin, part, index, programs));
        }
        Ok(links)
    }

    /// Whether the binary can have it at all.
    fn has(&self, part: Part) -> bool {
        let Ok(sites) = self.binary.probe_sites() else { return false };
        match part {
            Part::States => sites.states.is_some(),
            Part::Threads | Part::Parks => true,
            Part::Cgo => sites.cgo.is_some(),
        }
    }

    fn is_attached(&self, part: Part) -> bool {
        matches!(self.part(part), Probes::Attached(_))
    }

    fn part(&self, part: Part) -> &Probes {
        &self.parts[part as usize]
    }

    pub(super) fn part_mut(&mut self, part: Part) -> &mut Probes {
        &mut self.parts[part as usize]
    }

    /// Whether its goroutines' time is split.
    fn tell_kernel(&self, index: u32, maps: &mut Maps) {
        let has_states = [Part::States, Part::Threads, Part::Parks].into_iter().all(|part| self.is_attached(part));
        if let Err(error) = set_layout(maps, index, self.binary.kernel_layout(has_states).encode()) {
            tracing::warn!("{error}");
        }
    }

    pub(super) fn all_links(self) -> Links {
        let attached = |probes| if let Probes::Attached(links) = probes { Some(links) } else { None };
        self.parts.into_iter().filter_map(attached).fold(Links::default(), Links::and)
    }
}

/// The parts of a binary that is new, all of them or none.
pub(super) fn attach_new(
    index: u32,
    slot: &mut Slot,
    kinds: Kinds,
    maps: &mut Maps,
    programs: &mut Programs,
) -> Result<(), Refusal> {
    let wanted = |part: &Part| part.is_needed_for(kinds);
    let has_states = slot.has(Part::States) && wanted(&Part::States);
    // Before the probes: goroutines are known from the first one on; those that end are, as long as any are known.
    set_layout(maps, index, slot.binary.kernel_layout(has_states).encode())?;
    for part in Part::ALL.into_iter().filter(wanted) {
        if slot.has(part) {
            *slot.part_mut(part) = Probes::Attached(slot.attach(part, index, programs)?);
        }
    }
    Ok(())
}
