//! Finding a store: at a URL, in a data directory another process serves, or in one nobody does.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::engine::files::{DataDir, Endpoint, Lock};
use crate::{DEFAULT_DATABASE, EmbeddedConfig, EmbeddedEngine, Store, StoreError, default_max_memory_bytes};

/// How long a process that holds the directory may take to publish its engine's endpoint.
const ENDPOINT_DEADLINE: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// The data directory of an embedded engine.
    Embedded(PathBuf),
    /// A ClickHouse server: `http://[user:password@]host:port`.
    Url(String),
}

/// What a store is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// To write and to read.
    Writer,
    /// To read only, inside of limits, where the store is embedded. With a URL the user in it decides.
    Reader,
}

/// How to open a store.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The database; [`DEFAULT_DATABASE`] unless set.
    pub database: String,
    /// As whom.
    pub role: Role,
    /// The engine's library, if one has to be started; `None` = [`libchdb_path`](crate::libchdb_path).
    pub libchdb: Option<PathBuf>,
    /// Cap on the engine's memory, if one has to be started, in bytes.
    pub max_memory_bytes: u64,
}

impl Default for OpenOptions {
    fn default() -> Self {
        let max_memory_bytes = default_max_memory_bytes();
        Self { database: DEFAULT_DATABASE.to_owned(), role: Role::Writer, libchdb: None, max_memory_bytes }
    }
}

/// A store, and the engine below it if opening it started one.
#[derive(Debug)]
pub struct OpenStore {
    store: Store,
    engine: Option<EmbeddedEngine>,
}

impl Deref for OpenStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl OpenStore {
    /// Whether the engine is ours, and so ends with this value.
    #[must_use]
    pub fn holds_engine(&self) -> bool {
        self.engine.is_some()
    }

    /// Stops the engine if it is ours, and waits for its end.
    ///
    /// # Errors
    /// As [`EmbeddedEngine::stop`].
    pub async fn close(self) -> Result<(), StoreError> {
        match self.engine {
            Some(engine) => engine.stop().await,
            None => Ok(()),
        }
    }
}

/// Opens the store at `location`. For a data directory: connects to the engine of the process that holds it, or starts one of
/// our own for as long as the result lives. Does not migrate.
///
/// # Errors
/// As [`Store::connect`] and [`EmbeddedEngine::start`]; [`StoreError::Locked`] when the holder does not publish an engine that
/// answers.
pub async fn open(location: &Location, options: &OpenOptions) -> Result<OpenStore, StoreError> {
    match location {
        Location::Url(url) => {
            let store = Store::connect(url, &options.database).await?;
            Ok(OpenStore { store, engine: None })
        }
        Location::Embedded(dir) => open_embedded(dir, options).await,
    }
}

async fn open_embedded(dir: &Path, options: &OpenOptions) -> Result<OpenStore, StoreError> {
    let deadline = Instant::now() + ENDPOINT_DEADLINE;
    loop {
        if let Some(store) = connect_to_holder(dir, options).await? {
            return Ok(OpenStore { store, engine: None });
        }
        match start(dir, options).await {
            Err(StoreError::Locked { .. }) if Instant::now() < deadline => tokio::time::sleep(POLL_INTERVAL).await,
            outcome => return outcome,
        }
    }
}

async fn start(dir: &Path, options: &OpenOptions) -> Result<OpenStore, StoreError> {
    let config = EmbeddedConfig {
        libchdb: options.libchdb.clone(),
        max_memory_bytes: options.max_memory_bytes,
        ..EmbeddedConfig::new(dir)
    };
    let engine = EmbeddedEngine::start(config).await?;
    let url = match options.role {
        Role::Writer => engine.url(),
        Role::Reader => engine.reader_url(),
    };
    let store = Store::connect(url, &options.database).await?;
    Ok(OpenStore { store, engine: Some(engine) })
}

/// An endpoint counts only while its writer holds the directory's lock: else it is left from a crash.
async fn connect_to_holder(dir: &Path, options: &OpenOptions) -> Result<Option<Store>, StoreError> {
    if !dir.join("syncline.lock").exists() {
        return Ok(None);
    }
    let dir = DataDir::create(dir)?;
    let Some(endpoint) = Endpoint::read(&dir.endpoint()) else { return Ok(None) };
    if Lock::holder(&dir.lock()) != Some(endpoint.pid) || !Lock::is_held(&dir.lock())? {
        return Ok(None);
    }
    let url = match (options.role, endpoint.reader_url) {
        (Role::Reader, Some(reader)) => reader,
        _ => endpoint.url,
    };
    match Store::connect(&url, &options.database).await {
        Ok(store) => Ok(Some(store)),
        // It is just being stopped, or its engine has crashed.
        Err(StoreError::Unreachable { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
