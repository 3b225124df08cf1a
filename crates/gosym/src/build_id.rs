//! A 64-bit number for a build, so that symbols of the same build are looked up once wherever it runs.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::elf::Image;

/// Type of the note that `cmd/link` writes with owner `Go`.
const NOTE_GO_BUILD_ID: u32 = 4;
/// Type of the note with owner `GNU`.
const NOTE_GNU_BUILD_ID: u32 = 3;

/// XXH3, with a seed of its own for each source, of
/// 1. the Go build id, when it has the form that cmd/go gives it, `action/…/…/content`;
/// 2. the GNU build id, when there is no Go build id at all;
/// 3. otherwise the whole content of the file.
///
/// Build systems such as Bazel put the same fixed word into every program as its Go build id; from 1.24 on the linker may
/// derive the GNU build id from it, so that is no better then.
pub(crate) fn build_id(image: &Image<'_>) -> u64 {
    let go = note(image, b"Go", NOTE_GO_BUILD_ID);
    if let Some(id) = go.filter(|id| is_from_cmd_go(id)) {
        return xxh3_64_with_seed(id, 1);
    }
    let gnu = note(image, b"GNU", NOTE_GNU_BUILD_ID).filter(|id| go.is_none() && !id.is_empty());
    match gnu {
        Some(id) => xxh3_64_with_seed(id, 2),
        None => xxh3_64_with_seed(image.data, 3),
    }
}

fn note<'data>(image: &Image<'data>, owner: &[u8], kind: u32) -> Option<&'data [u8]> {
    let found = image.notes().iter().find(|note| note.owner == owner && note.kind == kind)?;
    Some(found.content)
}

fn is_from_cmd_go(id: &[u8]) -> bool {
    id.iter().filter(|&&byte| byte == b'/').count() == 3 && id.len() > 60
}
