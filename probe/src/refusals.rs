//! Packets that changed nothing, counted.

use syncline_exchange::Refused;

/// All that was refused, and whether it is time to say so: a flood of packets is not to become one of lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct Refusals {
    total: Refused,
    told: u64,
}

impl Refusals {
    /// Counts `refused`, too; the total where that is twice of what was said last.
    pub fn add(&mut self, refused: &Refused) -> Option<Refused> {
        self.total.add(refused);
        let total = self.total.total();
        let is_to_be_told = total > 0 && total >= self.told.saturating_mul(2);
        is_to_be_told.then(|| {
            self.told = total;
            self.total
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_and_then_each_doubling() {
        let (mut refusals, one) = (Refusals::default(), Refused { forged: 1, ..Refused::default() });
        assert_eq!(refusals.add(&Refused::default()), None);
        let told: Vec<u64> = (0..100).filter_map(|_| refusals.add(&one)).map(|refused| refused.forged).collect();
        assert_eq!(told, [1, 2, 4, 8, 16, 32, 64]);
    }
}
