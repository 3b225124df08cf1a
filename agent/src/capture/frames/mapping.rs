//! What a process has mapped where: `/proc/PID/maps`.

use syncline_gosym::TextSegment;

/// Device and inode of a file, as they stand there: the device of a file on a layered file system is another one by stat(2).
pub(in crate::capture) type MappedFile = (u64, u64);

/// What stands behind the path of a file that was deleted.
const DELETED: &str = " (deleted)";

/// One line of it (proc(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::capture) struct Mapping {
    pub(in crate::capture) start: u64,
    pub(in crate::capture) end: u64,
    pub(in crate::capture) is_executable: bool,
    pub(super) file_offset: u64,
    /// Major and minor number, 32 bits each.
    pub(super) device: u64,
    /// 0 where there is no file.
    pub(in crate::capture) inode: u64,
    /// The file's, or what the kernel calls it, as `[vdso]`; what is no UTF-8 in it is replaced.
    pub(in crate::capture) path: String,
}

impl Mapping {
    pub(in crate::capture) fn parse(line: &[u8]) -> Option<Self> {
        // The path is the sixth field, behind blanks that make a column of it, and has blanks itself.
        let mut fields = line.splitn(6, |byte| *byte == b' ');
        let mut text = || fields.next().and_then(|field| std::str::from_utf8(field).ok());
        let hexadecimal = |text: &str| u64::from_str_radix(text, 16).ok();
        let (start, end) = text()?.split_once('-')?;
        let permissions = text()?;
        let file_offset = hexadecimal(text()?)?;
        let (major, minor) = text()?.split_once(':')?;
        let device = hexadecimal(major)? << 32 | hexadecimal(minor)?;
        let inode = text()?.parse().ok()?;
        let path = fields.next().unwrap_or_default().trim_ascii_start();
        Some(Self {
            start: hexadecimal(start)?,
            end: hexadecimal(end)?,
            is_executable: permissions.contains('x'),
            file_offset,
            device,
            inode,
            path: String::from_utf8_lossy(path).into_owned(),
        })
    }

    /// Where its file was when it was mapped.
    pub(in crate::capture) fn file_path(&self) -> &str {
        self.path.strip_suffix(DELETED).unwrap_or(&self.path)
    }

    /// The file behind it.
    pub(in crate::capture) fn file(&self) -> MappedFile {
        (self.device, self.inode)
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

/// All lines of `/proc/PID/maps` that say what they should.
pub(in crate::capture) fn mappings(maps: &[u8]) -> impl Iterator<Item = Mapping> {
    maps.split(|byte| *byte == b'\n').filter_map(Mapping::parse)
}

/// Where the process maps the Go code, minus where the linker put it, and the file it is in.
pub(in crate::capture) fn load_bias(maps: &[u8], text: TextSegment, inode: u64) -> Option<(u64, MappedFile)> {
    let mapping = mappings(maps).find(|mapping| mapping.holds(text, inode))?;
    Some((mapping.bias_of(text), mapping.file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &[u8] = b"00400000-00401000 r--p 00000000 08:01 42                         /opt/\xff\xfe app\n\
        55d0c0001000-55d0c0009000 r-xp 00001000 08:01 42                 /opt/\xff\xfe app\n\
        7ffc00000000-7ffc00001000 rw-p 00000000 00:00 0                  [stack]\n\
        7ffc00002000-7ffc00003000 r-xp 00000000 00:00 0 \n";

    #[test]
    fn the_code_is_found_among_paths_in_any_encoding() {
        let text = TextSegment { vaddr: 0x1_010, file_offset: 0x1_010, size: 0x8_000 };
        assert_eq!(load_bias(MAPS, text, 42), Some((0x55d0_c000_0000, (0x8_0000_0001, 42))));
        assert_eq!(load_bias(MAPS, text, 43), None);
        for cut in 0..MAPS.len() {
            let _ = load_bias(&MAPS[..cut], text, 42);
        }
    }

    #[test]
    fn paths_are_kept_with_their_blanks() {
        let all: Vec<Mapping> = mappings(MAPS).collect();
        let paths: Vec<&str> = all.iter().map(|mapping| mapping.path.as_str()).collect();
        assert_eq!(paths, ["/opt/\u{fffd}\u{fffd} app", "/opt/\u{fffd}\u{fffd} app", "[stack]", ""]);
        assert_eq!(
            (all[1].start, all[1].end, all[1].file_offset, all[1].inode),
            (0x55d0_c000_1000, 0x55d0_c000_9000, 0x1000, 42)
        );
        assert_eq!(all.iter().map(|mapping| mapping.is_executable).collect::<Vec<_>>(), [false, true, false, true]);
    }
}
