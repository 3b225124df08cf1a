//! Runs of our programs that the kernel left out: it does not let a program run within a program of the same CPU.
//!
//! kernel/trace/bpf_trace.c, `trace_call_bpf` and `__bpf_trace_run`; the counts are in `/proc/PID/fdinfo` of the program (kernel/bpf/syscall.c,
//! `bpf_prog_show_fdinfo`), from Linux 5.12 on.

use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;

use syncline_bpf::program;

use super::kernel::Programs;

/// Those whose run begins or ends a wait that nothing else would tell of.
const WAITED_FOR: [&str; 4] = [program::PARK, program::CGO_EXIT, program::SYSCALL_EXIT, program::THREAD_SWITCH];

const FIELD: &str = "recursion_misses:";

/// Waits that were not seen for that, at most: a program on a tracepoint may have been left out for a process that is not observed.
pub(super) fn missed_waits(programs: &Programs) -> u64 {
    WAITED_FOR.iter().filter_map(|name| programs.fd(name)).map(misses).fold(0, u64::saturating_add)
}

/// 0 where the kernel does not tell.
fn misses(program: BorrowedFd<'_>) -> u64 {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", program.as_raw_fd()));
    info.ok().as_deref().and_then(misses_of).unwrap_or(0)
}

fn misses_of(fdinfo: &str) -> Option<u64> {
    fdinfo.lines().find_map(|line| line.strip_prefix(FIELD))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_read_where_there_is_one() {
        let info =
            "pos:\t0\nflags:\t02000002\nprog_type:\t2\nrun_cnt:\t0\nrecursion_misses:\t17\nverified_insns:\t99\n";
        assert_eq!(misses_of(info), Some(17));
        assert_eq!(misses_of("pos:\t0\nprog_type:\t2\n"), None);
    }
}
