use super::super::samples;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn stack(pcs: &[u64]) -> Stack {
    Stack::new(7, pcs.to_vec())
}

fn batch(stacks: &[Stack], named: &[u64]) -> Batch {
    let symbol = |pc: &u64| Symbol {
        build_id: 7,
        pc: *pc,
        depth: 0,
        function: "main.f".to_owned(),
        file: String::new(),
        line: 1,
    };
    Batch { stacks: stacks.to_vec(), symbols: named.iter().map(symbol).collect(), ..samples::batch("n", 1) }
}

/// Stores a batch as the pipeline does; gives the places of the stacks, and the number of symbols, of which rows were written.
fn store(believed: &Believed, batch: &Batch, now: Instant) -> (Vec<usize>, usize) {
    let (places, rows): (Vec<_>, Vec<_>) = believed.untold_stacks(batch, now).into_iter().unzip();
    let symbols: Vec<u64> = believed.untold_symbols(batch, now).into_iter().map(|(_, key)| key).collect();
    believed.stored(&rows, &symbols, &believed.unknown_stacks(batch, now), now);
    (places, symbols.len())
}

fn knows(believed: &Believed, stack: &Stack, now: Instant) -> bool {
    believed.unknown(&[stack.id.0], now).is_empty()
}

#[test]
fn a_stack_without_all_names_has_its_row_written_once_and_is_known_once_they_are_told() {
    let (believed, now) = (Believed::new(100), Instant::now());
    let (whole, half) = (stack(&[1, 2]), stack(&[1, 3]));
    let told = batch(&[whole.clone(), half.clone()], &[1, 2]);
    assert_eq!(store(&believed, &told, now), (vec![0, 1], 2));
    assert!(knows(&believed, &whole, now) && !knows(&believed, &half, now));
    assert_eq!(store(&believed, &told, now), (vec![], 0), "by another agent that cannot name it either");
    assert!(!knows(&believed, &half, now));
    assert_eq!(store(&believed, &batch(std::slice::from_ref(&half), &[3]), now), (vec![], 1), "only what was missing");
    assert!(knows(&believed, &half, now));
}

#[test]
fn what_was_looked_for_in_vain_is_looked_for_again_some_seconds_later_and_told_meanwhile() {
    let (believed, now) = (Believed::new(100), Instant::now());
    let half = stack(&[1, 3]);
    let id = half.id.0;
    let wanted = |now| believed.to_look_for(&believed.unknown(&[id, 9], now), now);
    assert_eq!(wanted(now), [id, 9]);
    believed.looked(&[id, 9], &HashSet::from([9]), now);
    assert_eq!(wanted(now), <[u64; 0]>::default(), "9 is known, and the other was looked for");
    assert!(!knows(&believed, &half, now), "so it is told");
    assert_eq!(wanted(now + MISSED_FOR), [id]);
    // It is told before that: by whoever can name it.
    store(&believed, &batch(std::slice::from_ref(&half), &[1, 3]), now);
    assert!(knows(&believed, &half, now));
}

/// Else a row that is lost would be believed in for another hour by those who name it.
#[test]
fn a_stack_is_not_known_for_longer_than_its_row() {
    let (believed, start) = (Believed::new(100), Instant::now());
    let half = stack(&[1, 3]);
    store(&believed, &batch(std::slice::from_ref(&half), &[1]), start);
    let late = start + SEEN_FOR / 2 + SECOND;
    store(&believed, &batch(std::slice::from_ref(&half), &[1, 3]), late);
    assert!(knows(&believed, &half, late));
    assert!(!knows(&believed, &half, start + SEEN_FOR + SECOND));
    let again = batch(&[half], &[]);
    assert_eq!(believed.untold_stacks(&again, start + SEEN_FOR + SECOND).len(), 1);
}

#[test]
fn a_stack_that_was_found_is_not_written_again() {
    let (believed, now) = (Believed::new(100), Instant::now());
    let found = stack(&[1]);
    believed.looked(&[found.id.0], &HashSet::from([found.id.0]), now);
    assert!(knows(&believed, &found, now));
    assert_eq!(store(&believed, &batch(&[found], &[]), now), (vec![], 0));
}
