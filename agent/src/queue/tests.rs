//! What holds with a shelf and without one, as long as nothing becomes durable there.

use syncline_timebase::BootId;

use super::*;

pub(super) fn entry(number: u64, len: usize) -> Entry {
    let id = BatchId { boot: BootId(1), run_first_seq: 1, number };
    Entry { summed: 5, ..Entry::new(id, vec![7; len].into(), 10) }
}

pub(super) fn numbers(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(Entry::number).collect()
}

/// In memory only, and with a shelf whose disk takes nothing.
fn both(capacity: usize) -> [Queue; 2] {
    let mut failing = Queue::new(capacity).with_shelf(RecordNo(7), RecordNo(7), 1_000);
    drop(failing.begin_writing(usize::MAX));
    failing.end_writing();
    [Queue::new(capacity), failing]
}

#[test]
fn the_oldest_whole_batches_go_when_there_is_no_room() {
    for mut queue in both(100) {
        for number in 1..=3 {
            assert!(queue.push(entry(number, 30)).is_empty());
        }
        assert_eq!(numbers(&queue.push(entry(4, 50))), [1, 2]);
        assert_eq!(queue.bytes(), 80);
    }
}

#[test]
fn a_batch_in_flight_does_not_go_because_it_may_be_stored_already() {
    for mut queue in both(100) {
        for number in 1..=3 {
            assert!(queue.push(entry(number, 30)).is_empty());
        }
        assert_eq!(queue.send_next(16).unwrap().number(), 1);
        assert_eq!(numbers(&queue.push(entry(4, 30))), [2]);
        assert_eq!(numbers(&queue.push(entry(5, 90))), [3, 4, 5]);
        assert!(queue.stored(1));
    }
}

#[test]
fn a_batch_larger_than_the_whole_queue_is_given_back() {
    for mut queue in both(10) {
        assert_eq!(numbers(&queue.push(entry(1, 11))), [1]);
        assert_eq!(queue.bytes(), 0);
    }
}

#[test]
fn the_window_limits_what_is_in_flight_and_acknowledgements_open_it() {
    for mut queue in both(1_000) {
        for number in 1..=3 {
            assert!(queue.push(entry(number, 1)).is_empty());
        }
        assert_eq!(queue.send_next(2).unwrap().number(), 1);
        assert_eq!(queue.send_next(2).unwrap().number(), 2);
        assert!(queue.send_next(2).is_none());
        assert!(queue.stored(2) && !queue.stored(2) && !queue.stored(3));
        assert_eq!(queue.send_next(2).unwrap().number(), 3);
    }
}

#[test]
fn after_a_reconnection_identical_bytes_go_again_from_the_oldest() {
    for mut queue in both(1_000) {
        for number in 1..=3 {
            assert!(queue.push(entry(number, 5)).is_empty());
        }
        let first = [queue.send_next(9).unwrap(), queue.send_next(9).unwrap()];
        queue.reconnected();
        assert_eq!(first, [queue.send_next(9).unwrap(), queue.send_next(9).unwrap()]);
    }
}

#[test]
fn every_wait_has_a_fate() {
    for mut queue in both(40) {
        let mut dropped = 0;
        for number in 0..10 {
            dropped += queue.push(entry(number, 10)).iter().map(|entry| entry.waits).sum::<u64>();
            if number % 3 == 0 {
                let number = queue.send_next(9).unwrap().number();
                assert!(if number.is_multiple_of(2) { queue.stored(number) } else { queue.refused(number) });
            }
        }
        let fate = queue.fate();
        assert_eq!(fate.stored_waits + fate.refused_waits + fate.waiting_waits + dropped, 100);
        assert!(dropped > 0 && fate.refused_waits > 0 && fate.stored_waits > 0);
        assert_eq!(queue.take_refused().len() as u64, fate.refused_batches);
    }
}

#[test]
fn it_is_finished_when_closed_and_empty() {
    for mut queue in both(40) {
        assert!(queue.push(entry(1, 1)).is_empty());
        queue.close();
        assert!(!queue.is_finished());
        queue.send_next(1);
        queue.stored(1);
        assert!(queue.is_finished());
    }
}

#[test]
fn two_of_one_number_are_never_in_flight_together() {
    for mut queue in both(100) {
        let of_boot = |boot| Entry { id: BatchId { boot: BootId(boot), ..entry(1, 1).id }, ..entry(1, 1) };
        assert!(queue.push(of_boot(1)).is_empty() && queue.push(of_boot(2)).is_empty());
        assert_eq!(queue.send_next(9).unwrap().id.boot, BootId(1));
        assert!(queue.send_next(9).is_none(), "it could not be told which one is acknowledged");
        assert!(queue.stored(1));
        assert_eq!(queue.send_next(9).unwrap().id.boot, BootId(2));
    }
}
