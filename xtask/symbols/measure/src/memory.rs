//! What is resident, from `/proc/self`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// KiB of the mappings of a file that are resident.
pub(crate) fn of_file_kib(path: &Path) -> Result<u64> {
    let text = fs::read_to_string("/proc/self/smaps")?;
    let path = path.to_str().context("the path is no text")?;
    let mut sum = 0;
    let mut is_of_file = false;
    for line in text.lines() {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["Rss:", kib, "kB"] if is_of_file => sum += kib.parse::<u64>()?,
            [range, _, _, _, _, ..] if range.contains('-') => is_of_file = line.ends_with(path),
            _ => {}
        }
    }
    Ok(sum)
}

/// KiB that this process has had resident at most.
pub(crate) fn peak_kib() -> Result<u64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM in /proc/self/status")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
