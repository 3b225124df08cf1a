//! What is refused, with which words, and that nothing is written then.

use std::fs;

use crate::fixture::{Place, refusal, stream};

#[test]
fn every_malformed_line_is_named_and_nothing_is_written() {
    let cases: [(&[u8], &str); 15] = [
        (b"X,1,2,3", "no record is called \"X\": write F, K, P, D or E"),
        (b"K,1,2", "K has 2 numbers, not 3: write K,mono_ns,raw_ns,wall_ns"),
        (b"P,1,2,3,4,5,6,7", "P has 7 numbers, not 6: write P,mono1,T2,T3,mono4,wall1,wall4"),
        (b"E,1,2", "E has 2 numbers, not 3: write E,id,mono_ns,wall_ns"),
        (b"D,9,8", "until_mono_ns is 8, before since_mono_ns"),
        (b"K,1,2e9,3", "raw_ns is \"2e9\", not a signed 64-bit number"),
        (b"E,9223372036854775808,1,2", "id is \"9223372036854775808\""),
        (b"E,1,,2", "mono_ns is \"\", not a signed 64-bit number"),
        (b"F,50000", "F stands here a second time: keep the one on the first line"),
        (b"F,-1", "floor_ns is -1"),
        (b"", "it is empty: remove it"),
        (b" ", "no record is called \" \""),
        (b"K,1,\xc3\x28,3", "byte 5 is not UTF-8"),
        (b"K,1,2,\0", "wall_ns is \"\\0\""),
        (&[b'K'; 5_000], "it is longer than 1024 bytes"),
    ];
    let good = stream(2);
    for (line, reason) in cases {
        let place = Place::with([good.as_bytes(), line, b"\n", good.as_bytes()].concat());
        fs::write(place.path("answers.csv"), "of an earlier replay\n").unwrap();
        let text = refusal(&place.replay(&["--steps", "steps.csv", "--smooth", "smooth.csv"]), 2);
        assert!(text.contains(&format!("stream.csv, line {}: {reason}", good.lines().count() + 1)), "{text}");
        assert_eq!(place.read("answers.csv"), "of an earlier replay\n");
        assert_eq!(place.files(), ["answers.csv", "stream.csv"]);
        let piped = place.run(&["clock", "replay", "--stream", "-", "--answers", "-"], line);
        // Without its end, an empty line is none.
        if !line.is_empty() && line != b"F,50000" {
            assert!(refusal(&piped, 2).contains(&format!("standard input, line 1: {reason}")));
        }
    }
    let late = Place::with("K,1,2,3\nF,1\n");
    assert!(refusal(&late.replay(&[]), 2).contains("line 2: F stands below other records: move it to the first line"));
}

#[test]
fn a_budget_belongs_to_the_budgeted_bound() {
    let place = Place::with(stream(2));
    for options in
        [&["--alpha", "0.2"][..], &["--alpha", "0.2", "--bound", "hard"], &["--bound", "tight", "--alpha", "0"]]
    {
        let text = refusal(&place.replay(options), 2);
        assert!(text.contains("--alpha is the budget of --bound budgeted"), "{text}");
    }
    for alpha in ["1.5", "-0.1", "NaN", "much"] {
        let output = place.replay(&["--bound", "budgeted", "--alpha", alpha]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(alpha) && text.contains("write a number from 0 to 1"), "{text}");
    }
    assert_eq!(place.files(), ["stream.csv"]);
}

#[test]
fn a_lag_is_a_whole_number_of_milliseconds() {
    let place = Place::with(stream(2));
    for lag in ["-5", "1.5", "2s"] {
        let output = place.replay(&["--lag-ms", lag]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("write a whole number of milliseconds, 0 or more"), "{text}");
    }
}

#[test]
fn files_that_cannot_be_are_refused_before_the_stream_is_read() {
    let place = Place::with("not a stream\n");
    let replay = |stream: &str, answers: &str, steps: &str| {
        let files = ["clock", "replay", "--stream", stream, "--answers", answers, "--steps", steps];
        place.run(&files, b"")
    };
    let asked_wrongly = [
        (replay("gone.csv", "a", "s"), "there is no stream at gone.csv"),
        (replay(".", "a", "s"), "--stream . is a directory"),
        (replay("stream.csv", "-", "-"), "only one output can go to standard output"),
        (replay("stream.csv", "a", "./a"), "--answers a and --steps ./a are one file: name two"),
        (replay("stream.csv", "a", "stream.csv"), "--steps stream.csv would replace the stream"),
        (replay("stream.csv", "gone/a", "s"), "there is no directory gone: make it first"),
        (replay("stream.csv", "stream.csv/a", "s"), "there is no directory stream.csv: make it first"),
        (replay("stream.csv", "a", "."), "--steps . is a directory"),
    ];
    for (output, reason) in asked_wrongly {
        let text = refusal(&output, 2);
        assert!(text.contains(reason), "{text}");
    }
    assert_eq!(place.files(), ["stream.csv"]);
}

#[test]
fn an_output_without_room_is_a_failure() {
    let place = Place::with(stream(2));
    let arguments = ["clock", "replay", "--stream", "stream.csv", "--answers", "/dev/full"];
    let text = refusal(&place.run(&arguments, b""), 1);
    assert!(text.contains("cannot write --answers /dev/full: No space left on device"), "{text}");
}
