//! Between whom: the columns of connections, alike in every table that has them.

use std::net::{IpAddr, SocketAddr};

use syncline_event::Flow;

/// A row each; zeros where there is no connection.
pub(super) struct Ends {
    pub(super) local_address: Vec<[u8; 16]>,
    pub(super) local_port: Vec<u16>,
    pub(super) peer_address: Vec<[u8; 16]>,
    pub(super) peer_port: Vec<u16>,
    pub(super) netns: Vec<u32>,
}

impl Ends {
    pub(super) fn of<'a>(flows: impl Iterator<Item = Option<&'a Flow>>) -> Self {
        let flows: Vec<Option<&Flow>> = flows.collect();
        Self {
            local_address: each(&flows, |flow| ipv6(flow.local)),
            local_port: each(&flows, |flow| flow.local.port()),
            peer_address: each(&flows, |flow| ipv6(flow.remote)),
            peer_port: each(&flows, |flow| flow.remote.port()),
            netns: each(&flows, |flow| flow.netns),
        }
    }
}

fn each<T: Default>(flows: &[Option<&Flow>], of: impl Fn(&Flow) -> T) -> Vec<T> {
    flows.iter().map(|flow| flow.map(&of).unwrap_or_default()).collect()
}

/// ClickHouse's `IPv6` holds both.
fn ipv6(of: SocketAddr) -> [u8; 16] {
    match of.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_is_in_its_own_columns_and_none_is_zeros() {
        let flow = Flow { local: "[fd00::1]:443".parse().unwrap(), remote: "10.0.0.2:5".parse().unwrap(), netns: 7 };
        let ends = Ends::of([Some(&flow), None].into_iter());
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 2];
        assert_eq!((ends.local_address[0][..2].to_vec(), ends.local_address[0][15]), (vec![0xfd, 0], 1));
        assert_eq!((ends.peer_address[0], ends.local_port[0], ends.peer_port[0], ends.netns[0]), (mapped, 443, 5, 7));
        assert_eq!((ends.local_address[1], ends.peer_port[1], ends.netns[1]), ([0; 16], 0, 0));
    }
}
