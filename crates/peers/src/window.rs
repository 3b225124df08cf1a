//! The latest samples: of a span of local time, and never more than a number.

use std::collections::VecDeque;

use crate::estimate::difference_ns;

/// Samples by local time, oldest first.
#[derive(Clone, Debug)]
pub(crate) struct Window<T> {
    span_ns: f64,
    capacity: usize,
    held: VecDeque<(i64, T)>,
}

impl<T> Window<T> {
    pub(crate) fn new(span_ns: f64, capacity: usize) -> Self {
        Self { span_ns, capacity, held: VecDeque::new() }
    }

    /// Adds the newest; [`Window::pop_expired`] then gives what it pushed out.
    pub(crate) fn push(&mut self, at_ns: i64, sample: T) {
        self.held.push_back((at_ns, sample));
    }

    /// Takes out the oldest if it is beyond the span or the number.
    pub(crate) fn pop_expired(&mut self) -> Option<T> {
        let (oldest, newest) = (self.held.front()?.0, self.held.back()?.0);
        let expired = self.held.len() > self.capacity || difference_ns(newest, oldest) > self.span_ns;
        if expired { self.held.pop_front().map(|(_, sample)| sample) } else { None }
    }

    /// Adds the newest and lets go of what it pushes out.
    pub(crate) fn slide(&mut self, at_ns: i64, sample: T) {
        self.push(at_ns, sample);
        while self.pop_expired().is_some() {}
    }

    /// Whether `at_ns` is no later than the newest: time ran backwards, or stood.
    pub(crate) fn is_behind(&self, at_ns: i64) -> bool {
        self.held.back().is_some_and(|(newest, _)| at_ns <= *newest)
    }

    /// Lets go of the newest for as long as `unwanted` says so.
    pub(crate) fn drop_newest_while(&mut self, unwanted: impl Fn(&T) -> bool) {
        while self.held.pop_back_if(|(_, sample)| unwanted(sample)).is_some() {}
    }

    pub(crate) fn clear(&mut self) {
        self.held.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    pub(crate) fn oldest(&self) -> Option<&T> {
        self.held.front().map(|(_, sample)| sample)
    }

    pub(crate) fn newest(&self) -> Option<&T> {
        self.held.back().map(|(_, sample)| sample)
    }

    /// Oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.held.iter().map(|(_, sample)| sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_go_by_age_and_by_number() {
        let mut window = Window::new(100.0, 3);
        for at in [0, 50, 100] {
            window.slide(at, at);
        }
        assert_eq!(window.len(), 3, "100 old is within 100");
        window.slide(101, 101);
        assert_eq!(window.iter().copied().collect::<Vec<_>>(), [50, 100, 101]);
        window.slide(102, 102);
        assert_eq!(window.iter().copied().collect::<Vec<_>>(), [100, 101, 102]);
        assert!(window.is_behind(102) && !window.is_behind(103));
    }
}
