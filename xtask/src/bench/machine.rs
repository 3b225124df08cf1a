//! On what, and how undisturbed, something was measured.

use std::fs;
use std::thread;
use std::time::Duration;

use super::statistics::Spread;

/// How long the machine is watched at a time.
const WATCHED: Duration = Duration::from_secs(1);

/// One line: CPU, memory, kernel.
pub(crate) fn description() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = field(&cpus, "model name").unwrap_or("unknown CPU");
    let virtualized = field(&cpus, "flags").is_some_and(|flags| flags.split_whitespace().any(|f| f == "hypervisor"));
    let count = thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = field(&memory, "MemTotal").and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{count} cores of {model}{}, {} GiB, Linux {}",
        if virtualized { " in a virtual machine" } else { "" },
        kib.unwrap_or_default() >> 20,
        kernel.trim(),
    )
}

/// The share of all CPUs that is busy, watched for a while in which we do nothing: what others take.
pub(crate) fn busy_share() -> f64 {
    let (busy, all) = cpu_ticks();
    thread::sleep(WATCHED);
    let (busy_later, all_later) = cpu_ticks();
    (busy_later.saturating_sub(busy)) as f64 / (all_later.saturating_sub(all)).max(1) as f64
}

/// In words, what [`busy_share`] found in the pauses of a measurement.
pub(crate) fn disturbance(shares: impl IntoIterator<Item = f64>) -> String {
    let percent = Spread::of(shares).times(100.0);
    format!("In the pauses between, others used {percent} % of the CPUs.")
}

/// Busy and all ticks since boot, of all CPUs: the first line of proc_stat(5).
fn cpu_ticks() -> (u64, u64) {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line.split_whitespace().skip(1).take(8).filter_map(|word| word.parse().ok()).collect();
    let all: u64 = ticks.iter().sum();
    // The fourth is idle, the fifth waits for a disk.
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    (all - idle, all)
}

fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.trim_start().strip_prefix(':')?.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_be_described() {
        assert!(description().contains("Linux "), "{}", description());
        let (busy, all) = cpu_ticks();
        assert!(busy > 0 && busy <= all);
    }
}
