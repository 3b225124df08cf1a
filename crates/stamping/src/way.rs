//! The way that a packet came, for the answer to take it back.
//!
//! A socket at 0.0.0.0 or [::] has all of its host's addresses, and the kernel sends from the one that the route prefers. A
//! peer that has asked another one drops such an answer. So the address a packet came to is asked for (ip(7), `IP_PKTINFO`;
//! ipv6(7), `IPV6_PKTINFO`), and the answer is sent from there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::sockopt::{Ipv4PacketInfo, Ipv6RecvPacketInfo};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, setsockopt};

/// Where a packet came from, and to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The sender.
    pub peer: SocketAddr,
    /// The address of ours that it asked; `None` where the kernel does not say.
    pub local: Option<IpAddr>,
}

/// The source of a packet, in the kernel's words.
pub(crate) enum Source {
    V4(in_pktinfo),
    V6(in6_pktinfo),
}

/// Lets the kernel say of each packet to which address it came.
pub(crate) fn ask_for_it(socket: &UdpSocket) -> io::Result<()> {
    if socket.local_addr()?.is_ipv4() {
        setsockopt(socket, Ipv4PacketInfo, &true)?;
    } else {
        setsockopt(socket, Ipv6RecvPacketInfo, &true)?;
    }
    Ok(())
}

/// The address that a packet came to, if `control` says that. One of IPv4 on a socket of both families is in IPv6's clothes,
/// in which the kernel wants it back.
pub(crate) fn local(control: &ControlMessageOwned) -> Option<IpAddr> {
    match control {
        // Not the address in the header, which may be a broadcast.
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()).into())
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into()),
        _ => None,
    }
}

impl Source {
    /// Sends from `address`, over whatever interface leads to the peer.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::V4(in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: in_addr { s_addr: u32::from_ne_bytes(v4.octets()) },
                ipi_addr: in_addr { s_addr: 0 },
            }),
            IpAddr::V6(v6) => Self::V6(in6_pktinfo { ipi6_addr: in6_addr { s6_addr: v6.octets() }, ipi6_ifindex: 0 }),
        }
    }

    pub(crate) fn control(&self) -> ControlMessage<'_> {
        match self {
            Self::V4(info) => ControlMessage::Ipv4PacketInfo(info),
            Self::V6(info) => ControlMessage::Ipv6PacketInfo(info),
        }
    }
}
