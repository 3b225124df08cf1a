//! What this aggregator's reference and those of others are to one another, for nodes that come from there.
//!
//! `region_clock` measures, and leaves its newest model here; a node whose probes begin to speak of this reference has its own
//! model handed over along it. They are kept in the state directory, where the reference itself has its anchor: one is of no use without the other.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use syncline_clock::{NodeClock, Tolerance};

use crate::pipeline::{FIRST_SAVE, LONGEST_SAVE};
use crate::state_file;
use crate::stopping::Stopping;

/// References kept: those that are gone stay for the nodes that have not come over yet.
const KEPT: usize = 32;
const FILE: &str = "links.bin";

/// Models of other references by this one.
#[derive(Debug)]
pub(crate) struct Links {
    /// The run of this reference.
    own: u64,
    /// The one least lately measured first.
    links: Mutex<Vec<Link>>,
    /// There is something to be saved.
    has_news: AtomicBool,
}

#[derive(Debug)]
struct Link {
    run: u64,
    /// The other reference as REF, this one as MONO.
    model: Arc<NodeClock>,
}

impl Links {
    /// None yet that lead to the reference of run `own`.
    pub(crate) fn to(own: u64) -> Self {
        Self { own, links: Mutex::default(), has_news: AtomicBool::new(false) }
    }

    /// Those to the reference of run `own` that are in the state directory: of this boot, of this version, and under this tolerance.
    pub(crate) fn recalled(own: u64, state_dir: &Path, tolerance: Tolerance) -> Self {
        let links = Self::to(own);
        // Where there is no file there were none, and one that cannot be read is as good.
        let bytes = std::fs::read(state_dir.join(FILE)).unwrap_or_default();
        let found = decode(&bytes, own);
        for (run, snapshot) in &found {
            match NodeClock::restore(snapshot) {
                Ok(model) if model.tolerance() == tolerance => links.put(*run, model),
                Ok(_) => tracing::info!(
                    "a link to another reference was measured under another --clock-tolerance-ppm: it begins anew"
                ),
                Err(why) => tracing::info!(%why, "a link to another reference cannot be read"),
            }
        }
        links.has_news.store(false, Ordering::Relaxed);
        links
    }

    /// The model of the reference of `run`, if it was measured lately.
    pub(crate) fn model(&self, run: u64) -> Option<NodeClock> {
        let model = self.lock().iter().find(|link| link.run == run).map(|link| Arc::clone(&link.model))?;
        Some(NodeClock::clone(&model))
    }

    /// Saves all, if there is something new.
    fn save(&self, state_dir: &Path) -> std::io::Result<()> {
        if !self.has_news.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        // Whoever measures does not wait for it.
        let links: Vec<(u64, Arc<NodeClock>)> =
            self.lock().iter().map(|link| (link.run, Arc::clone(&link.model))).collect();
        let links = links.iter().map(|(run, model)| (*run, model.snapshot()));
        let saved = state_file::save(state_dir, FILE, &encode(self.own, links));
        if saved.is_err() {
            self.has_news.store(true, Ordering::Relaxed);
        }
        saved
    }

    /// The newest model of the reference of `run`.
    pub(crate) fn put(&self, run: u64, model: NodeClock) {
        let mut links = self.lock();
        links.retain(|link| link.run != run);
        links.push(Link { run, model: Arc::new(model) });
        let surplus = links.len().saturating_sub(KEPT);
        links.drain(..surplus);
        self.has_news.store(true, Ordering::Relaxed);
    }

    /// The model of a node by the reference of run `from`, as it goes on by that of run `to`; `None` where nothing leads there. (Batches
    /// that were not acknowledged by yet another aggregator speak of that one's reference, and links lead to this one's alone.)
    pub(crate) fn hand_over(&self, clock: &NodeClock, [from, to]: [u64; 2]) -> Option<NodeClock> {
        if to != self.own {
            return None;
        }
        // Whoever measures does not wait for it.
        let link = self.lock().iter().find(|link| link.run == from).map(|link| Arc::clone(&link.model))?;
        clock.handed_over(&link)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Saves the links in the state directory now and then, soon after a start more often, and as it is told to stop.
pub(crate) async fn keep(links: Arc<Links>, state_dir: PathBuf, stopping: Stopping) {
    let (mut pause, mut is_failing) = (FIRST_SAVE, false);
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => (),
            () = stopping.clone().wanted() => (),
        }
        pause = (2 * pause).min(LONGEST_SAVE);
        let (links, state_dir) = (Arc::clone(&links), state_dir.clone());
        let saved = tokio::task::spawn_blocking(move || links.save(&state_dir)).await;
        if let Ok(Err(error)) = &saved
            && !is_failing
        {
            tracing::warn!(%error, "links to other references cannot be kept in --state-dir: after a restart they begin anew");
        }
        is_failing = matches!(saved, Ok(Err(_)));
        if stopping.is_wanted() {
            return;
        }
    }
}

/// The run of the own reference, and of each link the run of the other and the model with its length; numbers little-endian.
fn encode(own: u64, links: impl Iterator<Item = (u64, Vec<u8>)>) -> Vec<u8> {
    let mut bytes = own.to_le_bytes().to_vec();
    for (run, snapshot) in links {
        bytes.extend(run.to_le_bytes());
        bytes.extend((snapshot.len() as u64).to_le_bytes());
        bytes.extend(snapshot);
    }
    bytes
}

/// The links to `own`; none of a file of another run of it, and none of what is cut off.
fn decode(bytes: &[u8], own: u64) -> Vec<(u64, &[u8])> {
    let mut links = Vec::new();
    let Some((_, mut rest)) = bytes.split_first_chunk().filter(|(run, _)| u64::from_le_bytes(**run) == own) else {
        return links;
    };
    while let Some((run, after)) = rest.split_first_chunk()
        && let Some((length, after)) = after.split_first_chunk()
        && let Some((snapshot, after)) =
            usize::try_from(u64::from_le_bytes(*length)).ok().and_then(|length| after.split_at_checked(length))
    {
        links.push((u64::from_le_bytes(*run), snapshot));
        rest = after;
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_lately_measured_gives_way() {
        let (links, model) = (Links::to(7), || NodeClock::of_oscillator(Tolerance::default()));
        links.put(1_000, model());
        for run in 0..KEPT as u64 - 1 {
            links.put(run, model());
        }
        links.put(1_000, model());
        links.put(2_000, model());
        let runs: Vec<u64> = links.lock().iter().map(|link| link.run).collect();
        assert_eq!(runs.len(), KEPT);
        assert!(runs.contains(&1_000) && runs.contains(&2_000) && !runs.contains(&0), "{runs:?}");
        assert!(links.hand_over(&model(), [0, 7]).is_none());
    }

    #[test]
    fn what_is_kept_is_recalled_by_the_same_run_alone_and_what_is_cut_off_is_not() {
        let (dir, tolerance) = (tempfile::tempdir().unwrap(), Tolerance::default());
        let links = Links::to(7);
        links.save(dir.path()).unwrap();
        assert!(!dir.path().join(FILE).exists(), "there is nothing to be saved");
        [11, 12].into_iter().for_each(|run| links.put(run, NodeClock::of_oscillator(tolerance)));
        links.save(dir.path()).unwrap();
        let runs = |own: u64, tolerance| {
            let recalled = Links::recalled(own, dir.path(), tolerance);
            assert!(!recalled.has_news.load(Ordering::Relaxed));
            [11, 12, 13].map(|run| recalled.model(run).is_some())
        };
        assert_eq!(runs(7, tolerance), [true, true, false]);
        assert_eq!(runs(8, tolerance), [false; 3], "another boot");
        let other = Tolerance { absolute: syncline_timebase::FrequencyError::from_ppm(7.0), ..tolerance };
        assert_eq!(runs(7, other), [false; 3]);
        let bytes = std::fs::read(dir.path().join(FILE)).unwrap();
        for length in 0..bytes.len() {
            std::fs::write(dir.path().join(FILE), &bytes[..length]).unwrap();
            assert!(!runs(7, tolerance)[1], "{length} bytes");
        }
    }

    #[tokio::test]
    async fn told_to_stop_it_saves_what_is_new() {
        let (dir, (stop, stopping)) = (tempfile::tempdir().unwrap(), crate::stopping::stop());
        let links = Arc::new(Links::to(7));
        links.put(11, NodeClock::of_oscillator(Tolerance::default()));
        stop.now();
        keep(links, dir.path().to_owned(), stopping).await;
        assert!(Links::recalled(7, dir.path(), Tolerance::default()).model(11).is_some());
    }
}
