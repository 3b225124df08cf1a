//! VMClock: what a hypervisor tells its guest of disruptions (Linux 6.13, drivers/ptp/ptp_vmclock.c; the page's layout is in
//! include/uapi/linux/vmclock-abi.h).
//!
//! The two share a page. Its `disruption_marker` is another one after the guest's counter was disrupted, as by a live migration or a
//! restored snapshot, also where all clocks stood still meanwhile and no knot shows it. A consistent page lies between two equal, even
//! values of its `seq_count`. The driver's read(2) sees to that, so the page need not be mapped; read ten times a second, that costs
//! nothing.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use syncline_event::{ClockDisruption, DisruptionSign};
use syncline_timebase::{Instant, Mono};
use thiserror::Error;

const DEVICE: &str = "/dev/vmclock0";
/// "VCLK".
const MAGIC: u32 = 0x4b4c_4356;
const VERSION: u16 = 1;
/// Up to and with the marker.
const HEADER_BYTES: usize = 24;

/// The device, and what was read last, if anything was.
#[derive(Debug)]
pub struct VmClock {
    device: File,
    seen: Option<Seen>,
}

/// A marker, and a moment before it was read.
#[derive(Clone, Copy, Debug)]
struct Seen {
    marker: u64,
    after: Instant<Mono>,
}

/// A page that tells nothing.
#[derive(Debug, Error)]
pub(crate) enum Unusable {
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    #[error("its magic number is {0:#x}, not {MAGIC:#x}")]
    OtherMagic(u32),
    #[error("its version is {0}, and only {VERSION} is known")]
    OtherVersion(u16),
    #[error("it is being updated")]
    Updating,
}

impl VmClock {
    /// This machine's, where there is one; it is `now`. One that cannot be used is told of.
    pub fn find(now: Instant<Mono>) -> Option<Self> {
        match Self::open(Path::new(DEVICE), now) {
            Ok(found) => Some(found),
            Err(Unusable::Unreadable(error)) if error.kind() == io::ErrorKind::NotFound => None,
            Err(why) => {
                tracing::warn!(
                    "{DEVICE} cannot be used ({why}): disruptions of this VM's clocks are seen by knots and probes alone; \
                     run as root, or with CAP_DAC_READ_SEARCH, if it may not be read"
                );
                None
            }
        }
    }

    /// The one at `path`.
    pub(crate) fn open(path: &Path, now: Instant<Mono>) -> Result<Self, Unusable> {
        let device = File::open(path)?;
        let seen = match read(&device) {
            Ok(marker) => Some(Seen { marker, after: now }),
            // What it was will not be known; what comes will.
            Err(Unusable::Updating) => None,
            Err(why) => return Err(why),
        };
        Ok(Self { device, seen })
    }

    /// All that happened until then was told.
    pub fn looked(&self) -> Option<Instant<Mono>> {
        self.seen.map(|seen| seen.after)
    }

    /// The disruption since the last look, for all the hypervisor says, of a look that begins `now` and has ended when `then` is asked.
    pub fn disruption(&mut self, now: Instant<Mono>, then: impl FnOnce() -> Instant<Mono>) -> Option<ClockDisruption> {
        match read(&self.device) {
            Ok(marker) => {
                let before = self.seen.replace(Seen { marker, after: now }).filter(|before| before.marker != marker)?;
                Some(ClockDisruption { since: before.after, until: then(), sign: DisruptionSign::Hypervisor })
            }
            Err(why) => {
                // The next reading comes in 100 ms.
                tracing::debug!("{DEVICE}: {why}");
                None
            }
        }
    }
}

fn read(device: &File) -> Result<u64, Unusable> {
    let mut header = [0; HEADER_BYTES];
    device.read_exact_at(&mut header, 0)?;
    disruption_marker(&header)
}

/// The marker in the first bytes of a page; little-endian:
/// `magic: u32, size: u32, version: u16, counter: u8, time_type: u8, seq_count: u32, disruption_marker: u64`.
fn disruption_marker(header: &[u8; HEADER_BYTES]) -> Result<u64, Unusable> {
    let [magic, _size, version, seq_count] = [0, 4, 8, 12].map(|offset| word(header, offset));
    let version = (version & 0xffff) as u16;
    match () {
        () if magic != MAGIC => Err(Unusable::OtherMagic(magic)),
        () if version != VERSION => Err(Unusable::OtherVersion(version)),
        () if seq_count & 1 == 1 => Err(Unusable::Updating),
        () => Ok(u64::from(word(header, 16)) | u64::from(word(header, 20)) << 32),
    }
}

fn word(header: &[u8; HEADER_BYTES], offset: usize) -> u32 {
    header[offset..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// The first bytes of a page.
#[cfg(test)]
pub(crate) fn page(seq_count: u32, marker: u64) -> [u8; HEADER_BYTES] {
    let mut page = [0; HEADER_BYTES];
    page[..4].copy_from_slice(b"VCLK");
    page[4..8].copy_from_slice(&4_096u32.to_le_bytes());
    // Version 1, the TSC, TAI.
    page[8..12].copy_from_slice(&[1, 0, 1, 1]);
    page[12..16].copy_from_slice(&seq_count.to_le_bytes());
    page[16..].copy_from_slice(&marker.to_le_bytes());
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_ms(ms: i64) -> Instant<Mono> {
        Instant::from_ns(ms * 1_000_000)
    }

    /// From when to when the look at `ms`, which takes 1 ms, says that there was one.
    fn look(clock: &mut VmClock, ms: i64) -> Option<[i64; 2]> {
        let disruption = clock.disruption(at_ms(ms), || at_ms(ms + 1))?;
        Some([disruption.since, disruption.until].map(|at| at.ns() / 1_000_000))
    }

    #[test]
    fn the_marker_is_where_the_kernel_says() {
        assert_eq!(&MAGIC.to_le_bytes(), b"VCLK");
        let marker = 0x0102_0304_0506_0708;
        assert_eq!(disruption_marker(&page(6, marker)).unwrap(), marker);
    }

    #[test]
    fn a_page_that_is_none_or_other_or_half_written_tells_nothing() {
        let mut other = page(6, 7);
        other[0] = b'X';
        assert!(matches!(disruption_marker(&other), Err(Unusable::OtherMagic(_))));
        let mut newer = page(6, 7);
        newer[8] = 2;
        assert!(matches!(disruption_marker(&newer), Err(Unusable::OtherVersion(2))));
        assert!(matches!(disruption_marker(&page(7, 7)), Err(Unusable::Updating)));
    }

    #[test]
    fn another_marker_is_a_disruption_since_the_last_one_was_read_and_an_update_of_the_rest_is_none() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let write = |page: &[u8]| std::fs::write(file.path(), page).unwrap();
        write(&page(2, 7));
        let mut clock = VmClock::open(file.path(), at_ms(0)).unwrap();
        assert_eq!(look(&mut clock, 100), None);
        write(&page(4, 7));
        assert_eq!(look(&mut clock, 200), None, "as at each adjustment of the hypervisor's clock");
        write(&page(5, 8));
        assert_eq!(look(&mut clock, 300), None, "not before it is whole");
        write(&page(6, 8));
        assert_eq!(look(&mut clock, 400), Some([200, 401]));
        assert_eq!(look(&mut clock, 500), None);
        write(b"VCLK");
        assert_eq!(look(&mut clock, 600), None, "nothing can be read");
        write(&page(8, 9));
        assert_eq!(look(&mut clock, 700), Some([500, 701]));
    }

    #[test]
    fn a_page_that_is_being_updated_at_the_start_is_read_later() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), page(5, 7)).unwrap();
        let mut clock = VmClock::open(file.path(), at_ms(0)).unwrap();
        assert_eq!(look(&mut clock, 100), None);
        std::fs::write(file.path(), page(6, 8)).unwrap();
        assert_eq!(look(&mut clock, 200), None, "what it was before nobody knows");
        std::fs::write(file.path(), page(8, 9)).unwrap();
        assert_eq!(look(&mut clock, 300), Some([200, 301]));
    }

    #[test]
    fn a_device_that_is_missing_or_garbled_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vmclock0");
        assert!(matches!(VmClock::open(&path, at_ms(0)), Err(Unusable::Unreadable(_))));
        std::fs::write(&path, [0; 4_096]).unwrap();
        assert!(VmClock::open(&path, at_ms(0)).unwrap_err().to_string().contains("magic"));
    }
}
