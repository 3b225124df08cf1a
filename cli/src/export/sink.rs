//! Where the bytes go.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::progress::Progress;
use crate::output::Output;
use crate::window::Window;
use crate::{time, units};

/// Bytes that are collected before they are written.
const COLLECTED: usize = 1 << 20;

/// An output that is written to piece by piece.
pub(super) struct Sink {
    output: Output,
    /// What encoders append to.
    pub(super) buffer: Vec<u8>,
    written: u64,
    began: Instant,
    progress: Progress,
}

impl Sink {
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        let output = Output::create("-o", path)?;
        Ok(Self { output, buffer: Vec::new(), written: 0, began: Instant::now(), progress: Progress::new() })
    }

    /// Writes what was appended, once it is much.
    pub(super) fn pass_on(&mut self) -> anyhow::Result<()> {
        if self.buffer.len() < COLLECTED { Ok(()) } else { self.put() }
    }

    /// How many bytes there are.
    pub(super) fn size(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// How long it has taken.
    pub(super) fn took(&self) -> Duration {
        self.began.elapsed()
    }

    /// Tells how far it is: up to this time of the range.
    pub(super) fn tell(&mut self, waits: u64, at_ns: i64, window: Window) {
        let size = self.size();
        self.progress.show(|| {
            let length = window.to_ns.saturating_sub(window.from_ns).max(1) as f64;
            let share = (at_ns.saturating_sub(window.from_ns) as f64 / length).clamp(0.0, 1.0);
            let at = time::time_of_day(at_ns, 3);
            format!("{:3.0} %  {waits} waits, {}, up to {at}", share * 100.0, units::bytes(size))
        });
    }

    /// Tells how far it is, where waits do not come in the order of time.
    pub(super) fn show(&mut self, waits: u64) {
        let size = self.size();
        self.progress.show(|| format!("{waits} waits, {}", units::bytes(size)));
    }

    /// Lets the output appear.
    pub(super) fn complete(mut self) -> anyhow::Result<()> {
        self.put()?;
        self.output.complete()
    }

    fn put(&mut self) -> anyhow::Result<()> {
        let Self { output, buffer, written, .. } = self;
        output.write(|out| out.write_all(buffer))?;
        *written += buffer.len() as u64;
        buffer.clear();
        Ok(())
    }
}

/// What comes as a stream of bytes.
impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        self.pass_on().map_err(io::Error::other)?;
        let size = self.size();
        self.progress.show(|| units::bytes(size));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
