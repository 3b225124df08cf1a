//! Which of the stacks that were asked for are known: a bit each.

use crate::v1::KnownReply;

impl KnownReply {
    /// The reply to a question for so many stacks, in their order.
    pub fn of(known: &[bool]) -> Self {
        let byte = |bits: &[bool]| (0..).zip(bits).map(|(place, bit)| u8::from(*bit) << place).sum();
        Self { known: known.chunks(8).map(byte).collect() }
    }

    /// Whether the stack at this place of the question is known. What the reply does not say is not.
    pub fn says(&self, place: usize) -> bool {
        self.known.get(place / 8).is_some_and(|byte| byte >> (place % 8) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stack_has_its_bit_and_what_is_missing_is_not_known() {
        let known: Vec<bool> = (0..21).map(|place| place % 3 == 0).collect();
        let reply = KnownReply::of(&known);
        assert_eq!(reply.known.len(), 3);
        assert!((0..100).all(|place| reply.says(place) == (place < 21 && place % 3 == 0)));
        assert!(!KnownReply::default().says(0));
    }
}
