//! What a file descriptor stands for, in words.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use syncline_bpf::FileInfo;
use syncline_event::Socket;

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

/// The two ends of an Internet socket. An IPv4 address inside of IPv6 is said as IPv4.
pub(super) fn socket_of(file: &FileInfo) -> Option<Socket> {
    let ip = |bytes: [u8; 16]| match i32::from(file.family) {
        libc::AF_INET => Some(IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]))),
        libc::AF_INET6 => Some(IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()),
        _ => None,
    };
    Some(Socket {
        local: SocketAddr::new(ip(file.local_address)?, file.local_port),
        peer: SocketAddr::new(ip(file.remote_address)?, file.remote_port),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> FileInfo {
        FileInfo {
            magic: 1,
            mode: 0,
            family: 0,
            protocol: 0,
            socket_type: 0,
            local_port: 0,
            remote_port: 0,
            local_address: [0; 16],
            remote_address: [0; 16],
            name: [0; 16],
        }
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

    #[test]
    fn an_ipv4_peer_of_an_ipv6_socket_is_said_as_ipv4() {
        let mut file = FileInfo { family: libc::AF_INET6 as u16, local_port: 80, remote_port: 4_242, ..info() };
        file.remote_address = Ipv4Addr::new(10, 0, 0, 7).to_ipv6_mapped().octets();
        file.local_address = Ipv6Addr::LOCALHOST.octets();
        let socket = socket_of(&file).unwrap();
        assert_eq!((socket.local.to_string(), socket.peer.to_string()), ("[::1]:80".into(), "10.0.0.7:4242".into()));
        assert_eq!(socket_of(&FileInfo { family: libc::AF_UNIX as u16, ..info() }), None);
    }
}
