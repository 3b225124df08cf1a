//! Each number of a session is answered once.

/// Numbers behind the newest one that are still told apart; older ones are taken for replayed.
const WIDTH: u64 = 128;

/// The numbers of a session that came, as RFC 4303 (section 3.4.3) keeps them.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplayWindow {
    newest: u64,
    /// Bit k: `newest - k` came.
    came: u128,
}

impl ReplayWindow {
    /// Whether `number` comes for the first time, for all that is known. Only numbers whose code was verified may be given.
    pub fn accept(&mut self, number: u64) -> bool {
        match number.checked_sub(self.newest) {
            Some(ahead) if ahead > 0 || self.came == 0 => {
                self.came = if ahead < WIDTH { self.came << ahead | 1 } else { 1 };
                self.newest = number;
                true
            }
            _ => {
                let behind = self.newest - number;
                let bit = if behind < WIDTH { 1 << behind } else { return false };
                let is_new = self.came & bit == 0;
                self.came |= bit;
                is_new
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn what_is_late_passes_once_and_what_is_old_not_at_all() {
        let mut window = ReplayWindow::default();
        let came = [0, 0, 5, 3, 5, 3, 4, 200, 73, 72, 73, u64::MAX, u64::MAX, 0];
        let accepted = came.map(|number| window.accept(number));
        let expected = [true, false, true, true, false, false, true, true, true, false, false, true, false, false];
        assert_eq!(accepted, expected);
    }

    proptest! {
        #[test]
        fn no_number_passes_twice_and_new_ones_near_the_newest_do(
            numbers in prop::collection::vec(0u64..400, 1..300),
        ) {
            let (mut window, mut passed, mut newest) = (ReplayWindow::default(), HashSet::new(), 0);
            for number in numbers {
                let is_near = number + WIDTH > newest;
                let is_new = !passed.contains(&number);
                let accepted = window.accept(number);
                prop_assert_eq!(accepted, is_near && is_new, "{}", number);
                if accepted {
                    passed.insert(number);
                }
                newest = newest.max(number);
            }
        }
    }
}
