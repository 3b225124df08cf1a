//! The table of calls that the compiler expanded in place of within one function (`FUNCDATA_InlTree`).
//!
//! Source: runtime/symtabinl.go. A per-pc table tells which record an instruction belongs to; a record names the function
//! and an instruction of the function it was expanded into, whose own record is the next one outwards.

use crate::bytes::i32_at;

/// Number of the per-pc table that gives the record (internal/abi/symtab.go).
pub(crate) const PCDATA_INLINE_INDEX: u8 = 2;
/// Number of the function data that holds the records.
pub(crate) const FUNCDATA_INLINE_TREE: u8 = 3;

const RECORD_SIZE: usize = 16;

/// A call that was expanded in place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InlinedCall {
    /// The kind of the called function (internal/abi/symtab.go, `FuncID`).
    pub(crate) kind: u8,
    /// Offset of the called function's name in the name table.
    pub(crate) name_offset: i32,
    /// An instruction at the place of the call, as an offset from the entry of the physical function.
    pub(crate) parent_offset: u64,
}

/// Record `index` of a tree; a negative index means "not inlined".
pub(crate) fn inlined_call(tree: &[u8], index: i32) -> Option<InlinedCall> {
    let start = usize::try_from(index).ok()?.checked_mul(RECORD_SIZE)?;
    let record = tree.get(start..start.checked_add(RECORD_SIZE)?)?;
    Some(InlinedCall {
        kind: *record.first()?,
        name_offset: i32_at(record, 4)?,
        parent_offset: u64::try_from(i32_at(record, 8)?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_bounded() {
        let mut tree = [0_u8; 32];
        tree[16] = 5;
        tree[16 + 4] = 7;
        tree[16 + 8] = 9;
        let call = inlined_call(&tree, 1).unwrap();
        assert_eq!((call.kind, call.name_offset, call.parent_offset), (5, 7, 9));
        assert!(inlined_call(&tree, -1).is_none());
        assert!(inlined_call(&tree, 2).is_none());
        assert!(inlined_call(&tree, i32::MAX).is_none());
        tree[16 + 11] = 0x80;
        assert!(inlined_call(&tree, 1).is_none(), "an instruction in front of the function");
    }
}
