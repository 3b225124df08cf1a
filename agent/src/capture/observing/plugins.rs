//! Plugins that observed programs have loaded.

use crate::capture::binary::Binary;
use crate::capture::error::Refusal;
use crate::capture::library::Library;
use crate::capture::report::LoadedPlugin;
use crate::capture::running::Capture;

impl Capture {
    /// Looks for those that programs have loaded since they were looked at: soon after they began, and then less and less often.
    pub(in crate::capture) fn look_for_plugins(&mut self) {
        for (pid, slot, file) in self.processes.due_for_plugins() {
            for plugin in self.libraries.of_process(pid, file) {
                if self.probed.has_plugin(plugin.id) {
                    continue;
                }
                match self.add_plugin(slot, &plugin) {
                    Ok(()) => self.pending.plugins.push(LoadedPlugin { pid, path: plugin.path().to_owned() }),
                    Err(why) => {
                        tracing::warn!(pid, "what waits in a library that it has loaded is not observed: {why}");
                        // It would be no other next time.
                        self.libraries.pass_over(plugin.id);
                    }
                }
            }
        }
    }

    fn add_plugin(&mut self, slot: u32, plugin: &Library) -> Result<(), Refusal> {
        let opened = self.libraries.open(plugin).map_err(|cause| Refusal::of_library(plugin, cause))?;
        self.probed.add_plugin(slot, Binary::read(opened)?, &mut self.programs)
    }
}
