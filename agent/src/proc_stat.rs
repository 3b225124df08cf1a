//! When a process started: with its pid, who it is.

use std::io;

/// Clock ticks since boot (proc(5), `/proc/PID/stat`, field 22).
pub(crate) fn start_time(pid: u32) -> io::Result<u64> {
    let stat = std::fs::read(format!("/proc/{pid}/stat"))?;
    start_time_in(&stat).ok_or_else(|| io::Error::other("it is not what proc(5) describes"))
}

/// The same in the content of that file.
pub(crate) fn start_time_in(stat: &[u8]) -> Option<u64> {
    // The command's name may hold anything, also blanks and parentheses; behind it, from the third field on, is no text.
    let behind_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    std::str::from_utf8(stat.get(behind_name..)?).ok()?.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Whether reading a file of `/proc/PID` failed because there is no such process any more.
pub(crate) fn is_gone(cause: &io::Error) -> bool {
    matches!(cause.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let stat = b"7 (a) b \xff (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 1000 10";
        assert_eq!(start_time_in(stat), Some(123_456));
        assert_eq!(start_time_in(b"7 (a) S 1 7"), None);
        assert_eq!(start_time(std::process::id()).unwrap(), start_time(std::process::id()).unwrap());
        assert!(is_gone(&start_time(u32::MAX).unwrap_err()));
    }
}
