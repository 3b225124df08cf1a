//! The side that starts, watches and stops the engine's child process.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::access::Access;
use super::child::CHILD_ARGUMENT;
use super::files::{DataDir, Endpoint, Lock, remove, write_private};
use super::{config, library};
use crate::StoreError;
use crate::users::{READER, ReaderLimits};

const START_DEADLINE: Duration = Duration::from_secs(60);
/// A stranger on the port may accept and say nothing.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
const LOCK_PATIENCE: Duration = Duration::from_millis(200);
const STOP_GRACE: Duration = Duration::from_secs(10);
const START_ATTEMPTS: u32 = 3;
/// What the engine's process has of our environment: what libraries look for there.
const ENVIRONMENT: [&str; 7] = ["HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ"];

/// How to run an embedded engine.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// Where data, locks, `endpoint.json` and `engine.log` are. Created where it is missing.
    pub data_dir: PathBuf,
    /// The engine's library; `None` = [`libchdb_path`](crate::libchdb_path).
    pub libchdb: Option<PathBuf>,
    /// Cap on the engine's memory in bytes; queries beyond it fail. See [`default_max_memory_bytes`].
    pub max_memory_bytes: u64,
    /// Loopback port of the HTTP handler; `None` = a free one.
    pub http_port: Option<u16>,
}

impl EmbeddedConfig {
    /// The defaults, for a data directory.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        let max_memory_bytes = default_max_memory_bytes();
        Self { data_dir: data_dir.into(), libchdb: None, max_memory_bytes, http_port: None }
    }
}

/// 2 GiB, or half of the machine's memory if that is less.
#[must_use]
pub fn default_max_memory_bytes() -> u64 {
    const USUAL: u64 = 2 << 30;
    let info = rustix::system::sysinfo();
    let total = info.totalram.saturating_mul(u64::from(info.mem_unit));
    USUAL.min(total / 2)
}

/// A running embedded engine. Dropping it stops the child process, blocking until it has ended; [`stop`](Self::stop) does the
/// same without blocking the async runtime.
#[derive(Debug)]
pub struct EmbeddedEngine {
    url: String,
    reader_url: String,
    dir: DataDir,
    child: Option<Child>,
    _lock: Lock,
}

impl EmbeddedEngine {
    /// Locks the data directory, starts the engine and waits until it answers.
    ///
    /// # Errors
    /// [`StoreError::LibraryMissing`]; [`StoreError::Locked`] when another process has the directory;
    /// [`StoreError::EngineStart`] with what the engine said; [`StoreError::Io`].
    pub async fn start(config: EmbeddedConfig) -> Result<Self, StoreError> {
        let library = library::find(config.libchdb.as_deref())?;
        let dir = DataDir::create(&config.data_dir)?;
        let lock = lock(&dir).await?;
        // Whoever wrote it is gone: we hold the lock.
        remove(&dir.endpoint())?;
        let access = Access::of(&dir)?;
        // What people ask may take three quarters of it together: the rest is for what is written.
        let of_people = config.max_memory_bytes / 4 * 3;
        let limits = ReaderLimits::with_memory(of_people, of_people);
        write_private(&dir.users_xml(), &config::users_xml(&access.password, &access.reader_password, limits))?;
        let server_xml = config::server_xml(&dir.users_xml(), &dir.tmp(), config.max_memory_bytes);
        write_private(&dir.server_xml(), &server_xml)?;

        let mut starting = Starting { library, dir: &dir, access, port: config.http_port };
        let (child, port) = starting.start().await?;
        let url = url(config::WRITER, &starting.access.password, port);
        let reader_url = self::url(READER, &starting.access.reader_password, port);
        let (pid, engine_pid) = (std::process::id(), child.id());
        let endpoint = Endpoint { url: url.clone(), reader_url: Some(reader_url.clone()), pid, engine_pid };
        let engine = Self { url, reader_url, child: Some(child), _lock: lock, dir };
        endpoint.write(&engine.dir.endpoint())?;
        Ok(engine)
    }

    /// `http://user:password@127.0.0.1:port`, for [`Store::connect`](crate::Store::connect), of the user that writes.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same of the user that may only read, inside of limits.
    #[must_use]
    pub fn reader_url(&self) -> &str {
        &self.reader_url
    }

    /// The engine's process id; `None` once it was stopped.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Stops the engine and waits for its end.
    ///
    /// # Errors
    /// [`StoreError::EngineKilled`] when it did not end by itself; [`StoreError::Io`].
    pub async fn stop(mut self) -> Result<(), StoreError> {
        let Some(child) = self.child.take() else { return Ok(()) };
        remove(&self.dir.endpoint())?;
        let ended = tokio::task::spawn_blocking(move || end(child)).await;
        ended.unwrap_or_else(|error| Err(StoreError::Protocol { reason: error.to_string() }))
    }
}

impl Drop for EmbeddedEngine {
    fn drop(&mut self) {
        let Some(child) = self.child.take() else { return };
        let outcome = remove(&self.dir.endpoint()).and(end(child));
        if let Err(error) = outcome {
            tracing::warn!(%error, "stopping the embedded engine");
        }
    }
}

/// Somebody who only asks whether the lock is held disturbs for an instant: so a refusal has to last to count.
async fn lock(dir: &DataDir) -> Result<Lock, StoreError> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match Lock::try_take(&dir.lock())? {
            Some(lock) => return Ok(lock),
            None if Instant::now() < deadline => tokio::time::sleep(POLL_INTERVAL).await,
            None => return Err(StoreError::Locked { dir: dir.path().to_owned(), holder: Lock::holder(&dir.lock()) }),
        }
    }
}

/// A child that is killed unless its start succeeds.
struct Guard(Option<Child>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

struct Starting<'a> {
    library: PathBuf,
    dir: &'a DataDir,
    access: Access,
    port: Option<u16>,
}

impl Starting<'_> {
    /// A free port may be taken between our look and the engine's; then another one is tried.
    async fn start(&mut self) -> Result<(Child, u16), StoreError> {
        let mut attempt = 1;
        loop {
            let port = self.port.map_or_else(|| self.access.free_port(), Ok)?;
            match self.start_at(port).await {
                Ok(child) => {
                    self.access.keep(port, self.dir)?;
                    return Ok((child, port));
                }
                Err(StoreError::EngineStart { reason, .. })
                    if attempt < START_ATTEMPTS && self.port.is_none() && is_port_taken(&reason) =>
                {
                    tracing::debug!(port, reason, "the engine's port was taken, trying another");
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn start_at(&self, port: u16) -> Result<Child, StoreError> {
        let mut guard = Guard(Some(self.spawn(port)?));
        let url = url(config::WRITER, &self.access.password, port);
        let deadline = Instant::now() + START_DEADLINE;
        while !answers(&url).await {
            let exited = guard.0.as_mut().and_then(|child| child.try_wait().transpose());
            if let Some(status) = exited {
                let status = status.map_err(StoreError::io("waiting for the engine"))?;
                return Err(self.failed(&format!("it ended with {status}")));
            }
            if Instant::now() > deadline {
                return Err(self.failed(&format!("no answer within {} s", START_DEADLINE.as_secs())));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        guard.0.take().ok_or_else(|| self.failed("it ended"))
    }

    fn spawn(&self, port: u16) -> Result<Child, StoreError> {
        let log = self.open_log()?;
        let log_too = log.try_clone().map_err(StoreError::io("opening the engine's log"))?;
        // The link also works after the executable's file was replaced by an update.
        Command::new("/proc/self/exe")
            .arg0("syncline-engine")
            .arg(CHILD_ARGUMENT)
            .arg(&self.library)
            .arg(self.dir.path())
            .arg(port.to_string())
            // Whoever may read can have it told what is in its own: no secret of ours may be.
            .env_clear()
            .envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(log_too)
            // Ctrl-C at a terminal is for us; the engine ends after us.
            .process_group(0)
            .spawn()
            .map_err(StoreError::io("starting the engine's process"))
    }

    fn open_log(&self) -> Result<File, StoreError> {
        let path = self.dir.log();
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&path).map_err(StoreError::io(format!("opening {}", path.display())))
    }

    fn failed(&self, what: &str) -> StoreError {
        let log = fs::read(self.dir.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let said = log.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it said nothing");
        let reason = format!("{what}: {said}");
        StoreError::EngineStart { dir: self.dir.path().to_owned(), reason }
    }
}

fn url(user: &str, password: &str, port: u16) -> String {
    format!("http://{user}:{password}@127.0.0.1:{port}")
}

/// Asks with our password, so that a stranger on the same port does not count.
async fn answers(url: &str) -> bool {
    let connected = tokio::time::timeout(ANSWER_PATIENCE, crate::Store::connect(url, crate::DEFAULT_DATABASE));
    matches!(connected.await, Ok(Ok(_)))
}

fn is_port_taken(reason: &str) -> bool {
    reason.contains("Address already in use")
}

/// Closes the pipe that keeps the child alive and waits for its end; kills it after the grace time.
fn end(mut child: Child) -> Result<(), StoreError> {
    drop(child.stdin.take());
    let ended = wait_for_end(&child, STOP_GRACE);
    if !ended {
        child.kill().map_err(StoreError::io("killing the engine"))?;
    }
    let pid = child.id();
    child.wait().map_err(StoreError::io("waiting for the engine"))?;
    if ended { Ok(()) } else { Err(StoreError::EngineKilled { pid }) }
}

fn wait_for_end(child: &Child, grace: Duration) -> bool {
    let Ok(raw) = i32::try_from(child.id()) else { return false };
    let Some(pid) = Pid::from_raw(raw) else { return false };
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { return false };
    let deadline = Instant::now() + grace;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(timeout) = Timespec::try_from(left) else { return false };
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)) {
            Ok(ready) => return ready > 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}
