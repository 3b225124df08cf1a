//! The memory of an aggregator whose 300 nodes send a batch a second each, 20,000 waits a second together.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Sizes;
use super::ingest::{Sent, expect, flood, parse};
use super::programs::Programs;
use super::target::{Finding, Target};
use crate::bench::region::Region;
use crate::bench::statistics::Spread;
use crate::bench::{scratch, usage};

const NODES: u32 = 300;
const WAITS: u32 = 67;
const PER_S: f64 = 20_000.0;
/// An aggregator that acknowledges later than that does not keep up.
const BEHIND_AT_MOST: Duration = Duration::from_secs(300);
const MIB: f64 = 1_048_576.0;

pub(super) struct Memory {
    /// Until everything was acknowledged.
    sent: Sent,
    /// What of the seconds it was due in.
    due_s: u32,
    peak_bytes: u64,
    engine_peak_bytes: u64,
    cpu: Duration,
    engine_cpu: Duration,
    /// At each second.
    resident_bytes: Vec<u64>,
}

impl Memory {
    pub(super) fn measure(programs: &Programs, sizes: Sizes) -> Result<Self> {
        eprintln!("  a steady load for {} s", sizes.steady_s);
        let dir = scratch()?;
        let region = Region::start(&programs.aggregator, dir.path())?;
        let load = [NODES, sizes.steady_s, WAITS];
        let mut flood = flood(programs, region.store(), region.address(), load, Some("--paced"))?;
        let before = region.used()?;
        flood.order("send")?;
        let mut resident_bytes = Vec::new();
        // A line a second, and at the end what was sent.
        let deadline = Instant::now() + Duration::from_secs(u64::from(sizes.steady_s)) + BEHIND_AT_MOST;
        let sent: Sent = loop {
            ensure!(Instant::now() < deadline, "the aggregator is more than {} s behind", BEHIND_AT_MOST.as_secs());
            let line = flood.line("")?;
            if line.starts_with('{') {
                break parse(&line)?;
            }
            resident_bytes.push(usage::memory(region.pid())?);
        };
        let all = load.iter().map(|number| u64::from(*number)).product();
        expect(sent.events, all, "acknowledged")?;
        flood.order("stored")?;
        flood.line("{")?;
        let after = region.used()?;
        flood.end(None)?;
        region.end()?;
        Ok(Self {
            sent,
            due_s: sizes.steady_s,
            peak_bytes: after.aggregator_peak_bytes,
            engine_peak_bytes: after.engine_peak_bytes,
            cpu: after.aggregator_cpu - before.aggregator_cpu,
            engine_cpu: after.engine_cpu - before.engine_cpu,
            resident_bytes,
        })
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let finding = |what: String, target, found, unit| Finding { what, target, found: Spread::of([found]), unit };
        let minutes = f64::from(self.due_s) / 60.0;
        let us = |cpu: Duration| cpu.as_secs_f64() * 1e6 / self.sent.events as f64;
        let middle = self.resident_bytes.get(self.resident_bytes.len() / 2).map_or(f64::NAN, |bytes| *bytes as f64);
        vec![
            finding(
                format!("waits acknowledged of {NODES} nodes in {minutes:.1} minutes"),
                // They are due in whole seconds: the last ones take a moment.
                Target::AtLeast(PER_S * 0.98),
                self.sent.events as f64 / self.sent.seconds,
                "events/s",
            ),
            finding(
                "the aggregator's memory under these, at most".into(),
                Target::AtMost(256.0),
                self.peak_bytes as f64 / MIB,
                "MiB",
            ),
            finding("half-way".into(), Target::None, middle / MIB, "MiB"),
            finding("ClickHouse's, at most".into(), Target::None, self.engine_peak_bytes as f64 / MIB, "MiB"),
            finding("the aggregator's CPU".into(), Target::None, us(self.cpu), "us an event"),
            finding("ClickHouse's CPU".into(), Target::None, us(self.engine_cpu), "us an event"),
        ]
    }
}
