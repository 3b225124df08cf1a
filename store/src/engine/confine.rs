//! What the engine's child may reach of the file system.
//!
//! libchdb takes itself for a program of one person: its scalar function `file(path)`, and formats that are given as files, read whatever the process
//! may, without a grant. So the process may reach what the engine needs and nothing else; by Landlock (landlock(7)), for which nobody has to be root.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    path_beneath_rules,
};

use super::files::DataDir;

/// The first version that lets files be renamed from one directory into another, as the engine does. Linux 5.19.
const VERSION: ABI = ABI::V2;

/// What the engine reads of the system: names of hosts, time zones, memory and processors. Of processes only its own.
const SYSTEM: [&str; 21] = [
    "/dev/random",
    "/dev/urandom",
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/lib",
    "/lib64",
    "/proc/cpuinfo",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/self",
    "/proc/stat",
    "/proc/sys/vm",
    "/proc/uptime",
    "/sys/devices/system",
    "/sys/fs/cgroup",
    "/usr/lib",
    "/usr/share/zoneinfo",
];

/// Confines this thread and those that it starts. The files of its directory with passwords are out of reach, but for their hashes.
///
/// # Errors
/// The kernel has no Landlock, or an older one: then nothing is confined.
pub(super) fn confine(dir: &DataDir, library: &Path) -> Result<(), RulesetError> {
    // Beside a file of its configuration the engine reads what people add to it, `engine.d/*.xml`.
    let files = [dir.server_xml(), dir.users_xml()];
    let added = files.each_ref().map(|file| file.with_extension("d"));
    let configuration =
        files.into_iter().chain(added).chain([dir.server_xml().with_file_name("conf.d"), library.to_owned()]);
    let system = SYSTEM.iter().map(PathBuf::from);
    let own = [dir.clickhouse(), dir.tmp(), PathBuf::from("/dev/null")];
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(VERSION))?
        .create()?
        // What is not there is left out.
        .add_rules(path_beneath_rules(system.chain(configuration), AccessFs::from_read(VERSION)))?
        .add_rules(path_beneath_rules(own, AccessFs::from_all(VERSION)))?
        .restrict_self()
        .map(drop)
}
