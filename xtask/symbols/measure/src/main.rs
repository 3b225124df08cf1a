//! Measures one symbolizer on one binary, in a process of its own, and prints what it found as one line of JSON.
//!
//!     syncline-symbols-measure ours|blazesym|PATH-OF-ADDR2LINE BINARY ADDRESSES
//!
//! The addresses are spread over the code by chance, the same ones in each run, and different from one another. All times are CPU time:
//! nothing here waits, and others on the machine do not count.

#![allow(unsafe_code)] // mmap

mod addr2line;
#[cfg(feature = "blazesym")]
mod blazesym;
mod memory;
mod ours;

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use memmap2::Mmap;
use rustix::time::{ClockId, clock_gettime};
use syncline_gosym::{GoBinary, TextSegment};

/// Addresses that come again and again.
const HOT: usize = 1_000;
/// How often each of them comes.
const HOT_ROUNDS: usize = 200;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [who, binary, count] = arguments.as_slice() else {
        bail!("give who is measured, a binary, and how many addresses")
    };
    let count = count.parse().with_context(|| format!("{count} is no number of addresses"))?;
    let binary = Path::new(binary);
    let measured = match who.as_str() {
        "ours" => ours::measure(binary, count)?,
        #[cfg(feature = "blazesym")]
        "blazesym" => blazesym::measure(binary, count)?,
        tool if tool.ends_with("addr2line") => addr2line::measure(Path::new(tool), binary, count)?,
        _ => bail!("{who} is not known here, or was not built in"),
    };
    println!("{measured}");
    Ok(())
}

/// Where the Go code of a program lies. It is mapped, so that reading it counts for nobody's memory.
fn text_segment(path: &Path) -> Result<TextSegment> {
    let file = File::open(path)?;
    // SAFETY: the file was built for this measurement, and nobody writes to it meanwhile.
    let map = unsafe { Mmap::map(&file) }?;
    Ok(GoBinary::parse(&map)?.text_segment())
}

/// Different addresses of the code between these, in an order by chance.
fn addresses(code: std::ops::Range<u64>, count: usize) -> Result<Vec<u64>> {
    let size = code.end.saturating_sub(code.start);
    ensure!(count as u64 <= size, "the code has {size} bytes: ask for fewer addresses");
    // A step that has no divisor in common with a number of bytes that is a power of two passes all of them, far from one another.
    let mask = size.next_power_of_two() - 1;
    let steps = (0..=mask).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15 | 1) & mask);
    Ok(steps.filter(|&offset| offset < size).take(count).map(|offset| code.start + offset).collect())
}

/// The CPU time that the work took, and what came out of it.
fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(Duration, T)> {
    let start = cpu_time()?;
    let done = work()?;
    Ok((cpu_time()?.saturating_sub(start), done))
}

fn cpu_time() -> Result<Duration> {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).context("the clock of this process is before its start")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_differ_and_lie_in_the_code() {
        let mut some = addresses(1_000..11_000, 5_000).unwrap();
        assert_ne!(some.windows(2).filter(|pair| pair[0] < pair[1]).count(), 4_999);
        some.sort_unstable();
        some.dedup();
        assert_eq!(some.len(), 5_000);
        assert!(some.iter().all(|address| (1_000..11_000).contains(address)));
        assert!(addresses(0..10, 11).is_err());
        assert_eq!(addresses(0..10, 10).unwrap().len(), 10);
    }
}
