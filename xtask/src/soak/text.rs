//! Whether the code of a process in memory is that of its file.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, ensure};

/// A mapping of the executable that holds code.
#[derive(Debug, PartialEq, Eq)]
struct Mapping {
    from: u64,
    to: u64,
    file_offset: u64,
}

/// Addresses of the bytes of the executable's code that are not those of its file.
pub(super) fn changed(pid: u32) -> Result<Vec<u64>> {
    let gone = || format!("the observed program, process {pid}, is gone");
    let exe = fs::read_link(format!("/proc/{pid}/exe")).with_context(gone)?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).with_context(gone)?;
    let code = code_of(&maps, &exe.to_string_lossy());
    ensure!(!code.is_empty(), "process {pid} has no code of {}", exe.display());
    let (memory, file) = (File::open(format!("/proc/{pid}/mem"))?, File::open(&exe)?);
    let mut changed = Vec::new();
    for Mapping { from, to, file_offset } in code {
        let len = usize::try_from(to - from)?;
        let (mut mapped, mut stored) = (vec![0; len], vec![0; len]);
        memory.read_exact_at(&mut mapped, from).with_context(gone)?;
        // The last page of a mapping may go past the end of the file, where the kernel has zeros.
        let mut read = 0;
        while let Some(more) =
            Some(file.read_at(&mut stored[read..], file_offset + read as u64)?).filter(|more| *more > 0)
        {
            read += more;
        }
        changed.extend((from..).zip(mapped.iter().zip(&stored)).filter(|(_, (a, b))| a != b).map(|(at, _)| at));
    }
    Ok(changed)
}

/// The executable mappings of `exe` in the text of `/proc/PID/maps`.
fn code_of(maps: &str, exe: &str) -> Vec<Mapping> {
    let mapping = |line: &str| {
        let mut words = line.split_whitespace();
        let (range, rights, offset) = (words.next()?, words.next()?, words.next()?);
        let is_code = rights.contains('x') && line.ends_with(exe);
        let (from, to) = range.split_once('-')?;
        let hex = |text| u64::from_str_radix(text, 16).ok();
        is_code.then_some(Mapping { from: hex(from)?, to: hex(to)?, file_offset: hex(offset)? })
    };
    maps.lines().filter_map(mapping).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_with_code_are_found() {
        let maps = "00400000-00401000 r--p 00000000 fe:00 1 /bin/x\n00401000-00403000 r-xp 00001000 fe:00 1  /bin/x\n\
            7f00-8f00 r-xp 00000000 00:00 0 [vdso]\n";
        assert_eq!(code_of(maps, "/bin/x"), [Mapping { from: 0x40_1000, to: 0x40_3000, file_offset: 0x1000 }]);
    }

    #[test]
    fn our_own_code_is_whole() {
        assert_eq!(changed(std::process::id()).unwrap(), [0; 0]);
    }
}
