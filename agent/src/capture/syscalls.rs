//! System calls by name, and which of them are waits.

use syncline_bpf::SYSCALLS;
use syncline_bpf::layout::{SYSCALL_ADDRESS, SYSCALL_FD, SYSCALL_SENDS, SYSCALL_SENDS_OFTEN, SYSCALL_TRACED};
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
    Sysno::mq_timedreceive,
    Sysno::mq_timedsend,
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
    Sysno::io_getevents,
    Sysno::io_pgetevents,
    Sysno::msgrcv,
    Sysno::msgsnd,
    Sysno::msync,
    Sysno::nanosleep,
    Sysno::open,
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
    Sysno::semop,
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

/// Those that may send on a socket: once, and several times.
const SEND_ONCE: &[Sysno] = &[Sysno::pwritev2, Sysno::sendmsg, Sysno::sendto, Sysno::write, Sysno::writev];
const SEND_OFTEN: &[Sysno] = &[Sysno::sendfile, Sysno::sendmmsg, Sysno::splice];

/// The kernel side's table: of the calls that are waits, and of those that send.
pub(super) fn flags(waits: bool, sends: bool) -> [u8; SYSCALLS] {
    let all = [
        (waits, ON_DESCRIPTOR, SYSCALL_TRACED | SYSCALL_FD),
        (waits, ON_ADDRESS, SYSCALL_TRACED | SYSCALL_ADDRESS),
        (waits, ON_OTHER, SYSCALL_TRACED),
        (sends, SEND_ONCE, SYSCALL_SENDS),
        (sends, SEND_OFTEN, SYSCALL_SENDS | SYSCALL_SENDS_OFTEN),
    ];
    let mut flags = [0; SYSCALLS];
    for (_, calls, bits) in all.into_iter().filter(|(is_wanted, _, _)| *is_wanted) {
        for call in calls {
            if let Some(flags) = usize::try_from(call.id()).ok().and_then(|number| flags.get_mut(number)) {
                *flags |= bits;
            }
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
        let of = |flags: [u8; SYSCALLS], call: Sysno| flags[usize::try_from(call.id()).unwrap()];
        let both = flags(true, true);
        assert_eq!(of(both, Sysno::read), SYSCALL_TRACED | SYSCALL_FD);
        assert_eq!(of(both, Sysno::write), SYSCALL_TRACED | SYSCALL_FD | SYSCALL_SENDS);
        assert_eq!(of(both, Sysno::futex), SYSCALL_TRACED | SYSCALL_ADDRESS);
        assert_eq!(of(both, Sysno::nanosleep), SYSCALL_TRACED);
        assert_eq!(of(both, Sysno::getpid), 0);
        assert_eq!(of(flags(false, true), Sysno::write), SYSCALL_SENDS);
        assert_eq!(of(flags(false, true), Sysno::splice), SYSCALL_SENDS | SYSCALL_SENDS_OFTEN);
        assert_eq!(flags(false, false), [0; SYSCALLS]);
    }

    #[test]
    fn every_call_fits_the_table() {
        let all = [ON_DESCRIPTOR, ON_ADDRESS, ON_OTHER, SEND_ONCE, SEND_OFTEN];
        let mut all = all.into_iter().flatten();
        assert!(all.all(|call| usize::try_from(call.id()).is_ok_and(|number| number < SYSCALLS)));
    }
}
