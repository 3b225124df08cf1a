//! syncline-gosym, as the agent opens binaries.

use std::fs::File;
use std::path::Path;

use anyhow::{Result, ensure};
use memmap2::Mmap;
use serde_json::{Value, json};
use syncline_gosym::{FrameCache, GoBinary, Symbolizer};

use crate::{HOT, HOT_ROUNDS, addresses, memory, timed};

/// Bytes of memory for kept functions: enough for those of the hot addresses, and for all of a large program.
const SMALL: usize = 8 << 20;
const LARGE: usize = 128 << 20;

pub(crate) fn measure(path: &Path, count: usize) -> Result<Value> {
    let path = path.canonicalize()?;
    let file = File::open(&path)?;
    // SAFETY: the file was built for this measurement, and nobody writes to it meanwhile.
    let map = unsafe { Mmap::map(&file) }?;
    let (opened, binary) = timed(|| {
        let binary = GoBinary::parse(&map)?;
        binary.build_id();
        ensure!(binary.probe_sites()?.states.is_some(), "not all probes have a place");
        binary.thread_local_g();
        binary.loads_plugins();
        Ok(binary)
    })?;
    let file_kib = memory::of_file_kib(&path)?;
    let text = binary.text_segment();
    let symbolizer = binary.symbolizer()?;
    let some = addresses(text.vaddr..text.vaddr + text.size, count)?;
    let hot: Vec<u64> = some.iter().copied().take(HOT).collect();
    let mut cache = FrameCache::new(symbolizer, SMALL);
    let hot_frames = look_up(&mut cache, &hot);
    let (again, _) = timed(|| Ok((0..HOT_ROUNDS).map(|_| look_up(&mut cache, &hot)).sum::<usize>()))?;
    let (sorted, in_order) = timed(|| {
        let mut some = some.clone();
        some.sort_unstable();
        Ok(look_up(&mut FrameCache::new(symbolizer, SMALL), &some))
    })?;
    let (kept, by_chance) = timed(|| Ok(look_up(&mut FrameCache::new(symbolizer, LARGE), &some)))?;
    let (uncached, plain) = timed(|| Ok(look_up_plainly(&symbolizer, &some)))?;
    ensure!(in_order == by_chance && by_chance == plain, "{in_order}, {by_chance} and {plain} frames");
    Ok(json!({
        "open_ms": opened.as_secs_f64() * 1e3,
        "open_mib": file_kib as f64 / 1024.0,
        "hot_ns": again.as_secs_f64() * 1e9 / (hot_frames * HOT_ROUNDS) as f64,
        "distinct_s": sorted.as_secs_f64(),
        "by_chance_s": kept.as_secs_f64(),
        "uncached_s": uncached.as_secs_f64(),
        "frames": plain,
        "peak_mib": memory::peak_kib()? as f64 / 1024.0,
    }))
}

/// How many frames these have.
fn look_up(cache: &mut FrameCache<'_>, addresses: &[u64]) -> usize {
    addresses.iter().map(|&address| cache.frames(address).len()).sum()
}

fn look_up_plainly(symbolizer: &Symbolizer<'_>, addresses: &[u64]) -> usize {
    addresses.iter().map(|&address| symbolizer.frames(address).len()).sum()
}
