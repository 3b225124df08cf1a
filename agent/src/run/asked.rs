//! Who may change what holds while the agent runs: the control socket, and SIGHUP for the file.

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use super::{RunConfig, RunError};
use crate::choice::{KEYS, SettingsFile};
use crate::control::{Order, Outcome, Server};

/// Listens to both until the set is dropped.
pub(super) fn listen(config: &RunConfig, server: &Server) -> Result<JoinSet<()>, RunError> {
    let mut tasks = JoinSet::new();
    if let Some(path) = &config.control {
        match server.listen(path) {
            Ok(serving) => drop(tasks.spawn(serving)),
            // Capturing is worth more than changing it.
            Err(error) => tracing::warn!("{error}. Going on without: nothing can be set while it runs"),
        }
    }
    if let Some(file) = config.file.clone() {
        // Where there is no file the signal ends the agent, as it does any program.
        let hangups = signal(SignalKind::hangup()).map_err(RunError::System)?;
        tasks.spawn(read_again(file, hangups, server.clone()));
    }
    Ok(tasks)
}

async fn read_again(file: SettingsFile, mut hangups: tokio::signal::unix::Signal, server: Server) {
    // What the agent runs by; it was read a moment ago.
    let begun = file.read_document().ok().map(|(_, document)| document);
    while hangups.recv().await.is_some() {
        match file.read_document() {
            Ok((layer, document)) => {
                let changed = begun.as_ref().map(|begun| begun.changed(&document)).unwrap_or_default();
                let later: Vec<String> = changed.into_iter().filter(|key| !KEYS.contains(&key.as_str())).collect();
                if !later.is_empty() {
                    tracing::warn!("of the file, what changed of {} holds from the next start on", later.join(", "));
                }
                if let Outcome::Refused(why) = server.order(Order::File(layer)).await {
                    tracing::warn!("the file of settings was read again, but {why}");
                }
            }
            Err(error) => tracing::error!("{error}. What the file said before still holds"),
        }
    }
}
