//! Waits below the threshold, summed up in the kernel. The kernel's sums only grow while a process lives; what is handed out
//! is the growth since the last time, so that a wait counted meanwhile is never lost.

use std::collections::HashMap;

use aya::maps::{MapData, PerCpuHashMap};
use syncline_bpf::layout::{Short, ShortKey};
use syncline_bpf::{HISTOGRAM_BUCKETS, ShortWaitKey, ShortWaitSum};
use syncline_event::Kind;

use super::binary::Binary;
use super::kernel::stable_keys;
use super::wait::{UNKNOWN_REASON, kind, reason_text};

type KernelSums = PerCpuHashMap<MapData, [u8; size_of::<ShortKey>()], [u8; size_of::<Short>()]>;

/// Entries of the kernel's map, and some room for a restarted iteration.
const MAX_STEPS: usize = 4 * 16_384;

/// Waits of one process for one reason, each shorter than the threshold, since they were last taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShortWait {
    /// Process id.
    pub tgid: u32,
    /// What waited.
    pub kind: Kind,
    /// As [`RawWait::reason`](super::RawWait::reason).
    pub reason: &'static str,
    /// As [`RawWait::reason_number`](super::RawWait::reason_number).
    pub reason_number: u16,
    /// Number of waits.
    pub count: u64,
    /// Their total length, ns.
    pub total_ns: u64,
    /// Bucket i counts waits of [2^i, 2^(i+1)) ns; the last also counts longer ones.
    pub histogram: [u64; HISTOGRAM_BUCKETS],
}

impl ShortWait {
    /// None for a kind that the kernel side does not have.
    pub(super) fn new(key: ShortWaitKey, sum: ShortWaitSum, binary: Option<&Binary>) -> Option<Self> {
        let what = key.kind?;
        Some(Self {
            tgid: key.tgid,
            kind: kind(what),
            reason: binary.map_or(UNKNOWN_REASON, |binary| reason_text(binary, what, key.reason)),
            reason_number: key.reason,
            count: sum.count,
            total_ns: sum.total_ns,
            histogram: sum.histogram,
        })
    }
}

/// What has been handed out so far.
#[derive(Debug, Default)]
pub(super) struct ShortWaits {
    taken: HashMap<ShortWaitKey, ShortWaitSum>,
    of_ended: Vec<(ShortWaitKey, ShortWaitSum)>,
}

impl ShortWaits {
    /// Growth of each sum since the last call.
    pub(super) fn take(&mut self, kernel: &KernelSums) -> Vec<(ShortWaitKey, ShortWaitSum)> {
        let mut grown = std::mem::take(&mut self.of_ended);
        for key in keys(kernel) {
            grown.extend(self.growth(kernel, &key));
        }
        grown
    }

    /// Keeps the last growth of ended processes for the next [`take`](Self::take) and removes their sums from the kernel.
    pub(super) fn end(&mut self, kernel: &mut KernelSums, is_ended: impl Fn(u32) -> bool) {
        for key in keys(kernel) {
            let decoded = ShortWaitKey::decode(&key);
            if is_ended(decoded.tgid) {
                let growth = self.growth(kernel, &key);
                self.of_ended.extend(growth);
                self.taken.remove(&decoded);
                // Fails only if it is gone already.
                let _ = kernel.remove(&key);
            }
        }
    }

    fn growth(
        &mut self,
        kernel: &KernelSums,
        key: &[u8; size_of::<ShortKey>()],
    ) -> Option<(ShortWaitKey, ShortWaitSum)> {
        let per_cpu = kernel.get(key, 0).ok()?;
        let now = per_cpu.iter().map(ShortWaitSum::decode).fold(ShortWaitSum::default(), |sum, one| sum.plus(&one));
        let key = ShortWaitKey::decode(key);
        let before = self.taken.insert(key, now).unwrap_or_default();
        (now != before).then(|| (key, now.since(&before)))
    }
}

/// Only user space removes from this map, so an iteration does not restart; the bound is for safety.
fn keys(kernel: &KernelSums) -> Vec<[u8; size_of::<ShortKey>()]> {
    stable_keys(kernel.keys(), MAX_STEPS).unwrap_or_default()
}
