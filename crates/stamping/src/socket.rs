//! A UDP socket whose packets the kernel stamps, on their way in and out.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::sys::socket::sockopt::Timestamping;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, RecvMsg, SockaddrStorage, TimestampingFlag, recvmsg, sendmsg, setsockopt,
};
use syncline_timebase::{Instant, Wall};

use crate::way::{self, Source, Way};

/// Room for a stamp, the address that a packet came to, and what the error queue says beside them (`scm_timestamping`,
/// `in6_pktinfo`, `sock_extended_err` with an address).
const CONTROL_BYTES: usize = 256;
/// Longest headers before our bytes in what the error queue gives back of a packet: Ethernet, IPv6 with options, UDP.
const HEADER_BYTES: usize = 256;

/// Never blocks. On a kernel that takes no stamps it is a plain socket.
#[derive(Debug)]
pub struct StampedSocket {
    socket: UdpSocket,
}

/// A packet that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes of it; if this is the length of the buffer it may have been longer.
    pub len: usize,
    /// The way that it came.
    pub way: Way,
    /// When the kernel got it; `None` where it takes no stamps, and for a moment after the machine's first socket that wants
    /// them, since it turns stamping on in the background (net/core/dev.c, `net_enable_timestamp`).
    pub at: Option<Instant<Wall>>,
}

/// A packet that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departed<const N: usize> {
    /// Its bytes, all of a packet of N.
    pub bytes: [u8; N],
    /// When the kernel handed it to the device.
    pub at: Instant<Wall>,
}

impl StampedSocket {
    /// A socket at `address`.
    ///
    /// # Errors
    /// The system gives none.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        // The packet itself comes back beside the stamp of its departure (no OPT_TSONLY): a counter would go astray with the
        // first packet that cannot be sent.
        let wanted = TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE
            | TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE
            | TimestampingFlag::SOF_TIMESTAMPING_TX_SOFTWARE;
        // Without stamps of the kernel those of user space do.
        let _ = setsockopt(&socket, Timestamping, &wanted);
        way::ask_for_it(&socket)?;
        Ok(Self { socket })
    }

    /// Only packets to and from `peer` from here on.
    ///
    /// # Errors
    /// It cannot be reached.
    pub fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        self.socket.connect(peer)
    }

    /// The address that it has.
    ///
    /// # Errors
    /// The system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Sends `packet` to the peer that it is connected to.
    ///
    /// # Errors
    /// As send(2); [`io::ErrorKind::WouldBlock`] where there is no room.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        self.socket.send(packet).map(drop)
    }

    /// Sends `packet` back on the `way` that another one came.
    ///
    /// # Errors
    /// As send(2); [`io::ErrorKind::WouldBlock`] where there is no room.
    pub fn send_back(&self, packet: &[u8], way: &Way) -> io::Result<()> {
        let (peer, source) = (SockaddrStorage::from(way.peer), way.local.map(Source::of));
        let control: Vec<_> = source.iter().map(Source::control).collect();
        sendmsg(self.as_raw_fd(), &[IoSlice::new(packet)], &control, MsgFlags::empty(), Some(&peer))?;
        Ok(())
    }

    /// The next packet that came; `None` where none did.
    ///
    /// # Errors
    /// As recv(2), what was refused far away (`ECONNREFUSED`) among it.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Received>> {
        let mut control = [0; CONTROL_BYTES];
        let mut parts = [IoSliceMut::new(buffer)];
        let Some(message) = or_none(recvmsg::<SockaddrStorage>(
            self.as_raw_fd(),
            &mut parts,
            Some(control.as_mut_slice()),
            MsgFlags::MSG_DONTWAIT,
        ))?
        else {
            return Ok(None);
        };
        let peer = message.address.as_ref().and_then(address);
        let peer = peer.ok_or_else(|| io::Error::other("a packet without a sender's address"))?;
        let local = message.cmsgs().ok().and_then(|mut controls| controls.find_map(|control| way::local(&control)));
        Ok(Some(Received { len: message.bytes, way: Way { peer, local }, at: stamp(&message) }))
    }

    /// The next packet of N bytes that the kernel saw depart; `None` where no more are known to have.
    ///
    /// # Errors
    /// As recv(2).
    pub fn departed<const N: usize>(&self) -> io::Result<Option<Departed<N>>> {
        let mut buffer = [0; 2_048];
        loop {
            let mut control = [0; CONTROL_BYTES];
            let mut parts = [IoSliceMut::new(buffer.get_mut(..N + HEADER_BYTES).unwrap_or_default())];
            let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
            let read = recvmsg::<SockaddrStorage>(self.as_raw_fd(), &mut parts, Some(control.as_mut_slice()), flags);
            let Some(message) = or_none(read)? else { return Ok(None) };
            let (len, at) = (message.bytes, stamp(&message));
            // The headers come before it, and they differ with the network. What is no stamp is an error from far away.
            let bytes = buffer.get(..len).and_then(|text| text.last_chunk::<N>());
            if let Some((bytes, at)) = bytes.zip(at) {
                return Ok(Some(Departed { bytes: *bytes, at }));
            }
        }
    }
}

impl AsFd for StampedSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for StampedSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

fn or_none<T>(read: nix::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(message) => Ok(Some(message)),
        Err(nix::errno::Errno::EAGAIN) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// The kernel's stamp beside a message. Control messages that did not fit are as good as none.
fn stamp(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<Instant<Wall>> {
    message.cmsgs().ok()?.find_map(|control| match control {
        ControlMessageOwned::ScmTimestampsns(stamps) => {
            let ns = stamps.system.tv_sec().checked_mul(1_000_000_000)?.checked_add(stamps.system.tv_nsec())?;
            (ns != 0).then(|| Instant::from_ns(ns))
        }
        _ => None,
    })
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = || storage.as_sockaddr_in().map(|address| SocketAddr::V4((*address).into()));
    v4().or_else(|| storage.as_sockaddr_in6().map(|address| SocketAddr::V6((*address).into())))
}
