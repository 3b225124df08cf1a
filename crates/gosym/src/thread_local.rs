//! Where a thread keeps its g. `runtime.gogo` writes it there: the linker has put the offset from the FS base into that instruction,
//! -8 as a rule, something else in a static program with C code, whose thread-local storage is shared.

use crate::elf::Image;
use crate::moduledata::ModuleData;
use crate::pclntab::Pclntab;

/// The local function that does the work of `runtime.gogo`, for all versions.
const FUNCTION: &str = "gogo";
/// The instruction is the function's first or second.
const LOOKED_AT: usize = 24;

/// `mov %rdx,%fs:disp32`.
const STORE: [u8; 5] = [0x64, 0x48, 0x89, 0x14, 0x25];
/// `mov $imm32,%rcx`; then `mov %rdx,%fs:(%rcx)`, in position-independent programs.
const LOAD_OFFSET: [u8; 3] = [0x48, 0xc7, 0xc1];
const STORE_THERE: [u8; 4] = [0x64, 0x48, 0x89, 0x11];

pub(crate) fn thread_local_g(image: &Image<'_>, table: &Pclntab<'_>, module: ModuleData) -> Option<i32> {
    let function = table.functions_named(FUNCTION).next()?;
    let code = image.bytes_at(module.text.checked_add(function.entry)?)?;
    offset(code.get(..LOOKED_AT)?)
}

fn offset(code: &[u8]) -> Option<i32> {
    let number = |rest: &[u8]| rest.first_chunk().copied().map(i32::from_le_bytes);
    if let Some(rest) = code.strip_prefix(&STORE) {
        return number(rest);
    }
    let rest = code.strip_prefix(&LOAD_OFFSET)?;
    rest.get(4..)?.strip_prefix(&STORE_THERE)?;
    number(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_are_read_and_nothing_else() {
        assert_eq!(offset(&[&STORE[..], &[0xa8, 0xff, 0xff, 0xff]].concat()), Some(-88));
        let independent = [&LOAD_OFFSET[..], &[0xf8, 0xff, 0xff, 0xff], &STORE_THERE].concat();
        assert_eq!(offset(&independent), Some(-8));
        assert_eq!(offset(&independent[..9]), None);
        assert_eq!(offset(&[0x48, 0x8b, 0x0d, 1, 2, 3, 4]), None);
        assert_eq!(offset(&[]), None);
    }
}
