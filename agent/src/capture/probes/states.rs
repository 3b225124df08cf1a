//! The probes on what goroutines do beside waiting, which come and go by themselves.

use std::thread::JoinHandle;

use super::attaching::{attach_states, detach_in_background};
use super::{ProbedBinaries, set_layout};
use crate::capture::error::Refusal;
use crate::capture::kernel::{Maps, Programs};

impl ProbedBinaries {
    /// Whether the states of the binary's goroutines could be followed and are not. Not while the probes of the last time are still
    /// there: two of each would see a goroutine begin twice.
    pub(in crate::capture) fn lacks_states(&self, slot: u32) -> bool {
        let lacks = self.slots.get(&slot).is_some_and(|slot| slot.states.is_none() && slot.state_sites.is_some());
        lacks && self.detaching_states.get(&slot).is_none_or(JoinHandle::is_finished)
    }

    /// Follows them; what fails is not tried again.
    pub(in crate::capture) fn attach_states(
        &mut self,
        index: u32,
        maps: &mut Maps,
        programs: &mut Programs,
    ) -> Result<(), Refusal> {
        let Some(slot) = self.slots.get_mut(&index) else { return Ok(()) };
        let Some(sites) = slot.state_sites.take() else { return Ok(()) };
        let links = attach_states(&slot.binary, &sites, index, programs)?;
        set_layout(maps, index, slot.binary.kernel_layout(true).encode())?;
        (slot.states, slot.state_sites) = (Some(links), Some(sites));
        Ok(())
    }

    /// Nobody wants them followed any more.
    pub(in crate::capture) fn detach_states(&mut self, index: u32, maps: &mut Maps) {
        let Some(slot) = self.slots.get_mut(&index) else { return };
        let Some(links) = slot.states.take() else { return };
        if let Err(error) = set_layout(maps, index, slot.binary.kernel_layout(false).encode()) {
            tracing::warn!("{error}");
        }
        self.detaching_states.insert(index, detach_in_background(links));
    }
}
