//! A 64-bit number for a build, so that symbols of the same build are looked up once wherever it runs.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::elf::Image;

/// Type of the note that `cmd/link` writes with owner `Go`.
const NOTE_GO_BUILD_ID: u32 = 4;
/// Type of the note with owner `GNU`.
const NOTE_GNU_BUILD_ID: u32 = 3;

/// XXH3 of the first of these that the file has; each source has its own seed:
/// 1. the Go build id, when it has the form that cmd/go gives it, `action/…/…/content` (build systems such as Bazel put the
///    same fixed word into every program);
/// 2. the GNU build id;
/// 3. the whole content of the file.
pub(crate) fn build_id(image: &Image<'_>) -> u64 {
    if let Some(id) = note(image, b"Go", NOTE_GO_BUILD_ID).filter(|id| is_from_cmd_go(id)) {
        return xxh3_64_with_seed(id, 1);
    }
    if let Some(id) = note(image, b"GNU", NOTE_GNU_BUILD_ID).filter(|id| !id.is_empty()) {
        return xxh3_64_with_seed(id, 2);
    }
    xxh3_64_with_seed(image.data, 3)
}

fn note<'data>(image: &Image<'data>, owner: &[u8], kind: u32) -> Option<&'data [u8]> {
    let found = image.notes().iter().find(|note| note.owner == owner && note.kind == kind)?;
    Some(found.content)
}

fn is_from_cmd_go(id: &[u8]) -> bool {
    id.iter().filter(|&&byte| byte == b'/').count() == 3 && id.len() > 60
}
