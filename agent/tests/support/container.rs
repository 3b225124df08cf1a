//! What makes a container of a process: cgroups, a root, namespaces; made by hand.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Where the kernel's cgroup hierarchies are.
const CGROUPS: &str = "/sys/fs/cgroup";

/// A cgroup at this path of a hierarchy, removed at the end.
pub struct Cgroup {
    /// Those made, the outermost first.
    made: Vec<PathBuf>,
}

impl Cgroup {
    /// Of the unified hierarchy (v2).
    pub fn unified(path: &str) -> Self {
        let hybrid = Path::new(CGROUPS).join("unified");
        Self::make(if hybrid.is_dir() { &hybrid } else { Path::new(CGROUPS) }, path)
    }

    /// Of the hierarchy of one v1 controller; none on a machine without.
    pub fn of_controller(controller: &str, path: &str) -> Option<Self> {
        let hierarchy = Path::new(CGROUPS).join(controller);
        hierarchy.join("tasks").exists().then(|| Self::make(&hierarchy, path))
    }

    fn make(hierarchy: &Path, path: &str) -> Self {
        let mut made = Self { made: Vec::new() };
        let mut at = hierarchy.to_owned();
        for component in path.split('/').filter(|component| !component.is_empty()) {
            at.push(component);
            if !at.is_dir() {
                std::fs::create_dir(&at).unwrap();
                made.made.push(at.clone());
            }
        }
        made
    }

    /// Moves a process into it, as a runtime does.
    pub fn take(&self, pid: u32) {
        std::fs::write(self.made.last().unwrap().join("cgroup.procs"), pid.to_string()).unwrap();
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for made in self.made.iter().rev() {
            // Only once its processes are gone: a test that fails may leave it behind.
            let _ = std::fs::remove_dir(made);
        }
    }
}

/// A root directory with one program in it.
pub struct ContainerRoot {
    pub directory: TempDir,
}

impl ContainerRoot {
    pub fn with(program: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::copy(program, directory.path().join("app")).unwrap();
        Self { directory }
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    pub fn file(&self, path: &str, content: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub fn link(&self, path: &str, target: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    /// `/app ARGUMENTS` in namespaces of its own and under this root, with nothing in its environment but this.
    pub fn command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new("/usr/bin/unshare");
        command.args(["--mount", "--uts", "--net", "--root"]).arg(self.directory.path()).arg("/app").args(arguments);
        command.env_clear().envs(environment.iter().copied());
        command
    }
}
