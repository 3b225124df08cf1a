//! What a process has used.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

/// CPU time so far, user and system, all threads: by the process's own clock, which /proc rounds to 10 ms.
pub(super) fn cpu(pid: u32) -> Result<Duration> {
    let of = || format!("process {pid} is gone");
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid)?)).with_context(of)?;
    Ok(clock.now().with_context(of)?.into())
}

/// The most that was ever resident of its memory, bytes.
pub(crate) fn peak_memory(pid: u32) -> Result<u64> {
    let text = read(pid, "status")?;
    let kib = status_kib(&text, "VmHWM").with_context(|| format!("/proc/{pid}/status has no VmHWM"))?;
    Ok(kib * 1024)
}

/// What is resident of its memory now, bytes.
pub(super) fn memory(pid: u32) -> Result<u64> {
    let text = read(pid, "status")?;
    let kib = status_kib(&text, "VmRSS").with_context(|| format!("/proc/{pid}/status has no VmRSS"))?;
    Ok(kib * 1024)
}

/// Its child processes.
pub(crate) fn children(pid: u32) -> Result<Vec<u32>> {
    let mut children = Vec::new();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid} is gone"))?;
    for task in tasks {
        let text = fs::read_to_string(task?.path().join("children")).unwrap_or_default();
        children.extend(text.split_whitespace().filter_map(|word| word.parse::<u32>().ok()));
    }
    Ok(children)
}

fn read(pid: u32, file: &str) -> Result<String> {
    fs::read_to_string(format!("/proc/{pid}/{file}")).with_context(|| format!("process {pid} is gone"))
}

fn status_kib(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_found_by_its_whole_name() {
        let status = "VmHWM:\t  2048 kB\nVmRSS:\t   100 kB\n";
        assert_eq!(status_kib(status, "VmRSS"), Some(100));
        assert_eq!(status_kib(status, "VmHWM"), Some(2048));
        assert_eq!(status_kib(status, "Vm"), None);
    }

    #[test]
    fn our_own_usage_can_be_read() {
        let pid = std::process::id();
        assert!(peak_memory(pid).unwrap() > 0);
        let before = cpu(pid).unwrap();
        while cpu(pid).unwrap() == before {}
        children(pid).unwrap();
    }
}
