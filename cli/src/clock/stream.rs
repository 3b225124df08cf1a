//! A stream of records, read line by line; a refusal names its line.

use std::io::{BufRead, Read};

use anyhow::Context;

use super::record::{Record, parse};
use crate::failure::usage;

/// Far longer than any record: a file that is no stream at all is not read into memory in search of its line's end.
const LONGEST_LINE: usize = 1024;
/// `\r\n`.
const LONGEST_END: usize = 2;

/// Records as they stand in the stream. The first error is the last item.
pub(crate) struct Stream<R> {
    input: R,
    /// What a person calls the input.
    name: String,
    line: Vec<u8>,
    number: u64,
    floor_seen: bool,
    ended: bool,
}

impl<R: BufRead> Stream<R> {
    pub(crate) fn new(name: String, input: R) -> Self {
        Self { input, name, line: Vec::new(), number: 0, floor_seen: false, ended: false }
    }

    fn next_record(&mut self) -> anyhow::Result<Option<Record>> {
        if !self.next_line().with_context(|| format!("reading {}", self.name))? {
            return Ok(None);
        }
        let record = self.record();
        record.map(Some).map_err(|reason| usage(format!("{}, line {}: {reason}", self.name, self.number)))
    }

    /// Whether there was one more line.
    fn next_line(&mut self) -> std::io::Result<bool> {
        self.line.clear();
        let most = (LONGEST_LINE + LONGEST_END) as u64;
        let read = self.input.by_ref().take(most).read_until(b'\n', &mut self.line)?;
        self.number += 1;
        Ok(read > 0)
    }

    fn record(&mut self) -> Result<Record, String> {
        let line = without_end(&self.line);
        if line.len() > LONGEST_LINE {
            return Err(format!("it is longer than {LONGEST_LINE} bytes: write one record a line"));
        }
        let record = parse(line)?;
        if matches!(record, Record::Floor(_)) {
            self.check_floor()?;
        }
        Ok(record)
    }

    /// All bounds rest on the floor, so it must not change under them.
    fn check_floor(&mut self) -> Result<(), String> {
        if self.floor_seen {
            return Err("F stands here a second time: keep the one on the first line".to_owned());
        }
        if self.number > 1 {
            return Err("F stands below other records: move it to the first line".to_owned());
        }
        self.floor_seen = true;
        Ok(())
    }
}

impl<R: BufRead> Iterator for Stream<R> {
    type Item = anyhow::Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.next_record().transpose();
        self.ended = !matches!(item, Some(Ok(_)));
        item
    }
}

/// The line without `\n` or `\r\n`; the last one may have no end.
fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use syncline_timebase::Span;

    fn read(bytes: &[u8]) -> Vec<anyhow::Result<Record>> {
        Stream::new("s.csv".to_owned(), bytes).collect()
    }

    fn refusal(bytes: &[u8]) -> String {
        read(bytes).pop().unwrap().unwrap_err().to_string()
    }

    #[test]
    fn lines_end_as_they_end_anywhere() {
        for text in [&b"F,5\nE,1,2,3\n"[..], b"F,5\r\nE,1,2,3\r\n", b"F,5\nE,1,2,3"] {
            let records = read(text);
            assert_eq!(records.len(), 2);
            assert!(matches!(records[0], Ok(Record::Floor(floor)) if floor == Span::from_ns(5)));
            assert!(records.iter().all(Result::is_ok));
        }
        assert!(read(b"").is_empty());
    }

    #[test]
    fn a_refusal_names_its_line_and_is_the_end() {
        let records = read(b"E,1,2,3\n\nE,1,2,3\n");
        assert_eq!(records.len(), 2);
        assert_eq!(records[1].as_ref().unwrap_err().to_string(), "s.csv, line 2: it is empty: remove it");
    }

    #[test]
    fn the_floor_stands_first_and_once() {
        assert!(refusal(b"E,1,2,3\nF,0\n").starts_with("s.csv, line 2: F stands below other records"));
        assert!(refusal(b"F,0\nE,1,2,3\nF,0\n").starts_with("s.csv, line 3: F stands here a second time"));
    }

    #[test]
    fn a_line_is_as_long_as_a_record_may_be_and_no_longer() {
        let line = |digits: usize| format!("F,{}\r\n", "0".repeat(digits)).into_bytes();
        assert!(read(&line(LONGEST_LINE - 2))[0].is_ok());
        assert!(refusal(&line(LONGEST_LINE - 1)).contains("longer than 1024 bytes"));
        assert!(refusal(&[0; 1 << 20]).starts_with("s.csv, line 1: it is longer"));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
            let records = read(&bytes);
            prop_assert!(records.iter().rev().skip(1).all(Result::is_ok));
        }
    }
}
