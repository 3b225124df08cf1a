//! Which waits are counted: each moment of a goroutine once.
//!
//! Waits of a goroutine lie inside of one another where C code is called: the call is a wait, the system call in which the C
//! code waits is one, and so is what Go code waits for that the C code calls. **Of waits inside of one another, of those that are
//! asked for, the outermost is counted.** The others are shown with their numbers, and are in no total, profile or flame graph.
//!
//! What blocks no goroutine is not counted either: threads that run none wait on nobody's behalf, and one that was preempted waits
//! for a CPU only.

use syncline_event::Kind;

use crate::call::CallStack;

/// The reason of a thread off its CPU that could have gone on running.
const PREEMPTED: &str = "preempted";

/// Whether a wait blocks a goroutine.
#[must_use]
pub fn blocks(kind: Kind, reason: &str, goid: u64) -> bool {
    goid != 0 && !(kind == Kind::OffCpu && reason == PREEMPTED)
}

/// [`blocks`] as a condition on the store's columns.
#[must_use]
pub fn blocks_condition() -> String {
    format!("goid != 0 AND NOT (kind = 'off_cpu' AND reason = '{PREEMPTED}')")
}

/// Whether a wait is inside of a call of C by the same goroutine, as its stack shows before that call has ended: in the C code
/// itself, or in Go code that it called. Go code that a thread of C's own called looks the same.
#[must_use]
pub fn is_in_c(kind: Kind, stack: &CallStack) -> bool {
    let mut functions = stack.calls.iter().flat_map(|call| &call.frames).map(|frame| frame.function.as_str());
    functions.any(|function| match kind {
        Kind::Cgo => is_callback(function),
        _ => function == "runtime.cgocall" || is_stub(function) || is_callback(function),
    })
}

/// What cgo makes of a C function, which does nothing else than calling it. While the C code goes on after it has called Go,
/// `runtime.cgocall` is missing from the stack.
fn is_stub(function: &str) -> bool {
    let name = function.rsplit('.').next().unwrap_or(function);
    name.starts_with("_Cfunc_") || name.starts_with("_C2func_")
}

/// Whether a wait lies inside of another one of those asked for, as an expression on the columns of `events` and `timeline`.
#[must_use]
pub fn is_inside_expression() -> &'static str {
    "max(mono_ns + dur_ns) OVER (PARTITION BY region, node, boot, pid, goid ORDER BY mono_ns, dur_ns DESC \
     ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) >= mono_ns + dur_ns"
}

/// Of waits of one goroutine in the order of their begins, of equals the longest first, as (begin, end): which lie inside of one
/// before them.
pub fn inside<T: Ord + Copy>(waits: impl IntoIterator<Item = (T, T)>) -> Vec<bool> {
    let mut covered_to = None;
    let one = |(_, end): (T, T)| {
        let is_inside = covered_to.is_some_and(|covered| end <= covered);
        covered_to = covered_to.max(Some(end));
        is_inside
    };
    waits.into_iter().map(one).collect()
}

fn is_callback(function: &str) -> bool {
    function.starts_with("runtime.cgocallback")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::tests::stack;

    #[test]
    fn what_waits_in_c_or_behind_it_is_inside_of_the_call() {
        let of_call = stack(1, &["runtime.cgocall", "main._Cfunc_nap", "main.nap"]);
        assert!(is_in_c(Kind::Syscall, &of_call) && is_in_c(Kind::OffCpu, &of_call) && !is_in_c(Kind::Cgo, &of_call));
        let after_a_callback = stack(6, &["runtime.systemstack_switch", "main._Cfunc_nap", "main.nap"]);
        assert!(is_in_c(Kind::Syscall, &after_a_callback) && !is_in_c(Kind::Cgo, &after_a_callback));
        let called_back = stack(2, &["runtime.gopark", "main.inside", "runtime.cgocallbackg1", "runtime.cgocallback"]);
        assert!(is_in_c(Kind::Goroutine, &called_back));
        let c_again = stack(3, &["runtime.cgocall", "main.inside", "runtime.cgocallbackg"]);
        assert!(is_in_c(Kind::Cgo, &c_again));
        assert!(!is_in_c(Kind::Goroutine, &stack(4, &["runtime.gopark", "main.main"])));
        assert!(!is_in_c(Kind::Syscall, &stack(5, &["syscall.Syscall", "main.main"])));
    }

    #[test]
    fn the_outermost_of_several_is_outside() {
        let waits = [(0, 100), (10, 50), (20, 50), (60, 100), (60, 90), (100, 101)];
        assert_eq!(inside(waits), [false, true, true, true, true, false]);
        assert_eq!(inside([(5, 5), (5, 5)]), [false, true], "the same one twice");
    }

    #[test]
    fn threads_without_goroutines_and_those_without_a_cpu_block_nobody() {
        assert!(blocks(Kind::Goroutine, "select", 1) && blocks(Kind::OffCpu, "uninterruptible", 1));
        assert!(!blocks(Kind::OffCpu, "preempted", 1) && !blocks(Kind::Syscall, "futex", 0));
        assert_eq!(blocks_condition(), "goid != 0 AND NOT (kind = 'off_cpu' AND reason = 'preempted')");
    }
}
