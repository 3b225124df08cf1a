//! The region's reference time: REF = `CLOCK_MONOTONIC_RAW` + an anchor.
//!
//! The anchor is wall - raw, read once when this aggregator first starts in a boot, and kept in the state directory
//! with the boot id. From then on nobody moves REF: the wall clock may be stepped or slewed, the aggregator may be
//! restarted. Another boot counts RAW from another origin, so it gets another anchor and is another *run* of the
//! reference; instants of two runs are not comparable, and [`Reference::run`] tells them apart.
//!
//! REF is a time scale, not UTC: it starts near it and drifts from it with the bare oscillator.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use syncline_stamping::{Reading, raw_ns};
use syncline_timebase::{Instant, Raw, Reference as ReferenceScale};
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use crate::state_file;

const FILE: &str = "reference.json";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Readings of the anchor; the tightest one counts.
const READINGS: u32 = 64;

/// The reference clock of a region. Cheap to copy and to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    anchor_ns: i64,
    run: u64,
}

/// The region's reference cannot be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The kernel does not tell its boot id.
    #[error("cannot read the boot id from {BOOT_ID}: {0}; is /proc mounted?")]
    BootId(#[source] io::Error),
    /// The state directory cannot be used.
    #[error("cannot keep the reference's anchor in {path}: {error}; give a writable directory with --state-dir")]
    State {
        /// File or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// The file is there and is not ours.
    #[error("{path} is no reference anchor: {why}; move it away to start a new run of the reference")]
    Garbled {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The directory belongs to another region's aggregator.
    #[error("state directory {path} belongs to region {found:?}, not {wanted:?}; give each region its own --state-dir")]
    OtherRegion {
        /// The directory.
        path: PathBuf,
        /// Region in the file.
        found: String,
        /// Region asked for.
        wanted: String,
    },
}

/// What `reference.json` holds.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// Boot id, as the kernel prints it.
    boot: String,
    /// The region.
    region: String,
    /// wall - raw, ns.
    anchor_ns: i64,
    /// How far apart in time the two readings may have been, ns.
    anchor_bracket_ns: i64,
}

impl Reference {
    /// The reference of `region`, continued from `state_dir` if it was started in this boot, begun there otherwise.
    ///
    /// # Errors
    /// The boot id or the state directory cannot be read or written, or the directory is another region's.
    pub fn open(state_dir: &Path, region: &str) -> Result<Self, ReferenceError> {
        let boot = std::fs::read_to_string(BOOT_ID).map_err(ReferenceError::BootId)?;
        Self::open_in_boot(state_dir, region, boot.trim(), read_anchor)
    }

    fn open_in_boot(
        state_dir: &Path,
        region: &str,
        boot: &str,
        anchor: impl FnOnce() -> (i64, i64),
    ) -> Result<Self, ReferenceError> {
        let path = state_dir.join(FILE);
        match load(&path)? {
            Some(kept) if kept.region != region => Err(ReferenceError::OtherRegion {
                path: state_dir.to_owned(),
                found: kept.region,
                wanted: region.to_owned(),
            }),
            Some(kept) if kept.boot == boot => Ok(Self::of(&kept)),
            _ => {
                let (anchor_ns, anchor_bracket_ns) = anchor();
                let kept = Kept { boot: boot.to_owned(), region: region.to_owned(), anchor_ns, anchor_bracket_ns };
                let save = || state_file::save(state_dir, FILE, &serde_json::to_vec_pretty(&kept)?);
                save().map_err(|error| ReferenceError::State { path, error })?;
                Ok(Self::of(&kept))
            }
        }
    }

    fn of(kept: &Kept) -> Self {
        let identity = format!("{}\n{}\n{}", kept.boot, kept.region, kept.anchor_ns);
        Self { anchor_ns: kept.anchor_ns, run: xxh3_64(identity.as_bytes()) }
    }

    /// The time now. One vDSO read and an addition.
    pub fn now(&self) -> Instant<ReferenceScale> {
        Instant::from_ns(raw_ns().saturating_add(self.anchor_ns))
    }

    /// REF at an instant of `CLOCK_MONOTONIC_RAW` of this machine.
    pub fn of_raw(&self, raw: Instant<Raw>) -> Instant<ReferenceScale> {
        Instant::from_ns(raw.ns().saturating_add(self.anchor_ns))
    }

    /// REF - `CLOCK_MONOTONIC_RAW` of this machine, ns.
    pub fn anchor_ns(&self) -> i64 {
        self.anchor_ns
    }

    /// Identity of this continuous run of the reference: a hash of boot, region and anchor.
    pub fn run(&self) -> u64 {
        self.run
    }
}

/// wall - raw and how far apart the two may have been read, both in ns: the tightest of several readings.
fn read_anchor() -> (i64, i64) {
    let readings = (0..READINGS).map(|_| Reading::take());
    let anchor = |reading: Reading| (reading.wall_ns.saturating_sub(reading.raw_ns), reading.width_ns());
    readings.min_by_key(|reading| reading.width_ns()).map(anchor).unwrap_or_default()
}

fn load(path: &Path) -> Result<Option<Kept>, ReferenceError> {
    match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| ReferenceError::Garbled { path: path.to_owned(), why: error.to_string() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ReferenceError::State { path: path.to_owned(), error }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: &str = "b3b21dd5-01f9-4a5c-9f3e-0f4f9f6a7a11";

    fn open(dir: &Path, region: &str, boot: &str, anchor_ns: i64) -> Result<Reference, ReferenceError> {
        Reference::open_in_boot(dir, region, boot, || (anchor_ns, 40))
    }

    #[test]
    fn a_restart_in_the_same_boot_moves_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path(), "eu", BOOT, 1_000).unwrap();
        // The wall clock was stepped meanwhile: a new anchor would be another one.
        let second = open(dir.path(), "eu", BOOT, 999_000).unwrap();
        assert_eq!(first, second);
        assert_eq!(second.anchor_ns(), 1_000);
    }

    #[test]
    fn another_boot_is_another_run() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path(), "eu", BOOT, 1_000).unwrap();
        let second = open(dir.path(), "eu", "another-boot", 2_000).unwrap();
        assert_eq!(second.anchor_ns(), 2_000);
        assert_ne!(first.run(), second.run());
        assert_eq!(open(dir.path(), "eu", "another-boot", 3_000).unwrap(), second, "the new anchor is kept");
    }

    #[test]
    fn regions_with_the_same_anchor_are_different_runs() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let eu = open(here.path(), "eu", BOOT, 1_000).unwrap();
        let us = open(there.path(), "us", BOOT, 1_000).unwrap();
        assert_ne!(eu.run(), us.run());
    }

    #[test]
    fn the_state_of_another_region_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), "eu", BOOT, 1_000).unwrap();
        let error = open(dir.path(), "us", BOOT, 1_000).unwrap_err().to_string();
        assert!(error.contains("belongs to region \"eu\", not \"us\""), "{error}");
    }

    #[test]
    fn a_garbled_file_is_named_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        std::fs::write(&path, "{\"boot\": 7").unwrap();
        let error = open(dir.path(), "eu", BOOT, 1_000).unwrap_err().to_string();
        assert!(error.contains("reference.json is no reference anchor"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"{\"boot\": 7");
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = open(&file, "eu", BOOT, 1_000).unwrap_err().to_string();
        assert!(error.contains("--state-dir"), "{error}");
    }

    #[test]
    fn the_reference_starts_at_the_wall_clock_and_runs_with_raw() {
        let dir = tempfile::tempdir().unwrap();
        let reference = Reference::open(dir.path(), "eu").unwrap();
        let raw_before = raw_ns();
        let (now, wall) = (reference.now().ns(), Reading::take().wall_ns);
        let raw_after = raw_ns();
        assert!((raw_before..=raw_after).contains(&(now - reference.anchor_ns())));
        assert!((now - wall).abs() < 1_000_000_000, "{now} against {wall}");
    }
}
