//! Runs over many seeds on all cores, with results that do not depend on which is ready first.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// Works on each seed and merges what comes of them in the order of the seeds.
pub(in crate::bench) fn each<R: Send>(seeds: &[u64], work: impl Fn(u64) -> R + Sync, mut merge: impl FnMut(R)) {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (next, (sender, receiver)) = (AtomicUsize::new(0), mpsc::channel());
    thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, next, work) = (sender.clone(), &next, &work);
            scope.spawn(move || {
                while let Some((place, seed)) = take(next, seeds) {
                    // Nobody hears it any more only if the merging thread is gone, and this one with it.
                    let _ = sender.send((place, work(seed)));
                }
            });
        }
        drop(sender);
        let (mut early, mut due) = (BTreeMap::new(), 0);
        for (place, result) in receiver {
            early.insert(place, result);
            while let Some(result) = early.remove(&due) {
                merge(result);
                due += 1;
            }
        }
    });
}

fn take(next: &AtomicUsize, seeds: &[u64]) -> Option<(usize, u64)> {
    let place = next.fetch_add(1, Ordering::Relaxed);
    seeds.get(place).map(|seed| (place, *seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_seeds() {
        let seeds: Vec<u64> = (10..60).collect();
        let slow_first = |seed: u64| {
            thread::sleep(std::time::Duration::from_micros(if seed % 7 == 3 { 900 } else { 10 }));
            seed
        };
        let mut merged = Vec::new();
        each(&seeds, slow_first, |seed| merged.push(seed));
        assert_eq!(merged, seeds);
    }
}
