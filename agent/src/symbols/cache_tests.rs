use std::fs;
use std::process::{Command, Stdio};

use super::super::file::tests::{BUILD, symbols};
use super::*;

fn open(path: &Path) -> SymbolCache {
    SymbolCache::open(path, 1 << 20).unwrap()
}

/// Asks for addresses; those that are not in the cache are found.
fn ask(cache: &SymbolCache, pcs: std::ops::Range<u64>) {
    for (pc, expected) in symbols(pcs) {
        assert_eq!(cache.symbols(BUILD, "me", pc, || expected.clone()), expected);
    }
}

fn counts(looked_up: u64, cached: u64, refused: u64, unwritten: u64) -> SymbolCounts {
    SymbolCounts { looked_up, cached, refused, unwritten }
}

#[test]
fn what_was_looked_up_is_there_after_a_restart_without_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path());
    ask(&cache, 0..10);
    ask(&cache, 0..10);
    assert_eq!(cache.counts(), counts(10, 10, 0, 0));
    cache.write_all();
    let cache = open(dir.path());
    for (pc, expected) in symbols(0..10) {
        assert_eq!(cache.symbols(BUILD, "me", pc, || panic!("its file is gone")), expected);
    }
    assert_eq!(cache.symbols(BUILD, "me", 99, Vec::new), []);
    assert_eq!(
        cache.symbols(BUILD, "me", 99, || symbols(99..100).remove(&99).unwrap()).len(),
        1,
        "it is asked for again"
    );
    assert_eq!(cache.symbols(BUILD, "you", 1, Vec::new), [], "another build of the same number");
    assert_eq!(cache.counts(), counts(3, 10, 1, 0));
}

#[test]
fn it_is_written_some_time_after_something_new() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path());
    ask(&cache, 0..10);
    let (now, file) = (Instant::now(), cache.folder.file(BUILD));
    cache.write_due(now);
    assert!(!file.exists());
    cache.write_due(now + WRITE_AFTER);
    assert!(file.exists());
    fs::remove_file(&file).unwrap();
    cache.write_due(now + WRITE_AFTER * 10);
    assert!(!file.exists(), "there is nothing new");
}

#[test]
fn a_file_cut_anywhere_is_refused_counted_and_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path());
    ask(&cache, 0..8);
    cache.write_all();
    let file = cache.folder.file(BUILD);
    let whole = fs::read(&file).unwrap();
    for length in 0..whole.len() {
        fs::write(&file, &whole[..length]).unwrap();
        let cache = open(dir.path());
        ask(&cache, 0..8);
        cache.write_all();
        assert_eq!(cache.counts(), counts(8, 0, 1, 0), "cut at {length}");
        assert_eq!(fs::read(&file).unwrap(), whole);
    }
}

#[test]
fn two_agents_in_one_directory_find_what_either_has_looked_up() {
    let dir = tempfile::tempdir().unwrap();
    let [one, other] = [open(dir.path()), open(dir.path())];
    ask(&one, 0..10);
    ask(&other, 5..20);
    one.write_all();
    other.write_all();
    let third = open(dir.path());
    ask(&third, 0..20);
    assert_eq!(third.counts(), counts(0, 20, 0, 0));
}

#[test]
fn agents_that_write_at_once_leave_a_whole_file() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for agent in 0..4 {
            let path = dir.path();
            scope.spawn(move || {
                for round in 0..50 {
                    let cache = open(path);
                    ask(&cache, agent * 1_000 + round..agent * 1_000 + round + 10);
                    cache.write_all();
                    let counts = cache.counts();
                    assert_eq!((counts.refused, counts.unwritten), (0, 0), "{counts:?}");
                }
            });
        }
    });
    assert!(open(dir.path()).folder.read(BUILD, "me").is_ok_and(|symbols| symbols.len() >= 10));
}

#[test]
fn a_directory_that_cannot_be_written_costs_nothing_but_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cache");
    let cache = open(&path);
    ask(&cache, 0..5);
    fs::remove_dir_all(&path).unwrap();
    cache.write_all();
    ask(&cache, 0..5);
    assert_eq!(cache.counts(), counts(5, 5, 0, 1));
    fs::write(&path, b"").unwrap();
    assert!(SymbolCache::open(&path, 1).is_err());
}

/// Symbols of an address that take about as many bytes.
fn long(pc: u64, bytes: usize) -> Vec<Symbol> {
    vec![Symbol { build_id: 0, pc, depth: 0, function: "x".repeat(bytes), file: String::new(), line: 1 }]
}

#[test]
fn memory_is_bounded_and_what_went_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let cache = SymbolCache::open(dir.path(), 1 << 30).unwrap();
    let (start, key) = (Instant::now(), |build_id: u64| (build_id, "me".to_owned()));
    for build_id in 0..40 {
        let now = start + STAYS * u32::try_from(build_id).unwrap();
        cache.symbols_at(now, &key(build_id), 1, || long(1, 1 << 20));
        let held = cache.held().bytes();
        assert!(held <= MOST_HELD_BYTES, "{held}");
    }
    assert_eq!(cache.symbols_at(start + STAYS * 40, &key(0), 1, || panic!("it is on disk")).len(), 1);
}

#[test]
fn builds_that_take_turns_are_not_read_for_each_address_and_what_is_new_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let cache = SymbolCache::open(dir.path(), 1 << 30).unwrap();
    let (start, addresses) = (Instant::now(), 6_u64);
    let builds = ["a", "b", "c", "d"].map(str::to_owned);
    let keys = || (0..).zip(builds.clone());
    let turns = |now: Instant| {
        for pc in 0..addresses {
            for key in keys() {
                assert_eq!(cache.symbols_at(now, &key, pc, || long(pc, 1 << 20)).len(), 1);
            }
        }
        let held = cache.held().bytes();
        assert!(held <= MOST_HELD_BYTES + MOST_NEW_BYTES, "{held}");
    };
    let missing = || {
        let there = |(build_id, identity): (u64, String)| cache.folder.read(build_id, &identity).unwrap().len();
        4 * usize::try_from(addresses).unwrap() - keys().map(there).sum::<usize>()
    };
    turns(start);
    assert_eq!(missing(), 24, "nobody was thrown out to be written");
    for minute in 1..=8 {
        cache.write_due(start + WRITE_AFTER * minute);
        assert!(cache.held().bytes() <= MOST_HELD_BYTES, "what is new was written");
        turns(start + WRITE_AFTER * minute);
    }
    assert_eq!(missing(), 0, "all was new in some minute");
    // Nothing is read again: what is on disk meanwhile is not seen.
    fs::remove_dir_all(dir.path()).unwrap();
    let before = cache.counts();
    turns(start + WRITE_AFTER * 8);
    let now = cache.counts();
    assert!(now.cached - before.cached >= 12 && now.looked_up - before.looked_up <= 12, "{before:?} {now:?}");
}

/// Set in the process that [`an_agent_killed_in_the_middle_of_a_write_leaves_whole_files`] kills: the directory to write to.
const VICTIM: &str = "SYNCLINE_TEST_SYMBOL_CACHE";

#[test]
fn an_agent_killed_in_the_middle_of_a_write_leaves_whole_files() {
    if let Ok(path) = std::env::var(VICTIM) {
        write_for_ever(Path::new(&path));
    }
    let dir = tempfile::tempdir().unwrap();
    let name = "symbols::cache::tests::an_agent_killed_in_the_middle_of_a_write_leaves_whole_files";
    for round in 0..20_u64 {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture"])
            .env(VICTIM, dir.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let writes = |path: &Path| fs::read_dir(path).unwrap().count();
        while writes(dir.path()) == 0 {
            assert!(Instant::now() < deadline, "it writes nothing");
            std::thread::yield_now();
        }
        // Somewhere in its writes.
        (0..round * 997).for_each(|turn| drop(std::hint::black_box(vec![turn; 64])));
        victim.kill().unwrap();
        victim.wait().unwrap();
        let cache = open(dir.path());
        cache.symbols(BUILD, "me", 0, || symbols(0..1).remove(&0).unwrap());
        assert_eq!(cache.counts().refused, 0, "round {round}");
    }
}

fn write_for_ever(path: &Path) -> ! {
    let mut first = 0;
    loop {
        let cache = SymbolCache::open(path, 1 << 20).unwrap();
        ask(&cache, first..first + 2_000);
        cache.write_all();
        first = (first + 1) % 1_000;
    }
}
