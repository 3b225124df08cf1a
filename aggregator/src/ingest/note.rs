//! What is saved with the spool's cursor: what is in the store, and which group is about to be.
//!
//! | at | bytes | |
//! |---:|---:|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 8 | the first record that is not in the store |
//! | 9 | 8 | the record behind the group that is about to be; the same if there is none |
//! | 17 | | a bit for each of its records, lowest first: whether it goes into the store |
//!
//! All little-endian. What is behind the bits is the group's token.

use syncline_spool::RecordNo;
use thiserror::Error;

const VERSION: u8 = 1;
const FIXED_BYTES: usize = 17;

/// A note that this version cannot read.
#[derive(Debug, Error)]
#[error(
    "what is saved of the spool's progress is of another version, or damaged ({0}): use the version that wrote it, or another --spool"
)]
pub(crate) struct UnknownNote(&'static str);

/// How far the store has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Note {
    /// All records before it are in the store, or set aside.
    pub(crate) stored: RecordNo,
    /// The group behind that, which was about to be inserted.
    pub(crate) intent: Option<Intent>,
}

/// A group that is about to be inserted. Written before it is, so that after a crash the very same is inserted again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Intent {
    /// Behind its last record.
    pub(crate) end: RecordNo,
    /// Of each record number, whether its batch is inserted: not if it is in the store already, or set aside.
    pub(crate) is_new: Vec<bool>,
    /// What ClickHouse knows the group by.
    pub(crate) token: String,
}

impl Note {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let intent = self.intent.as_ref();
        let mut note = vec![VERSION];
        note.extend_from_slice(&self.stored.0.to_le_bytes());
        note.extend_from_slice(&intent.map_or(self.stored, |intent| intent.end).0.to_le_bytes());
        let Some(Intent { is_new, token, .. }) = intent else { return note };
        note.extend(is_new.chunks(8).map(|bits| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit))));
        note.extend_from_slice(token.as_bytes());
        note
    }

    /// # Errors
    /// It is of another version, or none.
    pub(crate) fn decode(note: &[u8]) -> Result<Self, UnknownNote> {
        let (fixed, rest) = note.split_at_checked(FIXED_BYTES).ok_or(UnknownNote("it is too short"))?;
        if fixed[0] != VERSION {
            return Err(UnknownNote("its version"));
        }
        let number = |at: usize| fixed[at..at + 8].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let (stored, end) = (RecordNo(number(1)), RecordNo(number(9)));
        let Some(records) = end.0.checked_sub(stored.0) else { return Err(UnknownNote("its numbers")) };
        if records == 0 {
            return Ok(Self { stored, intent: None });
        }
        let records = usize::try_from(records).map_err(|_| UnknownNote("its numbers"))?;
        let (bits, token) = rest.split_at_checked(records.div_ceil(8)).ok_or(UnknownNote("its bits"))?;
        let is_new = (0..records).map(|record| bits[record / 8] >> (record % 8) & 1 == 1).collect();
        let token = String::from_utf8(token.to_vec()).map_err(|_| UnknownNote("its token"))?;
        Ok(Self { stored, intent: Some(Intent { end, is_new, token }) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_note_comes_back(stored in 0..u64::MAX / 2, is_new in prop::collection::vec(any::<bool>(), 0..2_000), token in "[a-z0-9/]{0,200}") {
            let end = RecordNo(stored + is_new.len() as u64);
            let intent = (!is_new.is_empty()).then_some(Intent { end, is_new, token });
            let note = Note { stored: RecordNo(stored), intent };
            let bytes = note.encode();
            prop_assert!(bytes.len() <= syncline_spool::NOTE_LIMIT);
            prop_assert_eq!(Note::decode(&bytes).unwrap(), note);
        }

        #[test]
        fn other_bytes_are_no_note_or_a_sound_one(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(note) = Note::decode(&bytes) {
                prop_assert!(note.intent.is_none_or(|intent| intent.end.0 - note.stored.0 == intent.is_new.len() as u64));
            }
        }
    }

    #[test]
    fn a_note_of_another_version_is_told() {
        let mut bytes = Note { stored: RecordNo(7), intent: None }.encode();
        bytes[0] = 2;
        assert!(Note::decode(&bytes).unwrap_err().to_string().contains("its version"));
        assert!(Note::decode(&[]).is_err());
    }
}
