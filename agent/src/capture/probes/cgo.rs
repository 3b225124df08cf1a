//! The probes on a binary's calls of C, which come and go by themselves.

use std::thread::JoinHandle;

use super::ProbedBinaries;
use super::attaching::{attach_cgo, detach_in_background};
use crate::capture::error::Refusal;
use crate::capture::kernel::Programs;

impl ProbedBinaries {
    /// Whether calls of C of the binary could be probed and are not.
    pub(in crate::capture) fn lacks_cgo(&self, slot: u32) -> bool {
        self.slots.get(&slot).is_some_and(|slot| slot.cgo.is_none() && slot.cgo_sites.is_some())
    }

    /// Probes its calls of C; what fails is not tried again.
    pub(in crate::capture) fn attach_cgo(&mut self, index: u32, programs: &mut Programs) -> Result<(), Refusal> {
        let Some(slot) = self.slots.get_mut(&index) else { return Ok(()) };
        let Some(sites) = slot.cgo_sites.take() else { return Ok(()) };
        slot.cgo = Some(attach_cgo(&slot.binary, &sites, index, programs)?);
        slot.cgo_sites = Some(sites);
        Ok(())
    }

    /// Nobody wants its calls of C any more.
    pub(in crate::capture) fn detach_cgo(&mut self, index: u32) {
        if let Some(links) = self.slots.get_mut(&index).and_then(|slot| slot.cgo.take()) {
            self.detaching_cgo.insert(index, detach_in_background(links));
        }
    }

    /// The slots that have got rid of those probes since the last call.
    pub(in crate::capture) fn cgo_detached(&mut self) -> Vec<u32> {
        let finished = |thread: &JoinHandle<()>| thread.is_finished();
        let detached: Vec<u32> =
            self.detaching_cgo.iter().filter(|(_, thread)| finished(thread)).map(|(&index, _)| index).collect();
        self.detaching_cgo.retain(|index, _| !detached.contains(index));
        detached
    }
}
