//! `syncline clock replay`: the real program on small streams.

// clippy.toml lets tests unwrap, but knows only the functions marked as tests, not their helpers.
#![allow(clippy::unwrap_used)]

mod fixture;
mod refused;

use fixture::{MS, Place, probe, stream, summary, truth};

/// (id, estimate, earliest, latest) of each line.
fn parsed(answers: &str) -> Vec<[i64; 4]> {
    let numbers = |line: &str| line.split(',').map(|field| field.parse().unwrap()).collect::<Vec<i64>>();
    answers.lines().map(|line| numbers(line).try_into().unwrap()).collect()
}

fn width([_, _, earliest, latest]: [i64; 4]) -> i64 {
    latest - earliest
}

#[test]
fn the_truth_is_inside_every_answer() {
    let place = Place::with(stream(60));
    let summary = summary(&place.replay(&["--smooth", "smooth.csv", "--steps", "steps.csv"]));
    let expected = "knots=600 probes=60 events=60 answered=60 unanswered=0 smoothed=60 steps=0 refused=0";
    assert_eq!(summary, format!("syncline: {expected}\n"));
    for file in ["answers.csv", "smooth.csv"] {
        let answers = parsed(&place.read(file));
        assert_eq!(answers.iter().map(|answer| answer[0]).collect::<Vec<_>>(), (0..60).collect::<Vec<_>>());
        for [id, estimate, earliest, latest] in answers {
            let truth = truth(id * 1_000 * MS + 480 * MS);
            assert!(earliest <= truth && truth <= latest && earliest <= estimate && estimate <= latest, "{file} {id}");
            assert!(latest - earliest < 250_000, "{file} {id}");
        }
    }
    assert_eq!(place.read("steps.csv"), "");
    assert_eq!(place.files(), ["answers.csv", "smooth.csv", "steps.csv", "stream.csv"]);
}

#[test]
fn what_stands_below_an_event_does_not_change_its_answer() {
    let whole = stream(20);
    let answers = Place::with(&whole).answers(&[]);
    for (position, _) in whole.match_indices("\nE,") {
        let end = position + 1 + whole[position + 1..].find('\n').unwrap();
        let so_far = Place::with(&whole[..=end]).answers(&[]);
        assert!(!so_far.is_empty() && answers.starts_with(&so_far));
    }
}

#[test]
fn two_replays_are_alike_to_the_last_byte() {
    let place = Place::with(stream(40) + &probe(401, 40_100 * MS, 30 * MS) + "K,40200000000,40200000000,0\n");
    let lagging = ["--lag-ms", "1500"];
    for options in [&[][..], &lagging, &["--bound", "tight"], &["--bound", "budgeted", "--alpha", "0.3"]] {
        let outputs = || {
            let all = ["--smooth", "smooth.csv", "--steps", "steps.csv"];
            let said = summary(&place.replay(&[&all, options].concat()));
            let [answers, smooth, steps] = ["answers.csv", "smooth.csv", "steps.csv"].map(|file| place.read(file));
            assert!(!answers.is_empty() && !smooth.is_empty() && !steps.is_empty());
            [said, answers, smooth, steps]
        };
        assert_eq!(outputs(), outputs());
    }
}

#[test]
fn each_bound_lies_within_the_one_that_assumes_less() {
    let place = Place::with(stream(90));
    let of = |options: &[&str]| {
        summary(&place.replay(&[&["--smooth", "smooth.csv"], options].concat()));
        ["answers.csv", "smooth.csv"].map(|file| parsed(&place.read(file))).concat()
    };
    let hard = of(&[]);
    let budgeted = |alpha| of(&["--bound", "budgeted", "--alpha", alpha]);
    let (some, all, tight) = (budgeted("0.3"), budgeted("1"), of(&["--bound", "tight"]));
    assert_eq!(hard.len(), 180);
    for (((hard, some), all), tight) in hard.iter().zip(&some).zip(&all).zip(&tight) {
        let within = |inner: &[i64; 4], outer: &[i64; 4]| outer[2] <= inner[2] && inner[3] <= outer[3];
        assert!(within(tight, some) && within(some, hard) && within(all, hard), "{tight:?} {some:?} {hard:?}");
        assert_eq!(width(*hard), width(*all), "to assume nothing narrows nothing");
        assert!([some, all, tight].iter().all(|other| other[..2] == hard[..2]), "the estimate is the same");
    }
    let sum = |answers: &[[i64; 4]]| answers.iter().copied().map(width).sum::<i64>();
    assert!(sum(&tight) * 5 < sum(&some) * 4 && sum(&some) * 5 < sum(&hard) * 4);
    assert_eq!(of(&["--bound", "budgeted"]), budgeted("0.4"));
}

#[test]
fn garbage_probes_are_absorbed_and_counted() {
    let (mut text, mut garbage) = (String::new(), 0);
    for line in stream(60).lines() {
        text += &format!("{line}\n");
        if line.starts_with("P,") && garbage < 40 {
            let sent: i64 = line.split(',').nth(1).unwrap().parse().unwrap();
            let (at, reference) = (sent + 5 * MS, truth(sent));
            text += &match garbage % 4 {
                0 => format!("P,{at},{reference},{},{},0,0\n", reference - 3_000, at + MS),
                1 => format!("P,{at},{reference},{reference},{},0,0\n", at - 1),
                2 => format!("P,{at},{reference},{},{},0,0\n", reference + 900 * MS, at + MS),
                _ => format!("{line}\n"),
            };
            garbage += 1;
        }
    }
    let (place, clean) = (Place::with(&text), Place::with(stream(60)));
    let said = summary(&place.replay(&["--steps", "steps.csv", "--smooth", "smooth.csv"]));
    let expected = "probes=100 events=60 answered=60 unanswered=0 smoothed=60 steps=0 refused=40 \
                    (probe_impossible=30 probe_out_of_order=10)";
    assert!(said.contains(expected), "{said}");
    summary(&clean.replay(&["--smooth", "smooth.csv"]));
    for file in ["answers.csv", "smooth.csv"] {
        assert_eq!(place.read(file), clean.read(file));
    }
}

#[test]
fn standard_input_and_output_say_the_same_as_files() {
    let place = Place::with(stream(20));
    let answers = place.answers(&[]);
    let arguments = ["clock", "replay", "--stream", "-", "--answers", "-", "--steps", "steps.csv"];
    let piped = place.run(&arguments, stream(20).as_bytes());
    assert!(summary(&piped).contains("answered=20"));
    assert_eq!(String::from_utf8(piped.stdout).unwrap(), answers);
    let windows = stream(20).replace('\n', "\r\n");
    let piped = place.run(&arguments, windows.as_bytes());
    assert_eq!(String::from_utf8(piped.stdout).unwrap(), answers);
    let device = ["clock", "replay", "--stream", "stream.csv", "--answers", "/dev/stdout"];
    assert_eq!(String::from_utf8(place.run(&device, b"").stdout).unwrap(), answers);
}

#[test]
fn with_a_lag_a_later_probe_counts() {
    let place = Place::with(stream(30));
    let (at_once, settled) = (parsed(&place.answers(&[])), parsed(&place.answers(&["--lag-ms", "1000"])));
    let ids = |answers: &[[i64; 4]]| answers.iter().map(|answer| answer[0]).collect::<Vec<_>>();
    assert_eq!(ids(&at_once), ids(&settled));
    // Interpolated to the next probe instead of carried on from the one before.
    let narrower = at_once.iter().zip(&settled).filter(|(now, later)| width(**later) < width(**now)).count();
    assert!(narrower >= 20, "{narrower} of {} are narrower", at_once.len());
    // Once the next probe is within the lag it counts, and not before.
    assert_eq!(parsed(&place.answers(&["--lag-ms", "900"])), at_once);
}

#[test]
fn the_floor_narrows_and_is_zero_if_absent() {
    let place = Place::with(stream(5));
    let with_floor = parsed(&place.answers(&[]));
    let without = stream(5).replace("F,50000\n", "");
    let absent = Place::with(&without).answers(&[]);
    assert_eq!(absent, Place::with(format!("F,0\n{without}")).answers(&[]));
    assert!(width(parsed(&absent)[0]) > width(with_floor[0]));
}

#[test]
fn a_step_is_declared_at_the_probe_that_shows_it() {
    let jumped = probe(205, 20_470 * MS, 30 * MS);
    let place = Place::with(stream(20) + "K,20400000000,20400000000,0\n" + &jumped + "K,20500000000,20500000000,0\n");
    assert!(summary(&place.replay(&["--steps", "steps.csv"])).contains(" steps=1 "));
    let replied = jumped.split(',').nth(3).unwrap();
    assert_eq!(place.read("steps.csv"), format!("{replied}\n"));
}

#[test]
fn what_cannot_be_is_counted_and_not_malformed() {
    let odd = format!(
        "{}E,100,3000000000,0\nE,100,3000000000,0\nP,9,2,1,5,0,0\nK,0,0,0\nK,{max},{min},0\nP,{min},{max},{min},{max},0,0\n\
         E,{max},{max},{max}\nE,{min},{min},{min}\n",
        stream(3),
        max = i64::MAX,
        min = i64::MIN
    );
    let place = Place::with(format!("E,-1,5,5\n{}", odd.replace("F,50000\n", "")));
    let summary = summary(&place.replay(&["--smooth", "smooth.csv", "--lag-ms", "0"]));
    assert!(summary.contains("knots=32 probes=5 events=8"), "{summary}");
    assert!(summary.contains("refused=4 (knot_implausible=1 knot_out_of_order=1 probe_impossible=2)"), "{summary}");
    let answers = parsed(&place.read("answers.csv"));
    assert!(answers.iter().all(|answer| answer[0] != -1), "nothing is known before a probe");
    assert_eq!(answers.iter().filter(|answer| answer[0] == 100).count(), 2, "an id may come twice");
    // Nothing at all is a stream too.
    assert_eq!(Place::with("").answers(&[]), "");
}
