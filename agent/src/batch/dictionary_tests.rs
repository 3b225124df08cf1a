use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use syncline_event::Process;
use syncline_timebase::Instant;

use super::*;

/// A binary whose names are as long as the wire allows.
struct LongNames;
impl Symbolizer for LongNames {
    fn symbols(&self, pc: u64) -> Vec<Symbol> {
        let long = || "x".repeat(limits::TEXT_BYTES);
        vec![Symbol { build_id: 7, pc, depth: 0, function: long(), file: long(), line: 1 }]
    }
}

fn wait(pcs: Vec<u64>) -> FinishedWait {
    let text = || "x".to_owned();
    let process =
        Process { pid: 1, service: text(), executable: text(), go_version: text(), build_id: 7, ..Process::default() };
    let times = (Instant::from_ns(1), Instant::from_ns(2));
    FinishedWait::of_goroutine(Arc::new(process), Arc::new(LongNames), times, (1, "select"), pcs)
}

/// A batch that speaks of everything that is noted.
fn take(dictionary: &mut Dictionary, number: u64) -> (Vec<Stack>, Vec<Symbol>) {
    let all = dictionary.noted.clone();
    dictionary.take(number, &all)
}

fn dictionary_with(pcs: std::ops::Range<u64>) -> Dictionary {
    let mut dictionary = Dictionary::default();
    for pc in pcs {
        dictionary.note(&wait(vec![pc]));
    }
    dictionary
}

#[test]
fn a_batch_takes_a_bounded_number_of_bytes_and_the_rest_comes_later() {
    let mut dictionary = dictionary_with(0..2_000);
    let mut told = 0;
    while told < 2_000 {
        let (stacks, symbols) = take(&mut dictionary, 1);
        let bytes: usize = symbols.iter().map(symbol_bytes).sum();
        assert!(!symbols.is_empty() && bytes <= BYTES_PER_BATCH, "{} symbols, {bytes} bytes", symbols.len());
        assert_eq!(stacks.len(), symbols.len(), "a stack goes with its symbols");
        told += symbols.len();
    }
    assert_eq!((told, dictionary.untold_bytes, dictionary.noted.len()), (2_000, 0, 0));
}

#[test]
fn a_stack_without_room_is_told_with_its_next_use() {
    let mut dictionary = dictionary_with(0..MOST_UNTOLD as u64);
    let late = wait(vec![1 << 40]);
    let [id, _] = dictionary.note(&late);
    let tells = |dictionary: &mut Dictionary| {
        let taken = std::iter::from_fn(|| Some(take(dictionary, 1).0).filter(|stacks| !stacks.is_empty()));
        taken.flatten().any(|stack| stack.id == id)
    };
    assert!(!tells(&mut dictionary), "there was room for all of it");
    dictionary.note(&late);
    assert!(tells(&mut dictionary));
}

#[test]
fn what_would_fill_more_than_a_batch_is_told_as_far_as_it_fits() {
    struct Deep;
    impl Symbolizer for Deep {
        fn symbols(&self, pc: u64) -> Vec<Symbol> {
            let symbol = LongNames.symbols(pc).swap_remove(0);
            (0..=u8::MAX).map(|depth| Symbol { depth, ..symbol.clone() }).collect()
        }
    }
    let mut dictionary = Dictionary::default();
    dictionary.note(&FinishedWait { symbolizer: Arc::new(Deep), ..wait(vec![1, 2, 3]) });
    dictionary.note(&wait(vec![3]));
    let (stacks, symbols) = take(&mut dictionary, 1);
    let of = |pc: u64| symbols.iter().filter(|symbol| symbol.pc == pc).count();
    assert_eq!((stacks.len(), of(1), of(2)), (2, 256, 0));
    assert_eq!(of(3), 1, "what was left out is told with another stack");
}

#[test]
fn what_is_known_is_bounded_and_then_noted_again() {
    let stack_of = |pc: u64| (0..127).map(|frame| pc << 8 | frame).collect::<Vec<_>>();
    let mut dictionary = Dictionary::default();
    for pc in 0..40_000 {
        dictionary.note_stack(7, &(Arc::new(Nothing) as _), &stack_of(pc));
        if pc % 1_000 == 0 {
            while !take(&mut dictionary, 1).0.is_empty() {}
            assert!(dictionary.known_bytes <= MOST_KNOWN_BYTES + (2 << 20), "{}", dictionary.known_bytes);
        }
    }
    assert!(!dictionary.known.contains_key(&Stack::id_of(7, &stack_of(0))));
    assert!(dictionary.to_ask.len() <= 1_000, "what is told is not asked any more");
}

/// A binary that counts how often it is asked.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Symbolizer for Counting {
    fn symbols(&self, pc: u64) -> Vec<Symbol> {
        self.0.fetch_add(1, Ordering::Relaxed);
        vec![Symbol { build_id: 7, pc, depth: 0, function: format!("f{pc}"), file: "main.go".into(), line: 1 }]
    }
}

/// A dictionary and the binary of what is noted.
#[derive(Default)]
struct Told {
    dictionary: Dictionary,
    binary: Arc<Counting>,
    batches: u64,
}

impl Told {
    fn note(&mut self, pcs: &[u64]) -> StackId {
        self.dictionary.note_stack(7, &(Arc::clone(&self.binary) as _), pcs)
    }

    /// Stacks and symbols of the next batch.
    fn batch(&mut self) -> (usize, usize) {
        self.batches += 1;
        let (stacks, symbols) = take(&mut self.dictionary, self.batches);
        (stacks.len(), symbols.len())
    }

    /// Asks what there is to ask; the store has these.
    fn asks(&mut self, has: &[StackId]) -> Option<Question> {
        let question = self.dictionary.question()?;
        self.dictionary.answered(&question, |place| has.contains(&question.stacks[place]));
        Some(question)
    }

    fn looked_up(&self) -> usize {
        self.binary.0.load(Ordering::Relaxed)
    }
}

#[test]
fn what_the_store_has_is_neither_told_nor_looked_up() {
    let mut told = Told::default();
    let [there, new] = [told.note(&[1, 2]), told.note(&[1, 3])];
    let question = told.asks(&[there]).unwrap();
    assert_eq!((question.again, HashSet::from_iter(question.stacks)), (0, HashSet::from([there, new])));
    assert_eq!((told.batch(), told.looked_up()), ((1, 1), 1), "of the other stack, what is not in the first");
    told.note(&[1, 2]);
    assert_eq!((told.batch(), told.asks(&[])), ((0, 0), None));
}

#[test]
fn without_an_answer_everything_is_told_once_and_a_late_one_changes_nothing() {
    let mut told = Told::default();
    told.note(&[1, 2]);
    let question = told.dictionary.question().unwrap();
    assert_eq!(told.batch(), (1, 2));
    told.dictionary.answered(&question, |_| false);
    told.note(&[1, 2]);
    assert_eq!((told.batch(), told.dictionary.question()), ((0, 0), None));
}

#[test]
fn what_was_told_before_it_was_asked_for_is_not_asked() {
    let mut told = Told::default();
    told.note(&[1, 2]);
    assert_eq!((told.batch(), told.dictionary.question()), ((1, 2), None));
}

#[test]
fn what_the_store_has_lost_is_told_again_with_its_symbols_also_if_it_is_not_used_again() {
    let mut told = Told::default();
    let ids = [told.note(&[1, 2]), told.note(&[1, 3]), told.note(&[1, 4])];
    told.asks(&ids[..1]);
    assert_eq!(told.batch(), (2, 2));
    told.dictionary.ask_again(None);
    assert_eq!(told.asks(&ids).map(|question| question.again), Some(3));
    assert_eq!(told.batch(), (0, 0), "it has lost nothing");
    told.dictionary.ask_again(None);
    told.asks(&ids[2..]);
    assert_eq!(told.batch(), (2, 3));
    assert_eq!((told.batch(), told.asks(&[])), ((0, 0), None));
}

#[test]
fn what_is_on_its_way_is_not_asked_for_again() {
    let mut told = Told::default();
    let first = told.note(&[1]);
    told.batch();
    told.note(&[2]);
    told.batch();
    told.dictionary.ask_again(Some(2));
    assert_eq!(told.asks(&[]).unwrap().stacks, [first]);
    assert_eq!(told.batch(), (1, 1));
}

#[test]
fn many_stacks_are_asked_for_in_many_questions() {
    let mut told = Told::default();
    let count = limits::ASKED_STACKS as u64 * 2 + 1;
    (1..=count).for_each(|pc| {
        told.note(&[pc]);
    });
    let asked: Vec<_> = std::iter::from_fn(|| told.asks(&[])).map(|question| question.stacks.len()).collect();
    assert_eq!(asked, [limits::ASKED_STACKS, limits::ASKED_STACKS, 1]);
}

#[test]
fn of_a_program_that_has_ended_the_stack_is_told_without_symbols() {
    let mut told = Told::default();
    told.note(&[1]);
    assert_eq!(told.batch(), (1, 1));
    told.binary = Arc::default();
    told.dictionary.ask_again(None);
    told.asks(&[]);
    assert_eq!(told.batch(), (1, 0));
    told.note(&[1, 2]);
    assert_eq!(told.batch(), (1, 2), "another program of the build tells them");
}

#[test]
fn what_no_wait_of_the_batch_speaks_of_has_until_the_next_to_be_answered() {
    let mut told = Told::default();
    let [there, new] = [told.note(&[1]), told.note(&[2])];
    assert_eq!(told.dictionary.take(1, &HashSet::new()).0, []);
    told.asks(&[there]);
    assert_eq!(
        told.dictionary.take(2, &HashSet::from([there])).0,
        [Stack::new(7, vec![2])],
        "at the latest, whoever speaks of it"
    );
    assert!(told.dictionary.known.contains_key(&new));
}
