//! Plugins: what a Go program loads while it runs has code of the runtime of its own, which acts on the program's data. So its functions
//! are probed as those of the program are, with the program's slot: both are of one version, else Go does not load them.

use super::attaching::{Links, attach};
use super::part::Part;
use super::parts::Probes;
use super::{ProbedBinaries, Slot};
use crate::capture::binary::Binary;
use crate::capture::error::Refusal;
use crate::capture::executable::FileId;
use crate::capture::kernel::Programs;

impl ProbedBinaries {
    /// Whether this file is probed for this slot, or cannot be: for another one's programs it is already, and two probes at one place would
    /// see everything twice.
    pub(in crate::capture) fn has_plugin(&self, file: FileId) -> bool {
        let is_it = |plugin: &Binary| plugin.file_id().inode == file.inode;
        self.slots.values().any(|slot| slot.plugins.iter().any(is_it))
    }

    /// Whether a plugin of this slot was overwritten in place.
    pub(in crate::capture) fn has_replaced_plugin(&self, index: u32) -> bool {
        self.slots.get(&index).is_some_and(|slot| slot.plugins.iter().any(Binary::is_replaced))
    }

    /// Probes a plugin that a process of this slot has loaded, with the parts that the slot has.
    ///
    /// # Errors
    /// If it is none, but a library with a runtime of its own, or cannot be probed.
    pub(in crate::capture) fn add_plugin(
        &mut self,
        index: u32,
        plugin: Binary,
        programs: &mut Programs,
    ) -> Result<(), Refusal> {
        let Some(slot) = self.slots.get_mut(&index) else { return Err(Refusal::Ended) };
        let refused = |cause| Refusal::Binary { exe: plugin.path().to_owned(), cause };
        plugin.probe_sites().map_err(|why| refused(why.clone()))?;
        if plugin.go_version() != slot.binary.go_version() || plugin.is_c_shared() {
            return Err(Refusal::OwnRuntime { exe: plugin.path().to_owned() });
        }
        for part in Part::ALL {
            slot.add(part, || attach_plugin(&plugin, part, index, programs));
        }
        slot.plugins.push(plugin);
        Ok(())
    }
}

impl Slot {
    fn add(&mut self, part: Part, links: impl FnOnce() -> Links) {
        let probes = self.part_mut(part);
        if let Probes::Attached(attached) = probes {
            *probes = Probes::Attached(std::mem::take(attached).and(links()));
        }
    }
}

/// What cannot be attached is told of; the rest of the program is observed all the same.
pub(super) fn attach_plugin(plugin: &Binary, part: Part, index: u32, programs: &mut Programs) -> Links {
    attach(plugin, part, index, programs).unwrap_or_else(|why| {
        let plugin = plugin.path().display();
        tracing::warn!(%plugin, "{} are not observed in this plugin: {why}", part.what());
        Links::default()
    })
}
