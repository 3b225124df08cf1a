//! What a process has used, from /proc.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// The kernel shows CPU time in USER_HZ, which is 100 a second wherever we run.
const MS_PER_TICK: u64 = 10;

/// CPU time so far, user and system, all threads.
pub(super) fn cpu(pid: u32) -> Result<Duration> {
    let text = read(pid, "stat")?;
    let ticks = cpu_ticks(&text).with_context(|| format!("/proc/{pid}/stat is unreadable: {text}"))?;
    Ok(Duration::from_millis(ticks * MS_PER_TICK))
}

/// Memory of a process, bytes.
#[derive(Clone, Copy, Default)]
pub(super) struct Memory {
    /// Resident now.
    pub(super) now: u64,
    /// The most that was ever resident.
    pub(super) peak: u64,
}

/// Its resident memory.
pub(super) fn memory(pid: u32) -> Result<Memory> {
    let text = read(pid, "status")?;
    let field = |name| status_kib(&text, name).with_context(|| format!("/proc/{pid}/status has no {name}"));
    Ok(Memory { now: field("VmRSS")? * 1024, peak: field("VmHWM")? * 1024 })
}

/// Its child processes.
pub(super) fn children(pid: u32) -> Result<Vec<u32>> {
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

/// utime + stime of proc_pid_stat(5): fields 14 and 15, counted after the name, which may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn status_kib(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 70 30 0 0 20";
        assert_eq!(cpu_ticks(stat), Some(100));
        assert_eq!(cpu_ticks("nonsense"), None);
    }

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
        assert!(memory(pid).unwrap().peak >= memory(pid).unwrap().now / 2);
        cpu(pid).unwrap();
        children(pid).unwrap();
    }
}
