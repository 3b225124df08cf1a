//! Waits below the threshold, summed up in the kernel. The kernel's sums only grow while a process lives; what is handed out
//! is the growth since the last time, so that a wait counted meanwhile is never lost.

use std::collections::HashMap;

use aya::maps::{MapData, PerCpuHashMap};
use syncline_bpf::layout::{Short, ShortKey};
use syncline_bpf::{HISTOGRAM_BUCKETS, ShortWaitKey, ShortWaitSum, WaitKind};
use syncline_event::Kind;

use super::binary::Binary;
use super::governing::{Parts, PartsKey};
use super::kernel::stable_keys;
use super::wait::{UNKNOWN_REASON, kind, reason_text};
use crate::governor::ONCE_MILLI;

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
    /// How many times they count, in thousandths: a process that is observed in windows is seen doing a part of what it does.
    pub weight_milli: u32,
    /// Parts of waits that lay in windows, of waits of any length: those that began in one are in `count`, and none in `histogram`.
    pub is_parts: bool,
    /// Number of waits.
    pub count: u64,
    /// Their total length, ns.
    pub total_ns: u64,
    /// Bucket i counts waits of [2^i, 2^(i+1)) ns; the last also counts longer ones.
    pub histogram: [u64; HISTOGRAM_BUCKETS],
}

impl ShortWait {
    /// None for a kind that the kernel side does not have.
    pub(super) fn new(Grown { key, sum, weight_milli }: Grown, binary: Option<&Binary>) -> Option<Self> {
        let what = key.kind?;
        // The kernel side sees parts of those that began before their window alone.
        let is_parts = key.is_parts;
        let (count, histogram) = if is_parts { (0, [0; HISTOGRAM_BUCKETS]) } else { (sum.count, sum.histogram) };
        Some(Self {
            tgid: key.tgid,
            kind: kind(what),
            reason: binary.map_or(UNKNOWN_REASON, |binary| reason_text(binary, what, key.reason)),
            reason_number: key.reason,
            weight_milli,
            is_parts,
            count,
            total_ns: sum.total_ns,
            histogram,
        })
    }

    /// Of parts that were cut off as a window ended.
    pub(super) fn of_parts(
        ((tgid, kind, reason), parts, weight_milli): (PartsKey, Parts, u32),
        binary: Option<&Binary>,
    ) -> Self {
        let what = if kind == Kind::Cgo { WaitKind::Cgo } else { WaitKind::Goroutine };
        Self {
            tgid,
            kind,
            reason: binary.map_or(UNKNOWN_REASON, |binary| reason_text(binary, what, reason)),
            reason_number: reason,
            weight_milli,
            is_parts: true,
            count: parts.began,
            total_ns: parts.total_ns,
            histogram: [0; HISTOGRAM_BUCKETS],
        }
    }
}

/// What was added to a sum, and how many times that counts, in thousandths.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grown {
    pub(super) key: ShortWaitKey,
    pub(super) sum: ShortWaitSum,
    pub(super) weight_milli: u32,
}

/// What has been handed out so far.
#[derive(Debug, Default)]
pub(super) struct ShortWaits {
    taken: HashMap<ShortWaitKey, ShortWaitSum>,
    kept: Vec<Grown>,
}

impl ShortWaits {
    /// Growth of each sum since the last call, but of those processes whose sums are taken otherwise.
    pub(super) fn take(&mut self, kernel: &KernelSums, is_other: impl Fn(u32) -> bool) -> Vec<Grown> {
        self.take_of(kernel, |tgid| !is_other(tgid), ONCE_MILLI);
        std::mem::take(&mut self.kept)
    }

    /// Keeps the growth of these processes' sums for the next [`take`](Self::take), with this weight.
    pub(super) fn take_of(&mut self, kernel: &KernelSums, is_such: impl Fn(u32) -> bool, weight_milli: u32) {
        for key in keys(kernel) {
            if is_such(ShortWaitKey::decode(&key).tgid) {
                let growth = self.growth(kernel, &key);
                self.kept.extend(growth.map(|(key, sum)| Grown { key, sum, weight_milli }));
            }
        }
    }

    /// Keeps the last growth of ended processes for the next [`take`](Self::take) and removes their sums from the kernel.
    pub(super) fn end(
        &mut self,
        kernel: &mut KernelSums,
        is_ended: impl Fn(u32) -> bool,
        weight_milli: impl Fn(u32) -> u32,
    ) {
        for key in keys(kernel) {
            let decoded = ShortWaitKey::decode(&key);
            if is_ended(decoded.tgid) {
                let (growth, weight_milli) = (self.growth(kernel, &key), weight_milli(decoded.tgid));
                self.kept.extend(growth.map(|(key, sum)| Grown { key, sum, weight_milli }));
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
