//! Questions whether the store has stacks, from the batcher's thread to the uplink's task, and the answers back: one at a time.
//!
//! ```text
//! idle ── ask ──► asked ── answer ──► answered ── take ──► idle
//! ```
//!
//! A question outlives its connection: the next one carries it again. An answer does not: it is of whom was asked.

use std::sync::{Mutex, MutexGuard, PoisonError};

use syncline_event::StackId;
use syncline_proto::v1::KnownReply;
use tokio::sync::Notify;

use crate::batch::Question;

/// What an aggregator says to a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Which stacks the store has.
    Known(KnownReply),
    /// It is of a version that cannot be asked, or does not answer.
    CannotTell,
}

/// The place between the two.
#[derive(Debug, Default)]
pub struct Asking {
    state: Mutex<State>,
    asked: Notify,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    Asked(Question),
    Answered {
        question: Question,
        answer: Answer,
        connection: u64,
    },
}

impl Asking {
    /// Whether a question can be asked.
    pub fn is_idle(&self) -> bool {
        matches!(*self.lock(), State::Idle)
    }

    /// Asks, in place of what was asked before.
    pub fn ask(&self, question: Question) {
        *self.lock() = State::Asked(question);
        self.asked.notify_one();
    }

    /// Returns the stacks of the question that waits for an answer, once there is one.
    pub async fn question(&self) -> Vec<StackId> {
        loop {
            if let State::Asked(question) = &*self.lock() {
                return question.stacks.clone();
            }
            self.asked.notified().await;
        }
    }

    /// Answers the question that waits for it, if one does, with what was said on the connection of this number.
    pub fn answer(&self, answer: Answer, connection: u64) {
        let mut state = self.lock();
        *state = match std::mem::take(&mut *state) {
            State::Asked(question) => State::Answered { question, answer, connection },
            other => other,
        };
    }

    /// The answer, if there is one, and its question. One of another connection than that of number `present` goes, and is not given.
    pub fn take(&self, present: u64) -> Option<(Question, Answer)> {
        let mut state = self.lock();
        match std::mem::take(&mut *state) {
            State::Answered { question, answer, connection } => (connection == present).then_some((question, answer)),
            other => {
                *state = other;
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere cannot leave it half changed: nothing here panics in between.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_question_waits_for_its_answer_and_the_answer_for_who_asked() {
        let (asking, question) = (Asking::default(), Question { stacks: vec![StackId(7)], again: 0 });
        asking.answer(Answer::CannotTell, 1);
        assert!(asking.is_idle() && asking.take(1).is_none(), "nobody asked");
        asking.ask(question.clone());
        assert!(!asking.is_idle() && asking.take(1).is_none());
        for _ in 0..2 {
            assert_eq!(asking.question().await, [StackId(7)], "a connection broke in between");
        }
        asking.answer(Answer::CannotTell, 2);
        assert_eq!(asking.take(2), Some((question, Answer::CannotTell)));
        assert!(asking.is_idle());
    }

    #[test]
    fn an_answer_of_another_connection_is_none() {
        let (asking, question) = (Asking::default(), Question { stacks: vec![StackId(7)], again: 0 });
        for (answered, present) in [(1, 2), (2, 1)] {
            asking.ask(question.clone());
            asking.answer(Answer::CannotTell, answered);
            assert!(asking.take(present).is_none() && asking.is_idle());
        }
    }
}
