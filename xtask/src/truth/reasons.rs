//! The wait reasons in the tracer's words: what stands beside each reason where the runtime parks for it.

/// What the tracer of a Go minor version calls a reason; none where no place in the runtime is known to us.
///
/// Go 1.21 has an event of its own for few of them, and none for the others, whose text is empty.
pub(super) fn of_tracer(ours: &str, minor: u16) -> Option<&'static str> {
    let (since_1_22, in_1_21) = match ours {
        "chan receive" => both("chan receive"),
        "chan send" => both("chan send"),
        "select" => both("select"),
        "sleep" => both("sleep"),
        "IO wait" => both("network"),
        "sync.Cond.Wait" => both("sync.(*Cond).Wait"),
        "semacquire" | "sync.Mutex.Lock" | "sync.RWMutex.Lock" | "sync.RWMutex.RLock" | "sync.WaitGroup.Wait" => {
            both("sync")
        }
        "chan receive (nil chan)" | "chan send (nil chan)" | "select (no cases)" | "panicwait" => both("forever"),
        "GC assist wait" => both("GC mark assist wait for work"),
        "GC sweep wait" => ("GC background sweeper wait", ""),
        "wait for GC cycle" => ("wait until GC ends", ""),
        "GC weak to strong wait" => both("GC weak to strong wait"),
        "GC worker (idle)"
        | "GC scavenge wait"
        | "finalizer wait"
        | "cleanup wait"
        | "force gc (idle)"
        | "GOMAXPROCS updater (idle)"
        | "trace reader (blocked)" => ("system goroutine wait", ""),
        _ => return None,
    };
    Some(if minor == 21 { in_1_21 } else { since_1_22 })
}

const fn both(text: &'static str) -> (&'static str, &'static str) {
    (text, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_in_the_words_of_the_version() {
        assert_eq!(of_tracer("IO wait", 21), Some("network"));
        assert_eq!(of_tracer("wait for GC cycle", 21), Some(""));
        assert_eq!(of_tracer("wait for GC cycle", 27), Some("wait until GC ends"));
        assert_eq!(of_tracer("a new one", 27), None);
    }
}
