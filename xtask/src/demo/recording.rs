//! A recorded run of the demo, for machines where the kernel cannot be asked: what the agents sent, byte by byte, what
//! the regions knew of each other's clocks, the services' journals, and the truth.

use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::fleet::Directories;
use super::knots::Knots;
use super::plan::{REGIONS, Region};
use super::truth::Truth;
use super::{Ran, store::Store};
use crate::{place, process};

/// The directory of a recording.
pub(crate) struct Recording(PathBuf);

/// `truth.json`.
#[derive(Deserialize, Serialize)]
struct Kept {
    clocks: Vec<String>,
    knots: Knots,
    root_anchor_ns: i64,
    observed: Range<i64>,
}

const TRUTH: &str = "truth.json";
const REGION_CLOCK: &str = "region_clock.jsonl";

impl Recording {
    /// The recording that comes with the source.
    pub(crate) fn of_the_tree() -> Self {
        Self(place::workspace().join("demo").join("recordings"))
    }

    /// # Errors
    /// When the directory cannot be created.
    pub(crate) fn create(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(Self(dir.to_owned()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What the agent of the region recorded.
    pub(crate) fn batches(&self, region: &Region) -> PathBuf {
        self.0.join(format!("{}.rec", region.name))
    }

    /// The region's journal, compressed.
    fn journal(&self, region: &Region) -> PathBuf {
        self.0.join(format!("{}.jsonl.gz", region.name))
    }

    /// Puts the journals where a live run would have written them.
    ///
    /// # Errors
    /// When they cannot be read or written.
    pub(crate) fn unpack_journals(&self, dirs: &Directories) -> Result<()> {
        let unpack = |region| gzip(&["-dc"], &self.journal(region), &dirs.journal(region));
        REGIONS.iter().try_for_each(unpack)
    }

    /// The maps between the regions' clocks, one row a line.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) fn region_clock(&self) -> Result<String> {
        read(&self.0.join(REGION_CLOCK))
    }

    /// Keeps what a live run left, beside what the agents have recorded themselves.
    ///
    /// # Errors
    /// When something cannot be read or written.
    pub(crate) async fn keep(&self, ran: &Ran, dirs: &Directories, store: &Store<'_>) -> Result<()> {
        for region in &REGIONS {
            gzip(&["-9nc"], &dirs.journal(region), &self.journal(region))?;
        }
        let rows =
            store.text(&["sql", "--format", "jsonl", "SELECT * EXCEPT (created) FROM region_clock FINAL"]).await?;
        fs::write(self.0.join(REGION_CLOCK), rows)?;
        let kept = Kept {
            clocks: ran.truth.clocks.iter().map(ToString::to_string).collect(),
            knots: ran.truth.knots.clone(),
            root_anchor_ns: ran.truth.root_anchor_ns,
            observed: ran.observed.clone(),
        };
        fs::write(self.0.join(TRUTH), serde_json::to_vec(&kept)?)?;
        Ok(())
    }

    /// The truth about the recorded run.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub(crate) fn ran(&self) -> Result<Ran> {
        let path = self.0.join(TRUTH);
        let kept: Kept =
            serde_json::from_str(&read(&path)?).with_context(|| format!("{} is damaged", path.display()))?;
        let clocks = kept.clocks.iter().map(|text| Ok(text.parse()?)).collect::<Result<Vec<_>>>()?;
        let truth = Truth { clocks, knots: kept.knots, root_anchor_ns: kept.root_anchor_ns };
        Ok(Ran { truth, observed: kept.observed, questions: None })
    }
}

fn gzip(words: &[&str], from: &Path, to: &Path) -> Result<()> {
    let output = File::create(to).with_context(|| format!("cannot write {}", to.display()))?;
    process::run(Command::new("gzip").args(words).arg(from).stdout(output))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read the recording {}", path.display()))
}
