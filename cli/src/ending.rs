//! How a wait ended: what the system call returned; who made the goroutine ready, and where in its code that was.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::errno;
use crate::waits::site;

/// The columns of an [`Ending`], of rows as `t` of `timeline`.
pub(crate) const COLUMNS: &str = "if(t.kind = 'syscall', t.result, NULL) AS result, nullIf(t.waker_goid, 0) AS waker_goid, \
    t.waker_stack_id AS waker_stack_id";

/// What is known of it; in JSON as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ending {
    /// What the system call returned; none of what is none.
    pub(crate) result: Option<i64>,
    /// The name, or else the number, of the error that it returned.
    #[serde(default)]
    pub(crate) error: Option<String>,
    pub(crate) waker_goid: Option<u64>,
    /// Key of the waker's stack; 0 where it is not known.
    #[serde(skip_serializing)]
    pub(crate) waker_stack_id: u64,
    /// The waker's innermost call that is not Go's own way there.
    #[serde(default)]
    pub(crate) waker_site: Option<String>,
}

impl Ending {
    /// Fills in what the store does not tell.
    pub(crate) fn complete(&mut self, stacks: &HashMap<u64, Vec<String>>) {
        self.error = self.result.and_then(errno::of_result);
        self.waker_site = stacks.get(&self.waker_stack_id).and_then(|stack| site(stack)).map(str::to_owned);
    }

    /// After what waited, of a system call that failed: `, failed: ECONNRESET`.
    pub(crate) fn after_place(&self) -> String {
        self.error.as_ref().map_or_else(String::new, |error| format!(", failed: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_named_and_wakers_found_in_their_code() {
        let stack =
            ["runtime.goready /go/proc.go:1", "sync.(*Mutex).Unlock /go/mutex.go:2", "main.add /shop/cart.go:3"];
        let stacks = HashMap::from([(5, stack.map(str::to_owned).to_vec())]);
        let mut ending = Ending { result: Some(-104), waker_stack_id: 5, ..Ending::default() };
        ending.complete(&stacks);
        assert_eq!(ending.waker_site.as_deref(), Some(stack[2]));
        assert_eq!(ending.after_place(), ", failed: ECONNRESET");
        let mut ending = Ending { result: Some(3), ..Ending::default() };
        ending.complete(&stacks);
        assert_eq!((ending.after_place().as_str(), ending.waker_site), ("", None));
    }
}
