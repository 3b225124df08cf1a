//! Plugins that observed programs have loaded.

use crate::capture::binary::Binary;
use crate::capture::library;
use crate::capture::report::LoadedPlugin;
use crate::capture::running::Capture;

impl Capture {
    /// Looks for those that programs have loaded since they were looked at: soon after they began, and then less and less often.
    pub(in crate::capture) fn look_for_plugins(&mut self) {
        for (pid, slot, file) in self.processes.due_for_plugins() {
            let new = library::of_process(pid, file).into_iter().filter(|found| !self.probed.has_plugin(found.id));
            for plugin in new.collect::<Vec<_>>() {
                let Ok(opened) = plugin.open() else { continue };
                match Binary::read(opened) {
                    Ok(binary) => {
                        let path = binary.path().to_owned();
                        self.probed.add_plugin(slot, binary, &mut self.programs);
                        self.pending.plugins.push(LoadedPlugin { pid, path });
                    }
                    Err(why) if why.is_not_go() => {}
                    Err(why) => tracing::warn!(pid, "a plugin is not observed: {why}"),
                }
            }
        }
    }
}
