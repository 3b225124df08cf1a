//! A path to an aggregator: streams over a link, packets over a relay, at an address of its own on loopback.
//!
//! Both have the port of the aggregator, since that answers clock probes at the port beside the one it listens on: who is
//! given the path's address reaches both through it.

use std::net::SocketAddr;

use anyhow::{Context, Result};

use super::plan::LOSS;
use crate::demo::child::Process;
use crate::demo::fleet::{Directories, start_link_at};
use crate::demo::plan::Link;
use crate::demo::relay::PacketRelay;

pub(super) struct Path {
    pub(super) packets: PacketRelay,
    streams: Process,
    /// What is to be used in place of the aggregator's.
    pub(super) address: SocketAddr,
}

impl Path {
    /// To the aggregator at `to`, by way of the address `host`, which also names its chance.
    pub(super) async fn start(
        wan: &std::path::Path,
        dirs: &Directories,
        name: &str,
        host: [u8; 4],
        route: Link,
        to: &str,
    ) -> Result<Self> {
        let to: SocketAddr = to.parse().with_context(|| format!("{to} is no address of an aggregator"))?;
        let address = SocketAddr::from((host, to.port()));
        let packets = PacketRelay::start(address, to, route, LOSS, host[3].into())?;
        let name = format!("path-{name}");
        let streams = start_link_at(&address.to_string(), wan, dirs, &name, route, &to.to_string()).await?;
        Ok(Self { packets, streams, address })
    }

    /// The process that carries the streams: a Go program with few waits.
    pub(super) fn pid(&self) -> Result<u32> {
        self.streams.pid()
    }

    pub(super) fn check_alive(&mut self) -> Result<()> {
        self.streams.check_alive()
    }

    pub(super) async fn stop(self) -> Result<()> {
        self.streams.kill().await
    }
}
