//! The engine's child process.
//!
//! libchdb opens ClickHouse's HTTP handler only inside `chdb_query_cmdline` (not after `chdb_connect`), so that call has to go
//! on for as long as the engine serves: its last query sleeps for ever. A thread watches the standard input, a pipe whose other
//! end the parent holds, and ends the process when it closes. ClickHouse writes parts whole and acknowledges after that, so an
//! end at any moment loses nothing that was acknowledged.

#![allow(unsafe_code)] // libchdb has a C interface.

use std::ffi::{CStr, CString, OsString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::{env, fs, io, thread};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW, Symbol};
use rustix::event::{PollFd, PollFlags, poll};

use super::confine::confine;
use super::files::{DataDir, Lock};

/// The first argument that makes a process the engine's child. The others are the library, the data directory and the port.
pub(super) const CHILD_ARGUMENT: &str = "--syncline-engine-child";

/// One row per second for ever: the cheapest query that does not end and needs no file.
const SERVE: &str = "SYSTEM START LISTEN HTTP; \
    SELECT sleepEachRow(1) FROM system.numbers FORMAT Null SETTINGS max_block_size = 1, max_threads = 1";

/// Call it **first** in the `main` of every program that may open an embedded store, before threads start and arguments are
/// parsed: if this process was started as an engine's child, it becomes the engine and the call never returns.
pub fn run_engine_if_child() {
    let mut arguments = env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != CHILD_ARGUMENT) {
        return;
    }
    let outcome = Child::parse(arguments).and_then(|child| child.run());
    let reason = outcome.err().unwrap_or_else(|| "the engine stopped serving by itself".to_owned());
    eprintln!("{reason}");
    exit(1);
}

struct Child {
    library: PathBuf,
    dir: DataDir,
    port: u16,
}

impl Child {
    fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut next =
            |what: &str| arguments.next().ok_or(format!("the engine's child was started without its {what}"));
        let library = next("library")?.into();
        let dir = DataDir::create(Path::new(&next("data directory")?)).map_err(|error| error.to_string())?;
        let port =
            next("port")?.to_str().and_then(|text| text.parse().ok()).ok_or("the engine's port is not a number")?;
        Ok(Self { library, dir, port })
    }

    fn run(&self) -> Result<(), String> {
        thread::Builder::new()
            .name("parent-watch".to_owned())
            .spawn(end_with_parent)
            .map_err(|error| format!("starting a thread: {error}"))?;
        let _lock = Lock::take(&self.dir.engine_lock()).map_err(|error| error.to_string())?;
        fs::create_dir_all(self.dir.clickhouse())
            .map_err(|error| format!("creating the engine's directory: {error}"))?;
        // Some of the engine's scratch files have relative names.
        env::set_current_dir(self.dir.clickhouse())
            .map_err(|error| format!("entering the engine's directory: {error}"))?;
        self.serve()
    }

    /// Returns only if the engine fails or stops by itself.
    fn serve(&self) -> Result<(), String> {
        let owned: Vec<CString> = self
            .arguments()
            .into_iter()
            .map(|argument| CString::new(argument.into_vec()))
            .collect::<Result<_, _>>()
            .map_err(|_| "the data directory's path holds a NUL byte".to_owned())?;
        let mut pointers: Vec<*mut c_char> = owned.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
        let count = c_int::try_from(pointers.len()).map_err(|_| "too many arguments".to_owned())?;
        let engine = Engine::load(&self.library)?;
        fs::create_dir_all(self.dir.tmp()).map_err(|error| format!("creating the engine's directory: {error}"))?;
        if let Err(error) = confine(&self.dir, &self.library) {
            eprintln!("queries can read every file that this user can: the kernel cannot confine the engine ({error})");
        }
        engine.query_cmdline(count, &mut pointers)
    }

    fn arguments(&self) -> Vec<OsString> {
        let path = |name: &str, path: PathBuf| {
            let mut argument = OsString::from(name);
            argument.push(path);
            argument
        };
        vec![
            "clickhouse".into(),
            path("--path=", self.dir.clickhouse()),
            path("--config-file=", self.dir.server_xml()),
            format!("--http_port={}", self.port).into(),
            "--listen_host=127.0.0.1".into(),
            format!("--query={SERVE}").into(),
        ]
    }
}

type QueryCmdline = unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut c_void;
type ResultError = unsafe extern "C" fn(*mut c_void) -> *const c_char;
type SetSignalHandlers = unsafe extern "C" fn(c_int);

struct Engine {
    query_cmdline: Symbol<QueryCmdline>,
    result_error: Symbol<ResultError>,
}

impl Engine {
    fn load(path: &Path) -> Result<Self, String> {
        let failed = |error: libloading::Error| format!("loading {}: {error}", path.display());
        // SAFETY: needed since libchdb is found at run time. Its initialisers run here, in a process that exists for nothing
        // else and has one other thread, which only polls.
        let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map_err(failed)?;
        // SAFETY: the three signatures are those of the library's chdb.h (`int`, `char **`, `chdb_result *`).
        let (query_cmdline, result_error, set_signal_handlers) = unsafe {
            (
                library.get::<QueryCmdline>(b"chdb_query_cmdline\0").map_err(failed)?,
                library.get::<ResultError>(b"chdb_result_error\0").map_err(failed)?,
                library.get::<SetSignalHandlers>(b"chdb_set_signal_handlers_enabled\0").ok(),
            )
        };
        if let Some(set_signal_handlers) = set_signal_handlers {
            // SAFETY: takes one int and may be called before any query; 0 keeps the process's own signal dispositions.
            unsafe { set_signal_handlers(0) };
        }
        // Its threads outlive every call, so its code has to stay mapped.
        std::mem::forget(library);
        Ok(Self { query_cmdline, result_error })
    }

    fn query_cmdline(&self, count: c_int, arguments: &mut [*mut c_char]) -> Result<(), String> {
        // SAFETY: `arguments` holds `count` pointers to NUL-terminated strings that outlive the call; the library only
        // reads them.
        let result = unsafe { (self.query_cmdline)(count, arguments.as_mut_ptr()) };
        if result.is_null() {
            return Err("the engine gave no result".to_owned());
        }
        // SAFETY: `result` is the pointer the library just gave; it is never freed, since the process ends next.
        let error = unsafe { (self.result_error)(result) };
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: a NUL-terminated string that lives as long as `result`.
        Err(unsafe { CStr::from_ptr(error) }.to_string_lossy().into_owned())
    }
}

/// Waits until the write end of the standard input's pipe is closed, which is when the parent wants it or has died, and ends
/// the process.
fn end_with_parent() {
    let input = io::stdin();
    loop {
        let mut polled = [PollFd::new(&input, PollFlags::empty())];
        let closed = match poll(&mut polled, None) {
            Ok(_) => polled[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL),
            Err(rustix::io::Errno::INTR) => false,
            Err(_) => true,
        };
        if closed {
            exit(0);
        }
    }
}

/// Ends at once. The library's exit handlers would tear down state that its threads still use.
fn exit(code: c_int) -> ! {
    // SAFETY: `_exit` has no preconditions; needed since `std::process::exit` runs exit handlers.
    unsafe { libc::_exit(code) }
}
