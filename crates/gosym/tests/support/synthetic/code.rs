//! The functions of a tiny Go program: those of the runtime that are looked for, and one with inlined calls.

use syncline_gosym::Machine;

/// Bytes of every function.
pub(crate) const SIZE: usize = 64;

/// A function.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) code: Vec<u8>,
    /// Offset behind the instruction that moves the stack pointer, and by how much; None for a function without a frame.
    pub(crate) push: Option<(u32, i32)>,
    /// Names of the functions that its second half is inlined from, innermost first.
    pub(crate) inlined: &'static [&'static str],
}

/// Those with a prologue.
const FRAMED: [&str; 12] = [
    "runtime.gopark",
    "runtime.ready",
    "runtime.execute",
    "runtime.netpollready",
    "runtime.gdestroy",
    "runtime.goschedImpl",
    "runtime.goyield_m",
    "runtime.preemptPark",
    "runtime.exitsyscallTryGetP",
    "runtime.exitsyscallNoP",
    "runtime.coroswitch_m",
    "runtime.dropm",
];
/// Those that are called only.
const CALLED: [&str; 5] =
    ["runtime.casgstatus", "runtime.asmcgocall", "runtime.exitsyscall", "runtime.reentersyscall", "crosscall2"];
/// Those that call others.
const CALLING: [(&str, &[&str]); 3] = [
    ("runtime.newproc1", &["runtime.casgstatus"]),
    ("runtime.cgocall", &["runtime.asmcgocall", "runtime.exitsyscall"]),
    ("runtime.cgocallbackg", &["runtime.exitsyscall", "runtime.reentersyscall"]),
];

/// All of them, in the order of their addresses.
pub(crate) fn functions(machine: Machine) -> Vec<Function> {
    let framed = |name| framed(machine, name);
    let bare = |name| Function { name, code: padded(machine, Vec::new()), push: None, inlined: &[] };
    let mut functions: Vec<Function> = FRAMED.into_iter().map(framed).chain(CALLED.into_iter().map(bare)).collect();
    for (name, callees) in CALLING {
        let at = functions.len() * SIZE;
        let targets = callees.iter().map(|callee| SIZE * functions.iter().position(|f| f.name == *callee).unwrap());
        let code = targets.enumerate().flat_map(|(index, target)| call(machine, at + 8 * index, target)).collect();
        functions.push(Function { name, code: padded(machine, code), push: None, inlined: &[] });
    }
    functions.push(store_of_g(machine));
    functions.push(list_of_goroutines(machine, functions.len() * SIZE));
    functions.push(Function { inlined: &["main.inner[...]", "main.outer"], ..framed("main.main") });
    functions
}

fn framed(machine: Machine, name: &'static str) -> Function {
    let (code, push) = match machine {
        Machine::Amd64 => (b"\x49\x3b\x66\x10\x76\x20\x55\x48\x89\xe5".to_vec(), (7, 8)),
        Machine::Arm64 => {
            (words(&[0xf940_0b90, 0xeb30_63ff, 0x5400_0709, 0xf81e_0ffe, 0xf81f_83fd, 0xd100_23fd]), (16, 32))
        }
    };
    Function { name, code: padded(machine, code), push: Some(push), inlined: &[] }
}

/// Eight bytes with a call from one offset of the text to another.
fn call(machine: Machine, at: usize, target: usize) -> Vec<u8> {
    let distance = i32::try_from(target).unwrap() - i32::try_from(at).unwrap();
    match machine {
        Machine::Amd64 => [&[0xe8][..], &(distance - 5).to_le_bytes(), &[0x90; 3]].concat(),
        Machine::Arm64 => words(&[0x9400_0000 | ((distance / 4).cast_unsigned() & 0x3ff_ffff), 0xd503_201f]),
    }
}

fn store_of_g(machine: Machine) -> Function {
    let (name, code) = match machine {
        Machine::Amd64 => ("gogo", b"\x64\x48\x89\x14\x25\xf8\xff\xff\xff".to_vec()),
        Machine::Arm64 => ("runtime.save_g", words(&[0xd53b_d040, 0xd280_021b, 0xf83b_681c])),
    };
    Function { name, code: padded(machine, code), push: None, inlined: &[] }
}

/// It moves three words that follow each other, at a distance of 4096 bytes from the page of the text.
fn list_of_goroutines(machine: Machine, at: usize) -> Function {
    let code = match machine {
        Machine::Amd64 => (0..3)
            .flat_map(|word| {
                let next = i32::try_from(at + 7 * (word + 1)).unwrap();
                let distance = 0x2000 + 8 * i32::try_from(word).unwrap() - next;
                [&[0x48, 0x8b, 0x0d][..], &distance.to_le_bytes()].concat()
            })
            .collect(),
        Machine::Arm64 => words(&[0xb000_001b, 0xa940_0760, 0xb000_001b, 0xf940_0b62]),
    };
    Function { name: "runtime.allgadd", code: padded(machine, code), push: None, inlined: &[] }
}

fn padded(machine: Machine, mut code: Vec<u8>) -> Vec<u8> {
    let nop: &[u8] = if machine == Machine::Amd64 { &[0x90] } else { &[0x1f, 0x20, 0x03, 0xd5] };
    while code.len() < SIZE {
        code.extend(nop);
    }
    code
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
