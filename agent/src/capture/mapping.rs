//! What a process has mapped, as `/proc/PID/maps` tells it (proc(5)).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use syncline_gosym::TextSegment;

/// What /proc appends to the path of a file that was deleted.
const DELETED: &[u8] = b" (deleted)";

/// A line of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mapping<'a> {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) is_executable: bool,
    file_offset: u64,
    /// 0: it is of no file.
    pub(super) inode: u64,
    /// As it stands there, in any encoding.
    path: &'a [u8],
}

/// Where a process maps this code of a file, minus where the linker put it.
pub(super) fn load_bias(maps: &[u8], text: TextSegment, inode: u64) -> Option<u64> {
    Mapping::all(maps).find(|mapping| mapping.holds(text, inode)).map(|mapping| mapping.bias_of(text))
}

impl<'a> Mapping<'a> {
    /// All lines that can be understood.
    pub(super) fn all(maps: &'a [u8]) -> impl Iterator<Item = Mapping<'a>> {
        maps.split(|byte| *byte == b'\n').filter_map(Self::parse)
    }

    /// Where its file was when it was mapped; None if it is of no file.
    pub(super) fn path(&self) -> Option<PathBuf> {
        let path = self.path.strip_suffix(DELETED).unwrap_or(self.path);
        path.starts_with(b"/").then(|| PathBuf::from(OsStr::from_bytes(path)))
    }

    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.splitn(6, |byte| *byte == b' ');
        let mut field = || std::str::from_utf8(fields.next()?).ok();
        let hexadecimal = |text: &str| u64::from_str_radix(text, 16).ok();
        let (start, end) = field()?.split_once('-')?;
        let (start, end) = (hexadecimal(start)?, hexadecimal(end)?);
        let is_executable = field()?.contains('x');
        let file_offset = hexadecimal(field()?)?;
        let _device = field()?;
        let inode = field()?.parse().ok()?;
        let path = fields.next().unwrap_or_default().trim_ascii_start();
        Some(Self { start, end, is_executable, file_offset, inode, path })
    }

    fn holds(&self, text: TextSegment, inode: u64) -> bool {
        let length = self.end.saturating_sub(self.start);
        self.is_executable
            && self.inode == inode
            // The mapping starts at the page that holds the segment's first byte.
            && (self.file_offset..self.file_offset.saturating_add(length)).contains(&text.file_offset)
    }

    fn bias_of(&self, text: TextSegment) -> u64 {
        let run_time_start = self.start.wrapping_add(text.file_offset.wrapping_sub(self.file_offset));
        run_time_start.wrapping_sub(text.vaddr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &[u8] = b"00400000-00401000 r--p 00000000 08:01 42    /opt/\xff\xfe app\n\
        55d0c0001000-55d0c0009000 r-xp 00001000 08:01 42    /opt/\xff\xfe app (deleted)\n\
        7ffc00000000-7ffc00001000 rw-p 00000000 00:00 0 \n\
        7ffd00000000-7ffd00001000 r-xp 00000000 00:00 0                          [vdso]\n";

    #[test]
    fn the_code_is_found_among_paths_in_any_encoding() {
        let text = TextSegment { vaddr: 0x1_010, file_offset: 0x1_010, size: 0x8_000 };
        assert_eq!(load_bias(MAPS, text, 42), Some(0x55d0_c000_0000));
        assert_eq!(load_bias(MAPS, text, 43), None);
        for cut in 0..MAPS.len() {
            let _ = load_bias(&MAPS[..cut], text, 42);
        }
    }

    #[test]
    fn paths_are_read_as_they_stand() {
        let paths: Vec<_> = Mapping::all(MAPS).map(|mapping| mapping.path()).collect();
        let app = Some(PathBuf::from(OsStr::from_bytes(b"/opt/\xff\xfe app")));
        assert_eq!(paths, [app.clone(), app, None, None]);
    }
}
