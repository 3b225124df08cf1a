//! blazesym, which reads the linker's symbols and the debug information. All addresses are given to it at once, as it likes best.

use std::path::Path;

use anyhow::Result;
use blazesym::symbolize::source::{Elf, Source};
use blazesym::symbolize::{Input, Symbolized, Symbolizer};
use serde_json::{Value, json};

use crate::{HOT, HOT_ROUNDS, addresses, memory, text_segment, timed};

pub(crate) fn measure(path: &Path, count: usize) -> Result<Value> {
    let text = text_segment(path)?;
    let mut some = addresses(text.vaddr..text.vaddr + text.size, count)?;
    let hot: Vec<u64> = some.iter().copied().take(HOT).collect();
    let source = Source::Elf(Elf::new(path));
    let symbolizer = Symbolizer::new();
    let look_up = |addresses: &[u64]| -> Result<usize> {
        let symbolized = symbolizer.symbolize(&source, Input::VirtOffset(addresses))?;
        let frames = |of: &Symbolized<'_>| if let Symbolized::Sym(sym) = of { 1 + sym.inlined.len() } else { 0 };
        Ok(symbolized.iter().map(frames).sum())
    };
    let (opened, _) = timed(|| look_up(&hot[..1]))?;
    let hot_frames = look_up(&hot)?;
    let (again, _) = timed(|| (0..HOT_ROUNDS).map(|_| look_up(&hot)).sum::<Result<usize>>())?;
    let (distinct, frames) = timed(|| {
        some.sort_unstable();
        look_up(&some)
    })?;
    Ok(json!({
        "open_ms": opened.as_secs_f64() * 1e3,
        "hot_ns": again.as_secs_f64() * 1e9 / (hot_frames * HOT_ROUNDS).max(1) as f64,
        "distinct_s": distinct.as_secs_f64(),
        "frames": frames,
        "peak_mib": memory::peak_kib()? as f64 / 1024.0,
    }))
}
