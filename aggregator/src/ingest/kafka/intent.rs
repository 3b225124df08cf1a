//! What a commit of the group says of a partition: how far it is done, and what was begun behind that.

/// The metadata of a commit. Empty where nothing was begun.
const TO: &str = "to=";

/// What is committed of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Intent {
    /// Every record before this offset is in the store, or set aside.
    pub(crate) from: i64,
    /// The last offset of a chunk that was begun at `from`, if one was.
    pub(crate) to: Option<i64>,
}

impl Intent {
    /// As committed; None where the group has committed nothing yet.
    pub(crate) fn read(offset: Option<i64>, metadata: &str) -> Option<Self> {
        let from = offset.filter(|offset| *offset >= 0)?;
        let to = metadata.strip_prefix(TO).and_then(|to| to.parse().ok());
        // One that ends before it begins was written by somebody else.
        Some(Self { from, to: to.filter(|to| *to >= from) })
    }

    /// The metadata to commit beside [`Self::from`].
    pub(crate) fn metadata(&self) -> String {
        self.to.map_or_else(String::new, |to| format!("{TO}{to}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_is_read_as_it_was_written() {
        for intent in [Intent { from: 0, to: None }, Intent { from: 7, to: Some(7) }, Intent { from: 7, to: Some(99) }]
        {
            assert_eq!(Intent::read(Some(intent.from), &intent.metadata()), Some(intent));
        }
    }

    #[test]
    fn what_others_committed_is_an_offset_without_a_chunk() {
        assert_eq!(Intent::read(None, "to=3"), None);
        assert_eq!(Intent::read(Some(-1001), ""), None);
        for foreign in ["to=", "to=x", "to=6", "NO_METADATA", "to=99999999999999999999"] {
            assert_eq!(Intent::read(Some(7), foreign), Some(Intent { from: 7, to: None }), "{foreign}");
        }
    }
}
