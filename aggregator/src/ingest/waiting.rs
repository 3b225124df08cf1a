//! What is acknowledged and not stored yet, for people: in the log, in metrics, and in a file of the spool that `status` reads.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Beside the spool's segments.
const FILE: &str = "waiting.json";
/// The store is behind where a batch waits for so long.
const BEHIND: Duration = Duration::from_secs(10);
/// Whoever runs says how it stands more often than that.
const SILENT: Duration = Duration::from_secs(30);

/// What waits to be stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Batches that are acknowledged and not stored.
    pub batches: u64,
    /// How long the oldest of them waits, ms.
    pub oldest_ms: u64,
    /// What the spool takes of the disk, bytes.
    pub spool_bytes: u64,
    /// What it may take, bytes.
    pub limit_bytes: u64,
    /// Why nothing can be acknowledged at present.
    pub trouble: Option<String>,
}

impl Waiting {
    /// Whether somebody should know.
    pub fn is_behind(&self) -> bool {
        u128::from(self.oldest_ms) >= BEHIND.as_millis() || self.trouble.is_some()
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batches, oldest_ms, spool_bytes, limit_bytes, trouble } = self;
        let (oldest_s, mib, limit_mib) = (*oldest_ms as f64 / 1e3, spool_bytes >> 20, limit_bytes >> 20);
        write!(f, "batches={batches} oldest_s={oldest_s:.1} spool_mib={mib} limit_mib={limit_mib}")?;
        match trouble {
            Some(trouble) => write!(f, " nothing is acknowledged: {trouble}"),
            None => Ok(()),
        }
    }
}

/// What the aggregator of a spool said last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Since 1970, ms.
    at_ms: u64,
    /// Whether it was to go on.
    runs: bool,
    waiting: Waiting,
}

impl Said {
    pub(crate) fn new(waiting: Waiting, runs: bool, now: SystemTime) -> Self {
        Self { at_ms: since_1970_ms(now), runs, waiting }
    }

    /// Writes it to the spool in `dir`. Nothing depends on it, so that it need not be durable.
    pub(crate) fn save(&self, dir: &Path) -> io::Result<()> {
        let (file, written) = (dir.join(FILE), dir.join(format!("{FILE}.new")));
        std::fs::write(&written, serde_json::to_vec(self)?)?;
        std::fs::rename(written, file)
    }

    /// What was said in the spool in `dir`; none where there is no spool, or nobody has said anything.
    ///
    /// # Errors
    /// It cannot be read, or is of another version.
    pub fn read(dir: &Path) -> io::Result<Option<Self>> {
        match std::fs::read(dir.join(FILE)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How it stands, in a line.
    pub fn shown(&self, now: SystemTime) -> String {
        let age_s = self.age(now).as_secs();
        let how = if self.runs { "said" } else { "ended" };
        format!("{} {how}_s_ago={age_s}", self.waiting)
    }

    /// What somebody should do something about.
    pub fn concern(&self, now: SystemTime) -> Option<String> {
        let Waiting { batches, trouble, .. } = &self.waiting;
        let (age, waits) = (self.age(now), format!("{batches} acknowledged batches wait in its spool"));
        if self.runs && age >= SILENT {
            let silent = age.as_secs();
            return Some(format!("the aggregator was killed or hangs, it is silent for {silent} s: {waits}, start it"));
        }
        match (self.runs, trouble) {
            (false, _) if *batches > 0 => Some(format!("the aggregator has ended, and {waits}: start it")),
            (true, Some(trouble)) => Some(format!("the aggregator acknowledges nothing: {trouble}")),
            (true, None) if self.waiting.is_behind() => Some(format!("the store is behind: {waits}")),
            _ => None,
        }
    }

    fn age(&self, now: SystemTime) -> Duration {
        Duration::from_millis(since_1970_ms(now).saturating_sub(self.at_ms))
    }
}

fn since_1970_ms(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn what_was_said_is_read_back_and_judged() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Said::read(dir.path()).unwrap(), None);
        let fine = Waiting { batches: 3, oldest_ms: 90, spool_bytes: 5 << 20, limit_bytes: 64 << 20, trouble: None };
        let said = Said::new(fine.clone(), true, at(100));
        said.save(dir.path()).unwrap();
        assert_eq!(Said::read(dir.path()).unwrap().as_ref(), Some(&said));
        assert_eq!(said.shown(at(104)), "batches=3 oldest_s=0.1 spool_mib=5 limit_mib=64 said_s_ago=4");
        assert_eq!(said.concern(at(104)), None);
        let concern = |said: Said, now| said.concern(at(now)).unwrap();
        assert!(concern(said, 200).contains("silent for 100 s: 3 acknowledged batches"));
        assert!(concern(Said::new(fine.clone(), false, at(100)), 101).contains("has ended, and 3"));
        let ended = Waiting { batches: 0, ..fine.clone() };
        assert_eq!(Said::new(ended, false, at(100)).concern(at(9_000)), None);
        let late = Waiting { oldest_ms: 10_000, ..fine.clone() };
        assert!(concern(Said::new(late, true, at(100)), 101).contains("the store is behind"));
        let full = Waiting { trouble: Some("it is full".to_owned()), ..fine };
        assert!(concern(Said::new(full, true, at(100)), 101).contains("nothing: it is full"));
        std::fs::write(dir.path().join(FILE), "{}").unwrap();
        assert!(Said::read(dir.path()).is_err());
    }
}
