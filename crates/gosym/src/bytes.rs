//! Checked little-endian reads.

/// The little-endian u16 at `offset`.
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    let end = offset.checked_add(2)?;
    Some(u16::from_le_bytes(bytes.get(offset..end)?.try_into().ok()?))
}

/// The little-endian u32 at `offset`.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let end = offset.checked_add(4)?;
    Some(u32::from_le_bytes(bytes.get(offset..end)?.try_into().ok()?))
}

/// The little-endian i32 at `offset`.
pub(crate) fn i32_at(bytes: &[u8], offset: usize) -> Option<i32> {
    u32_at(bytes, offset).map(u32::cast_signed)
}

/// The little-endian u64 at `offset`.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    let end = offset.checked_add(8)?;
    Some(u64::from_le_bytes(bytes.get(offset..end)?.try_into().ok()?))
}

/// An unsigned LEB128 number and the bytes after it; `max_length` bounds its length (5 for u32, 10 for u64).
pub(crate) fn uvarint(bytes: &[u8], max_length: usize) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (index, &byte) in bytes.iter().take(max_length).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(u32::try_from(index).ok()? * 7)?;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

/// The text that ends at the first zero byte from `offset` on, at most `MAX_TEXT` bytes of it.
pub(crate) fn text_at(bytes: &[u8], offset: usize) -> Option<&[u8]> {
    let rest = bytes.get(offset..)?;
    let rest = rest.get(..MAX_TEXT).unwrap_or(rest);
    rest.get(..memchr::memchr(0, rest)?)
}

/// Whether just this text is at an offset. It is compared in place, so that a damaged table of names costs no more than its look-ups.
pub(crate) fn is_text_at(bytes: &[u8], offset: usize, text: &str) -> bool {
    let rest = bytes.get(offset..).unwrap_or_default();
    rest.starts_with(text.as_bytes()) && rest.get(text.len()) == Some(&0)
}

/// Whether a text begins at an offset, and none goes on there.
pub(crate) fn begins_at(bytes: &[u8], offset: usize) -> bool {
    offset.checked_sub(1).is_none_or(|before| bytes.get(before) == Some(&0))
}

/// Longer than any real function name or path; bounds the work on damaged tables.
const MAX_TEXT: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_stop_at_the_end() {
        assert_eq!(u32_at(&[1, 2, 3], 0), None);
        assert_eq!(u32_at(&[1, 0, 0, 0], 0), Some(1));
        assert_eq!(u64_at(&[0; 8], 1), None);
        assert_eq!(u64_at(&[0; 8], usize::MAX), None);
    }

    #[test]
    fn varints_are_bounded() {
        assert_eq!(uvarint(&[0xac, 0x02, 9], 5), Some((300, &[9_u8][..])));
        assert_eq!(uvarint(&[0x80; 20], 5), None);
        assert_eq!(uvarint(&[0x80; 20], 10), None);
        assert_eq!(uvarint(&[], 5), None);
    }

    #[test]
    fn text_needs_its_end() {
        assert_eq!(text_at(b"ab\0c", 1), Some(&b"b"[..]));
        assert_eq!(text_at(b"ab\0c", 3), None);
        assert_eq!(text_at(b"ab\0c", 9), None);
    }
}
