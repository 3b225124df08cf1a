//! The function table of a tiny Go program.

use syncline_gosym::Machine;

use super::Bytes;
use super::code::Function;

/// Where the parts of a function table lie in it.
#[derive(Debug, Clone)]
pub(crate) struct FunctionTable {
    pub(crate) names: usize,
    pub(crate) files: usize,
    pub(crate) programs: usize,
    pub(crate) functions: usize,
    /// The record of each function.
    pub(crate) records: Vec<usize>,
}

const HEADER: usize = 72;
const FILES: &[u8] = b"/src/tiny/main.go\0/src/tiny/inner.go\0";

/// The table's bytes and its parts.
pub(crate) fn table(machine: Machine, functions: &[Function]) -> (Vec<u8>, FunctionTable) {
    let quantum: u8 = if machine == Machine::Amd64 { 1 } else { 4 };
    let names = HEADER;
    let name_bytes = name_table(functions);
    let units = names + name_bytes.len().next_multiple_of(4);
    let files = units + 8;
    let programs = files + FILES.len();
    let (program_bytes, starts) = programs_of(functions, quantum);
    let records_start = programs + program_bytes.len().next_multiple_of(8);

    let mut table = Bytes(vec![0xf1, 0xff, 0xff, 0xff, 0, 0, quantum, 8]);
    let sizes = [functions.len(), 2, 0, names, units, files, programs, records_start];
    sizes.into_iter().for_each(|size| table.u64(u64::try_from(size).unwrap()));
    table.push(&name_bytes);
    table.0.resize(units, 0);
    table.u32(0);
    table.u32(u32::try_from(FILES.iter().position(|&byte| byte == 0).unwrap() + 1).unwrap());
    table.push(FILES);
    table.push(&program_bytes);
    table.0.resize(records_start, 0);
    let records = records(&mut table, functions, &starts);
    (table.0, FunctionTable { names, files, programs, functions: records_start, records })
}

/// Words of a record: 11, then three of per-pc tables and four of function data.
const RECORD: usize = 4 * (11 + 3 + 4);

/// The array and the records; gives where in the table each of these lies.
fn records(table: &mut Bytes, functions: &[Function], starts: &[[u32; 4]]) -> Vec<usize> {
    let start = table.0.len();
    let array = 8 * functions.len() + 8;
    let offset = |number: usize| u32::try_from(number).unwrap();
    for index in 0..functions.len() {
        table.u32(offset(entry(functions, index)));
        table.u32(offset(array + index * RECORD));
    }
    table.u32(offset(entry(functions, functions.len())));
    table.u32(0);
    let mut tree = 0;
    for (index, (function, [stack, file, line, inlined])) in functions.iter().zip(starts).enumerate() {
        let words = [
            offset(entry(functions, index)),
            name_offset(functions, function.name),
            0,
            0,
            *stack,
            *file,
            *line,
            3,
            0,
            1,
        ];
        words.into_iter().for_each(|word| table.u32(word));
        table.push(&[0, 0, 0, 4]);
        [0, 0, *inlined].into_iter().for_each(|program| table.u32(program));
        let tree_offset = if function.inlined.is_empty() { u32::MAX } else { tree };
        [u32::MAX, u32::MAX, u32::MAX, tree_offset].into_iter().for_each(|data| table.u32(data));
        tree += offset(16 * function.inlined.len());
    }
    (0..functions.len()).map(|index| start + array + index * RECORD).collect()
}

/// Where a function begins, as an offset from the first one.
fn entry(functions: &[Function], index: usize) -> usize {
    functions.iter().take(index).map(|function| function.code.len()).sum()
}

/// A record for each inlined call of each function, outermost first, as the compiler has them.
pub(crate) fn inline_trees(functions: &[Function]) -> Vec<u8> {
    let mut trees = Bytes(Vec::new());
    for function in functions {
        for (index, name) in function.inlined.iter().enumerate().rev() {
            let parent = parent_offset(function.code.len(), index, function.inlined.len());
            trees.push(&[0; 4]);
            trees.u32(name_offset(functions, name));
            trees.u32(u32::try_from(parent).unwrap());
            trees.u32(1);
        }
    }
    trees.0
}

/// An instruction of the next call outwards: each call but the innermost one has four bytes, from the middle of the function on,
/// outermost first, behind the function's own.
fn parent_offset(size: usize, index: usize, calls: usize) -> usize {
    size / 2 + 4 * (calls - 1 - index) - 4
}

fn names(functions: &[Function]) -> Vec<&'static str> {
    let own = functions.iter().map(|function| function.name);
    own.chain(functions.iter().flat_map(|function| function.inlined.iter().copied())).collect()
}

fn name_table(functions: &[Function]) -> Vec<u8> {
    let mut table = vec![0];
    names(functions).iter().for_each(|name| table.extend(name.bytes().chain([0])));
    table
}

fn name_offset(functions: &[Function], name: &str) -> u32 {
    let before = names(functions).into_iter().take_while(|candidate| *candidate != name);
    u32::try_from(1 + before.map(|candidate| candidate.len() + 1).sum::<usize>()).unwrap()
}

/// All pc-value programs, and where those of each function start: stack, file, line, inline index.
fn programs_of(functions: &[Function], quantum: u8) -> (Vec<u8>, Vec<[u32; 4]>) {
    let mut bytes = vec![0];
    let mut program = |runs: &[(i32, u32)]| {
        let start = u32::try_from(bytes.len()).unwrap();
        let mut value = -1;
        for (next, length) in runs {
            let delta = next - value;
            uvarint(&mut bytes, ((delta << 1) ^ (delta >> 31)).cast_unsigned());
            uvarint(&mut bytes, length / u32::from(quantum));
            value = *next;
        }
        bytes.push(0);
        start
    };
    let starts = functions
        .iter()
        .map(|function| {
            let size = u32::try_from(function.code.len()).unwrap();
            let stack = match function.push {
                Some((after, depth)) => program(&[(0, after), (depth, size - after)]),
                None => program(&[(0, size)]),
            };
            let calls = u32::try_from(function.inlined.len()).unwrap();
            if calls == 0 {
                return [stack, program(&[(0, size)]), program(&[(7, size)]), 0];
            }
            // Half of it is the function's own, then four bytes of each call, and the rest is of the innermost.
            let mut runs = vec![(-1, size / 2)];
            runs.extend((0..calls - 1).map(|number| (number.cast_signed(), 4)));
            runs.push((calls.cast_signed() - 1, size / 2 - 4 * (calls - 1)));
            [stack, program(&[(0, size / 2), (1, size / 2)]), program(&[(7, size / 2), (42, size / 2)]), program(&runs)]
        })
        .collect();
    (bytes, starts)
}

/// LEB128.
pub(crate) fn uvarint(bytes: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}
