//! One line of a stream as a checked record. Pure, and nothing is allocated unless the line is refused.
//!
//! Checked is the form only. What the numbers say (knots out of order, a probe that ended before it began) is for the
//! estimator to judge, so that a replay meets the very refusals that a fleet would.

use syncline_clock::ToldDisruption;
use syncline_timebase::{Instant, Mono, Probe, Raw, Span, Wall};

/// The forms, as a person is told to write them.
const FLOOR: &str = "F,floor_ns";
const KNOT: &str = "K,mono_ns,raw_ns,wall_ns";
const PROBE: &str = "P,mono1,T2,T3,mono4,wall1,wall4";
const DISRUPTION: &str = "D,since_mono_ns,until_mono_ns";
const EVENT: &str = "E,id,mono_ns,wall_ns";

/// How much of a field that is refused is shown.
const SHOWN_CHARACTERS: usize = 40;

/// What arrives from a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// The least delay of a packet each way.
    Floor(Span),
    Knot(ClockRead),
    /// The wall stamps of a probe say nothing that a knot does not say, so they are checked and dropped.
    Probe(Probe),
    Disruption(ToldDisruption),
    Event(Event),
}

/// The clocks of the node, read at one moment; how long that took is not in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClockRead {
    pub(crate) mono: Instant<Mono>,
    pub(crate) raw: Instant<Raw>,
    pub(crate) wall: Instant<Wall>,
}

/// Something whose time is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Event {
    /// The asker's own name of it: it need not be unique.
    pub(crate) id: i64,
    pub(crate) mono: Instant<Mono>,
}

/// The record of a line without its end, or what is wrong with the line and how to mend it.
pub(crate) fn parse(line: &[u8]) -> Result<Record, String> {
    let text = std::str::from_utf8(line).map_err(|error| not_text(error.valid_up_to()))?;
    let (letter, fields) = text.split_once(',').unwrap_or((text, ""));
    match letter {
        "K" => numbers(KNOT, fields).map(|[mono, raw, wall]| {
            let (mono, raw, wall) = (Instant::from_ns(mono), Instant::from_ns(raw), Instant::from_ns(wall));
            Record::Knot(ClockRead { mono, raw, wall })
        }),
        "P" => numbers(PROBE, fields).map(|[mono1, t2, t3, mono4, _wall1, _wall4]| {
            let (sent, returned) = (Instant::from_ns(mono1), Instant::from_ns(mono4));
            Record::Probe(Probe { sent, received: Instant::from_ns(t2), replied: Instant::from_ns(t3), returned })
        }),
        "D" => numbers(DISRUPTION, fields).and_then(|[since, until]| disruption_of(since, until)),
        "E" => {
            numbers(EVENT, fields).map(|[id, mono, _wall]| Record::Event(Event { id, mono: Instant::from_ns(mono) }))
        }
        "F" => numbers(FLOOR, fields).and_then(|[floor]| floor_of(floor)),
        "" if fields.is_empty() => Err("it is empty: remove it".to_owned()),
        other => Err(format!("no record is called {}: write F, K, P, D or E, and a comma", shown(other))),
    }
}

fn floor_of(ns: i64) -> Result<Record, String> {
    match ns {
        0.. => Ok(Record::Floor(Span::from_ns(ns))),
        _ => Err(format!("floor_ns is {ns}, but no packet arrives before it was sent: write 0 or more")),
    }
}

fn disruption_of(since_ns: i64, until_ns: i64) -> Result<Record, String> {
    if until_ns < since_ns {
        return Err(format!("until_mono_ns is {until_ns}, before since_mono_ns: write the earlier one first"));
    }
    let (since, until) = (Instant::from_ns(since_ns), Instant::from_ns(until_ns));
    Ok(Record::Disruption(ToldDisruption { since, until }))
}

/// All numbers of a record, and no more.
fn numbers<const N: usize>(form: &str, fields: &str) -> Result<[i64; N], String> {
    let mut numbers = [0; N];
    let mut given = fields.split(',');
    for (position, number) in numbers.iter_mut().enumerate() {
        let field = given.next().ok_or_else(|| wrong_count(form, fields))?;
        *number = field.parse().map_err(|_| not_a_number(form, fields, position, field))?;
    }
    if given.next().is_some() { Err(wrong_count(form, fields)) } else { Ok(numbers) }
}

fn not_a_number(form: &str, fields: &str, position: usize, field: &str) -> String {
    // With too few or too many fields, that one is no number is the lesser trouble.
    if count(fields) != count(form) - 1 {
        return wrong_count(form, fields);
    }
    let name = form.split(',').nth(position + 1).unwrap_or_default();
    let field = shown(field);
    format!("{name} is {field}, not a signed 64-bit number: write digits only, without blanks, fractions or units")
}

fn wrong_count(form: &str, fields: &str) -> String {
    let letter = form.split(',').next().unwrap_or_default();
    let (given, wanted) = (count(fields), count(form) - 1);
    format!("{letter} has {given} numbers, not {wanted}: write {form}")
}

fn count(fields: &str) -> usize {
    if fields.is_empty() { 0 } else { fields.split(',').count() }
}

fn not_text(valid_bytes: usize) -> String {
    format!("byte {} is not UTF-8: write plain text, one record a line", valid_bytes + 1)
}

fn shown(field: &str) -> String {
    match field.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{:?}...", &field[..end]),
        None => format!("{field:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_record_has_its_form() {
        let probe = Probe {
            sent: Instant::from_ns(1),
            received: Instant::from_ns(2),
            replied: Instant::from_ns(3),
            returned: Instant::from_ns(4),
        };
        let (mono, raw, wall) = (Instant::from_ns(-1), Instant::from_ns(i64::MIN), Instant::from_ns(i64::MAX));
        assert_eq!(parse(b"F,0"), Ok(Record::Floor(Span::ZERO)));
        let knot = Record::Knot(ClockRead { mono, raw, wall });
        assert_eq!(parse(b"K,-1,-9223372036854775808,9223372036854775807"), Ok(knot));
        assert_eq!(parse(b"P,1,2,3,4,5,6"), Ok(Record::Probe(probe)));
        let told = ToldDisruption { since: Instant::from_ns(4), until: Instant::from_ns(9) };
        assert_eq!(parse(b"D,4,9"), Ok(Record::Disruption(told)));
        assert_eq!(parse(b"E,-7,-1,3"), Ok(Record::Event(Event { id: -7, mono })));
    }

    #[test]
    fn what_is_wrong_is_said_and_how_to_mend_it() {
        let cases: [(&[u8], &str); 18] = [
            (b"", "it is empty: remove it"),
            (b"X,1", "no record is called \"X\": write F, K, P, D or E, and a comma"),
            (b"k,1,2,3", "no record is called \"k\""),
            (b",1", "no record is called \"\""),
            (b"\xef\xbb\xbfF,1", "no record is called \"\\u{feff}F\""),
            (b"K", "K has 0 numbers, not 3: write K,mono_ns,raw_ns,wall_ns"),
            (b"K,1,2", "K has 2 numbers, not 3"),
            (b"K,1,2,3,", "K has 4 numbers, not 3"),
            (b"P,1,2,3,4,x", "P has 5 numbers, not 6: write P,mono1,T2,T3,mono4,wall1,wall4"),
            (b"E,1,2,3,4", "E has 4 numbers, not 3: write E,id,mono_ns,wall_ns"),
            (b"F,1,2", "F has 2 numbers, not 1: write F,floor_ns"),
            (b"K,1,2.5,3", "raw_ns is \"2.5\", not a signed 64-bit number: write digits only"),
            (b"E,1, 2,3", "mono_ns is \" 2\""),
            (b"P,1,2,3,9223372036854775808,5,6", "mono4 is \"9223372036854775808\""),
            (b"D,9", "D has 1 numbers, not 2: write D,since_mono_ns,until_mono_ns"),
            (b"D,9,8", "until_mono_ns is 8, before since_mono_ns"),
            (b"F,-1", "floor_ns is -1, but no packet arrives before it was sent: write 0 or more"),
            (b"K,1,\xff,3", "byte 5 is not UTF-8"),
        ];
        for (line, reason) in cases {
            let refusal = parse(line).unwrap_err();
            assert!(refusal.contains(reason), "{refusal}");
        }
    }

    #[test]
    fn a_long_field_is_not_shown_whole() {
        let refusal = parse("µ".repeat(500).as_bytes()).unwrap_err();
        assert!(refusal.len() < 200 && refusal.contains("\"..."), "{refusal}");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&line);
        }

        #[test]
        fn what_nearly_is_a_record_never_panics(line in "[FKPDE]?(,-?[0-9.]{0,20}){0,8}") {
            let _ = parse(line.as_bytes());
        }

        #[test]
        fn any_numbers_make_a_knot(mono: i64, raw: i64, wall: i64) {
            let (read, line) = (parse(format!("K,{mono},{raw},{wall}").as_bytes()), (mono, raw, wall));
            let Ok(Record::Knot(knot)) = read else { panic!("{read:?}") };
            prop_assert_eq!((knot.mono.ns(), knot.raw.ns(), knot.wall.ns()), line);
        }
    }
}
