//! Call stacks with names, and which of their functions is the one that blocks.

use std::sync::Arc;

use syncline_event::StackId;

/// Beginnings of functions that only carry a wait: Go's runtime, its locks, its poller and system calls, and the packages
/// through which reads and writes pass on their way there. What called them is what a reader looks for.
const CARRIERS: [&str; 15] = [
    "runtime.",
    "runtime/",
    "internal/",
    "sync.",
    "sync/atomic.",
    "syscall.",
    "time.Sleep",
    "net.",
    "io.",
    "bufio.",
    "os.(*File)",
    "os.(*noReadFrom)",
    "golang.org/x/sync/",
    "golang.org/x/sys/",
    // An address without a symbol, as the store names it.
    "0x",
];

/// One function call: a function, and the place in it that is being executed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frame {
    /// The function's full name.
    pub function: String,
    /// Its source file; empty when not known.
    pub file: String,
    /// The line in the file; 0 when not known.
    pub line: u32,
}

/// One address of a stack with the calls that it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// Link-time address of the calling instruction (a return address less one).
    pub address: u64,
    /// The calls there, the innermost inlined one first, the function itself last. Empty when there is no symbol.
    pub frames: Vec<Frame>,
}

/// One build of a program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Build {
    /// The same for all copies of one build.
    pub id: u64,
    /// Where its executable is.
    pub path: String,
}

/// A goroutine's stack with names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallStack {
    /// Its identity, of build and addresses.
    pub id: StackId,
    /// The program.
    pub build: Arc<Build>,
    /// Its calls, the innermost first. Shared: a program has far fewer calls than stacks.
    pub calls: Vec<Arc<Call>>,
    /// Frames are missing at the outer end: deeper than was taken, or unreadable.
    pub is_cut: bool,
}

impl Frame {
    /// `function file:line`, without what is not known.
    #[must_use]
    pub fn text(&self) -> String {
        match self.place() {
            place if place.is_empty() => self.function.clone(),
            place => format!("{} {place}", self.function),
        }
    }

    /// `file:line`, or nothing where the file is not known.
    #[must_use]
    pub fn place(&self) -> String {
        match (self.file.as_str(), self.line) {
            ("", _) => String::new(),
            (file, 0) => file.to_owned(),
            (file, line) => format!("{file}:{line}"),
        }
    }

    /// The last part of [`place`](Self::place), for narrow columns: `cart.go:17`.
    #[must_use]
    pub fn short_place(&self) -> String {
        let place = self.place();
        place.rsplit('/').next().unwrap_or_default().to_owned()
    }

    fn unnamed(text: String) -> Self {
        Self { function: text, file: String::new(), line: 0 }
    }
}

impl CallStack {
    /// All calls, the innermost first; an address without a symbol is called by its number.
    pub fn frames(&self) -> impl Iterator<Item = Frame> + '_ {
        self.calls.iter().flat_map(|call| match call.frames.as_slice() {
            [] => vec![Frame::unnamed(format!("0x{:x}", call.address))],
            frames => frames.to_vec(),
        })
    }

    /// The call that blocks: the innermost one that does not only [carry](is_plumbing) the wait. On a goroutine without one,
    /// such as the collector's, the innermost one of Go's that is not the parking itself.
    #[must_use]
    pub fn blocking_frame(&self) -> Frame {
        let named = || self.calls.iter().flat_map(|call| &call.frames);
        let found = named()
            .find(|frame| !is_plumbing(&frame.function))
            .or_else(|| named().find(|frame| !parks(&frame.function) && !is_foreign(&frame.function)));
        found.cloned().or_else(|| self.frames().next()).unwrap_or_else(|| Frame::unnamed("(no stack)".to_owned()))
    }

    /// Whether this is a goroutine of Go's own, such as the collector's: no Go code but the runtime's is on its stack.
    #[must_use]
    pub fn is_of_the_runtime(&self) -> bool {
        let frames = self.calls.iter().flat_map(|call| &call.frames);
        let mut of_go = frames.filter(|frame| !is_foreign(&frame.function)).peekable();
        !self.is_cut && of_go.peek().is_some() && of_go.all(|frame| frame.function.starts_with("runtime."))
    }
}

/// Whether a function is the parking of a goroutine itself.
#[must_use]
pub fn parks(function: &str) -> bool {
    matches!(function, "runtime.gopark" | "runtime.goparkunlock")
}

/// Whether a function only carries a wait for what called it.
#[must_use]
pub fn is_plumbing(function: &str) -> bool {
    function.is_empty() || is_foreign(function) || CARRIERS.iter().any(|carrier| function.starts_with(carrier))
}

/// Whether a function, with or without its file behind it, is none of Go's, which are named with what has them: `nap (libc.so.6)`,
/// `vfs_read (kernel)`. It only carries a wait: Go code called it.
#[must_use]
pub fn is_foreign(function: &str) -> bool {
    // Its file may have anything in its path; a function may have a `/` too, as that operator of C++.
    let before_path = function.split(" /").next().unwrap_or_default();
    let names_file = |(place, opened): (usize, &str)| {
        let module = before_path[place + opened.len()..].split_once(')');
        module.is_some_and(|(module, behind)| {
            !module.contains(['(', '/']) && (behind.is_empty() || behind.starts_with(' '))
        })
    };
    before_path.match_indices(" (").any(names_file)
}

/// [`is_foreign`] as a regular expression (RE2) for the database, whose views have it too.
pub const FOREIGN_PATTERN: &str = "^([^ ]| +[^ /])* +[(][^()/]*[)]( |$)";

/// [`is_plumbing`] as a regular expression (RE2) for the database.
#[must_use]
pub fn plumbing_pattern() -> String {
    format!("^({})|{FOREIGN_PATTERN}", CARRIERS.map(escaped).join("|"))
}

fn escaped(carrier: &str) -> String {
    let escape = |c: char| if c.is_ascii_alphanumeric() || c == '/' { c.to_string() } else { format!("[{c}]") };
    carrier.chars().map(escape).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A stack of these functions, the innermost first, each in a file of its own.
    pub(crate) fn stack(id: u64, functions: &[&str]) -> CallStack {
        let frame = |(line, function): (u32, &&str)| Frame {
            function: (*function).to_owned(),
            file: format!("/src/{}.go", function.trim_start_matches("main.")),
            line,
        };
        let calls =
            (1..).zip(functions).map(|numbered| Call { address: numbered.0.into(), frames: vec![frame(numbered)] });
        CallStack {
            id: StackId(id),
            build: Arc::new(Build { id: 7, path: "/opt/shop/cart".to_owned() }),
            calls: calls.map(Arc::new).collect(),
            is_cut: false,
        }
    }

    #[test]
    fn the_call_that_blocks_is_the_innermost_of_the_program() {
        let blocks = |functions: &[&str]| stack(1, functions).blocking_frame().function;
        let lock =
            ["runtime.gopark", "sync.runtime_SemacquireMutex", "sync.(*Mutex).lockSlow", "main.transfer", "main.main"];
        assert_eq!(blocks(&lock), "main.transfer");
        let read = ["internal/poll.(*FD).Read", "net.(*conn).Read", "io.ReadFull", "main.readFrame", "main.main"];
        assert_eq!(blocks(&read), "main.readFrame");
        assert_eq!(
            blocks(&["runtime.gopark", "net/http.(*persistConn).writeLoop"]),
            "net/http.(*persistConn).writeLoop"
        );
        assert_eq!(blocks(&["runtime.gopark", "runtime.goparkunlock", "runtime.bgsweep"]), "runtime.bgsweep");
        assert_eq!(blocks(&["runtime.gopark"]), "runtime.gopark");
        assert_eq!(blocks(&[]), "(no stack)");
    }

    #[test]
    fn addresses_without_symbols_are_named_by_number() {
        let mut unknown = stack(1, &["runtime.gopark"]);
        unknown.calls = vec![Arc::new(Call { address: 0x4a_3f00, frames: Vec::new() })];
        assert_eq!(unknown.blocking_frame().text(), "0x4a3f00");
        assert!(!unknown.is_of_the_runtime(), "nobody knows");
    }

    #[test]
    fn only_goroutines_of_nothing_but_the_runtime_are_its_own() {
        assert!(stack(1, &["runtime.gopark", "runtime.gcBgMarkWorker"]).is_of_the_runtime());
        assert!(!stack(1, &["runtime.gopark", "runtime.chanrecv1", "main.main", "runtime.main"]).is_of_the_runtime());
        assert!(!stack(1, &[]).is_of_the_runtime());
        let mut cut = stack(1, &["runtime.gopark"]);
        cut.is_cut = true;
        assert!(!cut.is_of_the_runtime(), "the rest may be anything");
    }

    #[test]
    fn code_that_is_not_gos_carries_what_go_code_waits_for() {
        for foreign in [
            "nap (libc.so.6)",
            "nap (shop) /src/shop.c:3",
            "std::f<int (char)>() (lib.so)",
            "ns::operator/(int, char) (shop) /src/a (1)/ns.cc:3",
            "vfs_read (kernel)",
        ] {
            assert!(is_foreign(foreign) && is_plumbing(foreign), "{foreign}");
        }
        for of_go in ["main.f", "net.(*conn).Read", "main.f[func() (int)] /src/f.go:1", "main.f /src (1) x/f.go:1"] {
            assert!(!is_foreign(of_go), "{of_go}");
        }
        let in_c = stack(1, &["vfs_read (kernel)", "nap (libc.so.6)", "runtime.cgocall", "main._Cfunc_nap"]);
        assert_eq!(in_c.blocking_frame().function, "main._Cfunc_nap");
        assert!(!in_c.is_of_the_runtime() && !stack(1, &["nap (libc.so.6)"]).is_of_the_runtime());
        let own = stack(1, &["vfs_read (kernel)", "runtime.gopark", "runtime.bgsweep"]);
        assert!(own.is_of_the_runtime());
        assert_eq!(own.blocking_frame().function, "runtime.bgsweep");
        assert_eq!(stack(1, &["nap (libc.so.6)", "f (libc.so.6)"]).blocking_frame().function, "nap (libc.so.6)");
    }

    #[test]
    fn frames_say_what_is_known_of_them() {
        let frame = |file: &str, line| Frame { function: "main.f".to_owned(), file: file.to_owned(), line };
        assert_eq!(frame("/src/f.go", 3).text(), "main.f /src/f.go:3");
        assert_eq!(frame("/src/f.go", 3).short_place(), "f.go:3");
        assert_eq!(frame("/src/f.go", 0).text(), "main.f /src/f.go");
        assert_eq!(frame("", 3).text(), "main.f");
    }

    #[test]
    fn the_pattern_takes_every_character_as_itself() {
        let pattern = plumbing_pattern();
        assert!(pattern.starts_with("^(runtime[.]|runtime/|") && pattern.contains("os[.][(][*]File[)]"), "{pattern}");
    }
}
