//! System calls by name, and which of them are waits.

use syncline_bpf::SYSCALLS;
use syncline_bpf::layout::{SYSCALL_ADDRESS, SYSCALL_FD, SYSCALL_TRACED};
use syscalls::Sysno;

/// Those that wait, or may, for what their first argument, a file descriptor, stands for.
const ON_DESCRIPTOR: &[Sysno] = &[
    Sysno::accept,
    Sysno::accept4,
    Sysno::connect,
    Sysno::copy_file_range,
    Sysno::epoll_pwait,
    Sysno::epoll_pwait2,
    Sysno::epoll_wait,
    Sysno::fallocate,
    Sysno::fcntl,
    Sysno::fdatasync,
    Sysno::flock,
    Sysno::fsync,
    Sysno::ftruncate,
    Sysno::getdents64,
    Sysno::io_uring_enter,
    Sysno::ioctl,
    Sysno::pread64,
    Sysno::preadv,
    Sysno::preadv2,
    Sysno::pwrite64,
    Sysno::pwritev,
    Sysno::pwritev2,
    Sysno::read,
    Sysno::readv,
    Sysno::recvfrom,
    Sysno::recvmmsg,
    Sysno::recvmsg,
    Sysno::sendfile,
    Sysno::sendmmsg,
    Sysno::sendmsg,
    Sysno::sendto,
    Sysno::splice,
    Sysno::sync_file_range,
    Sysno::syncfs,
    Sysno::tee,
    Sysno::vmsplice,
    Sysno::write,
    Sysno::writev,
];

/// Those that wait on a word in memory, their first argument.
const ON_ADDRESS: &[Sysno] = &[Sysno::futex, Sysno::futex_wait, Sysno::futex_waitv];

/// Those that wait for something else.
const ON_OTHER: &[Sysno] = &[
    Sysno::clock_nanosleep,
    Sysno::msync,
    Sysno::nanosleep,
    Sysno::openat,
    Sysno::openat2,
    Sysno::pause,
    Sysno::poll,
    Sysno::ppoll,
    Sysno::pselect6,
    Sysno::rename,
    Sysno::renameat2,
    Sysno::rt_sigsuspend,
    Sysno::rt_sigtimedwait,
    Sysno::select,
    Sysno::semtimedop,
    Sysno::sync,
    Sysno::unlinkat,
    Sysno::wait4,
    Sysno::waitid,
];

/// The name of a system call.
pub(super) fn name(number: u16) -> Option<&'static str> {
    Sysno::new(number.into()).map(|call| call.name())
}

/// Names of all that are captured where nothing else is asked for.
pub(super) fn defaults() -> impl Iterator<Item = Sysno> {
    [ON_DESCRIPTOR, ON_ADDRESS, ON_OTHER].into_iter().flatten().copied()
}

/// The kernel side's table for these.
pub(super) fn flags(of: impl IntoIterator<Item = Sysno>) -> [u8; SYSCALLS] {
    let mut flags = [0; SYSCALLS];
    for call in of {
        let first_argument = if ON_DESCRIPTOR.contains(&call) {
            SYSCALL_FD
        } else if ON_ADDRESS.contains(&call) {
            SYSCALL_ADDRESS
        } else {
            0
        };
        if let Some(flags) = usize::try_from(call.id()).ok().and_then(|number| flags.get_mut(number)) {
            *flags = SYSCALL_TRACED | first_argument;
        }
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_their_names_and_places() {
        assert_eq!(name(0), Some("read"));
        assert_eq!(name(511), None);
        let flags = flags([Sysno::read, Sysno::futex, Sysno::nanosleep]);
        assert_eq!(flags[Sysno::read as usize], SYSCALL_TRACED | SYSCALL_FD);
        assert_eq!(flags[Sysno::futex as usize], SYSCALL_TRACED | SYSCALL_ADDRESS);
        assert_eq!(flags[Sysno::nanosleep as usize], SYSCALL_TRACED);
        assert_eq!(flags.iter().filter(|flags| **flags != 0).count(), 3);
    }

    #[test]
    fn every_call_that_waits_fits_the_table() {
        assert!(defaults().all(|call| usize::try_from(call.id()).is_ok_and(|number| number < SYSCALLS)));
    }
}
