//! What a file descriptor stands for, in words.

use std::net::SocketAddr;

use syncline_bpf::{FileInfo, SocketEnds};
use syncline_event::Flow;

/// Bits of `st_mode` that tell the type (inode(7)).
const TYPE_BITS: u16 = 0o170_000;

/// Its type, by a name that users see and that is stable.
pub(super) fn type_of(file: &FileInfo) -> &'static str {
    match u32::from(file.mode & TYPE_BITS) {
        libc::S_IFREG => "file",
        libc::S_IFDIR => "directory",
        libc::S_IFBLK => "block_device",
        libc::S_IFCHR => "character_device",
        libc::S_IFIFO => "pipe",
        libc::S_IFLNK => "symbolic_link",
        libc::S_IFSOCK => socket_type(file),
        _ => anonymous_type(&file.name),
    }
}

fn socket_type(file: &FileInfo) -> &'static str {
    match (i32::from(file.family), i32::from(file.protocol)) {
        (libc::AF_UNIX, _) => "unix",
        (libc::AF_INET | libc::AF_INET6, libc::IPPROTO_TCP) => "tcp",
        (libc::AF_INET | libc::AF_INET6, libc::IPPROTO_MPTCP) => "mptcp",
        (libc::AF_INET | libc::AF_INET6, libc::IPPROTO_UDP) => "udp",
        (libc::AF_INET | libc::AF_INET6, _) => "ip",
        (libc::AF_NETLINK, _) => "netlink",
        (libc::AF_PACKET, _) => "packet",
        (libc::AF_VSOCK, _) => "vsock",
        _ => "socket",
    }
}

/// Names as `/proc/PID/fd` shows them behind `anon_inode:`, cut to 15 bytes.
fn anonymous_type(name: &[u8; 16]) -> &'static str {
    match name.split(|byte| *byte == 0).next().unwrap_or_default() {
        b"[eventpoll]" => "epoll",
        b"[eventfd]" => "eventfd",
        b"[timerfd]" => "timerfd",
        b"[signalfd]" => "signalfd",
        b"inotify" => "inotify",
        b"[fanotify]" => "fanotify",
        b"[io_uring]" => "io_uring",
        b"[pidfd]" => "pidfd",
        b"[userfaultfd]" => "userfaultfd",
        b"[perf_event]" => "perf_event",
        b"bpf-map" | b"bpf-prog" | b"bpf_link" => "bpf",
        _ => "anonymous",
    }
}

/// A connection in the words of the stream.
pub(crate) fn flow(ends: &SocketEnds) -> Flow {
    Flow {
        local: SocketAddr::new(ends.local_address, ends.local_port),
        remote: SocketAddr::new(ends.remote_address, ends.remote_port),
        netns: ends.netns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> FileInfo {
        FileInfo { magic: 1, mode: 0, family: 0, protocol: 0, ends: None, name: [0; 16] }
    }

    #[test]
    fn types_are_told_by_inode_socket_and_name() {
        let socket = |family: i32, protocol: i32| FileInfo {
            mode: 0o140_777,
            family: family.try_into().unwrap(),
            protocol: protocol.try_into().unwrap(),
            ..info()
        };
        assert_eq!(type_of(&FileInfo { mode: 0o100_644, ..info() }), "file");
        assert_eq!(type_of(&FileInfo { mode: 0o010_600, ..info() }), "pipe");
        assert_eq!(type_of(&socket(libc::AF_INET6, libc::IPPROTO_TCP)), "tcp");
        assert_eq!(type_of(&socket(libc::AF_INET, libc::IPPROTO_ICMP)), "ip");
        assert_eq!(type_of(&socket(libc::AF_UNIX, 0)), "unix");
        assert_eq!(type_of(&socket(999, 0)), "socket");
        assert_eq!(type_of(&FileInfo { name: *b"[eventpoll]\0\0\0\0\0", ..info() }), "epoll");
        assert_eq!(type_of(&FileInfo { name: *b"0123456789abcdef", ..info() }), "anonymous");
    }
}
