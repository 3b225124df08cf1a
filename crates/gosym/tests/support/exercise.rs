//! Uses everything that a file offers. Shared with the fuzz target, so it knows no test framework.

use syncline_gosym::{Error, FrameCache, GoBinary};

/// Bytes of a cache that some functions fit in.
const CACHE: usize = 100_000;

/// Asks everything, also of addresses spread over the code; gives how many frames and sites were found.
///
/// # Errors
/// Those of [`GoBinary::parse`] and [`GoBinary::symbolizer`].
pub(crate) fn exercise(bytes: &[u8], addresses: u64) -> Result<usize, Error> {
    let binary = GoBinary::parse(bytes)?;
    binary.build_id();
    binary.all_goroutines();
    binary.thread_local_g();
    binary.loads_plugins();
    binary.module_path();
    let reason = binary.layout().map_or(2, |layout| layout.g_waitreason.to_le_bytes()[0]);
    binary.wait_reason(reason);
    let sites = binary.probe_sites().is_ok();
    let settings = binary.build_settings().count();
    let text = binary.text_segment();
    let symbolizer = binary.symbolizer()?;
    let step = (text.size / addresses).max(1);
    let mut found = settings + usize::from(sites);
    let mut cache = FrameCache::new(symbolizer, CACHE);
    for address in (0..addresses).map(|index| text.vaddr.saturating_add(index.saturating_mul(step))) {
        let frames = symbolizer.frames(address);
        assert_eq!(cache.frames(address), frames, "{address:#x}");
        found += frames.len();
        if let Some(function) = symbolizer.function_at(address) {
            found += usize::from(symbolizer.stack_delta_at(function.entry).is_some());
        }
    }
    Ok(found)
}
