//! The estimators that ours is compared with.

use anyhow::{Context, Result};
use syncline_peers::Peer;
use syncline_sim::profile::{Score, Trace};

use super::stream::{Scale, Stream};

/// A peer on a clock of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rival {
    pub(super) name: &'static str,
    pub(super) scale: Scale,
}

/// All that are tabled, in the table's order.
pub(super) const RIVALS: [Rival; 11] = [
    Rival { name: "deepflow", scale: Scale::Wall },
    Rival { name: "last-sample", scale: Scale::Wall },
    Rival { name: "mean-64", scale: Scale::Wall },
    Rival { name: "perfetto-mean", scale: Scale::Wall },
    Rival { name: "ntp-filter", scale: Scale::Wall },
    Rival { name: "chrony-like", scale: Scale::Wall },
    Rival { name: "chrony-like", scale: Scale::Raw },
    Rival { name: "ntpd-rs-like", scale: Scale::Raw },
    Rival { name: "radclock-like", scale: Scale::Raw },
    Rival { name: "huygens-like", scale: Scale::Raw },
    Rival { name: "hull", scale: Scale::Raw },
];

impl Rival {
    /// As in the first column.
    pub(super) fn title(self) -> String {
        let clock = match self.scale {
            Scale::Raw => "RAW",
            Scale::Wall => "WALL",
        };
        format!("{} ({clock})", self.name)
    }

    /// A new one that knows nothing.
    ///
    /// # Errors
    /// When there is no peer of this name.
    pub(super) fn peer(self) -> Result<Box<dyn Peer>> {
        let named = syncline_peers::all().into_iter().find(|peer| peer.name() == self.name);
        named.with_context(|| format!("there is no peer {}", self.name))
    }
}

/// The scores of all of them on one run, in their order.
///
/// # Errors
/// When one does not exist.
pub(super) fn scores(trace: &Trace) -> Result<Vec<Score>> {
    let (raw, wall) = (Stream::of(trace, Scale::Raw), Stream::of(trace, Scale::Wall));
    let score = |rival: &Rival| {
        let stream = if rival.scale == Scale::Raw { &raw } else { &wall };
        let mut score = Score::default();
        score.add(trace, &stream.replay(rival.peer()?.as_mut()), &[]);
        Ok(score)
    };
    RIVALS.iter().map(score).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rival_exists() {
        assert!(RIVALS.iter().all(|rival| rival.peer().is_ok()));
        assert!(Rival { name: "nobody", scale: Scale::Raw }.peer().is_err());
    }
}
