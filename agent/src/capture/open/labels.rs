//! Trace and span of a goroutine that waits, from its profiler labels in the memory of its process; of one whose wait has ended the
//! kernel side reads them (`bpf/c/labels.h`), by the same rules.

use syncline_event::TraceContext;
use syncline_gosym::LabelsForm;

use crate::capture::memory::Memory;

/// Most labels that are looked at of a slice.
const MAX_LABELS: u64 = 64;
/// Cells of a bucket of a `map[string]string`, and what its first bytes are of cells that are in use (`runtime/map.go`).
const CELLS: u64 = 8;
const MIN_TOPHASH: u8 = 5;
/// Of its header: the log2 of the number of buckets, and the address of the first.
const LOG2_BUCKETS: u64 = 9;
const BUCKETS: u64 = 16;
/// Bytes of a string's header, and of a pair of them.
const STRING: u64 = 16;
const PAIR: u64 = 2 * STRING;
/// Names and values of interest are no longer.
const LONGEST: u64 = 32;

/// A string in the other process: where, and how long.
#[derive(Debug, Clone, Copy)]
struct Text {
    at: u64,
    len: u64,
}

/// What the labels at `labels` say (`g.labels`, not null). What cannot be read, or is no id, is none.
pub(super) fn trace(memory: &Memory, form: LabelsForm, labels: u64) -> TraceContext {
    let found = match form {
        LabelsForm::Slice => of_slice(memory, labels),
        LabelsForm::Map => of_map(memory, labels),
    };
    let (mut trace_id, mut span_id) = (None, None);
    for (name, value) in found.unwrap_or_default().into_iter().filter(|(_, value)| value.len > 0) {
        let Some(name) = text(memory, name) else { continue };
        match name.as_str() {
            "trace_id" | "trace.id" | "trace id" | "traceID" | "traceId" | "traceid" => {
                trace_id.get_or_insert_with(|| text(memory, value).as_deref().and_then(of_trace));
            }
            // As Pyroscope's bridge from OpenTelemetry calls it, the last one.
            "span_id" | "span.id" | "spanID" | "spanId" | "spanid" | "profile_id" => {
                span_id.get_or_insert_with(|| text(memory, value).as_deref().and_then(of_span));
            }
            // Datadog's tracer, which writes it in decimal.
            "span id" => {
                let is_decimal = |text: &&str| text.bytes().all(|digit| digit.is_ascii_digit());
                let number = |text: &str| {
                    Some(text).filter(is_decimal).and_then(|text| text.parse().ok()).or_else(|| of_span(text))
                };
                span_id.get_or_insert_with(|| text(memory, value).as_deref().and_then(number));
            }
            _ => {}
        }
    }
    TraceContext { trace_id: trace_id.flatten().unwrap_or_default(), span_id: span_id.flatten().unwrap_or_default() }
}

/// Names and values.
type Labels = Vec<(Text, Text)>;

/// A structure that begins with a slice of pairs.
fn of_slice(memory: &Memory, labels: u64) -> Option<Labels> {
    let slice = string(memory, labels)?;
    let pair = |index: u64| {
        let at = slice.at.checked_add(index * PAIR)?;
        Some((string(memory, at)?, string(memory, at.checked_add(STRING)?)?))
    };
    Some((0..slice.len.min(MAX_LABELS)).map_while(pair).collect())
}

/// A pointer to a `map[string]string` of one bucket: more than 8 labels are not looked at.
fn of_map(memory: &Memory, labels: u64) -> Option<Labels> {
    let header = memory.word(labels).filter(|at| *at != 0)?;
    let [log2_buckets] = memory.bytes(header.checked_add(LOG2_BUCKETS)?)?;
    let bucket = memory.word(header.checked_add(BUCKETS)?).filter(|at| *at != 0 && log2_buckets == 0)?;
    let in_use: [u8; CELLS as usize] = memory.bytes(bucket)?;
    let names = bucket.checked_add(CELLS)?;
    let values = names.checked_add(CELLS * STRING)?;
    let cells = in_use.iter().zip(0_u64..).filter(|(hash, _)| **hash >= MIN_TOPHASH);
    let cell = |cell: u64| {
        let at = |first: u64| string(memory, first.checked_add(cell * STRING)?);
        Some((at(names)?, at(values)?))
    };
    Some(cells.map_while(|(_, index)| cell(index)).collect())
}

fn string(memory: &Memory, at: u64) -> Option<Text> {
    Some(Text { at: memory.word(at)?, len: memory.word(at.checked_add(8)?)? })
}

/// What a string of interest says; none of one that is too long, or no text.
fn text(memory: &Memory, Text { at, len }: Text) -> Option<String> {
    let mut bytes = vec![0; usize::try_from(len).ok().filter(|_| len <= LONGEST)?];
    memory.read(at, &mut bytes)?;
    String::from_utf8(bytes).ok()
}

/// 32 digits, or 16 where a tracer has short ids.
fn of_trace(text: &str) -> Option<u128> {
    let is_number = matches!(text.len(), 16 | 32) && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_number.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

fn of_span(text: &str) -> Option<u64> {
    let is_number = text.len() == 16 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_number.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn address<T: ?Sized>(of: &T) -> u64 {
        std::ptr::from_ref(of).cast::<u8>().addr() as u64
    }

    fn words(text: &str) -> [u64; 2] {
        [address(text), text.len() as u64]
    }

    /// The labels as Go keeps them, in our own memory.
    fn in_slice(labels: &[(&str, &str)]) -> TraceContext {
        let pairs: Vec<[u64; 2]> = labels.iter().flat_map(|(name, value)| [words(name), words(value)]).collect();
        let slice = [address(pairs.as_slice()), labels.len() as u64, 0];
        trace(&Memory::of(std::process::id()).unwrap(), LabelsForm::Slice, address(&slice))
    }

    fn in_map(labels: &[(&str, &str)], log2_buckets: u8) -> TraceContext {
        let mut bucket = [0_u64; 1 + 2 * 2 * 8];
        // The first cell is free.
        for (cell, (name, value)) in labels.iter().enumerate().map(|(at, label)| (at + 1, label)) {
            bucket[0] |= 0x42 << (8 * cell);
            bucket[1 + 2 * cell..][..2].copy_from_slice(&words(name));
            bucket[17 + 2 * cell..][..2].copy_from_slice(&words(value));
        }
        let header = [labels.len() as u64, u64::from(log2_buckets) << 8, address(&bucket)];
        let pointer = [address(&header)];
        trace(&Memory::of(std::process::id()).unwrap(), LabelsForm::Map, address(&pointer))
    }

    #[test]
    fn ids_are_found_in_both_forms() {
        let both = TraceContext { trace_id: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, span_id: 0x00f0_67aa_0ba9_02b7 };
        let labels = [("path", "/cart"), ("trace_id", TRACE), ("span_id", SPAN), ("spanId", "1111111111111111")];
        assert_eq!((in_slice(&labels), in_map(&labels, 0)), (both, both), "the first of a kind counts");
        assert_eq!(in_map(&labels, 1), TraceContext::NONE, "of several buckets");
        let datadog = in_slice(&[("span id", "5309481029347812034"), ("traceid", SPAN)]);
        assert_eq!(datadog, TraceContext { trace_id: 0x00f0_67aa_0ba9_02b7, span_id: 5_309_481_029_347_812_034 });
    }

    #[test]
    fn what_is_no_id_is_none() {
        for labels in [
            [("trace_id", "zbf92f3577b34da6a3ce929d0e0e4736"), ("span_id", "+0f067aa0ba902b7")],
            [("trace_id", "4bf9"), ("span id", "99999999999999999999")],
            [("trace", TRACE), ("span", SPAN)],
        ] {
            assert_eq!((in_slice(&labels), in_map(&labels, 0)), (TraceContext::NONE, TraceContext::NONE));
        }
        let memory = Memory::of(std::process::id()).unwrap();
        for form in [LabelsForm::Slice, LabelsForm::Map] {
            for wild in [8, u64::MAX, u64::MAX - 8] {
                assert_eq!(trace(&memory, form, wild), TraceContext::NONE);
            }
        }
    }
}
