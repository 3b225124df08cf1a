//! What file descriptors of a process stand for, as /proc shows it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;

use procfs::net::TcpNetEntry;
use procfs::process::Process;
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use syncline_bpf::FileInfo;
use syncline_bpf::layout::SYSCALL_FD;
use syncline_event::Flow;

use crate::capture::file::type_of;
use crate::capture::syscalls;

/// The descriptors of one process.
#[derive(Debug)]
pub(super) struct Descriptors {
    pid: u32,
    /// TCP connections of its network namespace by the inode of their socket, once they are asked for.
    connections: Option<HashMap<u64, Flow>>,
}

/// What is known of one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct What {
    pub(super) file_type: Option<&'static str>,
    pub(super) flow: Option<Flow>,
}

impl Descriptors {
    pub(super) fn of(pid: u32) -> Self {
        Self { pid, connections: None }
    }

    /// The descriptor that a thread's present call of this number is about.
    pub(super) fn of_call(&self, tid: u32, nr: u32) -> Option<u32> {
        let is_on_one = syscalls::flags(true, false).get(nr as usize).is_some_and(|flags| flags & SYSCALL_FD != 0);
        let call =
            std::fs::read_to_string(format!("/proc/{}/task/{tid}/syscall", self.pid)).ok().filter(|_| is_on_one)?;
        first_argument(&call, nr).and_then(|argument| u32::try_from(argument).ok())
    }

    pub(super) fn what(&mut self, fd: u32) -> What {
        let path = format!("/proc/{}/fd/{fd}", self.pid);
        // As the kernel has it: a file system that does not answer is what a goroutine may be stuck in.
        let wanted = (AtFlags::STATX_DONT_SYNC, StatxFlags::TYPE | StatxFlags::INO);
        let (Ok(link), Ok(status)) = (std::fs::read_link(&path), statx(CWD, &path, wanted.0, wanted.1)) else {
            return What::default();
        };
        let link = link.to_string_lossy();
        let flow = link.starts_with("socket:").then(|| self.connection(status.stx_ino)).flatten();
        let tcp = (libc::AF_INET, libc::IPPROTO_TCP);
        let (family, protocol) = flow.map_or((0, 0), |_| tcp);
        let file = FileInfo {
            magic: 0,
            mode: status.stx_mode,
            family: u16::try_from(family).unwrap_or_default(),
            protocol: u16::try_from(protocol).unwrap_or_default(),
            ends: None,
            name: anonymous_name(&link),
        };
        What { file_type: Some(type_of(&file)), flow }
    }

    fn connection(&mut self, inode: u64) -> Option<Flow> {
        let pid = self.pid;
        self.connections.get_or_insert_with(|| connections(pid)).get(&inode).copied()
    }
}

/// Of `/proc/PID/task/TID/syscall` (proc(5)): the number in decimal, then the arguments.
fn first_argument(call: &str, nr: u32) -> Option<u64> {
    let mut words = call.split_ascii_whitespace();
    (words.next()?.parse() == Ok(nr)).then(|| words.next())?.and_then(|word| {
        let digits = word.strip_prefix("0x")?;
        u64::from_str_radix(digits, 16).ok()
    })
}

/// The name behind `anon_inode:`, as the kernel side takes it: cut to 15 bytes.
fn anonymous_name(link: &str) -> [u8; 16] {
    let name = link.strip_prefix("anon_inode:").unwrap_or_default();
    let mut bytes = [0; 16];
    name.bytes().take(15).zip(&mut bytes).for_each(|(from, to)| *to = from);
    bytes
}

fn connections(pid: u32) -> HashMap<u64, Flow> {
    let netns = std::fs::metadata(format!("/proc/{pid}/ns/net")).map_or(0, |status| status.ino());
    let netns = u32::try_from(netns).unwrap_or_default();
    let process = i32::try_from(pid).ok().and_then(|pid| Process::new(pid).ok());
    let of = |entries: Option<Vec<TcpNetEntry>>| entries.unwrap_or_default();
    let v4 = of(process.as_ref().and_then(|process| process.tcp().ok()));
    let v6 = of(process.as_ref().and_then(|process| process.tcp6().ok()));
    let flow =
        |entry: &TcpNetEntry| Flow { local: plain(entry.local_address), remote: plain(entry.remote_address), netns };
    v4.iter().chain(&v6).map(|entry| (entry.inode, flow(entry))).collect()
}

/// IPv4 also where the socket is an IPv6 one.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::process::Command;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use rustix::fs::{Mode, OFlags};
    use rustix::io::FdFlags;

    use super::*;

    #[test]
    fn a_connection_a_pipe_and_an_eventfd_are_what_they_are() {
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut descriptors = Descriptors::of(std::process::id());
        let mut what = |fd: &dyn AsRawFd| descriptors.what(u32::try_from(fd.as_raw_fd()).unwrap());
        let of_stream = what(&stream);
        assert_eq!(of_stream.file_type, Some("tcp"));
        let flow = of_stream.flow.unwrap();
        assert_eq!((flow.local, flow.remote), (stream.local_addr().unwrap(), listener.local_addr().unwrap()));
        let (reader, _writer) = std::io::pipe().unwrap();
        assert_eq!(what(&reader), What { file_type: Some("pipe"), flow: None });
        let event = rustix::event::eventfd(0, rustix::event::EventfdFlags::empty()).unwrap();
        assert_eq!(what(&event), What { file_type: Some("eventfd"), flow: None });
        assert_eq!(descriptors.what(u32::MAX), What::default());
    }

    #[test]
    fn a_file_of_a_file_system_that_does_not_answer_keeps_nobody_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "").unwrap();
        // Nobody reads what the kernel asks here, and closing it ends whoever waits for an answer.
        let Ok(server) = std::fs::File::options().read(true).write(true).open("/dev/fuse") else {
            let _ = writeln!(std::io::stderr(), "skipped: there is no FUSE here");
            return;
        };
        rustix::io::fcntl_setfd(&server, FdFlags::empty()).unwrap();
        let options = format!("fd={},rootmode=100644,user_id=0,group_id=0", server.as_raw_fd());
        let mounted =
            Command::new("mount").args(["-i", "-t", "fuse", "-o", &options, "dead"]).arg(&path).status().unwrap();
        rustix::io::fcntl_setfd(&server, FdFlags::CLOEXEC).unwrap();
        if !mounted.success() {
            let _ = writeln!(std::io::stderr(), "skipped: no FUSE can be mounted here");
            return;
        }
        let file = rustix::fs::open(&path, OFlags::PATH, Mode::empty());
        Command::new("umount").arg("-l").arg(&path).status().unwrap();
        let file = file.unwrap();
        let fd = u32::try_from(file.as_raw_fd()).unwrap();
        let (told, tell) = channel();
        let asking = std::thread::spawn(move || told.send(Descriptors::of(std::process::id()).what(fd)));
        let what = tell.recv_timeout(Duration::from_secs(20));
        drop(server);
        asking.join().unwrap().unwrap();
        assert_eq!(what, Ok(What { file_type: Some("file"), flow: None }));
    }

    #[test]
    fn the_first_argument_is_that_of_the_same_call() {
        assert_eq!(first_argument("0 0x7 0xc000 0x1 0x0 0x0 0x0 0x7ffc 0x4a\n", 0), Some(7));
        assert_eq!(first_argument("0 0x7 0xc000", 1), None);
        assert_eq!(first_argument("running\n", 0), None);
        assert_eq!(first_argument("", 0), None);
    }
}
