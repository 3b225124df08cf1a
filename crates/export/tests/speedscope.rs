//! Documents, held against the schema that speedscope publishes.
#![allow(clippy::unwrap_used)] // a test may fail loudly

mod support;

use serde_json::Value;
use support::{BASE, stack, wait};
use syncline_export::{Speedscope, Wait, Written};

fn document(waits: &[Wait<'_>]) -> (Value, Written) {
    let mut out = Vec::new();
    let mut encoder = Speedscope::begin(BASE, BASE + 1_000, "a \"test\"", &mut out);
    waits.iter().for_each(|wait| encoder.add(wait, &mut out));
    let written = encoder.finish(&mut out);
    let document = serde_json::from_slice(&out).unwrap();
    check_schema(&document);
    (document, written)
}

fn check_schema(document: &Value) {
    let file = support::perfetto::formats_dir().join("speedscope-schema.json");
    let Ok(schema) = std::fs::read(&file) else {
        support::perfetto::skip(&format!("speedscope's schema is not at {}", file.display()));
        return;
    };
    let schema = jsonschema::validator_for(&serde_json::from_slice(&schema).unwrap()).unwrap();
    let errors: Vec<String> = schema.iter_errors(document).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let mut broken = document.clone();
    broken["profiles"][0]["unit"] = "fortnights".into();
    assert!(!schema.is_valid(&broken), "the schema refuses what is not so");
}

/// Each sample of a profile with its weight.
fn samples(document: &Value, profile: usize) -> Vec<(Vec<&str>, i64)> {
    let profile = &document["profiles"][profile];
    let (samples, weights) = (profile["samples"].as_array().unwrap(), profile["weights"].as_array().unwrap());
    assert_eq!(samples.len(), weights.len());
    let name = |number: &Value| {
        document["shared"]["frames"][usize::try_from(number.as_u64().unwrap()).unwrap()]["name"].as_str().unwrap()
    };
    let names = |sample: &Value| -> Vec<_> { sample.as_array().unwrap().iter().map(name).collect() };
    samples.iter().zip(weights).map(|(sample, weight)| (names(sample), weight.as_i64().unwrap())).collect()
}

#[test]
fn a_goroutine_is_a_profile_whose_waits_are_where_and_as_long_as_they_were() {
    let mut unbounded = wait(19, 5, 15, "sleep");
    unbounded.start.bound_ns = None;
    let mut inside = wait(18, 20, 60, "inside");
    inside.start.bound_ns = None;
    let waits = [
        Wait { stack: Some(stack()), ..wait(18, -50, 100, "sync.Mutex.Lock") },
        inside,
        wait(18, 250, 400, "select"),
        wait(18, 390, 2_000, "across"),
        unbounded,
    ];
    let (document, written) = document(&waits);
    assert_eq!(written, Written { profiles: 2, waits: 4, inside: 1, unbounded: 1 });
    let expected = [
        (vec!["0x30", "main.transfer", "main.take", "sync.(*Mutex).Lock", "[sync.Mutex.Lock]"], 100),
        (vec![], 150),
        (vec!["(no stack)", "[select]"], 150),
        (vec!["(no stack)", "[across]"], 1_600),
    ];
    assert_eq!(samples(&document, 0), expected);
    assert_eq!(samples(&document, 1), [(vec![], 5), (vec!["(no stack)", "[sleep]"], 10)]);
    let of = |profile: usize, key: &str| document["profiles"][profile][key].clone();
    assert_eq!([of(0, "name"), of(1, "name")], ["eu eu-1 cart 4711 g18", "eu eu-1 cart 4711 g19 (times unbounded)"]);
    assert_eq!([of(0, "endValue"), of(1, "endValue")], [2_000, 1_000]);
    let frame = &document["shared"]["frames"][3];
    assert_eq!((&frame["file"], &frame["line"]), (&"/src/cart.go".into(), &46.into()));
}

#[test]
fn an_empty_document_opens_too() {
    let (document, written) = document(&[]);
    assert_eq!(written, Written::default());
    assert_eq!(document["profiles"].as_array().unwrap().len(), 1);
}
